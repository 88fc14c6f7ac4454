/** Installs Go, Rails and Puma for the recipes, with the packages of Debian. */

import { Failure, outputOf, run, say } from "../lib/process.mjs";

export async function setUpLanguages() {
  if (await hasAll()) return;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && (await outputOf("apt-get", ["--version"])) !== undefined) {
    say("installing Go and Rails");
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update", "-qq"], { env });
    await run("apt-get", ["install", "-qq", "-y", "--no-install-recommends", ...PACKAGES], { env });
  }
  if (!(await hasAll())) {
    throw new Failure(
      `the recipes for Go and Rails need go, rails, puma and the gem jwt: on Debian, install ${PACKAGES.join(" ")}`,
    );
  }
}

async function hasAll() {
  for (const [program, args] of PROGRAMS) {
    if ((await outputOf(program, args)) === undefined) return false;
  }
  return true;
}

const PROGRAMS = [
  ["go", ["version"]],
  ["rails", ["--version"]],
  ["puma", ["--version"]],
  ["ruby", ["-rjwt", "-e", ""]],
];
const PACKAGES = ["golang-go", "ruby-rails", "ruby-jwt", "puma"];
