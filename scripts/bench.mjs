/**
 * Compares Vestibule with a bare Worker, jose and Hono in workerd: `npm run bench`. Installs and builds what the
 * benchmark needs. Its packages go into `bench/node_modules`, its results into `bench/results`.
 * See bench/README.md for the options.
 */

import { join } from "node:path";
import { bind, build, changedSince, compiledModule, optimise } from "./lib/artefacts.mjs";
import { main, run, say } from "./lib/process.mjs";
import { inProject, lastChange, npmProgram } from "./lib/project.mjs";
import { installPackages, packagesAreCurrent } from "./setup/npm.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  await setUp("npm", "rust", "tools");
  await installOwnPackages();
  if (
    changedSince(
      lastChange(["build/index.js", "build/index_bg.wasm"].map((name) => inProject(name))),
    )
  ) {
    await build();
  }
  await buildCrate("verify", "verify", ["src", "Cargo.lock"]);
  await buildCrate("worker-crate", "worker_crate");
  await buildNamedModule();
  await run(npmProgram("node"), [inProject("bench/run.mjs"), ...process.argv.slice(2)], {
    what: "the benchmark",
  });
});

async function installOwnPackages() {
  if (packagesAreCurrent((...parts) => inProject("bench", ...parts))) return;
  say("installing the packages for the comparison");
  await installPackages(inProject("bench"));
}

/** Builds a crate of the benchmark: the exported token verification, or a Worker for comparison. */
async function buildCrate(folder, name, sources = []) {
  const paths = [...sources, "Cargo.toml", `bench/${folder}`].map((path) => inProject(path));
  const out = inProject("target/bench", folder);
  if (lastChange(paths) <= lastChange([join(out, `${name}_bg.wasm`)])) return;

  const crate = ["--manifest-path", inProject("bench", folder, "Cargo.toml")];
  const target = ["--target", "wasm32-unknown-unknown", "--target-dir", inProject("target/bench")];
  // Reuses the release profile of the root manifest.
  const profile = ["--release", "--config", inProject("Cargo.toml")];
  await run("cargo", ["build", ...crate, ...target, ...profile], {
    what: `building bench/${folder}`,
  });
  await bind(compiledModule(`vestibule_${name}`, "target/bench"), out, name);
  await optimise(join(out, `${name}_bg.wasm`), join(out, `${name}_bg.wasm`));
}

/** Writes the Worker's module with function names, for profiles and for the size by crate. */
async function buildNamedModule() {
  const module = inProject("target/worker/vestibule/vestibule_bg.wasm");
  const named = inProject("target/bench/named/index_bg.wasm");
  if (lastChange([module]) > lastChange([named])) await optimise(module, named, { names: true });
}
