/** Formats the results as tables, and compares them with the limits (`bars`). */

const ms = (value) => value.toFixed(2);
const whole = (value) => value.toFixed(0);
const kib = (bytes) => `${(bytes / 1_024).toFixed(1)} KiB`;
const ratio = ({ median, min, max }) =>
  `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;

export function caseTable({ case: name, about, targets }) {
  const against = ["floor", "jose", "hono"];
  if (targets.some((target) => target.name === "stamps")) against.splice(1, 0, "stamps");
  return table(
    `${name}: ${about}`,
    ["", "CPU µs", "req/s", "p50 ms", "p99 ms", ...against.map((other) => `CPU × ${other}`)],
    targets.map((target) => [
      target.name,
      whole(target.cpu),
      whole(target.perSecond),
      ms(target.p50),
      ms(target.p99),
      ...against.map((other) => ratio(target.cpuRatio[other] ?? { median: 1, min: 1, max: 1 })),
    ]),
  );
}

export function partTable({ part, about, targets }) {
  return table(
    `${part}: ${about}`,
    ["", "CPU µs", "req/s", "p50 ms", "p99 ms", `CPU × ${targets[0].name}`],
    targets.map((target) => [
      target.name,
      whole(target.cpu),
      whole(target.perSecond),
      ms(target.p50),
      ms(target.p99),
      ratio(target.cpuRatio.floor),
    ]),
  );
}

export function verificationTable(rows) {
  return table(
    "verify: one verification in workerd, measured over many in one request",
    ["", "CPU µs", "wall µs", "× vestibule"],
    rows.map(({ name, cpu, wall, timesVestibule }) => [
      name,
      ms(cpu),
      ms(wall),
      ratio(timesVestibule),
    ]),
  );
}

export function sizeTable({ files, crates }) {
  const built = table(
    "size",
    ["", "raw", "gzipped"],
    files.map(({ path, raw, gzipped }) => [path, kib(raw), kib(gzipped)]),
  );
  const total = crates.reduce((sum, { bytes }) => sum + bytes, 0);
  const breakdown = table(
    "size by crate, raw; inlined code counts for its caller",
    ["", "bytes", "share"],
    crates
      .slice(0, 20)
      .map(({ name, bytes }) => [name, whole(bytes), `${((100 * bytes) / total).toFixed(1)} %`]),
  );
  return `${built}\n${breakdown}`;
}

export function startTable({ compile, targets }) {
  const rows = targets.map(({ name, wall, cpu, wallOverPass, cpuOverPass }) => [
    name,
    whole(wall),
    whole(cpu),
    ms(wallOverPass),
    ms(cpuOverPass),
  ]);
  const head = ["", "first answer ms", "CPU ms", "over pass ms", "CPU over pass ms"];
  return `${table("start: a fresh workerd until its first answer", head, rows)}
compiling the module in Node (lazy compilation of functions): ${ms(compile)} ms`;
}

export function freshTable(rows) {
  const counts = rows[0].first.map(({ count }) => count);
  return table(
    "fresh: CPU of the first requests of a fresh workerd, with compilation; ratio of vestibule to the others",
    ["", ...counts.flatMap((count) => [`first ${count} ms`, "vestibule ×", "least", "most"])],
    rows.map(({ name, first }) => [
      name,
      ...first.flatMap(({ cpu, ratio }) => [
        whole(cpu),
        ...[ratio.median, ratio.min, ratio.max].map(ms),
      ]),
    ]),
  );
}

export function memoryTable(rows) {
  const mib = (kibibytes) => `${(kibibytes / 1_024).toFixed(1)} MiB`;
  return table(
    `memory: resident, ${rows[0].samples.at(-1).requests} mixed requests, after the first fifth`,
    ["", "least", "most", "at the end", "bytes per request"],
    rows.map(({ target, samples, least, most, bytesPerRequest }) => [
      target,
      mib(least),
      mib(most),
      mib(samples.at(-1).resident),
      bytesPerRequest.toFixed(1),
    ]),
  );
}

export function frameTable(frames) {
  return table(
    "self time, as a share of the time that was not idle",
    ["", "share"],
    frames.map(({ name, share }) => [name.slice(0, 90), `${(100 * share).toFixed(1)} %`]),
  );
}

/** Returns the limits that apply to these results, and whether each is met. */
export function bars(results) {
  const { cases = [], verification, accounts = [], idempotency = [], fresh = [], size } = results;
  const of = (name, figure, against) =>
    cases
      .find((result) => result.case === name)
      ?.targets.find((target) => target.name === "vestibule")[figure][against].median;
  const first = (name) => fresh.find((row) => row.name === name)?.first[0].ratio.median;
  const manyUsers = accounts.find(({ part }) => part === "users")?.targets.at(-1);
  const manyKeys = (name) => idempotency.find(({ part }) => part === name)?.targets.at(-1);
  const jose =
    verification && Math.min(...verification.slice(1).map((row) => row.timesVestibule.median));
  return [
    { what: "get: CPU × pass", found: of("get", "cpuRatio", "floor"), most: 1.45 },
    { what: "get: CPU × jose", found: of("get", "cpuRatio", "jose"), most: 1 },
    { what: "get: CPU × hono", found: of("get", "cpuRatio", "hono"), most: 0.88 },
    { what: "post: CPU × jose", found: of("post", "cpuRatio", "jose"), most: 1.05 },
    { what: "post: CPU × hono", found: of("post", "cpuRatio", "hono"), most: 0.92 },
    { what: "refuse: CPU × hono", found: of("refuse", "cpuRatio", "hono"), most: 0.72 },
    { what: "heal: CPU × hono", found: of("heal", "cpuRatio", "hono"), most: 0.65 },
    { what: "crowd: p99 × jose", found: of("crowd", "p99Ratio", "jose"), most: 1.05 },
    { what: "fresh: CPU of 250 × pass", found: first("pass"), most: 3 },
    { what: "fresh: CPU of 250 × jose", found: first("jose"), most: 1.7 },
    { what: "fresh: CPU of 250 × hono", found: first("hono"), most: 1.4 },
    { what: "size: wasm gzipped, KiB", found: size && size.files[0].gzipped / 1_024, most: 450 },
    { what: "verify: jose's time × vestibule's", found: jose, least: 6 },
    // The median varies by a tenth. A cost that grows with the number of users or keys would exceed this limit by far.
    { what: "users: CPU, many × few", found: manyUsers?.cpuRatio.floor.median, most: 1.2 },
    ...["run", "replayed"].map((part) => ({
      what: `keys, ${part}: CPU, many × few`,
      found: manyKeys(part)?.cpuRatio.floor.median,
      most: 1.2,
    })),
  ]
    .filter(({ found }) => found !== undefined)
    .map((bar) => ({ ...bar, met: bar.most ? bar.found <= bar.most : bar.found >= bar.least }));
}

export function barTable(bars) {
  if (bars.length === 0) return "";
  return table(
    "bars",
    ["", "measured", "limit", ""],
    bars.map(({ what, found, most, least, met }) => [
      what,
      ms(found),
      most ? `at most ${ms(most)}` : `at least ${ms(least)}`,
      met ? "met" : "missed",
    ]),
  );
}

function table(title, head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at])))
      .join("  ")
      .trimEnd();
  return `\n${title}\n${all.map(line).join("\n")}`;
}
