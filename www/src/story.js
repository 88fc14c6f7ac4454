/**
 * Breaks the session cookie and watches what the edge makes of it.
 *
 * The cookie is HttpOnly, so no script can look at it. What heals is seen from outside: a broken
 * cookie is named as the reason once, and from then on there is none.
 */

import { call } from "./api.js";

/** Each way to break it: the button, what it does in one line, what is then in the browser. */
export const BREAKS = [
  {
    how: "garbage",
    label: "Garbage",
    about: "Replaces your cookie with a word that is no token.",
    planted: "The cookie now holds the word “garbage”.",
  },
  {
    how: "old_key",
    label: "Old key",
    about: "A well-formed token, signed with a key the edge does not hold.",
    planted: "The cookie now holds a token under an unknown key.",
  },
  {
    how: "expired",
    label: "Expired",
    about: "Your own token with a true signature, a day past its end.",
    planted: "The cookie now holds a token that ended yesterday.",
  },
  {
    how: "duplicates",
    label: "Duplicates at two paths",
    about: "Keeps the good cookie and adds broken copies at /m and /api.",
    planted: "Broken copies at /m and /api now stand in front of the good cookie.",
  },
  {
    how: "two_users",
    label: "Two users",
    about: "Adds another user’s valid token at /api, next to yours.",
    planted: "The browser now sends valid sessions of two users at once.",
    healed: "Healed: the refusal took both cookies with it, so you start clean.",
  },
];

/**
 * Plays one break, telling each step as `{request, status, text, tone}`.
 *
 * Returns whether the visitor is signed out at the end.
 */
export async function play({ how, planted, healed = HEALED }, tell) {
  const broken = await call("POST", "/api/break", { json: { how } });
  tell(step("POST /api/break", broken, broken.ok ? planted : explain(broken)));
  if (!broken.ok) return broken.status === 401;

  const first = await call("GET", "/api/auth/me");
  tell(step("GET /api/auth/me", first, first.ok ? welcome(first) : explain(first)));
  if (first.status !== 401) {
    // A copy is seen, and taken away, where its path is asked for.
    if (first.ok && how === "duplicates") {
      const elsewhere = await call("GET", "/m/demo");
      tell(step("GET /m/demo", elsewhere, "The browser sends the copy at /m here alone."));
      tell(elsewhere.status === 200 ? KEPT : LEFT);
    } else tell(closing(first));
    return false;
  }

  const second = await call("GET", "/api/auth/me");
  const gone = second.status === 401 && second.problem.reason === "no_credential";
  tell(step("GET /api/auth/me", second, second.ok ? welcome(second) : explain(second)));
  tell(gone ? { text: healed, tone: "good" } : NOT_HEALED);
  return second.status === 401;
}

/** The last line where the edge did not answer 401. */
function closing(answer) {
  if (answer.ok)
    return { text: "You are still signed in, which was not to be expected.", tone: "bad" };
  return {
    text: "No verdict: the edge could not be asked, and your cookie was left alone.",
    tone: "bad",
  };
}

function step(request, { status }, text) {
  return { request, status, text };
}

function welcome({ data }) {
  return `The edge still knows you as ${data.userId}.`;
}

function explain({ problem }) {
  const { title, reason, code, detail } = problem;
  const why = reason ?? code;
  if (why) return `Reason: ${why}.`;
  return detail ? `${title} ${detail}` : title;
}

const HEALED = "Healed: the refusal took the broken cookie with it, so you start clean.";

const KEPT = { text: "You stayed signed in, extra copies expired.", tone: "good" };

const LEFT = {
  text: "You stayed signed in. The copy at /m expires when /m is next asked for.",
  tone: "bad",
};

const NOT_HEALED = { text: "Not healed: a broken cookie is still being sent.", tone: "bad" };
