// Formats the results: a row for each step, a column for each framework, and the reason of each failure.

export function table(steps, results) {
  const names = results.map(({ framework }) => framework.name);
  const shown = [...(results.some(({ outcomes }) => outcomes.start) ? ["start"] : []), ...steps];
  const rows = [
    ["step", ...names],
    ...shown.map((step) => [step, ...results.map(({ outcomes }) => mark(outcomes[step]))]),
    ["seconds", ...results.map(({ seconds }) => seconds.toFixed(0))],
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at])).join("  "));
  return [...lines.map((line) => line.trimEnd()), ...reasons(results)].join("\n");
}

const mark = (outcome) => (outcome ? MARKS[outcome.status] : "");

const MARKS = { ok: "ok", failed: "FAILED", none: "-" };

function reasons(results) {
  return results.flatMap(({ framework, outcomes }) =>
    Object.entries(outcomes)
      .filter(([, { status }]) => status === "failed")
      .map(([step, { why }]) => `\nFAILED ${framework.name}, ${step}: ${why}`),
  );
}
