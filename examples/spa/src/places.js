/**
 * Where people sign in and see their account: the pages of Vestibule if it serves them, otherwise those of this app.
 */

const OWN = { signIn: "/login", account: "/account" };

let places;

/** Resolves to the paths `signIn` and `account`. */
export function findPlaces() {
  places ??= ask();
  return places;
}

async function ask() {
  try {
    const response = await fetch("/api/auth/settings", { headers: { accept: "application/json" } });
    const { pages, signIn } = await response.json();
    return pages ? { signIn, account: `${pages.prefix}/account` } : OWN;
  } catch {
    return OWN;
  }
}

/** Leaves this app's own page for the one of Vestibule, if there is one. Resolves to whether it leaves. */
export async function leaveFor(name) {
  const place = (await findPlaces())[name];
  if (place === OWN[name]) return false;
  location.replace(`${place}${location.search}${location.hash}`);
  return true;
}
