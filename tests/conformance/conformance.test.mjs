// Every set of public vectors, asked over HTTP. `npm run conformance` writes the scores into docs/conformance.md.

import assert from "node:assert/strict";
import { test } from "node:test";
import { skipWithout } from "../support/vectors.mjs";
import { failuresOf, score } from "./scores.mjs";
import { readSets } from "./sets.mjs";

const sets = readSets();

test("passes each vector that can be asked over HTTP", skipWithout(sets), async () => {
  const scored = await score(sets);
  assert.deepEqual(failuresOf(scored), []);
  // A set of which nothing can be asked would pass, too.
  for (const { name, asked, total } of scored) {
    assert.ok(asked >= total / 2, `${name}: only ${asked} of ${total} vectors were asked`);
  }
});
