/** CPU and memory of a process, and statistics. */

import { readdirSync, readFileSync } from "node:fs";

/** Returns the CPU time of a process and all its threads so far, in microseconds. */
export function cpuOf(pid) {
  // /proc has the CPU time of a process in hundredths of a second, and that of its threads in nanoseconds.
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const schedstat = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1");
    nanoseconds += Number(schedstat.split(" ")[0]);
  }
  return nanoseconds / 1_000;
}

/** Returns the resident memory of a process in KiB. */
export function residentOf(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]);
}

/** Returns the value below which `share` of the values lie. */
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Returns the median, least and greatest of the pairwise ratios of two rows. */
export function pairedRatio(numerators, denominators) {
  const ratios = numerators.map((value, at) => value / denominators[at]);
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}
