// A client that sends exactly what it is told: no fetch metadata, no encoding, no connection kept.

import http from "node:http";
import net from "node:net";
import { setImmediate } from "node:timers/promises";

// Long enough for a slow machine: it turns a hang into a failure and measures nothing.
const PATIENCE = 60_000;

// Sends a request to `origin` and resolves to its response with the body read. `headers` is an
// object or a list of pairs; `host` is sent as Host; `url`, where given, is what Miniflare's front is
// told was asked.
export async function ask(origin, path, options = {}) {
  const response = await open(origin, path, options);
  return read(response);
}

// As `ask`, but resolves as soon as the response's headers are there.
export function open(origin, path, options = {}) {
  const sending = send(origin, path, options);
  sending.end(options.body);
  return responseOf(sending);
}

// Begins a request whose body the caller writes.
export function send(origin, path, { method = "GET", headers = {}, host, url, body } = {}) {
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
    timeout: PATIENCE,
  });
  request.on("timeout", () => request.destroy(new Error(`no answer to ${method} ${path}`)));
  request.once("socket", (socket) => readToTheEnd(request, socket));
  return request;
}

// Who answers before it has read all of a body may be gone by the next piece of it. That this cannot be written is no
// reason to leave unread what was answered: the error counts where that was nothing.
function readToTheEnd(request, socket) {
  let isAnswered = false;
  request.prependOnceListener("response", () => {
    isAnswered = true;
  });
  for (const name of ["_write", "_writev"]) {
    const write = socket[name].bind(socket);
    socket[name] = (...given) => {
      const done = given.pop();
      write(...given, async (error) => {
        // All that there will ever be is here by then: it takes a few turns to have been read.
        for (let turn = 0; error && !isAnswered && turn < 10; turn += 1) await setImmediate();
        done(isAnswered ? null : error);
      });
    };
  }
}

// The response to a request, when its headers are there. Rejects where none comes.
export function responseOf(request) {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
}

// A response with its body read, in a form that reads well in assertions.
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

// Writes bytes to a socket and resolves to all that comes back until it is closed, as latin1.
export function raw(origin, bytes) {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => socket.write(bytes, "latin1"));
    const chunks = [];
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error("the connection was left open")));
    socket.on("data", (chunk) => chunks.push(chunk));
    const done = () => resolve(Buffer.concat(chunks).toString("latin1"));
    socket.on("close", done);
    socket.on("error", (error) => (error.code === "ECONNRESET" ? done() : reject(error)));
  });
}

// What a promise resolves to; rejects where it never does.
export async function within(promise, what) {
  let timer;
  const never = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain: ${what}`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, never]);
  } finally {
    clearTimeout(timer);
  }
}

// Statuses of all responses in what `raw` gave.
export function statuses(text) {
  return [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map((match) => Number(match[1]));
}
