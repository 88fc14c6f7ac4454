// The platform's side of the seam. Each function is one crossing between JavaScript and WebAssembly
// where the platform's own bindings would take one for every header. Nothing is decided here.

// A request as one text: method, URL, then each header's name and value, one a line.
export function describe(request) {
  let account = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) account += `\n${name}\n${value}`;
  return account;
}

// A response as one text: status (0 for a switch to a protocol that nobody asked for), then each header's name and value, one a line.
export function describeResponse(response) {
  const switched = response.status !== 101 || response.webSocket;
  let account = `${switched ? response.status : 0}`;
  for (const [name, value] of response.headers) account += `\n${name}\n${value}`;
  return account;
}

// Every variable and secret as JSON. Bindings are objects with a prototype of their own.
export function variables(env) {
  const found = {};
  for (const name of Object.keys(env)) {
    const value = env[name];
    const isPlain =
      value === null ||
      typeof value !== "object" ||
      Array.isArray(value) ||
      Object.getPrototypeOf(value) === Object.prototype;
    if (isPlain && typeof value !== "function") found[name] = value;
  }
  return JSON.stringify(found);
}

// Whether a binding can be fetched from.
export function isFetcher(env, name) {
  const binding = env[name];
  return typeof binding === "object" && binding !== null && typeof binding.fetch === "function";
}

// 122 random bits as a text.
export function randomText() {
  return crypto.randomUUID();
}

// Sends a request on, changed as `edits` says, and resolves to the response, or to null where its
// headers did not come in time. The body, in either direction, is never looked at. What is personal
// goes past Cloudflare's cache, which would keep it by its URL alone.
//
// What is late is not aborted but left: the platform ends it with the request that asked for it, so
// nothing needs an AbortController for each request.
export async function forward(fetcher, request, url, edits, personal, milliseconds) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, milliseconds, null);
  });
  try {
    const outbound = new Request(url, request);
    edit(outbound.headers, edits);
    const init = personal ? PERSONAL : ANYONES;
    const answer = fetcher ? fetcher.fetch(outbound, init) : fetch(outbound, init);
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const ANYONES = { redirect: "manual" };
const PERSONAL = { redirect: "manual", cache: "no-store" };

// Upstream's response with changed headers. Its body and its WebSocket go along untouched.
export function amend(response, edits) {
  const amended = new Response(response.body, response);
  edit(amended.headers, edits);
  return amended;
}

// A response of our own; `body` is undefined where there is none.
export function reply(status, edits, body) {
  const headers = new Headers();
  edit(headers, edits);
  return new Response(body ?? null, { status, headers });
}

// One edit a line or two: "-name", "=name" and its value, "+name" and its value.
function edit(headers, edits) {
  if (edits === "") return;
  const lines = edits.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const name = lines[at].slice(1);
    switch (lines[at][0]) {
      case "-":
        headers.delete(name);
        break;
      case "=":
        headers.set(name, lines[++at]);
        break;
      default:
        headers.append(name, lines[++at]);
    }
  }
}
