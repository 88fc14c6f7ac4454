/**
 * Requests that never throw.
 *
 * An answer is `{status, ok, data}`, with `problem: {title, code, reason, field, detail, requestId}`
 * where it is not ok, and `replayed` where it was given before. A status of 0 means that no answer came.
 */

import { useEffect, useState } from "preact/hooks";
import { idempotentFetch, OutcomeUnknown } from "./idempotent.js";

/**
 * Sends a request; `json` or `body` is what it carries. With a `key`, what gets no answer is sent again and
 * done once.
 */
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
 * As `call`, for what is nothing without a session: a 401 leads to the login page and back here. Then
 * no answer comes, because the page is left.
 */
export async function ask(method, path, options) {
  const answer = await call(method, path, options);
  if (answer.status !== 401) return answer;
  goToLogin();
  return new Promise(() => {});
}

/** Leaves for the login page, which leads back. Back in the browser's sense skips this page. */
export function goToLogin() {
  const { pathname, search, hash } = location;
  location.replace(`/login?next=${encodeURIComponent(pathname + search + hash)}`);
}

/**
 * The answer to `GET path`, asked again whenever `version` changes; undefined until it is there.
 * `how` is `call` or `ask`.
 */
export function useAnswer(path, version, how = call) {
  const [answer, setAnswer] = useState();
  useEffect(() => {
    let current = true;
    how("GET", path).then((fresh) => current && setAnswer(fresh));
    return () => {
      current = false;
    };
  }, [path, version, how]);
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

/** What a refusal says, be it problem+json or the `{error}` of a plainer server. */
function describe(status, data, headers) {
  const problem = Object(data);
  return {
    title: problem.title ?? problem.error ?? `The server answered ${status}.`,
    code: problem.title ? problem.error : undefined,
    reason: problem.reason,
    field: problem.field,
    detail: problem.detail ?? again(headers.get("retry-after")),
    requestId: problem.requestId,
  };
}

/** That nobody knows whether it was done, in words: the server does not, or no answer came in time. */
function unknown({ problem }) {
  if (!problem) return { status: 0, ok: false, problem: UNANSWERED };
  const { error: code, requestId } = problem;
  return { status: 409, ok: false, data: problem, problem: { ...UNKNOWN, code, requestId } };
}

/** When to try again, in words, from a `Retry-After` in seconds. */
function again(wait) {
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
  detail: "Try again: should it have been done, it is not done twice.",
};

const UNKNOWN = {
  title: "Whether it was done, nobody knows.",
  detail: "Look for it before you try again.",
};

const NOT_JSON = {
  title: "The answer was not JSON.",
  detail: "Something between this page and the server answered in its place.",
};
