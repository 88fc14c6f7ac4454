/** Bodies that must pass through without buffering: events, a WebSocket, uploads, large files. */

import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { readBody } from "./body.mjs";

export async function streamRoutes(app) {
  app.get("/api/events", async (request, reply) => {
    const count = bounded(request.query.count, 5, 1000);
    const interval = bounded(request.query.interval, 200, 60_000);
    reply.type("text/event-stream").header("cache-control", "no-cache");
    return reply.send(Readable.from(events(count, interval), { objectMode: false }));
  });

  app.get("/api/socket", { websocket: true }, (socket, request) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.send(JSON.stringify({ hello: true, userId: request.headers["x-user-id"] ?? null }));
  });

  app.route({
    method: ["POST", "PUT"],
    url: "/api/uploads",
    handler: async (request, reply) => {
      const { bytes, sha256 } = await readBody(request.raw);
      return reply.code(201).send({ bytes, sha256 });
    },
  });

  app.route({
    method: ["GET", "HEAD"],
    url: "/api/large",
    handler: async (request, reply) => {
      const size = bounded(request.query.bytes, 16 * MEBIBYTE, 256 * MEBIBYTE);
      const etag = `"large-${size}"`;
      reply.header("etag", etag).header("accept-ranges", "bytes");
      reply.header("cache-control", "no-cache");
      if (request.headers["if-none-match"] === etag) return reply.code(304).send();

      const rangeApplies = [undefined, etag].includes(request.headers["if-range"]);
      const range = rangeApplies ? parseRange(request.headers.range, size) : undefined;
      if (range === "unsatisfiable") {
        return reply.code(416).header("content-range", `bytes */${size}`).send();
      }
      const [first, last] = range ?? [0, size - 1];
      if (range) reply.code(206).header("content-range", `bytes ${first}-${last}/${size}`);
      reply.type("application/octet-stream").header("content-length", last - first + 1);
      const head = request.method === "HEAD";
      return reply.send(head ? null : Readable.from(content(first, last), { objectMode: false }));
    },
  });
}

async function* events(count, interval) {
  for (let n = 1; n <= count; n += 1) {
    if (n > 1) await delay(interval);
    yield `id: ${n}\ndata: ${JSON.stringify({ n, of: count })}\n\n`;
  }
}

/** Yields bytes `first` to `last` of an endless file with known content. */
function* content(first, last) {
  for (let at = first; at <= last; ) {
    const start = at % PATTERN.length;
    const chunk = PATTERN.subarray(start, start + last - at + 1);
    yield chunk;
    at += chunk.length;
  }
}

/** Parses a `Range` header with one range, inclusive. Returns undefined (the whole file) for anything else. */
function parseRange(header, size) {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (from === undefined || (from === "" && to === "")) return undefined;
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== "" && to !== "" && Number(to) < first) return undefined;
  return first > last ? "unsatisfiable" : [first, last];
}

function bounded(text, fallback, max) {
  return /^\d+$/.test(text ?? "") ? Math.min(Number(text), max) : fallback;
}

const MEBIBYTE = 1024 * 1024;

/** The length is prime, so that a misplaced chunk never matches by chance. */
const PATTERN = Buffer.from(Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
