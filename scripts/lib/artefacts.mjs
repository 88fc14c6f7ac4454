/** What is built: the Worker in `build/`, the single-page app in `www/dist`. */

import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { Failure, run, say } from "./process.mjs";
import { cargoProgram, inProject, lastChange, npmProgram, toolEnvironment } from "./project.mjs";

// What the build emits and workerd runs. A newer encoding must not slip in by way of wasm-opt.
const FEATURES = [
  "mutable-globals",
  "sign-ext",
  "nontrapping-float-to-int",
  "bulk-memory",
  "multivalue",
  "reference-types",
  "exception-handling",
];

const WORKER = ["build/index.js", "build/index_bg.wasm"];

export async function build() {
  await buildWorker();
  await buildSite();
}

async function buildWorker() {
  const programs = {
    WASM_BINDGEN_BIN: cargoProgram("wasm-bindgen"),
    WASM_OPT_BIN: npmProgram("wasm-opt"),
    ESBUILD_BIN: npmProgram("esbuild"),
  };
  // Where one of these is wrong, worker-build warns and downloads one of its own.
  for (const path of Object.values(programs)) checkExecutable(path);

  const started = Date.now();
  await run(cargoProgram("worker-build"), ["--release"], {
    env: toolEnvironment(programs),
    what: "the build",
  });
  await stripNames(programs.WASM_OPT_BIN);
  for (const name of WORKER) {
    // A second of slack: file systems round times.
    if (lastChange([inProject(name)]) < started - 1_000) {
      throw new Failure(`the build left no new ${name}`);
    }
    say(sizeOf(name));
  }
}

/** Drops the names of functions, which worker-build keeps: a tenth of what is deployed. */
async function stripNames(wasmOpt) {
  const module = inProject("build/index_bg.wasm");
  const features = FEATURES.map((feature) => `--enable-${feature}`);
  await run(wasmOpt, [...features, "--strip-debug", module, "--output", module], {
    what: "wasm-opt",
  });
}

/** Builds the single-page app, unless nothing of it changed since. */
async function buildSite() {
  const sources = [inProject("www"), inProject("package-lock.json")];
  const built = statSync(inProject("www/dist/index.html"), { throwIfNoEntry: false });
  if (built && lastChange(sources) <= built.mtimeMs) return;
  say("building the single-page app");
  await run(npmProgram("vite"), ["build", "--logLevel", "warn"], {
    cwd: inProject("www"),
    what: "vite build",
  });
}

/** Whether something that either is made of changed after this time. */
export function changedSince(time) {
  const sources = ["src", "Cargo.toml", "Cargo.lock", "wrangler.toml", ".dev.vars", "www"];
  return lastChange(sources.map((name) => inProject(name))) > time;
}

function checkExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new Failure(`${path} is missing or cannot be run: node scripts/setup.mjs`);
  }
}

function sizeOf(name) {
  const bytes = readFileSync(inProject(name));
  const kilobytes = (count) => `${(count / 1024).toFixed(1)} KiB`;
  return `${name}: ${kilobytes(bytes.length)}, ${kilobytes(gzipSync(bytes, { level: 9 }).length)} gzipped`;
}
