/**
 * Transfers, counted by whoever makes them. Each says who acted and who confirmed it, as the edge says.
 *
 * Nothing is asked here: that a machine's transfer was approved by a person is the edge's to see to.
 */

import { readBody } from "./body.mjs";

export async function transferRoutes(app) {
  const made = new Map();
  const of = ({ headers }) => made.get(headers["x-author-id"] ?? "nobody") ?? [];

  app.get("/api/transfers", async (request, reply) => {
    reply.header("cache-control", "no-store");
    return { transfers: of(request) };
  });

  app.post("/api/transfers", async (request, reply) => {
    const { to, amount } = await readFields(request);
    if (typeof to !== "string" || to === "" || !(Number.isFinite(amount) && amount > 0)) {
      return reply.code(400).send({ error: "Expected to, a text, and amount, above zero." });
    }
    const { headers } = request;
    const authorId = headers["x-author-id"] ?? "nobody";
    const transfer = {
      number: of(request).length + 1,
      to,
      amount,
      authorId,
      actorSource: headers["x-actor-source"] ?? null,
      confirmedBy: headers["x-confirmed-by"] ?? null,
    };
    made.set(authorId, [...of(request), transfer]);
    return reply.code(201).send(transfer);
  });
}

/** The members of a JSON body, or none where it is something else. */
async function readFields(request) {
  const { text } = await readBody(request.raw, 16 * 1024);
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
