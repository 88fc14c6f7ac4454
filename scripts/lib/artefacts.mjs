/** Builds the Worker and its pages in `build/`, and the sample single-page app in `examples/spa/dist`. */

import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { BIND } from "../setup/tools.mjs";
import { Failure, run, say } from "./process.mjs";
import {
  firstChange,
  inProject,
  lastChange,
  npmProgram,
  root,
  toolEnvironment,
} from "./project.mjs";

// The WebAssembly features that the compiler uses and workerd supports. wasm-opt must not introduce others.
export const FEATURES = [
  "mutable-globals",
  "sign-ext",
  "nontrapping-float-to-int",
  "bulk-memory",
  "multivalue",
  "reference-types",
  "exception-handling",
];

export async function build() {
  await buildWorker();
  await buildSite("the pages", "www", "build/assets/_vestibule/sign-in.page");
  await buildSite("the sample single-page app", "examples/spa", "examples/spa/dist/index.html");
}

/** Builds a Worker into a folder: Vestibule, or a custom Worker that uses its crate. */
export async function buildWorker({ crate = "vestibule", out = "build" } = {}) {
  const started = Date.now();
  await compileWorker(crate);
  const module = compiledModule(crate.replaceAll("-", "_"));
  const [script, wasm] = ["index.js", "index_bg.wasm"].map((file) => join(out, file));
  const inputs = [module, ...GLUE_SOURCES.map((name) => inProject(name))];
  if (lastChange(inputs) <= firstChange([inProject(script), inProject(wasm)])) {
    for (const name of [script, wasm]) say(`${sizeOf(name)}, unchanged`);
    return;
  }
  const bound = inProject("target/worker", crate);
  await bind(module, bound, "vestibule");
  await optimise(join(bound, "vestibule_bg.wasm"), inProject(wasm));
  const entry = join(bound, "entry.js");
  writeFileSync(entry, entryOf(readFileSync(join(bound, "vestibule.js"), "utf8")));
  await bundle(bound, entry, inProject(script));
  for (const name of [script, wasm]) {
    // Allow one second, because file systems round times.
    if (lastChange([inProject(name)]) < started - 1_000) {
      throw new Failure(`the build did not write ${name}`);
    }
    say(sizeOf(name));
  }
}

/**
 * Compiles a package to WebAssembly, the longest part of a build. Needs only Rust, no other tools.
 *
 * @param {object} [options]
 * @param {string} [options.folder] the checkout to build; default: this one
 * @param {string} [options.cargoHome] the folder of Cargo; default: that of the user
 */
export async function compileWorker(crate = "vestibule", { folder = root, cargoHome } = {}) {
  const args = ["--package", crate, "--lib", "--release", "--locked", "--target", WASM32];
  const env = toolEnvironment(reproducible({ folder, cargoHome }));
  await run("cargo", ["build", ...args], { cwd: folder, env, what: "the build" });
}

/**
 * Returns the environment in which the compiler replaces the folder of Cargo, which it writes into messages of panics. So
 * the module is the same wherever it is built, and names no folder of the machine. Paths of our own sources are relative.
 */
export function reproducible({ folder = root, cargoHome } = {}) {
  const home = cargoHome ?? process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const { CARGO_ENCODED_RUSTFLAGS: encoded, RUSTFLAGS: plain } = process.env;
  const given = encoded?.split(SEPARATOR) ?? plain?.split(" ") ?? [];
  const flags = [...given, `--remap-path-prefix=${home}=/cargo`].filter(Boolean);
  return {
    CARGO_ENCODED_RUSTFLAGS: flags.join(SEPARATOR),
    ...(cargoHome && { CARGO_HOME: cargoHome }),
    ...(folder !== root && { CARGO_TARGET_DIR: join(folder, "target") }),
  };
}

const SEPARATOR = "\x1f";

/** The sources of index.js, apart from the output of wasm-bindgen. */
const GLUE_SOURCES = ["src/edge", "scripts/lib/artefacts.mjs", "package-lock.json"];

const WASM32 = "wasm32-unknown-unknown";

/** Returns the path of a crate's compiled module. */
export const compiledModule = (crate, target = "target", profile = "release") =>
  inProject(target, WASM32, profile, `${crate}.wasm`);

/** Generates a module's JavaScript bindings, NAME.js, and the matching module, NAME_bg.wasm. */
export async function bind(module, folder, name) {
  await run(BIND, [module, folder, name], { what: "wasm-bindgen" });
}

/**
 * Makes a module smaller and faster. `names` keeps the names of functions, which adds a tenth to the size.
 *
 * - Functions with a single caller are not inlined. V8 compiles a function as a whole on its first call, so code that
 *   few requests need must not be part of functions that all requests run. The gzipped module is also a twelfth
 *   smaller.
 * - Functions are sorted by name. The copies of a generic function are then neighbours, and gzip compresses them better
 *   (19 KiB less).
 */
export async function optimise(module, out, { names = false } = {}) {
  mkdirSync(dirname(out), { recursive: true });
  const features = FEATURES.map((feature) => `--enable-${feature}`);
  const level = ["-O3", "--one-caller-inline-max-function-size=1"];
  const keep = names ? ["--debuginfo"] : ["--reorder-functions-by-name", "--strip-debug"];
  await run(npmProgram("wasm-opt"), [...level, ...features, ...keep, module, "--output", out], {
    what: "wasm-opt",
  });
}

/** Bundles an entry and its imports into one file. `index_bg.wasm` is in the same folder. `bound` has the bindings. */
export async function bundle(bound, entry, out) {
  const options = [
    "--bundle",
    "--minify",
    "--format=esm",
    "--target=es2024",
    "--log-level=warning",
  ];
  const aliases = Object.entries(modulesOf(join(bound, "vestibule.js"))).map(
    ([name, path]) => `--alias:${name}=${path}`,
  );
  const external = ["--external:./index_bg.wasm", "--external:cloudflare:workers"];
  await run(
    npmProgram("esbuild"),
    [entry, ...options, ...aliases, ...external, `--outfile=${out}`],
    {
      what: "esbuild",
    },
  );
}

/** Returns the import names of the JavaScript modules and their paths. `glue` is the output of wasm-bindgen. */
export const modulesOf = (glue) => ({
  vestibule: glue,
  "vestibule-entry": inProject("src/edge/entry.js"),
  "vestibule-headers": inProject("src/edge/headers.js"),
  "vestibule-streams": inProject("src/edge/streams.js"),
});

/** Returns the entry module: the handlers, and a Durable Object for each Rust class with a `command` method. */
export function entryOf(glue) {
  const exported = [...glue.matchAll(/^export class (\w+) \{\n(.*?)^\}/gms)];
  const classes = exported
    .filter(([, , body]) => /^ {4}command\(/m.test(body))
    .map(([, name]) => name);
  if (classes.length === 0) throw new Failure("the module exports no class with a command method");
  return [
    'import * as edge from "vestibule";',
    'import { objectOf } from "vestibule-entry";',
    'export { default } from "vestibule-entry";',
    ...classes.map((name) => `export const ${name} = objectOf(edge.${name});`),
    "",
  ].join("\n");
}

/** Builds a site in a folder by Vite, if one of its sources has changed since it wrote `output`. */
async function buildSite(name, folder, output) {
  const sources = [inProject(folder), inProject("package-lock.json")];
  const built = statSync(inProject(output), { throwIfNoEntry: false });
  if (built && lastChange(sources) <= built.mtimeMs) return;
  say(`building ${name}`);
  await run(npmProgram("vite"), ["build", "--logLevel", "warn"], {
    cwd: inProject(folder),
    what: "vite build",
  });
}

/** Returns true if a source of the Worker, of the pages or of the sample app has changed since this time. */
export function changedSince(time) {
  const sources = [
    ...["src", "Cargo.toml", "Cargo.lock", "wrangler.toml", ".dev.vars"],
    "examples/spa",
    "www",
  ];
  return lastChange(sources.map((name) => inProject(name))) > time;
}

function sizeOf(name) {
  const bytes = readFileSync(inProject(name));
  const kilobytes = (count) => `${(count / 1024).toFixed(1)} KiB`;
  return `${name}: ${kilobytes(bytes.length)}, ${kilobytes(gzipSync(bytes, { level: 9 }).length)} gzipped`;
}
