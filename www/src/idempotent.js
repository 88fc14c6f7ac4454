/**
 * `fetch` for what must not happen twice: sent again until it is answered, under one `Idempotency-Key`.
 *
 * A key stands for one intended act, not for one attempt. Use it only where the server knows keys: one that
 * does not would do it again with every attempt. docs/idempotency.md tells what the answers mean.
 */

/**
 * Whether it happened is not known. Where `problem` is there, the server says so itself, and asking again
 * under this key changes nothing. Without it nobody has answered: the same request under the same `key`, later,
 * does no harm.
 */
export class OutcomeUnknown extends Error {
  name = "OutcomeUnknown";

  /**
   * @param {string} key what it was sent under
   * @param {{problem?: object, cause?: unknown}} [facts] the problem document, or what went wrong last
   */
  constructor(key, { problem, cause } = {}) {
    super(problem?.detail ?? "no answer came in time", { cause });
    this.key = key;
    this.problem = problem;
    /** The status that it was answered with when it ran, where that is all that is known. */
    this.answered = problem?.answered;
  }
}

/**
 * Sends a request until it is answered. It is the same one every time, byte for byte.
 *
 * - Sent again: what got no answer, 409 `idempotency_in_flight`, 425, 429, 502, 503 and 504, each after what
 *   `Retry-After` says and a random part of 0.5 s, 1 s, 2 s and so on, up to 8 s.
 * - Any other answer is final, good or bad: 422 and other 4xx among them.
 * - At the deadline the last answer is given, unless some attempt may have run.
 *
 * @param {string | URL | Request} url
 * @param {RequestInit & {
 *   key?: string,
 *   deadline?: number,
 *   fetch?: typeof globalThis.fetch,
 *   random?: () => number,
 * }} [options] those of `fetch`; `key`, to go on with an act that was begun before; `deadline`, milliseconds
 *   for all attempts together. To abort by `signal` stops asking, and undoes nothing.
 * @returns {Promise<Response>} `Idempotent-Replayed: true` marks an answer that was given before. Should its
 *   body break off, the same key gets it again
 * @throws {OutcomeUnknown}
 */
export async function idempotentFetch(url, options = {}) {
  const { key = crypto.randomUUID(), deadline = DEADLINE, signal = url.signal, ...rest } = options;
  const { fetch = globalThis.fetch, random = Math.random, ...init } = rest;
  const late = new AbortController();
  const signals = [late.signal, signal].filter(Boolean);
  // Made once, because a form's boundary is another each time. What cannot be sent at all throws here.
  const request = new Request(url, { ...init, signal: AbortSignal.any(signals) });
  request.headers.set("Idempotency-Key", key);

  const end = Date.now() + deadline;
  const timer = setTimeout(() => late.abort(), deadline);
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
      if (response && !isInFlight && !AGAIN.has(response.status)) return response;

      mayHaveRun ||= !response || isInFlight || MAY_HAVE_RUN.has(response.status);
      const wait = told(response) + random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt);
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
 * Keeps the key of an act that a person may try again by hand: the same one for the same content, until it
 * was answered. What is tried after that is another act.
 */
export function keeper() {
  let act;
  return {
    /** @param {string} content what is to be sent */
    keyOf(content) {
      if (act?.content !== content) act = { content, key: crypto.randomUUID() };
      return act.key;
    },
    answered() {
      act = undefined;
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

/** What a 409 says, where it is one of the edge's. */
async function problemOf(response) {
  const type = response.headers.get("content-type") ?? "";
  if (response.status !== 409 || !type.startsWith("application/problem+json")) return undefined;
  return response
    .clone()
    .json()
    .catch(() => undefined);
}

/** Milliseconds that `Retry-After` asks for, in seconds or as a date. */
function told(response) {
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

const AGAIN = new Set([425, 429, 502, 503, 504]);

/** Of those, the ones after which it may have run. */
const MAY_HAVE_RUN = new Set([502, 504]);

/** Longer than an act of the default `timeout` can be in flight (75 s): by then it is known, or unknown. */
const DEADLINE = 90_000;

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;
