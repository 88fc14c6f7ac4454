/** The result of a soak as Markdown. */

import { quantile } from "../measure.mjs";

export function report({ book, rows, resident, requests, seconds, kills }, seed) {
  const lines = [];
  const table = (head, body) => {
    lines.push(
      "",
      `| ${head.join(" | ")} |`,
      `|${head.map((_, at) => (at ? "---:|" : "---|")).join("")}`,
    );
    for (const cells of body) lines.push(`| ${cells.join(" | ")} |`);
  };
  const answers = [...book.answers.values()].reduce((sum, count) => sum + count, 0);
  lines.push(
    `Seed ${seed}: ${grouped(answers)} requests in ${seconds.toFixed(0)} s ` +
      `(${(answers / seconds).toFixed(0)} a second), ${grouped(requests)} of them at upstream, ` +
      `workerd killed ${kills} times.`,
  );
  table(
    ["invariant", "compared"],
    rows.map(([name, count]) => [name, grouped(count)]),
  );
  table(
    ["act", "requests without an injected fault", "p50 ms", "p99 ms"],
    [...book.latencies]
      .sort(([, one], [, other]) => other.length - one.length)
      .map(([act, times]) => [
        act,
        grouped(times.length),
        ...[0.5, 0.99].map((share) => quantile(times, share).toFixed(0)),
      ]),
  );
  const byLabel = new Map();
  for (const [name, count] of book.answers) {
    const label = name.split("|")[1];
    byLabel.set(label, (byLabel.get(label) ?? 0) + count);
  }
  table(
    ["answer", "requests"],
    [...byLabel]
      .sort(([, one], [, other]) => other - one)
      .map(([label, count]) => [label, grouped(count)]),
  );
  lines.push("", memoryOf(resident, seconds), "");
  if (book.streams.length > 0) {
    const slowest = Math.max(...book.streams);
    lines.push(
      `${book.streams.length} streams whose session was ended closed within ${slowest.toFixed(0)} ms.`,
      "",
    );
  }
  if (book.broken.length > 0)
    lines.push("**Broken:**", "", ...book.broken.map((text) => `- ${text}`));
  else lines.push("No invariant was broken.");
  return lines.join("\n");
}

/** Fits a line to the resident memory of the second half, in which workerd is not killed. */
function memoryOf(resident, seconds) {
  const half = resident.filter(({ second }) => second > seconds / 2);
  if (half.length < 3) return "Too short to say anything about memory.";
  const mean = (of) => half.reduce((sum, sample) => sum + of(sample), 0) / half.length;
  const [x, y] = [mean(({ second }) => second), mean(({ bytes }) => bytes)];
  const slope =
    mean(({ second, bytes }) => (second - x) * (bytes - y)) /
    mean(({ second }) => (second - x) ** 2);
  const mebibytes = (bytes) => (bytes / 1_048_576).toFixed(0);
  const all = half.map(({ bytes }) => bytes);
  return (
    `Resident memory of workerd in the second half: ${mebibytes(Math.min(...all))} to ` +
    `${mebibytes(Math.max(...all))} MiB, on average ${mebibytes(y)} MiB; the fitted line rises by ` +
    `${((slope * 60) / 1_048_576).toFixed(2)} MiB a minute.`
  );
}

const grouped = (number) => number.toLocaleString("en-US");
