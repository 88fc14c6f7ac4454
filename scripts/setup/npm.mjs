/**
 * The npm packages, exactly as the lock file names them, and with them the Node that the tools need
 * (they ask for 22; the scripts themselves start under 20).
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { answerOf, Failure, launch, run, say } from "../lib/process.mjs";
import { inProject, npmProgram, pathWithoutNpmPrograms, toolEnvironment } from "../lib/project.mjs";

export async function setUpNpm() {
  if (!packagesAreCurrent()) {
    say("installing the npm packages");
    await install();
  }
  stamp();
  if (!(await hasNode())) await installNode();
}

/**
 * Whether the packages are those of the lock file: the stamp says so, or npm itself wrote its own
 * record of them no earlier than the lock file.
 */
export function packagesAreCurrent(at = inProject) {
  const record = statSync(at(RECORD), { throwIfNoEntry: false });
  if (!record) return false;
  const lock = at("package-lock.json");
  if (existsSync(at(STAMP)) && readFileSync(at(STAMP), "utf8") === hashOf(lock)) return true;
  // `npm install` writes its record first and the lock file a moment later.
  return statSync(lock).mtimeMs <= record.mtimeMs + 5_000;
}

async function install() {
  const npm = npmEnvironment();
  let said = "";
  const onOutput = (text) => {
    said += text;
  };
  const { code, error } = await launch("npm", ["ci", "--loglevel=error"], {
    env: npm,
    onOutput,
    silent: true,
  }).done;
  if (error) throw new Failure(`npm: ${error.message}`);
  if (code === 0) return;
  if (!missesOnlyUnavailable(said)) throw new Failure(`${said}\nnpm ci failed (exit code ${code})`);

  say("the package registry lacks builds for other platforms: installing without them");
  await run("npm", ["install", "--no-save", "--loglevel=error"], { env: npm, what: "npm install" });
}

/**
 * Whether `npm ci` refused the lock file only because the registry in use does not have some optional
 * package (then npm knows no version of it either), and not because the lock file is out of date.
 */
export function missesOnlyUnavailable(said) {
  const complaints = said.split("\n").filter((line) => /^npm error (Missing|Invalid):/.test(line));
  return (
    complaints.length > 0 &&
    complaints.every((line) => /^npm error Missing: \S+@ from lock file$/.test(line.trimEnd()))
  );
}

async function hasNode() {
  const version = existsSync(npmProgram("node")) && (await answerOf(npmProgram("node"), ["-v"]));
  return version ? Number(version.match(/^v(\d+)/)?.[1]) >= 22 : false;
}

/** The package `node` fetches its program in an install script, which npm may have been told to skip. */
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

function stamp() {
  const hash = hashOf(inProject("package-lock.json"));
  const stamped = existsSync(inProject(STAMP)) && readFileSync(inProject(STAMP), "utf8");
  if (stamped !== hash) writeFileSync(inProject(STAMP), hash);
}

/** npm must not run on a Node that it is about to replace. */
const npmEnvironment = () => ({ ...toolEnvironment(), PATH: pathWithoutNpmPrograms() });

const hashOf = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

const RECORD = "node_modules/.package-lock.json";
const STAMP = "node_modules/.vestibule-lock";
