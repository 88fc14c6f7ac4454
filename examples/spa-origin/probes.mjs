/** Routes for tests: each has one known behaviour, for every method. */

import { setTimeout as delay } from "node:timers/promises";
import { readBody } from "./body.mjs";

export async function probeRoutes(app) {
  app.all("/api/echo", echo);
  app.all("/api/echo/*", echo);

  app.all("/api/status/:code", async (request, reply) => {
    const code = Number(request.params.code);
    if (!Number.isInteger(code) || code < 200 || code > 599) {
      return reply.code(400).send({ error: "Expected a status from 200 to 599." });
    }
    if (request.query.location) reply.header("location", request.query.location);
    reply.code(code);
    return [204, 205, 304].includes(code) ? reply.send() : reply.send({ status: code });
  });

  app.all("/api/cookies", async (_request, reply) => {
    reply.header("set-cookie", [
      "flavour=oat; Path=/; Max-Age=600",
      "season=winter; Path=/; Expires=Wed, 01 Jan 2070 00:00:00 GMT",
      "theme=dark; Path=/; HttpOnly; SameSite=Lax",
    ]);
    return { cookies: 3 };
  });

  app.all("/api/redirect", async (request, reply) => {
    const to = request.query.to ?? "/";
    // Sends UTF-8 bytes, as a careless server does with characters that are not allowed in a header.
    return reply.redirect(Buffer.from(to).toString("latin1"), 302);
  });

  app.all("/api/slow", async (request) => {
    const ms = Math.min(Number(request.query.ms ?? 1000), 120_000);
    await delay(ms);
    return { ms };
  });

  app.all("/api/hang", (_request, reply) => {
    reply.hijack();
  });

  app.all("/api/reset", (request, reply) => {
    reply.hijack();
    request.raw.socket.destroy();
  });

  app.all("/api/reset-midway", (request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { "content-type": "text/plain", "content-length": 2 * HALF.length });
    // Waits until the first half has arrived, because a reset discards data that is still in transit.
    reply.raw.write(HALF, () => delay(50).then(() => request.raw.socket.destroy()));
  });
}

/** Answers with the received request: its headers unchanged, and a hash of its body. */
async function echo(request) {
  const { method, url, rawHeaders } = request.raw;
  const body = await readBody(request.raw, 4096);
  return {
    method,
    url,
    headers: rawHeaders.flatMap((name, i) => (i % 2 ? [] : [[name, rawHeaders[i + 1]]])),
    bodyBytes: body.bytes,
    bodySha256: body.sha256,
    bodyText: body.text,
  };
}

const HALF = "half of the body\n".repeat(512);
