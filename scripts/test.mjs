/**
 * Runs every suite: `npm test`. With `-- --quick` those of the inner loop, with
 * `-- --only NAME[,NAME]` those named. `--timeout MINUTES` is the time each may take.
 *
 * A failure stops nothing. The last line is the count, and the exit code is 1 where something failed.
 */

import { parseArgs } from "node:util";
import { closingLine, failure } from "./lib/counting.mjs";
import { Failure, launch, main } from "./lib/process.mjs";
import { toolEnvironment } from "./lib/project.mjs";
import { choose, SUITES } from "./lib/suites.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const { suites, milliseconds } = readArguments();
  const broken = await setUpFor(suites);

  const results = [];
  for (const suite of suites) {
    const obstacle = obstacleOf(suite, broken, results);
    const result = obstacle ? failure(obstacle) : await runSuite(suite, milliseconds);
    results.push({ suite, seconds: 0, ...result });
  }
  console.log(`\n${table(results)}\n`);
  console.log(closingLine(results));
  return results.some(({ failed }) => failed > 0) ? 1 : 0;
});

function readArguments() {
  const options = {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    timeout: { type: "string", default: "20" },
  };
  try {
    const { values } = parseArgs({ options });
    const milliseconds = Number(values.timeout) * 60_000;
    if (!(milliseconds > 0)) throw new RangeError(`--timeout ${values.timeout}: no time`);
    const named = values.only.flatMap((list) => list.split(","));
    const wanted = SUITES.filter(({ quick }) => quick || !values.quick).map(({ name }) => name);
    return { suites: choose(named.length > 0 ? named : wanted), milliseconds };
  } catch (error) {
    const names = SUITES.map(({ name }) => name).join(" ");
    throw new Failure(`${error.message}\nThe suites are: ${names}`, 2);
  }
}

/** Does the set-up that these suites need; answers what went wrong, by step. */
async function setUpFor(suites) {
  const broken = new Map();
  for (const step of new Set(suites.flatMap((suite) => suite.setUp))) {
    try {
      await setUp(step);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      console.error(error.message);
      broken.set(step, `set-up failed: ${error.message.trim().split("\n").at(-1)}`);
    }
  }
  return broken;
}

/** Why a suite cannot run. */
function obstacleOf({ setUp, after = [] }, broken, results) {
  const step = setUp.find((step) => broken.has(step));
  if (step) return broken.get(step);
  const earlier = results.find(({ suite, failed }) => after.includes(suite.name) && failed > 0);
  return earlier && `not run: ${earlier.suite.name} failed`;
}

async function runSuite({ name, about, command: [program, args], env, count }, milliseconds) {
  console.log(`\n── ${name}: ${about}`);
  const started = performance.now();
  let output = "";
  const job = launch(program, args, {
    env: toolEnvironment({ ...(process.stdout.isTTY && { CARGO_TERM_COLOR: "always" }), ...env }),
    onOutput: (text) => {
      output += text;
    },
  });

  let late = false;
  const timer = setTimeout(() => {
    late = true;
    job.stop();
  }, milliseconds);
  const { code, error, leftovers } = await job.done;
  clearTimeout(timer);

  if (leftovers > 0) console.log(`processes that ${name} left behind, ended: ${leftovers}`);
  const result = error ? failure(error.message) : count(output, code);
  const seconds = (performance.now() - started) / 1_000;
  if (!late) return { ...result, seconds };
  return { ...result, failed: result.failed || 1, note: "took too long", seconds };
}

function table(results) {
  const rows = results.map(({ suite, passed, failed, skipped, seconds, note = "" }) => [
    failed > 0 ? "FAILED" : "ok",
    suite.name,
    `${passed} passed`,
    `${failed} failed`,
    skipped > 0 ? `${skipped} skipped` : "",
    `${seconds.toFixed(1)} s`,
    note,
  ]);
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
