/** Finds or installs the programs of the supply chain: cargo-deny and cargo-cyclonedx. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { outputOf, run, say } from "../lib/process.mjs";
import { inProject, toolEnvironment } from "../lib/project.mjs";

const VERSIONS = { "cargo-deny": "0.20.2", "cargo-cyclonedx": "0.5.9" };
const FOLDER = inProject("target/tools/cargo");

/** Returns the path of a program: the one in PATH, or else our own, which is installed once. */
export async function cargoTool(name) {
  const own = join(FOLDER, "bin", name);
  if (existsSync(own)) return own;
  if (await outputOf("sh", ["-c", `command -v ${name}`])) return name;
  const version = VERSIONS[name];
  say(`installing ${name} ${version} (once, some minutes)`);
  // It runs once. What counts is how soon it is built.
  const env = toolEnvironment({
    CARGO_PROFILE_RELEASE_OPT_LEVEL: "0",
    CARGO_PROFILE_RELEASE_LTO: "off",
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
    CARGO_TARGET_DIR: inProject("target/tools/build"),
  });
  const args = ["install", "--quiet", "--locked", "--version", version, "--root", FOLDER, name];
  await run("cargo", args, { env, what: `the installation of ${name}` });
  return own;
}
