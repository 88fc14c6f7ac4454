/**
 * Where the console is: the screen, its filters, its page and the selected item. All of it is in the query of the URL,
 * so a link leads back to the same view, and the browser's buttons work.
 *
 * Each history entry has the cursors of the pages before it (`trail`), because a cursor leads only forward.
 */

import { useEffect, useState } from "preact/hooks";

export interface Place {
  /** The value of a parameter; empty if it is absent. */
  get: (name: string) => string;
  /** The query with some parameters changed. An empty value removes a parameter. */
  href: (changes: Changes) => string;
  /** The cursors of the pages before this one, the first page being empty. */
  trail: string[];
}

export type Changes = Record<string, string | undefined>;

interface Options {
  /** Whether the entry of the history is replaced, for example while somebody types. */
  replace?: boolean;
  trail?: string[];
}

/** Goes to another place of the console. */
export function go(changes: Changes, { replace, trail = [] }: Options = {}) {
  goTo(hrefWith(changes), { replace, trail });
}

export function goTo(href: string, { replace, trail = [] }: Options = {}) {
  if (replace) history.replaceState({ trail }, "", href);
  else history.pushState({ trail }, "", href);
  for (const listener of listeners) listener();
}

/** Returns the link to a screen, without the filters of the present one. */
export function screenHref(screen: string, parameters: Changes = {}) {
  return queryOf({ screen, ...parameters });
}

export function usePlace(): Place {
  const [, setChanged] = useState(0);
  useEffect(() => {
    const update = () => setChanged((count) => count + 1);
    listeners.add(update);
    addEventListener("popstate", update);
    return () => {
      listeners.delete(update);
      removeEventListener("popstate", update);
    };
  }, []);
  const parameters = new URLSearchParams(location.search);
  return {
    get: (name) => parameters.get(name) ?? "",
    href: hrefWith,
    trail: Array.isArray(history.state?.trail) ? history.state.trail : [],
  };
}

/** A new filter begins at the first page, and with nothing selected. */
export function filterBy(changes: Changes, options?: Options) {
  go({ cursor: "", id: "", ...changes }, options);
}

function hrefWith(changes: Changes) {
  const parameters = Object.fromEntries(new URLSearchParams(location.search));
  return queryOf({ ...parameters, ...changes });
}

function queryOf(parameters: Changes) {
  const present = Object.entries(parameters).filter(([, value]) => value);
  return `?${new URLSearchParams(present as [string, string][])}`;
}

/** Follows links of the console without loading the page again. */
export function followLinks(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const href = link?.getAttribute("href");
  if (!link || !href?.startsWith("?") || link.target) return;
  event.preventDefault();
  goTo(href);
}

const listeners = new Set<() => void>();
