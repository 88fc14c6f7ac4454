/**
 * A chart, its legend and the table behind it. A click on an entry of the legend shows this series alone. Screen readers
 * get the sums in the legend, and all points in the table.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { CONSOLE } from "../../texts/console.ts";
import { go, usePlace } from "../place.ts";

const { overview: T } = CONSOLE;

export interface Series {
  name: string;
  label: string;
  /** The number of a colour of the style sheet. */
  colour: string;
  values: (number | null)[];
  /** What the legend shows while no point is chosen. */
  total: string;
}

interface ChartProps {
  name: string;
  title: string;
  /** Seconds since 1970. */
  times: number[];
  series: Series[];
  /** Stacked columns for counts, lines for what cannot be added. */
  kind: "columns" | "lines";
  format: (value: number) => string;
}

export function Chart({ name, title, times, series, kind, format }: ChartProps) {
  const place = usePlace();
  const only = place.get("only");
  const isOne = series.some((one) => `${name}.${one.name}` === only);
  const shown = isOne ? series.filter((one) => `${name}.${one.name}` === only) : series;
  const [index, setIndex] = useState<number | null>(null);
  const at = index === null ? undefined : times[index];
  return (
    <figure class="chart" data-testid={`chart-${name}`} aria-labelledby={`chart-${name}`}>
      <figcaption>
        <h2 id={`chart-${name}`}>{title}</h2>
        <span class="soft">{at !== undefined && timeText(at)}</span>
      </figcaption>
      <Plot {...{ times, series: shown, kind, format, onPoint: setIndex }} />
      <ul class="legend">
        {series.map((one) => {
          const key = `${name}.${one.name}`;
          const value = index === null ? undefined : one.values[index];
          return (
            <li key={one.name}>
              <button
                type="button"
                aria-pressed={only === key}
                class={isOne && only !== key ? "faded" : undefined}
                data-testid={`legend-${one.name}`}
                title={T.showAlone(one.label)}
                onClick={() => go({ only: only === key ? "" : key })}
              >
                <span class={`swatch ${one.colour}`} aria-hidden="true" />
                {one.label}{" "}
                <span class="numeric">
                  {typeof value === "number" ? format(value) : index === null ? one.total : "–"}
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      <Behind {...{ title, times, series: shown, format }} />
    </figure>
  );
}

const timeText = (at: number) =>
  new Date(at * 1_000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The time of a tick: without the date, unless the ticks are days apart. */
function tickText(at: number, apart: number) {
  const time = new Date(at * 1_000);
  const isMidnight = time.getHours() === 0 && time.getMinutes() === 0;
  if (isMidnight || apart >= 86_400) {
    return time.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  }
  return time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
}

type PlotProps = Pick<ChartProps, "times" | "series" | "kind" | "format"> & {
  onPoint: (index: number | null) => void;
};

function Plot({ times, series, kind, format, onPoint }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const update = () => setTheme((count) => count + 1);
    dark.addEventListener("change", update);
    return () => dark.removeEventListener("change", update);
  }, []);
  const latest = useRef({ series, format, onPoint });
  latest.current = { series, format, onPoint };
  const data = dataOf(times, series, kind);
  const shape = `${theme} ${kind} ${series.map(({ name }) => name)}`;

  // Another set of series is another plot. New values of the same ones are only data.
  useEffect(() => {
    if (!box.current) return;
    const options = optionsOf(box.current, latest.current, kind);
    const made = new uPlot(options, data, box.current);
    plot.current = made;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) made.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT });
    });
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data));
  // The legend and the table say the same in text.
  return <div class="plot" ref={box} aria-hidden="true" />;
}

/** Columns are stacked: the first series drawn is the sum of all, and the next ones are drawn over it. */
function dataOf(times: number[], series: Series[], kind: ChartProps["kind"]): uPlot.AlignedData {
  if (kind === "lines") return [times, ...series.map(({ values }) => values)];
  const sums = times.map(() => 0);
  const stacked = series.map(({ values }) =>
    values.map((value, at) => {
      sums[at] = (sums[at] ?? 0) + (value ?? 0);
      return sums[at] ?? 0;
    }),
  );
  return [times, ...stacked.reverse()];
}

interface Look {
  series: Series[];
  format: (value: number) => string;
  onPoint: (index: number | null) => void;
}

function optionsOf(box: HTMLElement, look: Look, kind: ChartProps["kind"]): uPlot.Options {
  const style = getComputedStyle(box);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const grid = { stroke: colour("line"), width: 1 };
  const axis = { stroke: colour("soft"), grid, ticks: { show: false }, font: AXIS_FONT };
  const drawn = kind === "columns" ? [...look.series].reverse() : look.series;
  return {
    width: Math.max(box.clientWidth, 200),
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { points: { show: kind === "lines" }, drag: { x: false, y: false }, y: false },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 70,
        size: 28,
        values: (_, ticks) =>
          ticks.map((tick) => tickText(tick, (ticks[1] ?? tick) - (ticks[0] ?? tick))),
      },
      { ...axis, size: 48, values: (_, ticks) => ticks.map((tick) => look.format(tick)) },
    ],
    series: [
      {},
      ...drawn.map((one): uPlot.Series => {
        const stroke = colour(one.colour);
        if (kind === "lines") return { stroke, width: 1.75, spanGaps: true, points: { size: 4 } };
        const paths = uPlot.paths.bars?.({ size: [0.8, 40], radius: 0.1 });
        return { stroke, fill: stroke, width: 0, points: { show: false }, ...(paths && { paths }) };
      }),
    ],
    hooks: { setCursor: [({ cursor }) => look.onPoint(cursor.idx ?? null)] },
  };
}

function Behind({
  title,
  times,
  series,
  format,
}: Pick<ChartProps, "title" | "times" | "series" | "format">) {
  const [isOpen, setOpen] = useState(false);
  // Points without a value say nothing.
  const rows = times.flatMap((time, at) =>
    series.some(({ values }) => values[at]) ? [[time, at] as const] : [],
  );
  return (
    <details class="behind" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>{T.asTable}</summary>
      {isOpen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls can be reached by the keyboard
        <section class="scroll tall" tabIndex={0} aria-label={title}>
          <table class="list">
            <caption class="hidden">{title}</caption>
            <thead>
              <tr>
                <th scope="col">{T.time}</th>
                {series.map(({ name, label }) => (
                  <th key={name} scope="col" class="numeric">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(([time, at]) => (
                <tr key={time}>
                  <th scope="row">{timeText(time)}</th>
                  {series.map(({ name, values }) => (
                    <td key={name} class="numeric">
                      {typeof values[at] === "number" ? format(values[at]) : "–"}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </details>
  );
}

const HEIGHT = 180;

const AXIS_FONT = "11px system-ui, sans-serif";
