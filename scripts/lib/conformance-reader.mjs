/** Builds the reader of the test vectors as a Worker, with the functions of Vestibule: `tests/conformance/reader`. */

import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { bind, bundle, compiledModule } from "./artefacts.mjs";
import { run } from "./process.mjs";
import { inProject, toolEnvironment } from "./project.mjs";

const CRATE = "conformance-reader";

/** Returns the folder of the Worker. */
export async function buildReader() {
  // The profile without optimisations: the reader answers a few thousand questions.
  const args = ["--package", CRATE, "--lib", "--profile", "host", "--locked"];
  await run("cargo", ["build", ...args, "--target", "wasm32-unknown-unknown"], {
    cwd: inProject(),
    env: toolEnvironment(),
    what: "the build of the reader",
  });
  const folder = inProject("target/worker", CRATE);
  await bind(compiledModule(CRATE.replaceAll("-", "_"), "target", "host"), folder, "vestibule");
  copyFileSync(join(folder, "vestibule_bg.wasm"), join(folder, "index_bg.wasm"));
  const entry = inProject("tests/conformance/reader/entry.js");
  await bundle(folder, entry, join(folder, "index.js"));
  return folder;
}
