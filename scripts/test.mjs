/**
 * Runs all test suites: `npm test`. `-- --quick` runs only the fast ones, `-- --only NAME[,NAME]` only the named ones.
 * `--timeout MINUTES` limits the time of each suite.
 *
 * If a suite fails, the others still run. The last line has the totals. The exit code is 1 if anything failed.
 */

import { parseArgs } from "node:util";
import { closingLine, failure } from "./lib/counting.mjs";
import { Failure, launch, main } from "./lib/process.mjs";
import { toolEnvironment } from "./lib/project.mjs";
import { choose, SUITES } from "./lib/suites.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const { suites, timeout } = readArguments();
  const failedSteps = await setUpFor(suites);

  const results = [];
  for (const suite of suites) {
    const obstacle = obstacleOf(suite, failedSteps, results);
    const result = obstacle ? failure(obstacle) : await runSuite(suite, timeout);
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
    const timeout = Number(values.timeout) * 60_000;
    if (!(timeout > 0)) {
      throw new RangeError(`--timeout ${values.timeout}: expected a number of minutes above 0`);
    }
    const named = values.only.flatMap((list) => list.split(","));
    const defaults = SUITES.filter(({ quick }) => quick || !values.quick).map(({ name }) => name);
    return { suites: choose(named.length > 0 ? named : defaults), timeout };
  } catch (error) {
    const names = SUITES.map(({ name }) => name).join(" ");
    throw new Failure(`${error.message}\nThe suites are: ${names}`, 2);
  }
}

/** Runs the setup steps that these suites need. Returns the errors, by step. */
async function setUpFor(suites) {
  const failedSteps = new Map();
  for (const step of new Set(suites.flatMap((suite) => suite.setUp))) {
    try {
      await setUp(step);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      console.error(error.message);
      failedSteps.set(step, `setup failed: ${error.message.trim().split("\n").at(-1)}`);
    }
  }
  return failedSteps;
}

/** Returns the reason why a suite cannot run, or undefined if it can. */
function obstacleOf({ setUp, after = [] }, failedSteps, results) {
  const step = setUp.find((step) => failedSteps.has(step));
  if (step) return failedSteps.get(step);
  const earlier = results.find(({ suite, failed }) => after.includes(suite.name) && failed > 0);
  return earlier && `not run: ${earlier.suite.name} failed`;
}

async function runSuite({ name, about, command: [program, args], env, count }, timeout) {
  console.log(`\n── ${name}: ${about}`);
  const started = performance.now();
  let output = "";
  const job = launch(program, args, {
    env: toolEnvironment({ ...(process.stdout.isTTY && { CARGO_TERM_COLOR: "always" }), ...env }),
    onOutput: (text) => {
      output += text;
    },
  });

  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    job.stop();
  }, timeout);
  const { code, error, leftovers } = await job.done;
  clearTimeout(timer);

  if (leftovers > 0) console.log(`killed ${leftovers} processes that ${name} left running`);
  const result = error ? failure(error.message) : count(output, code);
  const seconds = (performance.now() - started) / 1_000;
  if (!timedOut) return { ...result, seconds };
  return { ...result, failed: result.failed || 1, note: "timed out", seconds };
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
