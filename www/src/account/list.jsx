/** A list of the server's: read page by page, changed item by item, and what came of it told. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { ask } from "../api.js";
import { Problem } from "../ui.jsx";

/**
 * What `GET path` lists, and what may be done about it:
 *
 * - `items`, undefined until they are there, and `more` where there are more; `failed` says why not;
 * - `change(request, then)` awaits an answer and tells of it. On success `then(data)` gives what is
 *   `said` of it and what is new: an item to `put`, an id to `drop`, a test of items to `keep`. `settled`
 *   says that nothing more can be done about it;
 * - `put(item)` adds or replaces one;
 * - `reload()` asks again for as many pages as are shown.
 */
export function useList(path) {
  const [{ items, next, failed }, setList] = useState({});
  const [outcome, setOutcome] = useState({});
  const status = useRef();
  const changes = useRef(0);
  const pages = useRef(1);

  const load = useCallback(
    async (cursor) => {
      const before = changes.current;
      const found = [];
      let next = cursor;
      for (let page = 0; page === 0 || (!cursor && next && page < pages.current); page += 1) {
        const query = new URLSearchParams({ limit: "100", ...(next && { cursor: next }) });
        const answer = await ask("GET", `${path}?${query}`);
        // What was asked before a change may not know of it.
        if (!cursor && changes.current !== before) return;
        if (!answer.ok) {
          const failed = { ...answer.problem, status: answer.status };
          setList((old) => ({ ...old, failed }));
          return;
        }
        const { items = [] } = Object(answer.data);
        found.push(...items);
        next = answer.data?.next;
      }
      if (cursor) {
        pages.current += 1;
        changes.current += 1;
      }
      setList((old) => ({ items: cursor ? merge(old.items, found) : merge([], found), next }));
    },
    [path],
  );
  useEffect(() => {
    load();
  }, [load]);

  const change = async (request, then) => {
    setOutcome({});
    changes.current += 1;
    const answer = await request;
    changes.current += 1;
    if (!answer.ok) {
      setOutcome({ problem: answer.problem });
      // It is not what it was when it was drawn.
      if (GONE.includes(answer.status)) await load();
      return;
    }
    const { said, put, drop, keep, settled } = then(answer.data);
    setOutcome({ said });
    setList((old) => ({
      ...old,
      items: merge(old.items ?? [], put ? [put] : []).filter(
        (item) => item.id !== drop && (!keep || keep(item)),
      ),
    }));
    // The button goes, with its item or alone, so the focus goes to what tells of it.
    if (drop || settled) status.current?.focus();
  };

  const put = (item) =>
    setList((old) => ({ ...old, items: old.items && merge(old.items, [item]) }));

  const more = next && (() => load(next));
  return { items, more, failed, outcome, status, change, put, reload: () => load() };
}

/** Draws a list by `row(item)`, the last one made first, unless `order` says otherwise. */
export function List({ name, list, empty, missing, order = byAge, row }) {
  const { items, more, failed, outcome, status, reload } = list;
  const problem = failed?.status === 404 && missing ? missing : failed;
  return (
    <>
      {outcome.problem && <Problem problem={outcome.problem} testId={`${name}-error`} />}
      <output class="said" ref={status} tabIndex={-1} data-testid={`${name}-said`}>
        {outcome.said}
      </output>
      {!items && !problem && <p aria-busy="true">Asking…</p>}
      {items?.length === 0 && (
        <p class="about" data-testid={`${name}-empty`}>
          {empty}
        </p>
      )}
      <ul class="rows" data-testid={name}>
        {items?.toSorted(order).map(row)}
      </ul>
      {problem && (
        <>
          <Problem problem={problem} testId={`${name}-failed`} />
          <Act label="Try again" testId={`${name}-retry`} act={reload} />
        </>
      )}
      {more && !problem && <Act label="Show more" testId={`${name}-more`} act={more} />}
    </>
  );
}

/** One item: what it is, and the buttons for it; `tall` puts those below. */
export function Row({ id, testId, about, tall, children }) {
  return (
    <li class={tall && "tall"} data-testid={testId} data-id={id}>
      <div class="what">{about}</div>
      <div class="acts">{children}</div>
    </li>
  );
}

/** The items with the fresh ones among them, each in its place if it has one. */
function merge(items, fresh) {
  const byId = new Map([...items, ...fresh].map((item) => [item.id, item]));
  return [...byId.values()];
}

export function byAge(a, b) {
  return b.createdAt.localeCompare(a.createdAt);
}

const GONE = [404, 410];
