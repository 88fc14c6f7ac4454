// Clients send requests of all kinds while faults are injected: their answers agree with what upstream saw. The longer
// run, with figures, is `npm run soak`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { report } from "../../bench/soak/report.mjs";
import { soak } from "../../bench/soak/soak.mjs";

const SECONDS = Number(process.env.SOAK_SECONDS ?? 20);
const SEED = Number(process.env.SOAK_SEED ?? Date.now() % 1_000_000_007);

test(`no invariant is broken within ${SECONDS} s of load and faults (SOAK_SEED=${SEED})`, async () => {
  const options = { seconds: SECONDS, kills: 2, clients: 8, seed: SEED, patience: 10 };
  const result = await soak(options);
  assert.deepEqual(result.book.broken, [], report(result, SEED));
  for (const [invariant, compared] of result.rows)
    assert.ok(compared > 0, `nothing to compare: ${invariant}`);
});
