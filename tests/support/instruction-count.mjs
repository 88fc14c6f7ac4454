// Counts the work of the deployed module: each function call, each iteration of a loop and each return, in the
// gateway's code and in its dependencies. The same input has the same count on any machine.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { FEATURES } from "../../scripts/lib/artefacts.mjs";

const inProject = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Loads the module, instrumented with a counter. */
export async function loadCountedModule() {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-work-"));
  try {
    const counted = join(folder, "counted.wasm");
    const features = FEATURES.map((feature) => `--enable-${feature}`);
    const options = [
      ...features,
      "--log-execution",
      inProject("build/index_bg.wasm"),
      "-o",
      counted,
    ];
    execFileSync(inProject("node_modules/.bin/wasm-opt"), options);
    const glue = inProject("target/worker/vestibule");
    writeFileSync(join(folder, "platform.mjs"), PLATFORM);
    const text = readFileSync(join(glue, "vestibule.js"), "utf8")
      .replace(/(["'])vestibule-(entry|headers|streams)\1/g, '"./platform.mjs"')
      .replace(/(["'])\.\/snippets\//g, `$1${pathToFileURL(join(glue, "snippets/"))}`)
      .replace("function __wbg_get_imports() {", COUNTING);
    const script = join(folder, "counted.mjs");
    writeFileSync(script, text);
    const module = await import(pathToFileURL(script).href);
    const { use } = await import(pathToFileURL(join(folder, "platform.mjs")).href);
    use(module);
    module.initSync({ module: new WebAssembly.Module(readFileSync(counted)) });
    return module;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// Here, requests and responses are their descriptions, so only the module's own work is counted.
const PLATFORM = `
let module;
export const use = (used) => {
  module = used;
};
const encoder = new TextEncoder();
export const wait = (promise, id) =>
  Promise.resolve(promise).then(
    (value) => module.resume(id, 0, value),
    (error) => module.resume(id, 1, error),
  );
export const installedHook = () => undefined;
export const relay = () => undefined;
export const describeRequest = ({ described }) => encoder.encode(described);
export const describeResponse = ({ described }) => encoder.encode(described);
export const copyRequest = (request) => request;
export const copyResponse = (response) => response;
export const respond = (status) => ({ status });
`;

// wasm-opt imports the counting function from the module that has the other imports.
const COUNTING = `
export const counter = { steps: 0 };
function __wbg_get_imports() {
  const imports = __imports();
  for (const module of Object.values(imports)) {
    module.log_execution = () => {
      counter.steps += 1;
    };
  }
  return imports;
}
function __imports() {`;
