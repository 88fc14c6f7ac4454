/**
 * Measures Vestibule beside a bare Worker, jose and Hono in workerd: `npm run bench`. Sets up and builds
 * what it needs; its own packages go into `bench/node_modules`, its results into `bench/results`.
 * Options: bench/README.md.
 */

import { build, changedSince } from "./lib/artefacts.mjs";
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

const WASM32 = "wasm32-unknown-unknown";

// As in worker-build: those of the target, and exceptions, which wasm-bindgen uses.
const FEATURES = [
  "--enable-mutable-globals",
  "--enable-sign-ext",
  "--enable-nontrapping-float-to-int",
  "--enable-bulk-memory",
  "--enable-multivalue",
  "--enable-reference-types",
  "--enable-exception-handling",
];

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

  const crate = ["--manifest-path", inProject("bench/verify/Cargo.toml"), "--locked"];
  const target = ["--target", WASM32, "--target-dir", inProject("target/bench")];
  // The root's manifest serves as configuration: so its profile is written once.
  const profile = ["--release", "--config", inProject("Cargo.toml")];
  await run("cargo", ["build", ...crate, ...target, ...profile], { what: "building bench/verify" });
  const built = inProject("target/bench", WASM32, "release/vestibule_verify.wasm");
  await bind(built, "verify", "verify", ["--target", "web"]);
  await optimise("verify", "verify");
}

/** The Worker's module as deployed but with its names: for telling what is in it, and profiles. */
async function nameModule() {
  const built = inProject("target", WASM32, "release/vestibule.wasm");
  if (lastChange([built]) <= lastChange([inProject("target/bench/named/index_bg.wasm")])) return;
  const form = ["--experimental-reset-state-function", "--force-enable-abort-handler"];
  await bind(built, "named", "index", ["--target", "module", ...form]);
  await optimise("named", "index", ["--debuginfo"]);
}

/** What worker-build does with a module, into `target/bench/FOLDER`. */
async function bind(built, folder, name, form) {
  const to = [
    "--no-typescript",
    "--out-dir",
    inProject("target/bench", folder),
    "--out-name",
    name,
  ];
  await run(cargoProgram("wasm-bindgen"), [built, ...form, ...to], { what: "wasm-bindgen" });
}

async function optimise(folder, name, options = []) {
  const module = inProject("target/bench", folder, `${name}_bg.wasm`);
  const command = ["-O", ...FEATURES, ...options, module, "--output", module];
  await run(npmProgram("wasm-opt"), command, { what: "wasm-opt" });
}
