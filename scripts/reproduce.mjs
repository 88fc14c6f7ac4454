/**
 * Builds the Worker's module twice from the last commit, in two folders, and compares the results: `npm run reproduce`.
 * `-- --cargo-home FOLDER` uses another folder of Cargo for the second build, as another machine would.
 */

import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bind, compiledModule, compileWorker, optimise } from "./lib/artefacts.mjs";
import { Failure, main, run, say } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const cargoHome = readArguments();
  await setUp("npm", "rust", "tools");
  const top = mkdtempSync(join(tmpdir(), "vestibule-reproduce-"));
  try {
    const first = await buildIn(join(top, "one"));
    const second = await buildIn(join(top, "a", "longer", "path", "two"), cargoHome);
    say(`first build:  ${first}`);
    say(`second build: ${second}`);
    if (first !== second) throw new Failure("the builds differ");
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
});

/** Builds the last commit in a folder. Returns the SHA-256 of the module. */
async function buildIn(folder, cargoHome) {
  mkdirSync(folder, { recursive: true });
  await run("sh", ["-c", 'git archive HEAD | tar -x -C "$1"', "sh", folder], {
    what: "git archive",
  });
  await compileWorker("vestibule", { folder, cargoHome });
  const bound = join(folder, "bound");
  await bind(compiledModule("vestibule", join(folder, "target")), bound, "vestibule");
  const out = join(folder, "index_bg.wasm");
  await optimise(join(bound, "vestibule_bg.wasm"), out);
  return createHash("sha256").update(readFileSync(out)).digest("hex");
}

function readArguments() {
  try {
    return parseArgs({ options: { "cargo-home": { type: "string" } } }).values["cargo-home"];
  } catch (error) {
    throw new Failure(`${error.message}\nusage: npm run reproduce [-- --cargo-home FOLDER]`, 2);
  }
}
