/** What `GET /metrics` answers, and the sums and quantiles of it that charts show. */

type Counts = Record<string, number>;

export interface Bucket {
  start: string;
  requests: number;
  byDecision: Counts;
  byReason: Counts;
  byStatus: Counts;
  byPrincipal: Counts;
  byRule: Counts;
  heals: number;
  replays: number;
  duplicates: number;
  upstream: { count: number; sumMs: number; buckets: number[] };
}

export interface Metrics {
  buckets: Bucket[];
  /** The upper bounds of the histogram, in milliseconds. Its last bucket has no bound. */
  bounds: number[];
}

/** A span of time of the charts, as long as one point. */
export interface Range {
  name: string;
  seconds: number;
  step: "minute" | "hour";
  /** The seconds that one point stands for. */
  point: number;
}

export const RANGES: Range[] = [
  { name: "1h", seconds: 3_600, step: "minute", point: 60 },
  { name: "24h", seconds: 86_400, step: "minute", point: 600 },
  { name: "7d", seconds: 7 * 86_400, step: "hour", point: 3_600 },
  { name: "90d", seconds: 90 * 86_400, step: "hour", point: 86_400 },
];

export interface Point extends Omit<Bucket, "start"> {
  /** Seconds since 1970. */
  at: number;
}

/** Sums buckets to points. A time without requests is a point, too. */
export function pointsOf({ buckets }: Metrics, range: Range, now: number): Point[] {
  const last = Math.floor(now / range.point) * range.point;
  const first = last - range.seconds + range.point;
  const points = new Map<number, Point>();
  for (let at = first; at <= last; at += range.point) points.set(at, emptyAt(at));
  for (const bucket of buckets) {
    const at = Math.floor(Date.parse(bucket.start) / 1_000 / range.point) * range.point;
    const point = points.get(at);
    if (point) add(point, bucket);
  }
  return [...points.values()];
}

/** Sums all points. */
export function totalOf(points: Point[]): Point {
  const total = emptyAt(0);
  for (const point of points) add(total, point);
  return total;
}

function emptyAt(at: number): Point {
  return {
    at,
    requests: 0,
    byDecision: {},
    byReason: {},
    byStatus: {},
    byPrincipal: {},
    byRule: {},
    heals: 0,
    replays: 0,
    duplicates: 0,
    upstream: { count: 0, sumMs: 0, buckets: [] },
  };
}

function add(point: Point, more: Omit<Bucket, "start">) {
  point.requests += more.requests;
  point.heals += more.heals;
  point.replays += more.replays;
  point.duplicates += more.duplicates;
  for (const name of ["byDecision", "byReason", "byStatus", "byPrincipal", "byRule"] as const) {
    for (const [key, count] of Object.entries(more[name] ?? {})) {
      point[name][key] = (point[name][key] ?? 0) + count;
    }
  }
  point.upstream.count += more.upstream.count;
  point.upstream.sumMs += more.upstream.sumMs;
  more.upstream.buckets.forEach((count, at) => {
    point.upstream.buckets[at] = (point.upstream.buckets[at] ?? 0) + count;
  });
}

/** Returns the keys with the highest counts. */
export function topOf(counts: Counts, limit: number) {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .slice(0, limit)
    .map(([key]) => key);
}

/** Estimates a quantile of a histogram, in milliseconds: linear within a bucket. Null if it is empty. */
export function quantile(buckets: number[], bounds: number[], share: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const wanted = share * total;
  let below = 0;
  for (const [at, count] of buckets.entries()) {
    if (count > 0 && below + count >= wanted) {
      const low = at === 0 ? 0 : (bounds[at - 1] ?? 0);
      // The last bucket has no upper bound: its lower one is all that is known.
      const high = bounds[at] ?? low;
      return low + ((wanted - below) / count) * (high - low);
    }
    below += count;
  }
  return bounds.at(-1) ?? null;
}

/** Returns how many requests were refused: not allowed, and not only redirected. */
export function refusedOf({ byDecision }: Pick<Point, "byDecision">) {
  return Object.entries(byDecision)
    .filter(([decision]) => !PASSES.has(decision) && !decision.startsWith("redirect"))
    .reduce((sum, [, count]) => sum + count, 0);
}

const PASSES = new Set(["allow", "would_refuse", "policy_answered"]);
