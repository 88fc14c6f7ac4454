/** Where the pages go. They never go to a URL that comes from the address bar: the gateway judges return paths. */

import { call } from "./api.ts";

/** Returns the return path of this page, to be judged by the gateway. */
export function nextOf(location: Location) {
  return new URLSearchParams(location.search).get("next");
}

/**
 * Leaves a page after a sign-in. At the sign-in page, the gateway redirects a signed-in user to the return path that it
 * accepts, else to the home page. The browser keeps the fragment, which belongs to the return path.
 */
export function enter() {
  const next = nextOf(location);
  const query = next === null ? "" : `?next=${encodeURIComponent(next)}`;
  const url = new URL(`sign-in${query}${next === null ? "" : location.hash}`, location.href);
  // The same URL with a fragment would only move to the fragment.
  if (url.href === location.href) location.reload();
  else location.replace(url);
}

/** Opens the sign-in page, which leads back to this page. */
export function goToSignIn() {
  const { pathname, search, hash } = location;
  location.replace(`sign-in?next=${encodeURIComponent(pathname + search + hash)}`);
}

/** Signs out, and opens the sign-in page. */
export async function signOut() {
  await call("POST", "/auth/logout");
  location.replace("sign-in");
}

/** Opens the page that asks for the password or a factor again. It leads back to this page. */
export function goToFactor() {
  const { pathname, search, hash } = location;
  location.replace(`factor?next=${encodeURIComponent(pathname + search + hash)}`);
}
