// Asks two readers every set of public vectors. `npm run conformance` also asks the third one, which has to be built
// first, and writes the scores into docs/conformance.md.

import assert from "node:assert/strict";
import { test } from "node:test";
import { skipWithout } from "../support/vectors.mjs";
import { NATIVE, OVER_HTTP } from "./readers.mjs";
import { failuresOf, score } from "./scores.mjs";
import { readSets } from "./sets.mjs";

const sets = readSets();

for (const reader of [NATIVE, OVER_HTTP]) {
  test(`passes each vector that can be asked: ${reader.name}`, skipWithout(sets), async () => {
    const scored = await score(sets, reader);
    assert.deepEqual(failuresOf(scored), []);
    // A set of which nothing can be asked would pass, too.
    for (const { name, asked, total } of scored) {
      assert.ok(asked >= total / 2, `${name}: only ${asked} of ${total} vectors were asked`);
    }
  });
}
