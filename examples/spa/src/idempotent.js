/**
 * A `fetch` for requests that must not run twice. It retries under one `Idempotency-Key` until it gets an answer.
 *
 * A key stands for one intended action, not for one attempt. The server must support keys: a server that does not
 * would run the action again with every attempt. docs/idempotency.md explains the answers.
 */

/**
 * The outcome of the request is unknown: it may have run.
 *
 * - With `problem`, the server does not know the outcome. Retrying under this key changes nothing.
 * - Without `problem`, no answer came in time. It is safe to send the same request again later, under the same `key`.
 */
export class OutcomeUnknown extends Error {
  name = "OutcomeUnknown";

  /**
   * @param {string} key the key of the request
   * @param {{problem?: object, cause?: unknown}} [details] the problem document, or the last error
   */
  constructor(key, { problem, cause } = {}) {
    super(problem?.detail ?? "no answer came in time", { cause });
    this.key = key;
    this.problem = problem;
    /** The status of the first answer, if the server knows only that. */
    this.answered = problem?.answered;
  }
}

/**
 * Sends a request until it gets a final answer. Every attempt sends the same bytes.
 *
 * - It retries after a network error, 409 `idempotency_in_flight`, 425, 429, 502, 503 and 504. The wait is
 *   `Retry-After` plus a random part of 0.5 s, 1 s, 2 s and so on, up to 8 s.
 * - Any other answer is final, also 422 and other 4xx.
 * - At the deadline it returns the last answer, unless an attempt may have run.
 *
 * @param {string | URL | Request} url
 * @param {RequestInit & { key?: string, deadline?: number, fetch?: typeof globalThis.fetch, random?: () => number, }}
 *   [options] those of `fetch`; `key` continues an action that was started before; `deadline` is the time for all
 *   attempts together, in milliseconds. `signal` stops the attempts and undoes nothing.
 * @returns {Promise<Response>} with `Idempotent-Replayed: true` if the server repeats a stored answer. If its body
 *   breaks off, the same key gets the answer again
 * @throws {OutcomeUnknown} if the request may have run
 */
export async function idempotentFetch(url, options = {}) {
  const { key = crypto.randomUUID(), deadline = DEADLINE, signal = url.signal, ...rest } = options;
  const { fetch = globalThis.fetch, random = Math.random, ...init } = rest;
  const timeout = new AbortController();
  const signals = [timeout.signal, signal].filter(Boolean);
  // Built once, because each `FormData` body gets another boundary. An invalid request throws here.
  const request = new Request(url, { ...init, signal: AbortSignal.any(signals) });
  request.headers.set("Idempotency-Key", key);

  const end = Date.now() + deadline;
  const timer = setTimeout(() => timeout.abort(), deadline);
  let mayHaveRun = false;
  try {
    for (let attempt = 0; ; attempt += 1) {
      signal?.throwIfAborted();
      const { response, cause } = await send(fetch, request);
      signal?.throwIfAborted();
      const problem = response && (await problemOf(response));
      if (problem?.error === "idempotency_outcome_unknown") {
        throw new OutcomeUnknown(key, { problem });
      }
      const isInFlight = problem?.error === "idempotency_in_flight";
      if (response && !isInFlight && !RETRIED.has(response.status)) return response;

      mayHaveRun ||= !response || isInFlight || MAY_HAVE_RUN.has(response.status);
      const backoff = Math.min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** attempt);
      const wait = retryAfter(response) + random() * backoff;
      if (Date.now() + wait >= end) {
        if (mayHaveRun) throw new OutcomeUnknown(key, { cause });
        return response;
      }
      response?.body?.cancel().catch(() => {});
      await pause(wait, signal);
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Keeps the key of an action that a person may retry. The same content gets the same key until an answer comes. After
 * that, the same content is a new action with a new key.
 */
export function keyKeeper() {
  let action;
  return {
    /** @param {string} content the content of the request */
    keyOf(content) {
      if (action?.content !== content) action = { content, key: crypto.randomUUID() };
      return action.key;
    },
    answered() {
      action = undefined;
    },
  };
}

async function send(fetch, request) {
  try {
    return { response: await fetch(request.clone()) };
  } catch (cause) {
    return { cause };
  }
}

/** Returns the problem document of a 409 from Vestibule. */
async function problemOf(response) {
  const type = response.headers.get("content-type") ?? "";
  if (response.status !== 409 || !type.startsWith("application/problem+json")) return undefined;
  return response
    .clone()
    .json()
    .catch(() => undefined);
}

/** Returns the milliseconds of `Retry-After`, which is in seconds or a date. */
function retryAfter(response) {
  const value = response?.headers.get("retry-after") ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  return Math.max(0, Date.parse(value) - Date.now()) || 0;
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

const RETRIED = new Set([425, 429, 502, 503, 504]);

/** The statuses of `RETRIED` after which the request may have run. */
const MAY_HAVE_RUN = new Set([502, 504]);

/**
 * Longer than a request with the default `timeout` can be in flight (75 s).
 * After that time the server knows the outcome, or answers that it is unknown.
 */
const DEADLINE = 90_000;

const FIRST_BACKOFF = 500;
const MAX_BACKOFF = 8_000;
