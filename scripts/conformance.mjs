/**
 * Asks the questions of all public test vectors, and writes the scores into docs/conformance.md: `npm run conformance`.
 * They are asked three times: of Vestibule's functions natively, of the same functions in workerd, and of the Worker over
 * HTTP. The vectors are in the folder that VECTORS_DIR names. Builds what is not current.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { build, changedSince } from "./lib/artefacts.mjs";
import { buildReader } from "./lib/conformance-reader.mjs";
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
  const { NATIVE, OVER_HTTP, startWasm } = await import("../tests/conformance/readers.mjs");
  const sets = readSets();
  if (sets === null) throw new Failure("the test vectors are missing: set VECTORS_DIR", 2);
  const built = ["build/index.js", "build/index_bg.wasm"].map((name) => inProject(name));
  if (changedSince(lastChange(built))) await build();

  const columns = [];
  const wasm = await startWasm(await buildReader());
  try {
    for (const reader of [NATIVE, wasm, OVER_HTTP]) {
      say(`asking: ${reader.name}`);
      columns.push({ name: reader.name, scored: await score(sets, reader) });
    }
  } finally {
    await wasm.stop();
  }
  const table = tableOf(sets, columns);
  console.log(table);
  const failures = columns.flatMap(({ name, scored }) =>
    failuresOf(scored).map((line) => `${name}: ${line}`),
  );
  for (const line of failures) console.error(`failed: ${line}`);
  writePage(`${await versions()}\n\n${table}`);
  say("wrote docs/conformance.md");
  return failures.length > 0 ? 1 : 0;
});

function tableOf(sets, columns) {
  const cell = ({ asked, passed }) => `${passed} of ${asked}`;
  const rows = sets.map(({ name, total }, at) => {
    const scores = columns.map(({ scored }) => scored[at]);
    const counts = scores.map(({ asked, failed }) => ({ asked, passed: asked - failed.length }));
    return { name, total, counts };
  });
  const sum = (list) => list.reduce((total, count) => total + count, 0);
  const counts = columns.map((_, at) => ({
    asked: sum(rows.map((row) => row.counts[at].asked)),
    passed: sum(rows.map((row) => row.counts[at].passed)),
  }));
  const all = { name: "**all**", total: sum(rows.map(({ total }) => total)), counts };
  return [
    `| set | vectors | ${columns.map(({ name }) => name).join(" | ")} |`,
    `|---|---:|${"---:|".repeat(columns.length)}`,
    ...[...rows, all].map(
      ({ name, total, counts }) => `| ${[name, total, ...counts.map(cell)].join(" | ")} |`,
    ),
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
