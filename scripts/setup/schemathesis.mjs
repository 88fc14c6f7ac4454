/**
 * Installs schemathesis in `target/tools` and sets `SCHEMATHESIS` to its path. schemathesis tests the Worker against
 * the OpenAPI document.
 */

import { existsSync } from "node:fs";
import { Failure, outputOf, run, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

const VERSION = "4.32.5";
const FOLDER = inProject("target/tools/schemathesis");
const PROGRAM = inProject("target/tools/schemathesis/bin/schemathesis");

export async function setUpSchemathesis() {
  process.env.SCHEMATHESIS ??= PROGRAM;
  if (process.env.SCHEMATHESIS !== PROGRAM) return;
  if (existsSync(PROGRAM) && (await outputOf(PROGRAM, ["--version"]))?.includes(VERSION)) return;

  say(`installing schemathesis ${VERSION}`);
  if (!(await hasVenv())) await installPython();
  await run("python3", ["-m", "venv", "--clear", FOLDER], { what: "python3 -m venv" });
  const pip = [`${FOLDER}/bin/pip`, ["install", "--quiet", "--disable-pip-version-check"]];
  await run(pip[0], [...pip[1], `schemathesis==${VERSION}`], { what: "pip install" });
}

async function hasVenv() {
  return (await outputOf("python3", ["-c", "import ensurepip, venv; print(1)"])) === "1";
}

async function installPython() {
  const canInstall = process.getuid?.() === 0 && (await outputOf("apt-get", ["--version"]));
  if (!canInstall) throw new Failure("Python 3 with venv is missing: install python3-venv");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  const packages = ["python3", "python3-venv"];
  await run("apt-get", ["install", "-qq", "-y", "--no-install-recommends", ...packages], { env });
}
