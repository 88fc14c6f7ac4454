// The Worker's exports follow from the module's, and it is written where one says.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { entryOf } from "../lib/artefacts.mjs";
import { inProject, root } from "../lib/project.mjs";

const glue = (...classes) =>
  classes
    .map(
      ([name, method]) =>
        `export class ${name} {\n    ${method}(given) {\n        return given;\n    }\n}\n`,
    )
    .join("");

test("each class that takes commands is exported as a Durable Object, and no other", () => {
  const entry = entryOf(glue(["Ledger", "command"], ["R2Range", "free"], ["Audit", "command"]));
  assert.match(entry, /^export \{ default \} from "vestibule-entry";$/m);
  assert.deepEqual(entry.match(/^export const .*$/gm), [
    "export const Ledger = objectOf(edge.Ledger);",
    "export const Audit = objectOf(edge.Audit);",
  ]);
});

test("a module without such classes is refused", () => {
  assert.throws(() => entryOf(glue(["R2Range", "free"])), /exports no classes/);
});

test("an absolute path is not put below the checkout", () => {
  assert.equal(inProject("/tmp/worker", "index.js"), "/tmp/worker/index.js");
  assert.equal(inProject("build", "index.js"), join(root, "build", "index.js"));
});
