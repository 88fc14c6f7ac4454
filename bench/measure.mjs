/** What a process has used, and what a row of numbers says. */

import { readdirSync, readFileSync } from "node:fs";

/** Microseconds of CPU that a process has used so far, all its threads together. */
export function cpuOf(pid) {
  // The process's own account counts in hundredths of a second; that of its threads in nanoseconds.
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const account = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1");
    nanoseconds += Number(account.split(" ")[0]);
  }
  return nanoseconds / 1_000;
}

/** KiB of memory that a process holds. */
export function residentOf(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]);
}

/** The value below which `share` of the values lie. */
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Median, least and greatest of the ratios of two rows, pair by pair. */
export function pairedRatio(above, below) {
  const ratios = above.map((value, at) => value / below[at]);
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}
