// Writes `src/accounts/passwords/common.txt` from the list of common passwords that Django ships
// (`django/contrib/auth/common-passwords.txt.gz` of its package, the most common ones first):
//
//     node scripts/common-passwords.mjs path/to/common-passwords.txt.gz
//
// Only what can match is kept: of the first 3,000 passwords and of all others with at least 12 characters, what is left
// without digits and punctuation at both ends, once if it is repeated. `src/accounts/passwords/policy.rs` reads a new
// password in the same way.

import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const FIRST = 3_000;
const MINIMUM = 12;
const SHORTEST = 4;

const trimmed = (text) => text.replace(/^[^a-z]+|[^a-z]+$/g, "");

function once(text) {
  for (let length = 1; length <= text.length / 2; length += 1) {
    const part = text.slice(0, length);
    if (part.repeat(text.length / length) === text && text.length % length === 0) return part;
  }
  return text;
}

const all = gunzipSync(readFileSync(process.argv[2])).toString().split("\n");
const kept = new Set();
for (const [rank, text] of all.entries()) {
  if (!/^[!-~]+$/.test(text) || (rank >= FIRST && text.length < MINIMUM)) continue;
  const core = once(trimmed(text));
  if (core.length >= SHORTEST) kept.add(core);
  else if (core === "" && text.length >= MINIMUM) kept.add(once(text));
}
const file = new URL("../src/accounts/passwords/common.txt", import.meta.url);
writeFileSync(file, `${[...kept].sort().join("\n")}\n`);
