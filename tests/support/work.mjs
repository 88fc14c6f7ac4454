// Counts the work of the module that is deployed: every function that is entered, every turn of every loop and every
// return, in our code and in all of its dependencies. The same input has the same count on any machine.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { FEATURES } from "../../scripts/lib/artefacts.mjs";

const within = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Loads the module with a counter in it. `configure` comes first; `work` counts what one call takes. */
export async function countedModule() {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-work-"));
  try {
    const counted = join(folder, "counted.wasm");
    const features = FEATURES.map((feature) => `--enable-${feature}`);
    const options = [...features, "--log-execution", within("build/index_bg.wasm"), "-o", counted];
    execFileSync(within("node_modules/.bin/wasm-opt"), options);
    const glue = readFileSync(within("target/worker/vestibule/vestibule.js"), "utf8")
      .replace(/^import .*vestibule-storage.*$/m, STORAGE)
      .replace("function __wbg_get_imports() {", COUNTING);
    const script = join(folder, "counted.mjs");
    writeFileSync(script, glue);
    const module = await import(pathToFileURL(script).href);
    module.initSync({ module: new WebAssembly.Module(readFileSync(counted)) });
    return module;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const STORAGE = "const random = (bytes) => bytes.fill(7), run = () => '!no storage here';";

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
