// The Worker's exports follow from the module's classes. Output paths may be outside the checkout.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { entryOf } from "../lib/artefacts.mjs";
import { inProject, root } from "../lib/project.mjs";

const glue = (...classes) =>
  classes
    .map(
      ([name, method]) =>
        `export class ${name} {\n    ${method}(value) {\n        return value;\n    }\n}\n`,
    )
    .join("");

test("exports only classes with a command method, as Durable Objects", () => {
  const entry = entryOf(glue(["Ledger", "command"], ["R2Range", "free"], ["Audit", "command"]));
  assert.match(entry, /^export \{ default \} from "vestibule-entry";$/m);
  assert.deepEqual(entry.match(/^export const .*$/gm), [
    "export const Ledger = objectOf(edge.Ledger);",
    "export const Audit = objectOf(edge.Audit);",
  ]);
});

test("rejects a module without such a class", () => {
  assert.throws(() => entryOf(glue(["R2Range", "free"])), /exports no class with a command method/);
});

test("inProject keeps an absolute path", () => {
  assert.equal(inProject("/tmp/worker", "index.js"), "/tmp/worker/index.js");
  assert.equal(inProject("build", "index.js"), join(root, "build", "index.js"));
});
