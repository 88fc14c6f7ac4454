/** Builds `scripts/bind` in `target/bind`. It generates the JavaScript bindings of the WebAssembly module. */

import { existsSync, readFileSync } from "node:fs";
import { Failure, run, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

/** The path of the program. */
export const BIND = inProject("target/bind/debug/bind");

export async function setUpTools() {
  checkVersions();
  if (!existsSync(BIND)) say("building the generator of JavaScript bindings (once)");
  const where = ["--manifest-path", "scripts/bind/Cargo.toml", "--target-dir", "target/bind"];
  await run("cargo", ["build", "--quiet", "--locked", ...where], {
    what: "the build of scripts/bind",
  });
}

/** Fails if the versions differ: the program can read only the output of the same version of wasm-bindgen. */
function checkVersions() {
  const [crate, program] = ["Cargo.lock", "scripts/bind/Cargo.lock"].map((lock) =>
    lockedVersion(readFileSync(inProject(lock), "utf8"), "wasm-bindgen-shared"),
  );
  if (crate !== program) {
    throw new Failure(
      `Cargo.lock has wasm-bindgen ${crate}, but scripts/bind/Cargo.lock has ${program}: use the same version`,
    );
  }
}

/** Returns the version of a crate in a lock file, or undefined. */
export function lockedVersion(lock, crate) {
  return lock.match(new RegExp(`^name = "${crate}"\\nversion = "(.*?)"$`, "m"))?.[1];
}
