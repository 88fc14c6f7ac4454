/** What is built: the Worker in `build/`, the single-page app in `www/dist`. */

import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { BIND } from "../setup/tools.mjs";
import { Failure, run, say } from "./process.mjs";
import { firstChange, inProject, lastChange, npmProgram, toolEnvironment } from "./project.mjs";

// What the build emits and workerd runs. A newer encoding must not slip in by way of wasm-opt.
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
  await buildSite();
}

/** Builds a Worker of this package, Vestibule or one on it, into a folder. */
export async function buildWorker({ crate = "vestibule", out = "build" } = {}) {
  const started = Date.now();
  await compileWorker(crate);
  const module = compiled(crate.replaceAll("-", "_"));
  const [script, wasm] = ["index.js", "index_bg.wasm"].map((file) => join(out, file));
  const made = [module, ...EDGE.map((name) => inProject(name))];
  if (lastChange(made) <= firstChange([inProject(script), inProject(wasm)])) {
    for (const name of [script, wasm]) say(`${sizeOf(name)}, as it was`);
    return;
  }
  const bound = inProject("target/worker", crate);
  await bind(module, bound, "vestibule");
  await optimise(join(bound, "vestibule_bg.wasm"), inProject(wasm));
  await bundle(bound, inProject(script));
  for (const name of [script, wasm]) {
    // A second of slack: file systems round times.
    if (lastChange([inProject(name)]) < started - 1_000) {
      throw new Failure(`the build left no new ${name}`);
    }
    say(sizeOf(name));
  }
}

/** Compiles a package's library to WebAssembly, the longest part of a build. It needs none of the tools. */
export async function compileWorker(crate = "vestibule") {
  const options = ["--package", crate, "--lib", "--release", "--locked", "--target", WASM32];
  await run("cargo", ["build", ...options], { env: toolEnvironment(), what: "the build" });
}

/** What becomes index.js, beside what wasm-bindgen makes. */
const EDGE = ["src/edge", "scripts/lib/artefacts.mjs", "package-lock.json"];

const WASM32 = "wasm32-unknown-unknown";

/** Where cargo leaves a crate's module. */
export const compiled = (crate, target = "target") =>
  inProject(target, WASM32, "release", `${crate}.wasm`);

/** Writes a module's JavaScript side, NAME.js, and the module that it fits, NAME_bg.wasm. */
export async function bind(module, folder, name) {
  await run(BIND, [module, folder, name], { what: "wasm-bindgen" });
}

/**
 * Makes a module smaller and faster. With `names` it keeps the names of functions, a tenth of it.
 *
 * A function that has one caller stays a function. V8 compiles each as a whole when it first runs, so what few requests
 * need must not stand in what all of them run; and it is a twelfth less, gzipped. Functions are put in the order of their names:
 * copies of one generic function then stand side by side, and gzip finds what they share (19 KiB less).
 */
export async function optimise(module, to, { names = false } = {}) {
  mkdirSync(dirname(to), { recursive: true });
  const features = FEATURES.map((feature) => `--enable-${feature}`);
  const level = ["-O3", "--one-caller-inline-max-function-size=1"];
  const keep = names ? ["--debuginfo"] : ["--reorder-functions-by-name", "--strip-debug"];
  await run(npmProgram("wasm-opt"), [...level, ...features, ...keep, module, "--output", to], {
    what: "wasm-opt",
  });
}

/** Puts the entry and what it imports into one file, beside which `index_bg.wasm` lies. */
async function bundle(bound, to) {
  const options = [
    "--bundle",
    "--minify",
    "--format=esm",
    "--target=es2024",
    "--log-level=warning",
  ];
  const names = Object.entries(modulesOf(join(bound, "vestibule.js"))).map(
    ([name, path]) => `--alias:${name}=${path}`,
  );
  const entry = join(bound, "entry.js");
  writeFileSync(entry, entryOf(readFileSync(join(bound, "vestibule.js"), "utf8")));
  const outside = ["--external:./index_bg.wasm", "--external:cloudflare:workers"];
  await run(npmProgram("esbuild"), [entry, ...options, ...names, ...outside, `--outfile=${to}`], {
    what: "esbuild",
  });
}

/** What the modules of the edge import one another as. `glue` is the JavaScript side of a module. */
export const modulesOf = (glue) => ({
  vestibule: glue,
  "vestibule-entry": inProject("src/edge/entry.js"),
  "vestibule-headers": inProject("src/edge/headers.js"),
});

/** The Worker's own exports: the handlers, and a Durable Object for each class of Rust that takes commands. */
export function entryOf(glue) {
  const exported = [...glue.matchAll(/^export class (\w+) \{\n(.*?)^\}/gms)];
  const classes = exported
    .filter(([, , body]) => /^ {4}command\(/m.test(body))
    .map(([, name]) => name);
  if (classes.length === 0) throw new Failure("the module exports no classes");
  return [
    'import * as edge from "vestibule";',
    'import { objectOf } from "vestibule-entry";',
    'export { default } from "vestibule-entry";',
    ...classes.map((name) => `export const ${name} = objectOf(edge.${name});`),
    "",
  ].join("\n");
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

function sizeOf(name) {
  const bytes = readFileSync(inProject(name));
  const kilobytes = (count) => `${(count / 1024).toFixed(1)} KiB`;
  return `${name}: ${kilobytes(bytes.length)}, ${kilobytes(gzipSync(bytes, { level: 9 }).length)} gzipped`;
}
