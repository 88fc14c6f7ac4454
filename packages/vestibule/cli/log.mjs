/** Reads the requests of an access log: nginx and Apache (combined), or a JSON object in each line. */

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
  const input = path === "-" ? process.stdin : createReadStream(path);
  const counts = new Map();
  let [unreadable, isCut] = [0, false];
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.trim() === "") continue;
      const request = requestOf(line);
      if (!request) {
        unreadable += 1;
        continue;
      }
      const key = request.join(" ");
      if (!counts.has(key) && counts.size === MAX_REQUESTS) isCut = true;
      else counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  } catch (error) {
    throw new Failure(`${path}: ${error.message}`);
  }
  const requests = [...counts].map(([key, count]) => [...key.split(" "), count]);
  return { requests, unreadable, isCut };
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
  let entry;
  try {
    entry = JSON.parse(line);
  } catch {
    return;
  }
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
