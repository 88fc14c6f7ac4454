/** The program that gives the crate's module its JavaScript side, in `target/tools`. */

import { existsSync, readFileSync } from "node:fs";
import { answerOf, Failure, run, say } from "../lib/process.mjs";
import { cargoProgram, inProject, toolEnvironment } from "../lib/project.mjs";

/** `follows` is the crate in Cargo.lock whose version the tool must share. */
const TOOLS = [
  {
    crate: "wasm-bindgen-cli",
    program: "wasm-bindgen",
    version: "0.2.129",
    follows: "wasm-bindgen",
  },
];

export async function setUpTools() {
  for (const tool of TOOLS) {
    checkAgainstLock(tool);
    if (await isInstalled(tool)) continue;
    say(`building ${tool.crate} ${tool.version} (a few minutes, once)`);
    await run(
      "cargo",
      [
        ...["install", tool.crate, "--version", tool.version, "--locked", "--force", "--quiet"],
        ...["--root", inProject("target/tools")],
      ],
      { env: toolEnvironment(FAST_TO_BUILD), what: `cargo install ${tool.crate}` },
    );
  }
}

async function isInstalled({ program, version }) {
  const path = cargoProgram(program);
  const answer = existsSync(path) && (await answerOf(path, ["--version"]));
  return answer ? answer.split(/\s+/).at(-1) === version : false;
}

function checkAgainstLock({ crate, version, follows }) {
  if (!existsSync(inProject("Cargo.lock"))) return;
  const locked = lockedVersion(readFileSync(inProject("Cargo.lock"), "utf8"), follows);
  if (locked && locked !== version) {
    throw new Failure(
      `Cargo.lock has ${follows} ${locked}, but scripts/setup/tools.mjs has ${crate} ${version}: they must agree`,
    );
  }
}

/** The version of a crate in a lock file, where it is there. */
export function lockedVersion(lock, crate) {
  return lock.match(new RegExp(`^name = "${crate}"\\nversion = "(.*?)"$`, "m"))?.[1];
}

/** It runs for a second or two: what counts is how soon it is there. */
const FAST_TO_BUILD = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: "0",
  CARGO_PROFILE_RELEASE_LTO: "off",
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
};
