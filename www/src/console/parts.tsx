/** Small parts of the screens. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { TEXTS } from "../texts/common.ts";
import { CONSOLE } from "../texts/console.ts";
import { Act } from "../ui/act.tsx";
import { Problem } from "../ui/problem.tsx";
import { timeOf } from "../ui/show.tsx";
import type { Failed } from "./data.ts";

const { parts: T } = CONSOLE;

/** An id. A click copies it. */
export function Id({ value, short }: { value: string; short?: boolean }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (event: Event) => {
    event.preventDefault();
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(value);
      setCopied(true);
      say(T.copied(value));
    } catch {
      say(TEXTS.copyFailed);
    }
  };
  return (
    <button
      type="button"
      class={copied ? "id copied" : "id"}
      title={`${value}\n${T.clickToCopy}`}
      data-copies={value}
      onClick={copy}
    >
      <span class="hidden">{T.copy} </span>
      {copied ? T.copiedShort : short ? shortened(value) : value}
    </button>
  );
}

/** The beginning and the end of an id, which tell most ids apart. */
export function shortened(value: string) {
  return value.length > 19 ? `${value.slice(0, 11)}…${value.slice(-5)}` : value;
}

/** A point in time, relative to now. The exact one is its title. */
export function Ago({ at }: { at: string | null | undefined }) {
  useMinutes();
  if (!at) return <span class="soft">–</span>;
  return (
    <time dateTime={at} title={exactTime(at)}>
      {relative(at)}
    </time>
  );
}

export function relative(at: string, now = Date.now()) {
  const seconds = (Date.parse(at) - now) / 1_000;
  const size = Math.abs(seconds);
  if (Number.isNaN(size)) return at;
  if (size < 5) return T.justNow;
  for (const [unit, length, limit] of UNITS) {
    if (size < limit) return FORMAT.format(Math.trunc(seconds / length), unit);
  }
  return timeOf(at);
}

export function exactTime(at: string) {
  const local = new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  return `${local}\n${new Date(at).toISOString()}`;
}

const FORMAT = new Intl.RelativeTimeFormat("en", { style: "narrow", numeric: "always" });

const UNITS: [Intl.RelativeTimeFormatUnit, length: number, limit: number][] = [
  ["second", 1, 60],
  ["minute", 60, 3_600],
  ["hour", 3_600, 86_400],
  ["day", 86_400, 30 * 86_400],
];

/** Renders again every 20 seconds, so that relative times stay right. */
function useMinutes() {
  const [, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), 20_000);
    return () => clearInterval(timer);
  }, []);
}

export type Tone = "good" | "bad" | "warn" | "info" | undefined;

export function Chip({ tone, children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={tone ? `chip ${tone}` : "chip"}>{children}</span>;
}

/** An empty list: what it would show, and what to do. */
export function Empty({
  title,
  children,
  testId,
}: {
  title: string;
  children?: ComponentChildren;
  testId?: string;
}) {
  return (
    <div class="nothing" data-testid={testId}>
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

/** A feature that this deployment does not have, and how it gets it. */
export function Off({ title, how }: { title: string; how: string }) {
  return (
    <Empty title={title} testId="off">
      {how}
    </Empty>
  );
}

export function FailedToLoad({ failed, reload }: { failed: Failed; reload: () => unknown }) {
  return (
    <>
      <Problem problem={failed} testId="failed" />
      <Act label={TEXTS.tryAgain} testId="retry" act={reload} />
    </>
  );
}

/** What was just done, in the corner of the window. Screen readers announce it. */
export function Announcements() {
  const [message, setMessage] = useState("");
  useEffect(() => {
    listener = setMessage;
    return () => {
      listener = undefined;
    };
  }, []);
  useEffect(() => {
    if (!message) return;
    const timer = setTimeout(() => setMessage(""), 6_000);
    return () => clearTimeout(timer);
  }, [message]);
  return (
    <output class="said" data-testid="said">
      {message}
    </output>
  );
}

let listener: ((message: string) => void) | undefined;

/** Tells the person what was done. */
export function say(message: string) {
  listener?.(message);
}

/** A number in the person's format. */
export const count = (value: number) => value.toLocaleString();
