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
  await buildCrate("verify", "verify", ["src", "Cargo.lock"]);
  await buildCrate("worker-crate", "worker_crate");
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

/** A crate of the benchmark's own: the crate's verification with an entry, or a Worker to compare with. */
async function buildCrate(folder, name, sources = []) {
  const all = [...sources, "Cargo.toml", `bench/${folder}`].map((path) => inProject(path));
  const to = inProject("target/bench", folder);
  if (lastChange(all) <= lastChange([join(to, `${name}_bg.wasm`)])) return;

  const crate = ["--manifest-path", inProject("bench", folder, "Cargo.toml")];
  const target = ["--target", "wasm32-unknown-unknown", "--target-dir", inProject("target/bench")];
  // The root's manifest serves as configuration: so its profile is written once.
  const profile = ["--release", "--config", inProject("Cargo.toml")];
  await run("cargo", ["build", ...crate, ...target, ...profile], {
    what: `building bench/${folder}`,
  });
  await bind(compiled(`vestibule_${name}`, "target/bench"), to, name);
  await optimise(join(to, `${name}_bg.wasm`), join(to, `${name}_bg.wasm`));
}

/** The Worker's module as deployed but with its names: for telling what is in it, and profiles. */
async function nameModule() {
  const module = inProject("target/worker/vestibule/vestibule_bg.wasm");
  const named = inProject("target/bench/named/index_bg.wasm");
  if (lastChange([module]) > lastChange([named])) await optimise(module, named, { names: true });
}
