/** Components and hooks that the pages share. */

import { useEffect, useRef, useState } from "preact/hooks";

export function Brand() {
  return (
    <a class="brand" href="/">
      <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="var(--pico-primary-background)" />
        <path d="M9 26V14a7 7 0 0 1 14 0v12z" fill="#fff" />
        <path d="M16 26V9l5 3v14z" fill="var(--pico-primary-background)" opacity=".35" />
      </svg>
      Vestibule
    </a>
  );
}

/** A page with one column: sign-in, deep links, page not found. */
export function Simple({ title, children }) {
  useTitle(title);
  return (
    <main class="simple">
      <Brand />
      <article>
        <h1>{title}</h1>
        {children}
      </article>
    </main>
  );
}

export function Card({ title, about, wide, children }) {
  return (
    <article class={wide ? "card wide" : "card"}>
      <h2>{title}</h2>
      <p class="about">{about}</p>
      {children}
    </article>
  );
}

/** A definition list of `[term, value, testId?]`. Leaves out rows without a value. */
export function Facts({ rows }) {
  const present = rows.filter(([, value]) => value !== undefined && value !== null);
  return (
    <dl class="facts">
      {present.map(([term, value, testId]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd data-testid={testId}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Raw({ data, testId }) {
  return (
    <details>
      <summary>Raw JSON</summary>
      <pre data-testid={testId}>{JSON.stringify(data, null, 2)}</pre>
    </details>
  );
}

/** Shows a problem: its title and detail, and its code and request id in small print. */
export function Problem({ problem, id, testId }) {
  const small = [problem.reason ?? problem.code, problem.requestId].filter(Boolean).join(" · ");
  return (
    <div class="problem" role="alert" id={id} tabIndex={-1} data-testid={testId}>
      <strong>{problem.title}</strong>
      {problem.detail && <span>{problem.detail}</span>}
      {small && <code>{small}</code>}
    </div>
  );
}

export function Badge({ tone, testId, children }) {
  return (
    <span class={tone ? `badge ${tone}` : "badge"} data-testid={testId}>
      {children}
    </span>
  );
}

export function When({ at }) {
  return <time dateTime={at}>{timeOf(at)}</time>;
}

/** Formats a point in time in the visitor's locale. */
export function timeOf(at) {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** Calls `action` repeatedly while the page is visible, `pause` milliseconds after the previous call ended. */
export function useWhileVisible(action, pause) {
  const latest = useRef();
  latest.current = action;
  useEffect(() => {
    let timer;
    const schedule = () => {
      clearTimeout(timer);
      timer = setTimeout(run, pause);
    };
    const run = async () => {
      if (document.hidden) return;
      await latest.current();
      if (timer !== undefined) schedule();
    };
    const onVisibilityChange = () => {
      clearTimeout(timer);
      run();
    };
    schedule();
    document.addEventListener("visibilitychange", onVisibilityChange);
    return () => {
      clearTimeout(timer);
      timer = undefined;
      document.removeEventListener("visibilitychange", onVisibilityChange);
    };
  }, [pause]);
}

/** Returns the current fragment of the URL. */
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

export function useTitle(title) {
  useEffect(() => {
    document.title = title === "Vestibule" ? title : `${title} · Vestibule`;
  }, [title]);
}
