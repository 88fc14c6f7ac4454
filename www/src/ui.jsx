/** The few shapes that every page is made of. */

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

/** A page of one column: sign-in, deep links, what was not found. */
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

/** A definition list of `[term, value, testid?]`; rows without a value are left out. */
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

/** What went wrong, in words a visitor can act on. */
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

/** A point in time, as people here write it. */
export function timeOf(at) {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** Does `act` over and over, `pause` milliseconds after it was done, for as long as the page can be seen. */
export function useWhileSeen(act, pause) {
  const latest = useRef();
  latest.current = act;
  useEffect(() => {
    let timer;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(run, pause);
    };
    const run = async () => {
      if (document.hidden) return;
      await latest.current();
      if (timer !== undefined) later();
    };
    const seen = () => {
      clearTimeout(timer);
      run();
    };
    later();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearTimeout(timer);
      timer = undefined;
      document.removeEventListener("visibilitychange", seen);
    };
  }, [pause]);
}

/** The fragment of the address, as it changes. */
export function useHash() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const update = () => setHash(location.hash);
    // It may have changed between the first rendering and this.
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
