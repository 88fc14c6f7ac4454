/**
 * Reads the requests of an access log: nginx and Apache (combined), or a JSON object in each line. Reads what report mode
 * let through from Vestibule's own log.
 */

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { Failure } from "./failure.mjs";

/** Different requests that are kept. A larger log is cut off there. */
const MAX_REQUESTS = 100_000;

/**
 * Counts the requests of a log by method and path, without queries.
 *
 * @param {string} path a file, or `-` for standard input
 * @returns {Promise<{ requests: [string, string, number][], unreadable: number, isCut: boolean }>}
 */
export async function readLog(path) {
  const counts = new Map();
  let [unreadable, isCut] = [0, false];
  for await (const line of linesOf(path)) {
    const request = requestOf(line);
    if (!request) {
      unreadable += 1;
      continue;
    }
    const key = request.join(" ");
    if (!counts.has(key) && counts.size === MAX_REQUESTS) isCut = true;
    else counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const requests = [...counts].map(([key, count]) => [...key.split(" "), count]);
  return { requests, unreadable, isCut };
}

/**
 * Counts what report mode let through, by rule, refusal and step: the most frequent first.
 *
 * @param {string} path a file with Vestibule's own log, or `-` for standard input
 * @returns {Promise<{ rows: { rule: string, status: number, code: string, step: string, requests: number }[],
 *   requests: number, keptCookies: number, unreadable: number }>} `keptCookies` are invalid session cookies that were
 *   not expired
 */
export async function readReported(path) {
  const rows = new Map();
  let [requests, keptCookies, unreadable] = [0, 0, 0];
  for await (const line of linesOf(path)) {
    const event = parse(line);
    if (event?.event !== "request") {
      unreadable += 1;
      continue;
    }
    requests += event.passes ?? 1;
    if (event.wouldExpireCookie) keptCookies += 1;
    if (!event.wouldRefuse) continue;
    const { status, code, step } = event.wouldRefuse;
    const row = { rule: event.rule, status, code, step };
    const key = JSON.stringify(row);
    rows.set(key, { ...row, requests: (rows.get(key)?.requests ?? 0) + 1 });
  }
  const sorted = [...rows.values()].sort((one, other) => other.requests - one.requests);
  return { rows: sorted, requests, keptCookies, unreadable };
}

/** Yields the lines of a file that are not empty. */
async function* linesOf(path) {
  const input = path === "-" ? process.stdin : createReadStream(path);
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.trim() !== "") yield line;
    }
  } catch (error) {
    throw new Failure(`${path}: ${error.message}`);
  }
}

/** Returns the JSON of a line, or `undefined`. */
function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return;
  }
}

/** Returns the method and the path of a line, or `undefined` if it has none. */
export function requestOf(line) {
  const found = line.startsWith("{") ? fromJson(line) : fromText(line);
  if (!found) return;
  const [method, url] = found;
  const path = pathOf(url);
  if (/^[A-Z]+$/.test(method) && path) return [method, path];
}

/** The quoted request line of nginx and Apache. */
function fromText(line) {
  return line.match(/"([A-Z]+) (\S+) HTTP\/[\d.]+"/)?.slice(1);
}

/** Names of the method and of the URL, in Cloudflare's logs, in nginx's JSON and in our own. */
function fromJson(line) {
  const entry = parse(line);
  if (!entry) return;
  // In our own log, `event` is a text.
  const request = entry.event?.request ?? entry.$workers?.event?.request ?? entry.request ?? entry;
  if (typeof request === "string") return fromText(`"${request}"`);
  const method = request.method ?? entry.request_method ?? entry.ClientRequestMethod;
  const url =
    request.url ?? request.path ?? request.uri ?? entry.request_uri ?? entry.ClientRequestURI;
  if (typeof method === "string" && typeof url === "string") return [method, url];
}

/** Returns the path as it was sent, without query and fragment: its spelling matters. */
function pathOf(url) {
  const path = url.replace(/^https?:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, "") || "/";
  if (path.startsWith("/")) return path;
}
