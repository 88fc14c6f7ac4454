/** The page to open after sign-in. Vestibule checks `next` more strictly, but this page does not rely on it. */

/** Returns the target of `/login?next=…#…`, or `/` if the target is not on this site. */
export function returnPath({ search, hash, origin }) {
  const next = new URLSearchParams(search).get("next") ?? "/";
  if (!isLocal(next, origin)) return "/";
  // Browsers keep the fragment in a redirect, so it belongs to the requested page.
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
