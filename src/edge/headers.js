// Headers as one text each way. A crossing into WebAssembly for each header costs more than what is decided about it.

const encoder = new TextEncoder();
let scratch = new Uint8Array(65_536);

/** Returns a text in UTF-8 with each header's name and value behind it, one a line. The next call reuses the memory. */
function described(text, headers) {
  headers.forEach((value, name) => {
    text += `\n${name}\n${value}`;
  });
  // A UTF-16 code unit has at most three bytes.
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 3);
  return scratch.subarray(0, encoder.encodeInto(text, scratch).written);
}

export const describeRequest = ({ method, url, headers }) =>
  described(`${method}\n${url}`, headers);

/** Describes a response. A switch to a protocol that nobody asked for has the status 0. */
export const describeResponse = ({ status, webSocket, headers }) =>
  described(`${status === 101 && !webSocket ? 0 : status}`, headers);

/**
 * Copies a request to another URL, with edited headers. `redirect: "manual"`, which every incoming request has, is copied
 * too. A request whose body was read gets that `body`: it no longer depends on the client. The same URL is not parsed
 * again, which would escape some of its characters; but an empty body that was read cannot be taken from the request.
 */
export function copyRequest(request, url, edits, body) {
  const from = url === request.url && body?.byteLength !== 0 ? request : url;
  const bytes = body?.byteLength ? body : undefined;
  const copy = new Request(from, body ? anew(request, bytes) : request);
  edit(copy.headers, edits);
  return copy;
}

const anew = ({ method, headers }, body) => ({ method, headers, body, redirect: "manual" });

/** Copies a response with edited headers, around the same body or WebSocket. Throws if its status cannot be constructed. */
export function copyResponse(response, edits) {
  const copy = new Response(response.body, response);
  edit(copy.headers, edits);
  return copy;
}

/** Makes a response of Vestibule's own. */
export function respond(status, edits, body) {
  const headers = new Headers();
  edit(headers, edits);
  return new Response(body, { status, headers });
}

/** Applies edits: a line "-name", or a line "=name" (set) or "+name" (append) and a line with the value. */
function edit(headers, edits) {
  const lines = edits === "" ? [] : edits.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const name = lines[at].slice(1);
    if (lines[at][0] === "-") headers.delete(name);
    else headers[lines[at][0] === "=" ? "set" : "append"](name, lines[++at]);
  }
}
