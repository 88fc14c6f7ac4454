// The deployed module stays small: an isolate loads it before its first response. It names no folder of the machine that
// built it, so it is the same wherever it is built.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

// What each part took, in KiB: the gateway alone 155; accounts, sessions, tokens and limits with Argon2 120;
// idempotency 35; webhooks 43; the inbox 22; checkouts and ticks 28; limits 5; fixes from reviews 5; guards, approvals,
// the audit trail, the catalogue and explain 125; authors of commands, readings of paths, pages, the history of
// checkouts, delegation, names and fixes from two attacks and ten frameworks 95; encoded slashes, `ENDPOINTS`, hidden
// paths and the login page of an upstream that lost its session 9; messages in plain words 3; the edge in Rust with its
// share of the `worker` crate and of JavaScript's types 28; scopes of tokens, with a catalogue for each token, 6;
// step-up 3; second factors 32; limits of sessions, names of devices and logout tokens 9; checks of open streams 4;
// passwords, reset links and the list of common passwords 20; search of users, and other changes since, 12; passkeys
// 49; mail 6; exports and imports of users, with what was not counted before, 29; copies for signing in 11; new
// sessions after step-up, clearer refusals on the pages and audited resets 6; report mode 7; what the console
// lists of the configuration, with fixes that were not counted before, 10; counts of requests, with the live tail, 34.
const BUDGET = 788 * 1024;

const wasm = readFileSync(new URL("../../build/index_bg.wasm", import.meta.url));

test(`the Worker is at most ${BUDGET / 1024} KiB gzipped`, () => {
  const size = gzipSync(wasm, { level: 9 }).length;
  assert.ok(size <= BUDGET, `${(size / 1024).toFixed(1)} KiB`);
});

test("the module names no folder of the machine that built it", () => {
  const text = wasm.toString("latin1");
  // Messages of panics name the crate, under the name that stands for the folder of Cargo.
  assert.ok(text.includes("/cargo/registry/src/"));
  const cargo = process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const folders = [join(cargo, "registry"), fileURLToPath(new URL("../..", import.meta.url))];
  for (const folder of folders) assert.ok(!text.includes(folder), folder);
});
