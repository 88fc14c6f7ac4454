// Repeats a request until its response has changed.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

// Turns a hang into a failure, in milliseconds. It is long enough for a slow machine and measures nothing.
const TIMEOUT_MS = 60_000;

// Calls `look` until `isDone` accepts its result, and returns that result. Fails if it takes too long; `what` is for
// the message.
export async function pollUntil(look, isDone, what) {
  const end = performance.now() + TIMEOUT_MS;
  for (;;) {
    const result = await look();
    if (isDone(result)) return result;
    assert.ok(performance.now() < end, `timed out waiting for ${what}`);
    await sleep(10);
  }
}
