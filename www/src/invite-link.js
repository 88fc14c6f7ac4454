/**
 * The link that an invite is handed on as. Its token is in the fragment, which no server and no
 * `Referer` gets to see.
 */

const START = "#invite=";

export function inviteLink(token) {
  return `${location.origin}/login${START}${token}`;
}

/** The token of a link's fragment, or undefined where it is about something else. */
export function inviteOf(hash) {
  return hash.startsWith(START) ? hash.slice(START.length) : undefined;
}
