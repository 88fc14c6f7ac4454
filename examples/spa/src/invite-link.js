/** The link of an invite. Its token is in the fragment, which browsers send neither to servers nor in `Referer`. */

const PREFIX = "#invite=";

export function inviteLink(token) {
  return `${location.origin}/login${PREFIX}${token}`;
}

/** Returns the token in the fragment of an invite link, or undefined for another fragment. */
export function inviteOf(hash) {
  return hash.startsWith(PREFIX) ? hash.slice(PREFIX.length) : undefined;
}
