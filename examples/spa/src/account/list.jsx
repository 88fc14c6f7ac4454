/** A list on the server: loads it page by page, changes its items, and shows the result of each change. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { callSignedIn } from "../api.js";
import { Problem } from "../ui.jsx";

/**
 * Loads the list of `GET path`. Returns:
 *
 * - `items`: undefined until they are loaded
 * - `more`: a function that loads the next page, if there is one
 * - `failed`: the problem, if loading failed
 * - `change(request, then)`: awaits the answer of a request. On success, `then(data)` returns the `message` to show and
 *   the change: an item to `put`, the id of an item to `drop`, or a function that selects the items to `keep`.
 *   `settled` means that the item has no more buttons
 * - `put(item)`: adds or replaces an item
 * - `reload()`: loads all shown pages again
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
        const answer = await callSignedIn("GET", `${path}?${query}`);
        // This answer may be older than a change that was made meanwhile.
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
      // The item has changed on the server.
      if (OUTDATED.includes(answer.status)) await load();
      return;
    }
    const { message, put, drop, keep, settled } = then(answer.data);
    setOutcome({ message });
    setList((old) => ({
      ...old,
      items: merge(old.items ?? [], put ? [put] : []).filter(
        (item) => item.id !== drop && (!keep || keep(item)),
      ),
    }));
    // The focused button disappears, so the message gets the focus.
    if (drop || settled) status.current?.focus();
  };

  const put = (item) =>
    setList((old) => ({ ...old, items: old.items && merge(old.items, [item]) }));

  const more = next && (() => load(next));
  return { items, more, failed, outcome, status, change, put, reload: () => load() };
}

/** Renders a list with `row(item)`. The newest item comes first, unless `order` is set. */
export function List({ name, list, empty, missing, order = byAge, row }) {
  const { items, more, failed, outcome, status, reload } = list;
  const problem = failed?.status === 404 && missing ? missing : failed;
  return (
    <>
      {outcome.problem && <Problem problem={outcome.problem} testId={`${name}-error`} />}
      <output class="status" ref={status} tabIndex={-1} data-testid={`${name}-said`}>
        {outcome.message}
      </output>
      {!items && !problem && <p aria-busy="true">Loading…</p>}
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

/** An item: its description and its buttons. `tall` puts the buttons below the description. */
export function Row({ id, testId, about, tall, children }) {
  return (
    <li class={tall && "tall"} data-testid={testId} data-id={id}>
      <div class="description">{about}</div>
      <div class="actions">{children}</div>
    </li>
  );
}

/** Adds items to a list. An item with a known id replaces the old one in its place. */
function merge(items, fresh) {
  const byId = new Map([...items, ...fresh].map((item) => [item.id, item]));
  return [...byId.values()];
}

export function byAge(a, b) {
  return b.createdAt.localeCompare(a.createdAt);
}

const OUTDATED = [404, 410];
