// What is deployed stays small: isolates load it before their first answer.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

// The door alone took 155; accounts, sessions, tokens and limits with Argon2 brought 120, idempotency 35, webhooks 43,
// the inbox 22, checkouts and ticks 28, limits 5, what reviews found 5; the guards, consent, the trail, the catalogue and
// explain 125 together. Authors of commands, readings of paths, pages and their texts, checkouts with a history, delegation, names and
// what else two attacks and ten frameworks asked for: 95. Encoded slashes, endpoints that move, hidden paths and the login page
// of an upstream that lost its session: 9. The edge in Rust, with what it links of the `worker` crate and of JavaScript's types: 28.
const BUDGET = 540 * 1024;

test(`the Worker is at most ${BUDGET / 1024} KiB gzipped`, () => {
  const wasm = readFileSync(new URL("../../build/index_bg.wasm", import.meta.url));
  const size = gzipSync(wasm, { level: 9 }).length;
  assert.ok(size <= BUDGET, `${(size / 1024).toFixed(1)} KiB`);
});
