/**
 * Counts the tests of a suite from its output and its exit code.
 *
 * A suite with an exit code other than 0 has at least one failure. So has a suite that ran no test.
 *
 * @typedef {{ passed: number, failed: number, skipped: number, note?: string }} Count
 */

/** Counts a suite without tests, such as a lint, as one test. */
export function countExit(_output, code) {
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : failure(`exit code ${code}`);
}

/** Counts the tests of `cargo test`, which prints one line for each test program. */
export function countCargo(output, code) {
  const line = /^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of withoutColors(output).matchAll(line)) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  return withExitCode(count, code);
}

/** Counts the tests of `node --test` with the spec or tap reporter, which prints the totals at the end. */
export function countNode(output, code) {
  const text = withoutColors(output);
  const total = (name) => {
    const last = [...text.matchAll(new RegExp(`^[ℹ#] ${name} (\\d+)$`, "gm"))].at(-1);
    return Number(last?.[1] ?? 0);
  };
  const count = {
    passed: total("pass"),
    failed: total("fail") + total("cancelled"),
    skipped: total("skipped") + total("todo"),
  };
  // Node reports a file without tests as one passed test with the name of the file.
  const empty = text.match(/^(✔|ok \d+ -) \S+\.test\.mjs( \(.*)?$/gm)?.length ?? 0;
  if (empty > 0) {
    count.passed -= empty;
    count.failed += empty;
    count.note = "a file has no tests";
  }
  return withExitCode(count, code);
}

/** Returns a count of one failure with a note. */
export function failure(note) {
  return { passed: 0, failed: 1, skipped: 0, note };
}

/** Adds a failure if no test ran, or if the exit code is not 0 and no failure was counted. */
function withExitCode(count, code) {
  if (count.failed > 0) return count;
  if (code !== 0) return { ...count, failed: 1, note: `exit code ${code}` };
  if (count.passed === 0) return { ...count, failed: 1, note: "no test ran" };
  return count;
}

/** Returns the closing line: `N passed, N failed[, N skipped]`. */
export function closingLine(counts) {
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  const skipped = sum("skipped") > 0 ? `, ${sum("skipped")} skipped` : "";
  return `${sum("passed")} passed, ${sum("failed")} failed${skipped}`;
}

/** Removes the colours. */
function withoutColors(output) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence starts with one
  return output.replaceAll(/\u001b\[[\d;]*m/g, "").replaceAll("\r\n", "\n");
}
