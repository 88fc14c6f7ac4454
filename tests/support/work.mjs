// Counts the work of the module that is deployed: every function that is entered, every turn of every loop and every
// return, in our code and in all of its dependencies. The same input has the same count on any machine.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { FEATURES } from "../../scripts/lib/artefacts.mjs";

const within = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Loads the module with a counter in it. */
export async function countedModule() {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-work-"));
  try {
    const counted = join(folder, "counted.wasm");
    const features = FEATURES.map((feature) => `--enable-${feature}`);
    const options = [...features, "--log-execution", within("build/index_bg.wasm"), "-o", counted];
    execFileSync(within("node_modules/.bin/wasm-opt"), options);
    const glue = within("target/worker/vestibule");
    writeFileSync(join(folder, "platform.mjs"), PLATFORM);
    const text = readFileSync(join(glue, "vestibule.js"), "utf8")
      .replace(/(["'])vestibule-(entry|headers)\1/g, '"./platform.mjs"')
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

// Requests and responses are their descriptions here: only the module's own work is counted.
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
export const describeRequest = ({ described }) => encoder.encode(described);
export const describeResponse = ({ described }) => encoder.encode(described);
export const copyRequest = (request) => request;
export const copyResponse = (response) => response;
export const respond = (status) => ({ status });
`;

// wasm-opt imports what counts from the module that the others are imported from.
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
