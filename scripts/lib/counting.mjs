/**
 * How many tests a suite ran, from what it printed and how it ended.
 *
 * Nothing is green by absence: a suite that fails without counting a failure, or that counts nothing
 * at all, has one failure.
 *
 * @typedef {{ passed: number, failed: number, skipped: number, note?: string }} Count
 */

/** A suite without tests of its own, such as a lint: one, passed or failed. */
export function countExit(_output, code) {
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : failure(`exit code ${code}`);
}

/** `cargo test`: one line for each test program. */
export function countCargo(output, code) {
  const line = /^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of plain(output).matchAll(line)) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  return distrust(count, code);
}

/** `node --test` with the spec or the tap reporter: one block of totals at the end. */
export function countNode(output, code) {
  const text = plain(output);
  const total = (name) => {
    const last = [...text.matchAll(new RegExp(`^[ℹ#] ${name} (\\d+)$`, "gm"))].at(-1);
    return Number(last?.[1] ?? 0);
  };
  const count = {
    passed: total("pass"),
    failed: total("fail") + total("cancelled"),
    skipped: total("skipped") + total("todo"),
  };
  // Node lets a file without a test pass as one test that is named after the file.
  const empty = text.match(/^(✔|ok \d+ -) \S+\.test\.mjs( \(.*)?$/gm)?.length ?? 0;
  if (empty > 0) {
    count.passed -= empty;
    count.failed += empty;
    count.note = "a file holds no test";
  }
  return distrust(count, code);
}

/** One failure, and why. */
export function failure(note) {
  return { passed: 0, failed: 1, skipped: 0, note };
}

function distrust(count, code) {
  if (count.failed > 0) return count;
  if (code !== 0) return { ...count, failed: 1, note: `exit code ${code}` };
  if (count.passed === 0) return { ...count, failed: 1, note: "no test ran" };
  return count;
}

/** The closing line: `N passed, N failed[, N skipped]`. */
export function closingLine(counts) {
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  const skipped = sum("skipped") > 0 ? `, ${sum("skipped")} skipped` : "";
  return `${sum("passed")} passed, ${sum("failed")} failed${skipped}`;
}

/** Without colours. */
function plain(output) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence starts with one
  return output.replaceAll(/\u001b\[[\d;]*m/g, "").replaceAll("\r\n", "\n");
}
