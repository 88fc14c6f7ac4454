/**
 * Mutation tests: `npm run mutants [-- --only FOLDER[,FOLDER]] [--reuse]`.
 *
 * Changes the code in all ways that `scripts/mutants` knows, one at a time, and runs the native tests that reach the
 * change. A change that no test notices is a survivor. `scripts/mutants/survivors.json` has those that are known, each
 * with a reason; any other one fails the command. `--reuse` takes the last build.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { Failure, main, outputOf, run, say } from "./lib/process.mjs";
import { inProject, toolEnvironment } from "./lib/project.mjs";

const WORK = inProject("target/mutants");
const TREE = join(WORK, "tree");
const TRACE = join(WORK, "trace");
// The mutants and test programs of the last build.
const BUILT = join(WORK, "built.json");
const KNOWN = inProject("scripts/mutants/survivors.json");
// What decides about requests.
const FOLDERS = [
  ...["crypto/jwt", "http/cookie", "identity/csrf", "identity/access", "redirects/return_path"],
  ...["routing/rule", "guards", "idempotency/ledger", "webhooks", "approvals"],
];
// A mutant can make a loop endless.
const LONGEST = 60_000;

await main(async () => {
  const { only, reuse } = readArguments();
  const files = await filesOf(only);
  mkdirSync(WORK, { recursive: true });
  const { mutants, binaries } = reuse
    ? JSON.parse(readFileSync(BUILT, "utf8"))
    : await buildAll(files);
  say(`${mutants.length} mutants`);
  const reached = await trace(binaries);
  const results = [];
  for (const mutant of mutants) {
    const outcome = await testOne(mutant, reached.get(mutant.number) ?? new Map());
    results.push({ ...mutant, outcome });
    if (outcome !== "caught") {
      const { file, line, function: name, change } = mutant;
      console.log(`${outcome}: ${file}:${line} ${name}: ${change}`);
    }
    writeFileSync(join(WORK, "results.json"), JSON.stringify(results, null, 1));
  }
  return report(results);
});

function readArguments() {
  const options = { only: { type: "string" }, reuse: { type: "boolean", default: false } };
  try {
    const { values } = parseArgs({ options });
    return { only: values.only?.split(",") ?? FOLDERS, reuse: values.reuse };
  } catch (error) {
    throw new Failure(`${error.message}\nusage: npm run mutants [-- --only FOLDER] [--reuse]`, 2);
  }
}

async function filesOf(folders) {
  const all = (await outputOf("git", ["ls-files", "src"])).split("\n");
  const isTest = (file) => /(?:^|\/)tests?(?:\/|\.rs$)|\/model\.rs$/.test(file);
  const files = all.filter(
    (file) =>
      folders.some((folder) => file.startsWith(`src/${folder}`)) &&
      file.endsWith(".rs") &&
      !isTest(file),
  );
  if (files.length === 0) throw new Failure(`no file below src/ begins with ${folders.join(", ")}`);
  return files;
}

/** Builds the tests with all mutants that compile. */
async function buildAll(files) {
  await run("cargo", ["build", "--quiet", "--release"], {
    cwd: inProject("scripts/mutants"),
    what: "the build of the mutator",
  });
  const left = new Set();
  for (;;) {
    rmSync(TREE, { recursive: true, force: true });
    mkdirSync(TREE, { recursive: true });
    await run("sh", ["-c", 'git ls-files -z | xargs -0 cp --parents -t "$1"', "sh", TREE], {
      cwd: inProject(),
      what: "the copy",
    });
    const mutator = inProject("scripts/mutants/target/release/mutants");
    const mutants = JSON.parse(await outputOf(mutator, [TREE, [...left].join(","), ...files]));
    const { binaries, failed } = await buildTests();
    if (binaries) {
      writeFileSync(BUILT, JSON.stringify({ mutants, binaries }));
      return { mutants, binaries };
    }
    if (failed.length === 0) throw new Failure("the mutated tests do not compile");
    say(`${failed.length} mutants do not compile`);
    for (const number of failed) left.add(number);
  }
}

async function buildTests() {
  const args = ["test", "--no-run", "--message-format=json", "--lib", "--test", "*"];
  const cargo = spawn("cargo", args, {
    cwd: TREE,
    env: toolEnvironment({
      CARGO_TARGET_DIR: join(WORK, "target"),
      RUSTFLAGS: "-Awarnings",
      CARGO_PROFILE_DEV_DEBUG: "0",
      CARGO_PROFILE_DEV_OPT_LEVEL: "1",
    }),
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [output, [code]] = await Promise.all([text(cargo.stdout), once(cargo, "close")]);
  const messages = output.trim().split("\n").map(JSON.parse);
  if (code === 0) {
    const binaries = messages
      .filter(({ executable }) => executable)
      .map(({ executable }) => executable);
    return {
      binaries: binaries.filter(
        (path) => !/\/(?:allocations|architecture|commands|tools)-/.test(path),
      ),
    };
  }
  const errors = messages.map(({ message }) => message).filter((found) => found?.level === "error");
  return { failed: [...new Set(errors.flatMap(({ spans }) => spans.flatMap(numberNear)))] };
}

/** Returns the mutant whose code is nearest before an error. */
function numberNear({ is_primary: isPrimary, file_name: file, line_start: line }) {
  if (!isPrimary) return [];
  const lines = readFileSync(join(TREE, file), "utf8").split("\n");
  for (let at = line - 1; at >= Math.max(0, line - 12); at -= 1) {
    const found = [...lines[at].matchAll(/crate::mutant\((\d+)u32\)/g)];
    if (found.length > 0) return found.map(([, number]) => Number(number));
  }
  return [];
}

/** Runs all tests once. Resolves to the tests that reach each mutant, by binary. */
async function trace(binaries) {
  const reached = new Map();
  for (const binary of binaries) {
    rmSync(TRACE, { force: true });
    writeFileSync(TRACE, "");
    const { code, output } = await test(
      binary,
      [],
      { MUTANT_TRACE: TRACE, MUTANT: "none" },
      1_200_000,
    );
    if (code !== 0) throw new Failure(`${binary} fails without a mutant:\n${output.slice(-2_000)}`);
    for (const line of readFileSync(TRACE, "utf8").trim().split("\n").filter(Boolean)) {
      const [name, number] = line.split(" ");
      if (name === "main") continue;
      const tests = reached.get(Number(number)) ?? new Map();
      reached.set(Number(number), tests);
      tests.set(binary, [...(tests.get(binary) ?? []), name]);
    }
  }
  return reached;
}

/** Runs the tests that reach a mutant: first those of its folder, then the others. */
async function testOne({ number, file }, tests) {
  if (tests.size === 0) return "not reached";
  const room = file
    .replace(/^src\//, "")
    .split("/")
    .slice(0, 2)
    .join("::")
    .replace(/\.rs$|::mod$/, "");
  const near = [];
  const far = [];
  for (const [binary, names] of tests) {
    const isNear = (name) => name.startsWith(room);
    near.push({ binary, names: names.filter(isNear) });
    far.push({ binary, names: names.filter((name) => !isNear(name)) });
  }
  for (const { binary, names } of [...near, ...far]) {
    for (let at = 0; at < names.length; at += 12) {
      const some = names.slice(at, at + 12);
      const { code } = await test(
        binary,
        ["--exact", ...some],
        { MUTANT: String(number) },
        LONGEST,
      );
      if (code !== 0) return "caught";
    }
  }
  return "survived";
}

async function test(binary, args, env, timeout) {
  const child = spawn(binary, [...args, "--quiet"], {
    cwd: TREE,
    env: toolEnvironment({ PROPTEST_CASES: "64", ...env }),
    stdio: ["ignore", "pipe", "ignore"],
    timeout,
    killSignal: "SIGKILL",
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  return { code, output };
}

function report(results) {
  const known = new Map(Object.entries(JSON.parse(readFileSync(KNOWN, "utf8"))));
  const nameOf = ({ file, function: name, change }) => `${file} ${name}: ${change}`;
  const rows = FOLDERS.map((folder) => {
    const own = results.filter(({ file }) => file.startsWith(`src/${folder}`));
    const left = own.filter(({ outcome }) => outcome !== "caught");
    return `| \`${folder}\` | ${own.length} | ${own.length - left.length} | ${left.length} |`;
  });
  const left = results.filter(({ outcome }) => outcome !== "caught");
  rows.push(`| **all** | ${results.length} | ${results.length - left.length} | ${left.length} |`);
  const table = ["| folder | mutants | caught | left |", "|---|---:|---:|---:|", ...rows].join(
    "\n",
  );
  console.log(table);
  const unknown = left.filter((mutant) => !known.has(nameOf(mutant)));
  for (const mutant of unknown) console.error(`no reason: ${nameOf(mutant)}`);
  return unknown.length > 0 ? 1 : 0;
}
