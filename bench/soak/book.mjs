/** Records the answers that the clients of a soak got. At the end they are compared with what upstream saw. */
export function openBook() {
  const book = {
    /** Broken invariants, as text. */
    broken: [],
    /** Number of answers by act, status and code. */
    answers: new Map(),
    /** Milliseconds of answers to requests without an injected fault, by act. */
    latencies: new Map(),
    /** Events with a 2xx: the number of times that upstream had accepted them by then. */
    inbox: new Map(),
    direct: new Map(),
    /**
     * Keyed writes by key: `{ key, name, client, text, mayBeUnknown }`. `text` is the answer, if it was 2xx.
     * `mayBeUnknown`: a fault was injected into the ledger at that time, so it may not have the answer.
     */
    writes: new Map(),
    /** Requests that must not reach upstream. */
    refused: new Set(),
    /** Sessions whose end was acknowledged: `{ Cookie, at }`. */
    ended: [],
    /** Tokens: `{ headers, user, revokedAt }`. */
    tokens: [],
    /** Requests that need an approval, by name: whether somebody tried to approve it. */
    approvals: new Map(),
    /** When the last trap was injected. */
    trappedAt: Number.NEGATIVE_INFINITY,
    /** Milliseconds from the end of a session to the end of its streams. */
    streams: [],

    breaks: (text) => void (book.broken.length < 100 && book.broken.push(text)),
    note(act, response, milliseconds) {
      count(book.answers, `${act}|${labelOf(response)}`);
      if (milliseconds === undefined) return;
      if (!book.latencies.has(act)) book.latencies.set(act, []);
      book.latencies.get(act).push(milliseconds);
    },
  };
  return book;
}

function count(map, name) {
  map.set(name, (map.get(name) ?? 0) + 1);
}

/** Returns the status of a response, with the code of its problem. */
export function labelOf(response) {
  if (!response) return "connection broken";
  if (response.status === 0) return "no answer";
  const { error, reason } = problemOf(response);
  return [response.status, error, reason].filter(Boolean).join(" ");
}

export function problemOf({ headers, text }) {
  return headers["content-type"] === "application/problem+json" ? JSON.parse(text) : {};
}
