// Bodies that are read whole, and those that are not.

/**
 * The bytes of a request's body, which are read once; "large" where they are too many, "busy" where there is no memory
 * for them. `reserve` asks for memory for a chunk, as in src/edge/mod.rs.
 */
export async function bytesOf(visitor, visit, limit, reserve) {
  if (visitor.body) return visitor.body.byteLength > limit ? "large" : visitor.body;
  const { request } = visitor;
  if (Number(request.headers.get("content-length")) > limit) return "large";
  const chunks = [];
  let length = 0;
  reading.set(visit, { chunks, since: Date.now() });
  try {
    for await (const chunk of request.body ?? []) {
      length += chunk.byteLength;
      if (length > limit) return "large";
      if (!isReserved(visit, chunk.byteLength, reserve)) return "busy";
      chunks.push(chunk);
    }
    if (reading.get(visit)?.chunks !== chunks) return "busy";
  } finally {
    if (reading.get(visit)?.chunks === chunks) reading.delete(visit);
  }
  visitor.body = joined(chunks, length);
  return visitor.body;
}

/** What was read so far, by visit, so that slow bodies can give way. */
const reading = new Map();

/** Milliseconds after which a body is surely no longer being read: its client is gone, and nobody was told. */
const OVERDUE = 40_000;

function isReserved(visit, bytes, reserve) {
  for (const [other, { since }] of reading) {
    if (since + OVERDUE > Date.now()) break;
    reading.delete(other);
  }
  for (;;) {
    const told = reading.has(visit) ? reserve(bytes) : -1;
    if (told <= 0) return told === 0;
    const slow = reading.get(told);
    if (slow) slow.chunks.length = 0;
    reading.delete(told);
  }
}

export function joined(chunks, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** A body as text after "done", or why there is none: "large", "busy" or "binary". */
export function textOf(bytes) {
  if (typeof bytes === "string") return bytes;
  try {
    return `done\n${new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)}`;
  } catch {
    return "binary";
  }
}

/** A field of a form or of a JSON object, after "done"; "absent" where there is none, or no text. */
export async function fieldOf(bytes, type, name) {
  try {
    const found = /^application\/([\w.-]+\+)?json\b/i.test(type)
      ? JSON.parse(new TextDecoder().decode(bytes))?.[name]
      : (await new Response(bytes, { headers: { "content-type": type } }).formData()).get(name);
    return typeof found === "string" ? `done\n${found}` : "absent";
  } catch {
    return "absent";
  }
}

/** An answer's status and, on the next line, its body, which is read up to a bound. */
export async function answerOf(response, limit) {
  const chunks = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length > limit) throw new Error("the answer is too long");
  }
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return `${response.status}\n${text.decode(joined(chunks, length))}`;
}

/**
 * A response's body, and a response that has it still. What is a stream, too long or too slow goes on as it comes.
 */
export async function collected(response, limit, milliseconds, visitor) {
  const { headers, status, statusText } = response;
  const isStream = STREAMS.test(headers.get("content-type") ?? "");
  if (isStream || response.webSocket || Number(headers.get("content-length")) > limit) {
    return ["stream", response];
  }
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, milliseconds - 1_000);
  });
  const chunks = [];
  let length = 0;
  const reader = response.body?.getReader();
  try {
    while (reader) {
      const reading = reader.read();
      const read = await Promise.race([reading, late]);
      if (read?.done) break;
      if (read) {
        chunks.push(read.value);
        length += read.value.byteLength;
      }
      if (!read || length > limit) {
        const body = resumed(chunks, reader, read ? undefined : reading);
        return ["stream", new Response(body, { headers, status, statusText })];
      }
    }
  } finally {
    clearTimeout(timer);
  }
  visitor.collected = joined(chunks, length);
  const body = BODILESS.has(status) ? null : visitor.collected;
  return [`done\n${length}`, new Response(body, { headers, status, statusText })];
}

const STREAMS =
  /^(text\/event-stream|application\/(x-ndjson|stream\+json|json-seq)|multipart\/x-mixed-replace)\b/i;

/** What was read of a stream, what is being read of it, and then the rest. */
const resumed = (chunks, reader, reading) =>
  new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const next = chunks.length ? { value: chunks.shift() } : (reading ?? reader.read());
      if (!chunks.length && next === reading) reading = undefined;
      const { done, value } = await next;
      if (done) {
        controller.close();
        controller.byobRequest?.respond(0);
      } else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });

/** Statuses whose responses have no body (WHATWG Fetch, null body status). */
export const BODILESS = new Set([101, 103, 204, 205, 304]);
