/**
 * schemathesis, which checks the OpenAPI document against the running Worker, in `target/tools`. Its path
 * is in the environment as `SCHEMATHESIS` from then on.
 */

import { existsSync } from "node:fs";
import { answerOf, Failure, run, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

const VERSION = "4.32.5";
const FOLDER = inProject("target/tools/schemathesis");
const PROGRAM = inProject("target/tools/schemathesis/bin/schemathesis");

export async function setUpSchemathesis() {
  process.env.SCHEMATHESIS ??= PROGRAM;
  if (process.env.SCHEMATHESIS !== PROGRAM) return;
  if (existsSync(PROGRAM) && (await answerOf(PROGRAM, ["--version"]))?.includes(VERSION)) return;

  say(`installing schemathesis ${VERSION}`);
  if (!(await hasVenv())) await installPython();
  await run("python3", ["-m", "venv", "--clear", FOLDER], { what: "python3 -m venv" });
  const pip = [`${FOLDER}/bin/pip`, ["install", "--quiet", "--disable-pip-version-check"]];
  await run(pip[0], [...pip[1], `schemathesis==${VERSION}`], { what: "pip install" });
}

async function hasVenv() {
  return (await answerOf("python3", ["-c", "import ensurepip, venv; print(1)"])) === "1";
}

async function installPython() {
  const canInstall = process.getuid?.() === 0 && (await answerOf("apt-get", ["--version"]));
  if (!canInstall) throw new Failure("Python 3 with venv is needed: install python3-venv");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  const packages = ["python3", "python3-venv"];
  await run("apt-get", ["install", "-qq", "-y", "--no-install-recommends", ...packages], { env });
}
