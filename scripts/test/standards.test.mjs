// docs/standards.md lists each clause that is not met.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { inProject } from "../lib/project.mjs";

const page = readFileSync(inProject("docs/standards.md"), "utf8");
const [, list, clauses] = page.split(/^## What is not met$|^## OWASP ASVS/m);
const cellsOf = (text) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| ?/, "").trim()));

test("each clause that is not met is in the list, and no other", () => {
  const listed = cellsOf(list)
    .slice(1)
    .flatMap(([, numbers]) => numbers.split(", "));
  const notMet = cellsOf(clauses)
    .filter(([, , how]) => /\*\*not met/i.test(how ?? ""))
    .map(([number]) => number);
  assert.ok(notMet.length > 0);
  assert.deepEqual([...new Set(listed)].sort(), [...new Set(notMet)].sort());
});
