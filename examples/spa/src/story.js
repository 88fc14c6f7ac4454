/**
 * Breaks the session cookie and shows how Vestibule heals it.
 *
 * The cookie is HttpOnly, so a script cannot read it. The answers show the healing: the first one names the broken
 * cookie as the reason, and the next one says that there is no cookie.
 */

import { call } from "./api.js";

/** The breaks: the label of the button, a description, and the effect in the browser. */
export const BREAKS = [
  {
    how: "garbage",
    label: "Garbage",
    about: "Replaces your cookie with a word that is not a token.",
    effect: "The cookie now contains the word “garbage”.",
  },
  {
    how: "old_key",
    label: "Old key",
    about: "Replaces it with a well-formed token that is signed with an unknown key.",
    effect: "The cookie now contains a token with an unknown key.",
  },
  {
    how: "expired",
    label: "Expired",
    about: "Replaces it with your own token, correctly signed, but expired.",
    effect: "The cookie now contains a token that expired yesterday.",
  },
  {
    how: "duplicates",
    label: "Duplicates at two paths",
    about: "Keeps the valid cookie and adds broken copies at /m and /api.",
    effect: "The browser now sends broken copies at /m and /api before the valid cookie.",
  },
  {
    how: "two_users",
    label: "Two users",
    about: "Adds another user’s valid token at /api, next to yours.",
    effect: "The browser now sends valid sessions of two users at once.",
    healed: "Healed: the same answer cleared both cookies. You can sign in again.",
  },
];

/**
 * Runs one break and passes each step, `{request, status, text, tone}`, to `addStep`.
 *
 * Returns true if the visitor is signed out at the end.
 */
export async function play({ how, effect, healed = HEALED }, addStep) {
  const broken = await call("POST", "/api/break", { json: { how } });
  addStep(step("POST /api/break", broken, broken.ok ? effect : explain(broken)));
  if (!broken.ok) return broken.status === 401;

  const first = await call("GET", "/api/auth/me");
  addStep(step("GET /api/auth/me", first, first.ok ? welcome(first) : explain(first)));
  if (first.status !== 401) {
    // The browser sends a copy only for its path, so Vestibule can clear it only there.
    if (first.ok && how === "duplicates") {
      const elsewhere = await call("GET", "/m/demo");
      addStep(step("GET /m/demo", elsewhere, "The browser sends the copy at /m only below /m."));
      addStep(elsewhere.status === 200 ? CLEARED : NOT_CLEARED);
    } else addStep(closing(first));
    return false;
  }

  const second = await call("GET", "/api/auth/me");
  const isHealed = second.status === 401 && second.problem.reason === "no_credential";
  addStep(step("GET /api/auth/me", second, second.ok ? welcome(second) : explain(second)));
  addStep(isHealed ? { text: healed, tone: "good" } : NOT_HEALED);
  return second.status === 401;
}

/** Returns the last step if the answer was not a 401. */
function closing(answer) {
  if (answer.ok) return { text: "You are still signed in, which is unexpected.", tone: "bad" };
  return {
    text: "No result: Vestibule could not check your cookie, and did not clear it.",
    tone: "bad",
  };
}

function step(request, { status }, text) {
  return { request, status, text };
}

function welcome({ data }) {
  return `Vestibule still identifies you as ${data.userId}.`;
}

function explain({ problem }) {
  const { title, reason, code, detail } = problem;
  const why = reason ?? code;
  if (why) return `Reason: ${why}.`;
  return detail ? `${title} ${detail}` : title;
}

const HEALED = "Healed: the same answer cleared the broken cookie. You can sign in again.";

const CLEARED = {
  text: "You are still signed in, and the extra copies are cleared.",
  tone: "good",
};

const NOT_CLEARED = {
  text: "You are still signed in. The copy at /m is cleared with the next request to /m.",
  tone: "bad",
};

const NOT_HEALED = { text: "Not healed: the browser still sends a broken cookie.", tone: "bad" };
