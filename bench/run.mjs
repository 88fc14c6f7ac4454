/**
 * Runs the measurements, prints tables, and writes the results as JSON to `bench/results`. `npm run bench` installs and
 * builds everything, then runs this script. README.md describes the measurements.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { parseArgs } from "node:util";
import { Failure, main } from "../scripts/lib/process.mjs";
import { inProject } from "../scripts/lib/project.mjs";
import { accounts } from "./accounts.mjs";
import { CASES } from "./cases.mjs";
import { guards } from "./guards.mjs";
import { idempotency } from "./idempotency.mjs";
import { memory } from "./memory.mjs";
import { profile } from "./profile.mjs";
import * as report from "./report.mjs";
import { sideBySide } from "./rounds.mjs";
import { sizes } from "./size.mjs";
import { firstRequests, starts } from "./start.mjs";
import { verification } from "./verify.mjs";

const FULL = {
  rounds: 24,
  requests: 400,
  warmUp: 3_000,
  verifyRounds: 12,
  starts: 10,
  memory: 200_000,
  logins: 24,
  users: { few: 10, some: 1_000, many: 10_000 },
  keys: { few: 10, some: 1_000, many: 100_000 },
};
const QUICK = {
  rounds: 6,
  requests: 200,
  warmUp: 1_000,
  verifyRounds: 4,
  starts: 3,
  memory: 24_000,
  logins: 8,
  users: { few: 10, some: 300, many: 1_000 },
  keys: { few: 10, some: 300, many: 3_000 },
};

await main(async () => {
  const { extent, parts, cases, profiled } = readArguments();
  if (process.platform !== "linux")
    throw new Failure("the benchmark runs only on Linux: it reads CPU time from /proc");
  mkdirSync(inProject("bench/results"), { recursive: true });
  if (profiled) return takeProfile(profiled);

  const results = { ...environment(), extent };
  if (cases.length > 0) {
    const onCase = (result) => console.log(report.caseTable(result));
    results.cases = await sideBySide(cases, { ...extent, onCase });
  }
  if (parts.has("accounts")) {
    const onPart = (part) => console.log(report.partTable(part));
    results.accounts = await accounts({ ...extent, onPart });
  }
  if (parts.has("idempotency")) {
    const onPart = (part) => console.log(report.partTable(part));
    results.idempotency = await idempotency({ ...extent, onPart });
  }
  if (parts.has("guards")) {
    const onPart = (part) => console.log(report.partTable(part));
    results.guards = await guards({ ...extent, onPart });
  }
  if (parts.has("verify")) {
    results.verification = await verification({ rounds: extent.verifyRounds });
    console.log(report.verificationTable(results.verification));
  }
  if (parts.has("size")) {
    results.size = sizes();
    console.log(report.sizeTable(results.size));
  }
  if (parts.has("start")) {
    results.start = await starts({ times: extent.starts });
    console.log(report.startTable(results.start));
  }
  if (parts.has("fresh")) {
    results.fresh = await firstRequests({ times: extent.starts });
    console.log(report.freshTable(results.fresh));
  }
  if (parts.has("memory")) {
    results.memory = [];
    for (const target of ["pass", "vestibule"]) {
      results.memory.push(await memory(target, extent.memory));
    }
    console.log(report.memoryTable(results.memory));
  }
  results.bars = report.bars(results);
  console.log(report.barTable(results.bars));

  const path = `bench/results/${results.date.replaceAll(":", "-")}.json`;
  writeFileSync(inProject(path), `${JSON.stringify(results, null, 2)}\n`);
  console.log(`\n${path}`);
});

function readArguments() {
  const number = { type: "string" };
  const options = {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    rounds: number,
    requests: number,
    memory: number,
    profile: { type: "string" },
  };
  const names = CASES.map(({ name }) => name);
  const all = [
    ...names,
    "accounts",
    "idempotency",
    "guards",
    "verify",
    "size",
    "start",
    "fresh",
    "memory",
  ];
  try {
    const { values } = parseArgs({ options });
    const extent = { ...(values.quick ? QUICK : FULL) };
    for (const name of ["rounds", "requests", "memory"]) {
      if (values[name] === undefined) continue;
      extent[name] = Number(values[name]);
      if (!(extent[name] > 0))
        throw new RangeError(`--${name} ${values[name]}: expected a number above 0`);
    }
    const named = values.only.flatMap((list) => list.split(","));
    const parts = new Set(named.length > 0 ? named : all);
    for (const name of [...parts, values.profile ?? names[0]]) {
      if (!all.includes(name)) throw new RangeError(`unknown part: ${name}`);
    }
    const cases = names.filter((name) => parts.has(name));
    return { extent, parts, cases, profiled: values.profile };
  } catch (error) {
    throw new Failure(`${error.message}\nThe parts are: ${all.join(" ")}`, 2);
  }
}

async function takeProfile(name) {
  const path = `bench/results/vestibule-${name}.cpuprofile`;
  const frames = await profile("named", name, { requests: 20_000, path: inProject(path) });
  console.log(report.frameTable(frames.slice(0, 40)));
  console.log(`\n${path}: open this file in the profile viewer of Chrome or of an editor`);
}

/** Returns the machine, the versions and the commit. */
function environment() {
  const git = (...args) => execFileSync("git", args, { cwd: inProject(), encoding: "utf8" }).trim();
  const version = (path) =>
    JSON.parse(readFileSync(inProject(path, "package.json"), "utf8")).version;
  return {
    date: new Date().toISOString(),
    commit: git("rev-parse", "HEAD"),
    uncommitted: git("status", "--porcelain") !== "",
    machine: {
      processor: cpus()[0]?.model,
      cores: cpus().length,
      kernel: release(),
      loadBefore: loadavg()[0],
    },
    versions: {
      node: process.version,
      workerd: version("node_modules/workerd"),
      miniflare: version("node_modules/miniflare"),
      jose: version("bench/node_modules/jose"),
      hono: version("bench/node_modules/hono"),
    },
  };
}
