/**
 * Installs the npm packages of the lock file. One of them is Node 22, which the tools need; these scripts also run
 * under Node 20.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { Failure, launch, outputOf, run, say } from "../lib/process.mjs";
import { inProject, npmProgram, pathWithoutNpmPrograms, toolEnvironment } from "../lib/project.mjs";

export async function setUpNpm() {
  if (!packagesAreCurrent()) {
    say("installing the npm packages");
    await installPackages();
  }
  writeStamp();
  if (!(await hasNode())) await installNode();
}

/**
 * Returns true if the installed packages are those of the lock file: the stamp has its hash, or npm's own record is not
 * older than the lock file.
 */
export function packagesAreCurrent(at = inProject) {
  const record = statSync(at(RECORD), { throwIfNoEntry: false });
  if (!record) return false;
  const lock = at("package-lock.json");
  if (existsSync(at(STAMP)) && readFileSync(at(STAMP), "utf8") === hashOf(lock)) return true;
  // `npm install` writes the lock file shortly after its record.
  return statSync(lock).mtimeMs <= record.mtimeMs + 5_000;
}

/** Installs the packages of the lock file in a folder. */
export async function installPackages(cwd = inProject()) {
  const npm = npmEnvironment();
  let output = "";
  const onOutput = (text) => {
    output += text;
  };
  const { code, error } = await launch("npm", ["ci", "--loglevel=error"], {
    cwd,
    env: npm,
    onOutput,
    silent: true,
  }).done;
  if (error) throw new Failure(`npm: ${error.message}`);
  if (code === 0) return;
  if (!missesOnlyUnavailable(output))
    throw new Failure(`${output}\nnpm ci failed (exit code ${code})`);

  say("the package registry lacks packages for other platforms: installing without them");
  const args = ["install", "--no-save", "--loglevel=error"];
  await run("npm", args, { cwd, env: npm, what: "npm install" });
}

/**
 * Returns true if `npm ci` rejected the lock file only because the registry lacks optional packages. npm then prints
 * them without a version. It prints a version if the lock file is out of date.
 */
export function missesOnlyUnavailable(output) {
  const complaints = output
    .split("\n")
    .filter((line) => /^npm error (Missing|Invalid):/.test(line));
  return (
    complaints.length > 0 &&
    complaints.every((line) => /^npm error Missing: \S+@ from lock file$/.test(line.trimEnd()))
  );
}

async function hasNode() {
  const version = existsSync(npmProgram("node")) && (await outputOf(npmProgram("node"), ["-v"]));
  return version ? Number(version.match(/^v(\d+)/)?.[1]) >= 22 : false;
}

/** Runs the install script of the package `node`, which npm skips if its configuration says so. */
async function installNode() {
  say("installing Node 22 for the tools");
  await run("node", ["installArchSpecificPackage.js"], {
    cwd: inProject("node_modules/node"),
    env: npmEnvironment(),
    what: "installing Node 22",
  });
  if (!existsSync(npmProgram("node"))) symlinkSync("../node/bin/node", npmProgram("node"));
  if (!(await hasNode())) throw new Failure("node_modules/.bin/node is not a Node 22");
}

/** Records that the installed packages are those of the lock file. */
export function writeStamp(at = inProject) {
  const hash = hashOf(at("package-lock.json"));
  const stamped = existsSync(at(STAMP)) && readFileSync(at(STAMP), "utf8");
  if (stamped !== hash) writeFileSync(at(STAMP), hash);
}

/** The environment for npm, which must not run on the Node that it replaces. */
const npmEnvironment = () => ({ ...toolEnvironment(), PATH: pathWithoutNpmPrograms() });

const hashOf = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

const RECORD = "node_modules/.package-lock.json";
const STAMP = "node_modules/.vestibule-lock";
