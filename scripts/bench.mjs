/**
 * Measures Vestibule beside a bare Worker, jose and Hono in workerd: `npm run bench`. Sets up and builds
 * what it needs; its own packages go into `bench/node_modules`, its results into `bench/results`.
 * Options: bench/README.md.
 */

import { join } from "node:path";
import { bind, build, changedSince, compiled, optimise } from "./lib/artefacts.mjs";
import { main, run, say } from "./lib/process.mjs";
import {
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
  await nameModule();
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

/** The crate's verification with an entry of its own. */
async function buildVerifier() {
  const sources = ["src", "Cargo.toml", "Cargo.lock", "bench/verify"].map((name) =>
    inProject(name),
  );
  if (lastChange(sources) <= lastChange([inProject("target/bench/verify/verify_bg.wasm")])) return;

  const crate = ["--manifest-path", inProject("bench/verify/Cargo.toml")];
  const target = ["--target", "wasm32-unknown-unknown", "--target-dir", inProject("target/bench")];
  // The root's manifest serves as configuration: so its profile is written once.
  const profile = ["--release", "--config", inProject("Cargo.toml")];
  await run("cargo", ["build", ...crate, ...target, ...profile], { what: "building bench/verify" });
  const folder = inProject("target/bench/verify");
  await bind(compiled("vestibule_verify", "target/bench"), folder, "verify");
  await optimise(join(folder, "verify_bg.wasm"), join(folder, "verify_bg.wasm"));
}

/** The Worker's module as deployed but with its names: for telling what is in it, and profiles. */
async function nameModule() {
  const module = inProject("target/worker/vestibule/vestibule_bg.wasm");
  const named = inProject("target/bench/named/index_bg.wasm");
  if (lastChange([module]) > lastChange([named])) await optimise(module, named, { names: true });
}
