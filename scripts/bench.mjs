/**
 * Measures Vestibule beside a bare Worker, jose and Hono in workerd: `npm run bench`. Sets up and builds
 * what it needs; its own packages go into `bench/node_modules`, its results into `bench/results`.
 * Options: bench/README.md.
 */

import { mkdirSync } from "node:fs";
import { build, changedSince, shrink } from "./lib/artefacts.mjs";
import { main, run, say } from "./lib/process.mjs";
import {
  cargoProgram,
  inProject,
  lastChange,
  npmProgram,
  pathWithoutNpmPrograms,
  toolEnvironment,
} from "./lib/project.mjs";
import { packagesAreCurrent } from "./setup/npm.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  await setUp("npm", "rust", "tools");
  await installPackages();
  if (
    changedSince(
      lastChange(["build/index.js", "build/index_bg.wasm"].map((name) => inProject(name))),
    )
  ) {
    await build();
  }
  await buildVerifier();
  await run(npmProgram("node"), [inProject("bench/run.mjs"), ...process.argv.slice(2)], {
    what: "the benchmark",
  });
});

async function installPackages() {
  if (packagesAreCurrent((...parts) => inProject("bench", ...parts))) return;
  say("installing the packages to compare with");
  await run("npm", ["ci", "--loglevel=error"], {
    cwd: inProject("bench"),
    env: { ...toolEnvironment(), PATH: pathWithoutNpmPrograms() },
    what: "npm ci",
  });
}
