// Headers as one text in each direction. A call into WebAssembly for each header costs more than the decision about it.

const encoder = new TextEncoder();
let scratch = new Uint8Array(65_536);

/** Returns a text and each header's name and value, one per line, in UTF-8. The next call reuses the memory. */
function serialize(text, headers) {
  headers.forEach((value, name) => {
    text += `\n${name}\n${value}`;
  });
  // A UTF-16 code unit has at most three bytes in UTF-8.
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 3);
  return scratch.subarray(0, encoder.encodeInto(text, scratch).written);
}

export const describeRequest = ({ method, url, headers }) =>
  serialize(`${method}\n${url}`, headers);

/** Describes a response. Status 101 without a WebSocket becomes 0: the client did not ask for that protocol. */
export const describeResponse = ({ status, webSocket, headers }) =>
  serialize(`${status === 101 && !webSocket ? 0 : status}`, headers);

/**
 * Copies a request to another URL, with edited headers and its `redirect: "manual"`, which every incoming request has.
 * If the body was read, the copy gets `body` and no longer depends on the client. The same URL is not parsed again,
 * because parsing escapes some characters. But a request whose empty body was read cannot be copied directly.
 */
export function copyRequest(request, url, edits, body) {
  const from = url === request.url && body?.byteLength !== 0 ? request : url;
  const bytes = body?.byteLength ? body : undefined;
  const copy = new Request(from, body ? initWithBody(request, bytes) : request);
  applyEdits(copy.headers, edits);
  return copy;
}

const initWithBody = ({ method, headers }, body) => ({ method, headers, body, redirect: "manual" });

/** Copies a response with edited headers and the same body or WebSocket. Throws if its status cannot be constructed. */
export function copyResponse(response, edits) {
  const copy = new Response(response.body, response);
  applyEdits(copy.headers, edits);
  return copy;
}

/** Creates a response of the gateway's own. Headers passed to the constructor would be copied: 15 µs instead of 10. */
export function respond(status, edits, body) {
  const response = new Response(body, { status });
  applyEdits(response.headers, edits);
  return response;
}

/** Applies edits: a line "-name" removes; a line "=name" sets and "+name" appends the value of the next line. */
function applyEdits(headers, edits) {
  const lines = edits === "" ? [] : edits.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const name = lines[at].slice(1);
    if (lines[at][0] === "-") headers.delete(name);
    else headers[lines[at][0] === "=" ? "set" : "append"](name, lines[++at]);
  }
}
