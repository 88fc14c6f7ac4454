/**
 * Where to go after signing in. The edge holds `next` to a stricter rule; this page does not
 * rely on it.
 */

/** The place that `/login?next=…#…` asks for, or `/` where it is none of this site. */
export function returnPath({ search, hash, origin }) {
  const next = new URLSearchParams(search).get("next") ?? "/";
  if (!isLocal(next, origin)) return "/";
  // A browser carries a fragment over a redirect: it belongs to the page that was asked for.
  return next.includes("#") ? next : next + hash;
}

function isLocal(next, origin) {
  const path = next.split(/[?#]/)[0];
  if (!/^\/(?!\/)[^\\]*$/.test(path) || hasControl(next)) return false;
  const target = new URL(next, origin);
  return target.origin === origin && !target.pathname.startsWith("//") && path !== "/login";
}

function hasControl(text) {
  return [...text].some((character) => character < " " || character === "\x7f");
}
