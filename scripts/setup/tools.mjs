/** The program that gives the crate's module its JavaScript side: `scripts/bind`, built in `target/bind`. */

import { existsSync, readFileSync } from "node:fs";
import { Failure, run, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

/** Where it is. */
export const BIND = inProject("target/bind/debug/bind");

export async function setUpTools() {
  checkVersions();
  if (!existsSync(BIND)) say("building the program that binds WebAssembly to JavaScript (once)");
  const where = ["--manifest-path", "scripts/bind/Cargo.toml", "--target-dir", "target/bind"];
  await run("cargo", ["build", "--quiet", "--locked", ...where], {
    what: "the build of scripts/bind",
  });
}

/** The program reads only what the crate of the same version writes. */
function checkVersions() {
  const [crate, program] = ["Cargo.lock", "scripts/bind/Cargo.lock"].map((lock) =>
    lockedVersion(readFileSync(inProject(lock), "utf8"), "wasm-bindgen-shared"),
  );
  if (crate !== program) {
    throw new Failure(
      `Cargo.lock has wasm-bindgen ${crate}, but scripts/bind/Cargo.lock has ${program}: they must agree`,
    );
  }
}

/** The version of a crate in a lock file, where it is there. */
export function lockedVersion(lock, crate) {
  return lock.match(new RegExp(`^name = "${crate}"\\nversion = "(.*?)"$`, "m"))?.[1];
}
