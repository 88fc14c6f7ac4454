// An HTTP client that sends exactly what a test gives it. It adds no fetch metadata and no `Accept-Encoding`, and keeps
// no connection open.

import http from "node:http";
import net from "node:net";
import { setImmediate } from "node:timers/promises";

// Turns a hang into a failure, in milliseconds. It is long enough for a slow machine and measures nothing.
const TIMEOUT_MS = 60_000;

// Sends a request to `origin` and resolves to its response, with the body read. `headers` is an object or a list of
// pairs. `host` is the `Host` header. `url` is the URL that Miniflare's entry server reports as the requested one.
export async function request(origin, path, options = {}) {
  const response = await openResponse(origin, path, options);
  return read(response);
}

// Like `request`, but resolves as soon as the response headers arrive.
export function openResponse(origin, path, options = {}) {
  const request = startRequest(origin, path, options);
  request.end(options.body);
  return responseOf(request);
}

// Starts a request. The caller writes its body and ends it.
export function startRequest(origin, path, { method = "GET", headers = {}, host, url, body } = {}) {
  const { hostname, port } = new URL(origin);
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  const list = pairs.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
  const names = list.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  if (!names.includes("host")) list.unshift("Host", host ?? `${hostname}:${port}`);
  if (url) list.push("MF-Original-URL", url);
  if (body !== undefined && !names.includes("content-length")) {
    list.push("Content-Length", String(Buffer.byteLength(body)));
  }
  list.push("Connection", "close");
  const request = http.request({
    host: hostname,
    port,
    method,
    path,
    headers: list,
    agent: false,
    maxHeaderSize: 1024 * 1024,
    timeout: TIMEOUT_MS,
  });
  request.on("timeout", () => request.destroy(new Error(`no response to ${method} ${path}`)));
  request.once("socket", (socket) => ignoreWriteErrorsAfterResponse(request, socket));
  return request;
}

// A server that responds before it has read the whole body may close the connection before the next chunk. The write
// then fails, but the response must still be read. So a write error counts only if there is no response.
function ignoreWriteErrorsAfterResponse(request, socket) {
  let hasResponse = false;
  request.prependOnceListener("response", () => {
    hasResponse = true;
  });
  for (const name of ["_write", "_writev"]) {
    const write = socket[name].bind(socket);
    socket[name] = (...args) => {
      const done = args.pop();
      write(...args, async (error) => {
        // The response has arrived by now if there is one. Reading it takes a few turns of the event loop.
        for (let turn = 0; error && !hasResponse && turn < 10; turn += 1) await setImmediate();
        done(hasResponse ? null : error);
      });
    };
  }
}

// Resolves to the response when its headers arrive. Rejects if the request fails.
export function responseOf(request) {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
}

// Reads the body of a response and returns both in a form that reads well in assertions.
export async function read(response) {
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const all = (name) =>
    response.rawHeaders.filter(
      (_, i) => i % 2 && response.rawHeaders[i - 1].toLowerCase() === name,
    );
  return {
    status: response.statusCode,
    headers: response.headers,
    rawHeaders: response.rawHeaders,
    all,
    cookies: all("set-cookie"),
    body,
    text: body.toString("utf8"),
    json: () => JSON.parse(body.toString("utf8")),
  };
}

// Writes bytes to a socket. Resolves to everything received until the connection closes, as latin1.
export function sendRaw(origin, bytes) {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => socket.write(bytes, "latin1"));
    const chunks = [];
    socket.setTimeout(TIMEOUT_MS, () =>
      socket.destroy(new Error("the server did not close the connection")),
    );
    socket.on("data", (chunk) => chunks.push(chunk));
    const done = () => resolve(Buffer.concat(chunks).toString("latin1"));
    socket.on("close", done);
    socket.on("error", (error) => (error.code === "ECONNRESET" ? done() : reject(error)));
  });
}

// Resolves like `promise`. Rejects if it does not settle in time; `what` is for the message.
export async function withTimeout(promise, what) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out waiting for ${what}`)), TIMEOUT_MS);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

// Returns the statuses of all responses in the text that `sendRaw` returned.
export function statusesOf(text) {
  return [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map((match) => Number(match[1]));
}
