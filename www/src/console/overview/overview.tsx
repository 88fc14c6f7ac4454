/** What the door does: requests, refusals, heals, latency and replays over time. */

import { TEXTS } from "../../texts/common.ts";
import { CONSOLE } from "../../texts/console.ts";
import { useWhileVisible } from "../../ui/show.tsx";
import { pathWith, useResource } from "../data.ts";
import { count, Empty, FailedToLoad, Off } from "../parts.tsx";
import { filterBy, screenHref, usePlace } from "../place.ts";
import { Chart, type Series } from "./chart.tsx";
import {
  type Metrics,
  type Point,
  pointsOf,
  quantile,
  RANGES,
  type Range,
  refusedOf,
  topOf,
  totalOf,
} from "./metrics.ts";

const { overview: T, off } = CONSOLE;

export function Overview() {
  const place = usePlace();
  const rule = place.get("rule");
  const range = RANGES.find(({ name }) => name === place.get("range")) ?? (RANGES[0] as Range);
  const { data, failed, reload } = useResource<Metrics>(`${range.name} ${rule}`, () =>
    pathOf(range, rule),
  );
  useWhileVisible(reload, range.step === "minute" ? 10_000 : 60_000);
  if (failed?.status === 404 || (data && !Array.isArray(data.buckets))) {
    return <Off {...off.metrics} />;
  }
  return (
    <>
      <div class="filters">
        <fieldset class="ranges">
          <legend class="hidden">{T.range}</legend>
          {RANGES.map(({ name }) => (
            <a
              key={name}
              class="range"
              href={place.href({ range: name })}
              aria-current={name === range.name || undefined}
              data-testid={`range-${name}`}
            >
              {T.ranges[name]}
            </a>
          ))}
        </fieldset>
        <RuleFilter rule={rule} data={data} />
      </div>
      {failed && <FailedToLoad failed={failed} reload={reload} />}
      {!data && !failed && <p aria-busy="true">{TEXTS.loading}</p>}
      {data && <Numbers data={data} range={range} />}
    </>
  );
}

function pathOf(range: Range, rule: string) {
  const now = Date.now();
  const from = new Date(now - range.seconds * 1_000).toISOString();
  return pathWith("/metrics", { from, step: range.step, rule });
}

function RuleFilter({ rule, data }: { rule: string; data: Metrics | undefined }) {
  const counts: Record<string, number> = {};
  for (const { byRule } of data?.buckets ?? []) {
    for (const [name, times] of Object.entries(byRule ?? {})) {
      counts[name] = (counts[name] ?? 0) + times;
    }
  }
  const rules = [...new Set([...(rule ? [rule] : []), ...topOf(counts, 100)])];
  return (
    <label class="choice">
      <span>{T.rule}</span>
      <select
        value={rule}
        data-testid="filter-rule"
        onChange={({ currentTarget }) => filterBy({ rule: currentTarget.value })}
      >
        <option value="">{T.allRules}</option>
        {rules.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Numbers({ data, range }: { data: Metrics; range: Range }) {
  const points = pointsOf(data, range, Date.now() / 1_000);
  const total = totalOf(points);
  if (total.requests === 0) return <Empty title={T.empty}>{T.emptyHow}</Empty>;
  const times = points.map(({ at }) => at);
  const refused = refusedOf(total);
  const failures = total.byStatus["5xx"] ?? 0;
  const latency = (point: Point, share: number) =>
    quantile(point.upstream.buckets, data.bounds, share);
  const p95 = latency(total, 0.95);
  return (
    <>
      <dl class="tiles" data-testid="tiles">
        <Tile name="requests" value={count(total.requests)}>
          {T.perMinute((total.requests / range.seconds) * 60)}
        </Tile>
        <Tile name="refused" value={percent(refused, total.requests)}>
          {count(refused)}
        </Tile>
        <Tile name="failed" value={percent(failures, total.requests)}>
          {count(failures)}
        </Tile>
        <Tile name="latency" value={p95 === null ? "–" : milliseconds(p95)}>
          {T.answers(total.upstream.count)}
        </Tile>
        <Tile name="heals" value={count(total.heals)}>
          {percent(total.heals, total.requests)}
        </Tile>
        <Tile name="replays" value={count(total.replays)}>
          {T.duplicatesToo(total.duplicates)}
        </Tile>
      </dl>
      <div class="charts">
        <Chart
          name="requests"
          title={T.requests}
          kind="columns"
          times={times}
          format={short}
          series={STATUSES.filter(({ name }) => total.byStatus[name]).map(({ name, colour }) => ({
            name,
            label: name,
            colour,
            values: points.map(({ byStatus }) => byStatus[name] ?? 0),
            total: count(total.byStatus[name] ?? 0),
          }))}
        />
        <Chart
          name="refusals"
          title={T.refusals}
          kind="columns"
          times={times}
          format={short}
          series={reasonsOf(points, total)}
        />
        <Chart
          name="latency"
          title={T.latency}
          kind="lines"
          times={times}
          format={milliseconds}
          series={QUANTILES.map(({ name, share, colour }) => {
            const all = latency(total, share);
            return {
              name,
              label: name,
              colour,
              values: points.map((point) => latency(point, share)),
              total: all === null ? "–" : milliseconds(all),
            };
          })}
        />
        <Chart
          name="repairs"
          title={T.repairs}
          kind="lines"
          times={times}
          format={short}
          series={REPAIRS.map(({ name, colour }) => ({
            name,
            label: T.repairNames[name],
            colour,
            values: points.map((point) => point[name]),
            total: count(total[name]),
          }))}
        />
      </div>
    </>
  );
}

/** The most frequent reasons, and the sum of the others. */
function reasonsOf(points: Point[], { byReason }: Point): Series[] {
  const top = topOf(byReason, COLOURS.length - 1).filter((reason) => byReason[reason]);
  const rest = Object.keys(byReason).filter((reason) => byReason[reason] && !top.includes(reason));
  const sum = (counts: Record<string, number>, names: string[]) =>
    names.reduce((all, name) => all + (counts[name] ?? 0), 0);
  const series = [...top.map((name) => ({ name, names: [name] }))];
  if (rest.length > 0) series.push({ name: "other", names: rest });
  return series.map(({ name, names }, at) => ({
    name,
    label: name === "other" ? T.otherReasons : name,
    colour: COLOURS[at] ?? "series-1",
    values: points.map((point) => sum(point.byReason, names)),
    total: count(sum(byReason, names)),
  }));
}

interface TileProps {
  name: keyof typeof T.tiles;
  value: string;
  children: string;
}

function Tile({ name, value, children }: TileProps) {
  const link = T.tileLinks[name];
  return (
    <div data-testid={`tile-${name}`}>
      <dt>{link ? <a href={screenHref(...link)}>{T.tiles[name]}</a> : T.tiles[name]}</dt>
      <dd>
        <strong>{value}</strong> <span class="soft">{children}</span>
      </dd>
    </div>
  );
}

const percent = (part: number, whole: number) =>
  (whole > 0 ? part / whole : 0).toLocaleString(undefined, {
    style: "percent",
    maximumFractionDigits: 1,
  });

const short = (value: number) =>
  value.toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 1 });

const milliseconds = (value: number) =>
  value >= 1_000
    ? `${(value / 1_000).toLocaleString(undefined, { maximumFractionDigits: 1 })} s`
    : `${Math.round(value)} ms`;

const STATUSES = [
  { name: "2xx", colour: "series-good" },
  { name: "3xx", colour: "series-5" },
  { name: "4xx", colour: "series-warn" },
  { name: "5xx", colour: "series-bad" },
];

const QUANTILES = [
  { name: "p50", share: 0.5, colour: "series-1" },
  { name: "p95", share: 0.95, colour: "series-warn" },
  { name: "p99", share: 0.99, colour: "series-bad" },
];

const REPAIRS = [
  { name: "heals", colour: "series-good" },
  { name: "replays", colour: "series-1" },
  { name: "duplicates", colour: "series-4" },
] as const;

const COLOURS = [
  "series-1",
  "series-2",
  "series-3",
  "series-4",
  "series-5",
  "series-6",
  "series-7",
];
