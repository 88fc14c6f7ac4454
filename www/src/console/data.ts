/** Reads what screens show. Answers about another place are dropped. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { callSignedIn } from "../account/list.tsx";
import type { Answer, Problem } from "../api.ts";
import { TEXTS } from "../texts/common.ts";
import { go, usePlace } from "./place.ts";

export type Failed = Problem & { status: number };

interface Resource<T> {
  data: T | undefined;
  failed: Failed | undefined;
  isLoading: boolean;
  reload: () => Promise<void>;
  /** Replaces what was read. */
  set: (change: (data: T) => T) => void;
}

/**
 * Reads `GET path`, each time the path changes. Without a path, nothing is read. With `fresh`, the path is only a name,
 * and each reading asks for the path that it returns.
 */
export function useResource<T>(path: string | undefined, fresh?: () => string): Resource<T> {
  const [state, setState] = useState<{ data?: T; failed?: Failed; path?: string }>({});
  const [isLoading, setLoading] = useState(false);
  const turn = useRef(0);
  const pathNow = useRef(fresh);
  pathNow.current = fresh;
  const reload = useCallback(async () => {
    if (!path) return;
    turn.current += 1;
    const mine = turn.current;
    setLoading(true);
    const answer = await callSignedIn<T>("GET", pathNow.current?.() ?? path);
    if (mine !== turn.current) return;
    setLoading(false);
    if (answer.ok) setState({ data: answer.data, path });
    else setState((old) => ({ ...old, failed: failureOf(answer), path }));
  }, [path]);
  useEffect(() => {
    reload();
    return () => {
      turn.current += 1;
    };
  }, [reload]);
  const isThis = state.path === path;
  return {
    data: path && isThis ? state.data : undefined,
    failed: isThis ? state.failed : undefined,
    isLoading,
    reload,
    set: (change) => setState((old) => (old.data ? { ...old, data: change(old.data) } : old)),
  };
}

interface Page<T> {
  items: T[];
  next: string | null;
}

export interface PagedList<T> {
  /** Undefined until the first page is loaded. They stay while another page is loaded. */
  items: T[] | undefined;
  failed: Failed | undefined;
  isLoading: boolean;
  /** How many empty pages a search has passed. */
  searched: number;
  /** Stops a search. */
  stop: () => void;
  next: (() => void) | undefined;
  previous: (() => void) | undefined;
  first: (() => void) | undefined;
  reload: () => Promise<void>;
  /** Adds or replaces an item, by its id. */
  put: (item: T) => void;
  drop: (id: string) => void;
}

/**
 * Reads a page of the list of `GET path`. The cursor is in the URL. A page of a search can be empty although more
 * follow: then the following ones are read, until the first match.
 */
export function usePages<T extends { id: string }>(
  path: string | undefined,
  limit = 50,
): PagedList<T> {
  const place = usePlace();
  const cursor = place.get("cursor");
  const [state, setState] = useState<{ page?: Page<T>; failed?: Failed }>({});
  const [isLoading, setLoading] = useState(false);
  const [searched, setSearched] = useState(0);
  const turn = useRef(0);

  const reload = useCallback(async () => {
    if (!path) return;
    turn.current += 1;
    const mine = turn.current;
    setLoading(true);
    setSearched(0);
    let at = cursor;
    for (let count = 0; ; count += 1) {
      const query = new URLSearchParams({ limit: String(limit), ...(at && { cursor: at }) });
      const joint = path.includes("?") ? "&" : "?";
      const answer = await callSignedIn<Page<T>>("GET", `${path}${joint}${query}`);
      if (mine !== turn.current) return;
      if (!answer.ok || !Array.isArray(answer.data?.items)) {
        const failed = failureOf(answer);
        setState((old) => ({ ...old, failed }));
        break;
      }
      const { items, next } = answer.data;
      setState({ page: { items, next } });
      if (items.length > 0 || !next) break;
      at = next;
      setSearched(count + 1);
    }
    setLoading(false);
  }, [path, cursor, limit]);
  useEffect(() => {
    reload();
    return () => {
      turn.current += 1;
    };
  }, [reload]);
  // Another list: what the last one had is no longer true.
  const last = useRef(path);
  useEffect(() => {
    if (last.current !== path) setState(({ page }) => ({ page }));
    last.current = path;
  }, [path]);

  const { page, failed } = state;
  const next = page?.next;
  const change = (edit: (items: T[]) => T[]) =>
    setState((old) => (old.page ? { page: { ...old.page, items: edit(old.page.items) } } : old));
  return {
    items: page?.items,
    failed,
    isLoading,
    searched,
    stop: () => {
      turn.current += 1;
      setLoading(false);
    },
    next: next
      ? () => go({ cursor: next, id: "" }, { trail: [...place.trail, cursor] })
      : undefined,
    previous:
      cursor && place.trail.length > 0
        ? () => go({ cursor: place.trail.at(-1), id: "" }, { trail: place.trail.slice(0, -1) })
        : undefined,
    first: cursor ? () => go({ cursor: "", id: "" }) : undefined,
    reload,
    put: (item) =>
      change((items) =>
        items.some(({ id }) => id === item.id)
          ? items.map((old) => (old.id === item.id ? item : old))
          : [item, ...items],
      ),
    drop: (gone) => change((items) => items.filter(({ id }) => id !== gone)),
  };
}

/** Builds a path with a query of the parameters that have a value. */
export function pathWith(path: string, parameters: Record<string, string | undefined>) {
  const present = Object.entries(parameters).filter(([, value]) => value);
  const query = new URLSearchParams(present as [string, string][]).toString();
  return query ? `${path}?${query}` : path;
}

/**
 * What an answer says that is not what was asked for. An endpoint that is off does not exist: its path belongs to the
 * application, which may answer anything. So a success that is not ours means the same as 404.
 */
function failureOf<T>(answer: Answer<T>): Failed {
  if (answer.ok || (answer.status >= 200 && answer.status < 400))
    return { title: TEXTS.noAnswer(404), status: 404 };
  return { ...answer.problem, status: answer.status };
}
