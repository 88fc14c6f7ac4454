/**
 * Fuzzes the parsers and state machines, guided by coverage: `npm run fuzz`. Needs the nightly toolchain of rustup and
 * `cargo install cargo-fuzz`. What a target finds out stays in `fuzz/corpus`, what breaks it in `fuzz/artifacts`.
 *
 * - `-- --only NAME[,NAME]`: only these targets
 * - `-- --seconds N`: seconds for each target; 60 if missing
 * - `-- --record`: adds the numbers to the table in `fuzz/README.md`
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Failure, launch, main, say } from "./lib/process.mjs";
import { inProject } from "./lib/project.mjs";

const README = inProject("fuzz/README.md");
const TARGETS = readdirSync(inProject("fuzz/fuzz_targets")).map((name) => name.replace(".rs", ""));

await main(async () => {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      seconds: { type: "string", default: "60" },
      record: { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new Failure("--seconds: expected a whole number");
  const wanted = values.only?.split(",") ?? TARGETS;
  const unknown = wanted.find((name) => !TARGETS.includes(name));
  if (unknown)
    throw new Failure(`unknown target "${unknown}": expected one of ${TARGETS.join(", ")}`);
  try {
    execFileSync("cargo", ["+nightly", "fuzz", "--version"], { stdio: "pipe" });
  } catch {
    throw new Failure(
      "the fuzzer is missing: run `rustup toolchain install nightly` and `cargo install cargo-fuzz`",
    );
  }

  const counts = new Map();
  let broken = 0;
  for (const name of wanted) {
    say(`fuzzing ${name} for ${seconds} s`);
    const { executions, code } = await fuzz(name, seconds);
    counts.set(name, executions);
    if (code !== 0) {
      broken += 1;
      say(`${name} is broken: see fuzz/artifacts/${name}`);
    }
    // At once, so that an interrupted run keeps its numbers.
    if (values.record) record(name, executions);
  }
  for (const [name, executions] of counts) say(`${name.padEnd(16)} ${grouped(executions)}`);
  say(`${grouped([...counts.values()].reduce((sum, count) => sum + count, 0))} executions`);
  return broken && 1;
});

/** Runs one target. Resolves to its number of executions and its exit code. */
async function fuzz(name, seconds) {
  mkdirSync(inProject("fuzz/corpus", name), { recursive: true });
  let executions = 0;
  let output = "";
  const job = launch(
    "cargo",
    [
      ...["+nightly", "fuzz", "run", "--sanitizer", "none", name],
      ...[`fuzz/corpus/${name}`, `fuzz/seeds/${name}`, "--"],
      // An input of 8 KiB that takes seconds shows work that is not linear.
      ...[`-max_total_time=${seconds}`, "-max_len=8192", "-timeout=5", "-print_final_stats=1"],
    ],
    {
      env: process.env,
      silent: true,
      onOutput: (text) => {
        output = (output + text).slice(-20_000);
        executions = Number(/number_of_executed_units: (\d+)/.exec(output)?.[1] ?? executions);
      },
    },
  );
  const { code } = await job.done;
  if (code !== 0) console.error(output.slice(-4_000));
  return { executions, code };
}

/** Adds executions to the row of a target in `fuzz/README.md`. */
function record(name, executions) {
  const text = readFileSync(README, "utf8");
  const row = new RegExp(`^\\| \`${name}\` \\|(.*)\\| ([\\d,]+) \\|$`, "m");
  if (!row.test(text)) throw new Failure(`fuzz/README.md has no row for ${name}`);
  const sum = (before) => grouped(Number(before.replaceAll(",", "")) + executions);
  writeFileSync(
    README,
    text.replace(row, (_, about, before) => `| \`${name}\` |${about}| ${sum(before)} |`),
  );
}

function grouped(number) {
  return number.toLocaleString("en-US");
}
