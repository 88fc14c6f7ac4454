/** Small parts of pages. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export function Badge({
  tone,
  testId,
  children,
}: {
  tone?: "good" | "bad";
  testId?: string;
  children: ComponentChildren;
}) {
  return (
    <span class={tone ? `badge ${tone}` : "badge"} data-testid={testId}>
      {children}
    </span>
  );
}

export function When({ at }: { at: string }) {
  return <time dateTime={at}>{timeOf(at)}</time>;
}

/** Formats a point in time in the visitor's locale. */
export function timeOf(at: string) {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export interface Fact {
  term: string;
  value: ComponentChildren;
  testId?: string;
}

/** A definition list. Leaves out facts without a value. */
export function Facts({ rows }: { rows: Fact[] }) {
  const present = rows.filter(({ value }) => value !== undefined && value !== null && value !== "");
  return (
    <dl class="facts">
      {present.map(({ term, value, testId }) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd data-testid={testId}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Returns the current fragment of the URL, with its `#`. */
export function useHash() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const update = () => setHash(location.hash);
    // The fragment may have changed since the first rendering.
    update();
    addEventListener("hashchange", update);
    return () => removeEventListener("hashchange", update);
  }, []);
  return hash;
}

/** Calls `action` repeatedly while the page is visible, `pause` milliseconds after the previous call ended. */
export function useWhileVisible(action: () => Promise<unknown>, pause: number) {
  const latest = useRef(action);
  latest.current = action;
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stopped = false;
    const schedule = () => {
      clearTimeout(timer);
      timer = setTimeout(run, pause);
    };
    const run = async () => {
      if (document.hidden) return;
      await latest.current();
      if (!stopped) schedule();
    };
    const onVisibilityChange = () => {
      clearTimeout(timer);
      run();
    };
    schedule();
    document.addEventListener("visibilitychange", onVisibilityChange);
    return () => {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisibilityChange);
    };
  }, [pause]);
}
