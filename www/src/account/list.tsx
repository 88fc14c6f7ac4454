/** A list on the server: loads it page by page, changes its items, and shows the result of each change. */

import type { ComponentChildren, RefObject } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Answer, call, type Problem as ProblemData } from "../api.ts";
import { goToFactor, goToSignIn } from "../go.ts";
import { TEXTS } from "../texts/common.ts";
import { Act } from "../ui/act.tsx";
import { Problem } from "../ui/problem.tsx";

/** Sends a request of the account page. Without a session, or without a recent sign-in, another page opens. */
export async function callSignedIn<T>(...args: Parameters<typeof call>): Promise<Answer<T>> {
  const answer = await call<T>(...args);
  if (!answer.ok && answer.status === 401) {
    if (answer.problem.code === "reauthentication_required") goToFactor();
    else if (answer.problem.code === "unauthorized") goToSignIn();
  }
  return answer;
}

export interface Item {
  id: string;
}

/** What a change does to the list: an item to `put`, the id of one to `drop`, or a choice of those to `keep`. */
export interface Change<T> {
  message: string;
  put?: T;
  drop?: string;
  keep?: (item: T) => boolean;
  /** Whether the item has no more buttons. */
  settled?: boolean;
}

export interface ListState<T extends Item> {
  /** Undefined until they are loaded. */
  items: T[] | undefined;
  /** Loads the next page, if there is one. */
  more: (() => Promise<void>) | undefined;
  failed: (ProblemData & { status: number }) | undefined;
  outcome: { problem?: ProblemData; message?: string };
  status: RefObject<HTMLOutputElement | null>;
  /** Awaits a request, applies what `then` returns, and shows its message. */
  change: <A>(request: Promise<Answer<A>>, then: (data: A) => Change<T>) => Promise<void>;
  /** Adds or replaces an item. */
  put: (item: T) => void;
  /** Loads all shown pages again. */
  reload: () => Promise<void>;
}

interface Loaded<T> {
  items?: T[];
  next?: string | null;
  failed?: ProblemData & { status: number };
}

/** Loads the list of `GET path`. */
export function useList<T extends Item>(path: string): ListState<T> {
  const [{ items, next, failed }, setList] = useState<Loaded<T>>({});
  const [outcome, setOutcome] = useState<{ problem?: ProblemData; message?: string }>({});
  const status = useRef<HTMLOutputElement>(null);
  const changes = useRef(0);
  const pages = useRef(1);
  const latest = useRef(path);
  latest.current = path;

  const load = useCallback(
    async (cursor?: string) => {
      const before = changes.current;
      const found: T[] = [];
      let next: string | null | undefined = cursor;
      // A page can be empty although more follow. A reload loads as many pages as are shown.
      const goesOn = (page: number) => found.length === 0 || (!cursor && page < pages.current);
      for (let page = 0; page === 0 || (next && goesOn(page)); page += 1) {
        const query = new URLSearchParams({ limit: "100", ...(next && { cursor: next }) });
        const joint = path.includes("?") ? "&" : "?";
        const answer = await callSignedIn<Loaded<T>>("GET", `${path}${joint}${query}`);
        // This answer may be older than a change that was made meanwhile, or about another list.
        if (changes.current !== before && (!cursor || latest.current !== path)) return;
        if (!answer.ok) {
          const failed = { ...answer.problem, status: answer.status };
          setList((old) => ({ ...old, failed }));
          return;
        }
        found.push(...(answer.data?.items ?? []));
        next = answer.data?.next;
      }
      if (cursor) {
        pages.current += 1;
        changes.current += 1;
      }
      setList((old) => ({ items: merge(cursor ? (old.items ?? []) : [], found), next }));
    },
    [path],
  );
  useEffect(() => {
    // Another path is another list. An answer about the one before is dropped.
    changes.current += 1;
    pages.current = 1;
    load();
  }, [load]);

  const change: ListState<T>["change"] = async (request, then) => {
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

  const put = (item: T) =>
    setList((old) => ({ ...old, items: old.items && merge(old.items, [item]) }));

  const more = next ? () => load(next) : undefined;
  return { items, more, failed, outcome, status, change, put, reload: () => load() };
}

interface ListProps<T extends Item> {
  name: string;
  list: ListState<T>;
  empty: string;
  /** Shown if the site does not have this list. */
  missing?: ProblemData;
  /** Without an order, the newest item comes first. */
  order?: (one: T, other: T) => number;
  row: (item: T) => ComponentChildren;
}

export function List<T extends Item>({ name, list, empty, missing, order, row }: ListProps<T>) {
  const { items, more, failed, outcome, status, reload } = list;
  const problem = failed?.status === 404 && missing ? missing : failed;
  const inOrder = order ?? (byAge as unknown as (one: T, other: T) => number);
  return (
    <>
      {outcome.problem && <Problem problem={outcome.problem} testId={`${name}-error`} />}
      <output class="status" ref={status} tabIndex={-1} data-testid={`${name}-said`}>
        {outcome.message}
      </output>
      {!items && !problem && <p aria-busy="true">{TEXTS.loading}</p>}
      {items?.length === 0 && (
        <p class="empty" data-testid={`${name}-empty`}>
          {empty}
        </p>
      )}
      <ul class="rows" data-testid={name}>
        {items && [...items].sort(inOrder).map(row)}
      </ul>
      {problem && (
        <>
          <Problem problem={problem} testId={`${name}-failed`} />
          <Act label={TEXTS.tryAgain} testId={`${name}-retry`} act={reload} />
        </>
      )}
      {more && !problem && <Act label={TEXTS.showMore} testId={`${name}-more`} act={more} />}
    </>
  );
}

interface RowProps {
  id: string;
  testId: string;
  about: ComponentChildren;
  /** Puts the buttons below the description. */
  tall?: boolean;
  children?: ComponentChildren;
}

/** An item: its description and its buttons. */
export function Row({ id, testId, about, tall, children }: RowProps) {
  return (
    <li class={tall ? "tall" : undefined} data-testid={testId} data-id={id}>
      <div class="description">{about}</div>
      <div class="actions">{children}</div>
    </li>
  );
}

/** Adds items to a list. An item with a known id replaces the old one in its place. */
function merge<T extends Item>(items: T[], fresh: T[]) {
  const byId = new Map([...items, ...fresh].map((item) => [item.id, item]));
  return [...byId.values()];
}

export function byAge(one: { createdAt: string }, other: { createdAt: string }) {
  return other.createdAt.localeCompare(one.createdAt);
}

const OUTDATED = [404, 410];
