/**
 * Asks the Worker the questions of all public test vectors over HTTP, and writes the scores into docs/conformance.md:
 * `npm run conformance`. The vectors are in the folder that VECTORS_DIR names. Builds the Worker if it is not current.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { build, changedSince } from "./lib/artefacts.mjs";
import { Failure, main, outputOf, say } from "./lib/process.mjs";
import { inProject, lastChange } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

const PAGE = inProject("docs/conformance.md");
const OPENING = "<!-- written by npm run conformance -->";
const CLOSING = "<!-- end -->";

await main(async () => {
  await setUp("npm", "rust", "tools");
  // These import packages, which the setup has just installed.
  const { readSets } = await import("../tests/conformance/sets.mjs");
  const { failuresOf, score } = await import("../tests/conformance/scores.mjs");
  const sets = readSets();
  if (sets === null) throw new Failure("the test vectors are missing: set VECTORS_DIR", 2);
  const built = ["build/index.js", "build/index_bg.wasm"].map((name) => inProject(name));
  if (changedSince(lastChange(built))) await build();

  say("asking");
  const scored = await score(sets);
  const table = tableOf(scored);
  console.log(table);
  const failures = failuresOf(scored);
  for (const line of failures) console.error(`failed: ${line}`);
  writePage(`${await versions()}\n\n${table}`);
  say("wrote docs/conformance.md");
  return failures.length > 0 ? 1 : 0;
});

function tableOf(scored) {
  const rows = scored.map(({ name, total, asked, failed }) => [
    name,
    total,
    asked,
    asked - failed.length,
  ]);
  const sums = [1, 2, 3].map((at) => rows.reduce((sum, row) => sum + row[at], 0));
  return [
    "| set | vectors | asked | passed |",
    "|---|---:|---:|---:|",
    ...[...rows, ["**all**", ...sums]].map((row) => `| ${row.join(" | ")} |`),
  ].join("\n");
}

async function versions() {
  const { version: workerd } = read("node_modules/workerd/package.json");
  const { version } = read("package.json");
  const rustc = await outputOf("rustc", ["--version"]);
  const day = new Date().toISOString().slice(0, 10);
  return `Measured on ${day}: Vestibule ${version}, ${rustc?.split(" ").slice(0, 2).join(" ")}, workerd ${workerd}.`;
}

function read(file) {
  return JSON.parse(readFileSync(inProject(file), "utf8"));
}

function writePage(content) {
  const page = readFileSync(PAGE, "utf8");
  const [start, end] = [page.indexOf(OPENING), page.indexOf(CLOSING)];
  if (start < 0 || end < start) throw new Failure("docs/conformance.md has no place for the table");
  const before = page.slice(0, start + OPENING.length);
  writeFileSync(PAGE, `${before}\n\n${content}\n\n${page.slice(end)}`);
}
