/**
 * Requests that never throw.
 *
 * An answer is `{status, ok, data, replayed}`. If it is not ok, it has `problem: {title, code, reason, field, detail,
 * requestId}`. `replayed` is true for a repeated answer. Status 0 means that no answer came.
 */

import { useEffect, useState } from "preact/hooks";
import { idempotentFetch, OutcomeUnknown } from "./idempotent.js";
import { findPlaces } from "./places.js";

/** Sends a request with a `json` value or a `body`. With an idempotency `key`, it is retried and runs once. */
export async function call(method, path, { json, body, key } = {}) {
  const headers = { accept: "application/json" };
  if (json !== undefined) headers["content-type"] = "application/json";
  const init = {
    method,
    headers,
    body: json === undefined ? body : JSON.stringify(json),
    cache: "no-store",
  };
  try {
    const response = await (key ? idempotentFetch(path, { ...init, key }) : fetch(path, init));
    return read(response, await response.text());
  } catch (error) {
    if (error instanceof OutcomeUnknown) return unknown(error);
    return { status: 0, ok: false, problem: UNREACHABLE };
  }
}

/**
 * Like `call`, for requests that need a session: a 401 opens the login page, which leads back to this page. The promise
 * then never resolves, because the browser leaves the page.
 */
export async function callSignedIn(method, path, options) {
  const answer = await call(method, path, options);
  if (answer.status !== 401) return answer;
  goToLogin();
  return new Promise(() => {});
}

/** Opens the login page, which leads back to this page. Replaces this page in the browser's history. */
export async function goToLogin() {
  const { pathname, search, hash } = location;
  const { signIn } = await findPlaces();
  location.replace(`${signIn}?next=${encodeURIComponent(pathname + search + hash)}`);
}

/**
 * Returns the answer to `GET path`, or undefined until it arrives. Sends the request again when `version` changes.
 * `send` is `call` or `callSignedIn`.
 */
export function useAnswer(path, version, send = call) {
  const [answer, setAnswer] = useState();
  useEffect(() => {
    let current = true;
    send("GET", path).then((fresh) => current && setAnswer(fresh));
    return () => {
      current = false;
    };
  }, [path, version, send]);
  return answer;
}

function read(response, text) {
  const { status } = response;
  const data = parse(text);
  const replayed = response.headers.get("idempotent-replayed") === "true";
  if (response.ok && (text === "" || data !== undefined)) {
    return { status, ok: true, data, replayed };
  }
  if (response.ok) return { status, ok: false, problem: NOT_JSON };
  return { status, ok: false, data, problem: describe(status, data, response.headers) };
}

/** Returns the problem in an error answer: problem+json, or `{error}` of a simpler server. */
function describe(status, data, headers) {
  const problem = Object(data);
  return {
    title: problem.title ?? problem.error ?? `The server answered ${status}.`,
    code: problem.title ? problem.error : undefined,
    reason: problem.reason,
    field: problem.field,
    detail: problem.detail ?? retryHint(headers.get("retry-after")),
    requestId: problem.requestId,
  };
}

/** Returns the answer for an unknown outcome: the server does not know it, or no answer came in time. */
function unknown({ problem }) {
  if (!problem) return { status: 0, ok: false, problem: UNANSWERED };
  const { error: code, requestId } = problem;
  return { status: 409, ok: false, data: problem, problem: { ...UNKNOWN, code, requestId } };
}

/** Returns a hint when to try again, from a `Retry-After` in seconds. */
function retryHint(wait) {
  if (!/^\d+$/.test(wait ?? "")) return undefined;
  return `Try again in ${wait < 120 ? `${wait} s` : `${Math.ceil(wait / 60)} min`}.`;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const UNREACHABLE = {
  title: "The server could not be reached.",
  detail: "Check that it is running and that you are online, then try again.",
};

const UNANSWERED = {
  title: "No answer came in time.",
  detail: "Try again. If the first attempt succeeded, it is not repeated.",
};

const UNKNOWN = {
  title: "It is unknown whether this was done.",
  detail: "Check the result before you try again.",
};

const NOT_JSON = {
  title: "The answer was not JSON.",
  detail: "Another server between this page and the application may have answered.",
};
