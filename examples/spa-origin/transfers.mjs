/**
 * Lists transfers by author. Each transfer has the actor and the approving person, as Vestibule names them.
 *
 * This server does not check approvals. Vestibule makes sure that a person approves the transfers of machines.
 */

import { readBody } from "./body.mjs";

export async function transferRoutes(app) {
  const transfers = new Map();
  const transfersOf = ({ headers }) => transfers.get(headers["x-author-id"] ?? "nobody") ?? [];

  app.get("/api/transfers", async (request, reply) => {
    reply.header("cache-control", "no-store");
    return { transfers: transfersOf(request) };
  });

  app.post("/api/transfers", async (request, reply) => {
    const { to, amount } = await readFields(request);
    if (typeof to !== "string" || to === "" || !(Number.isFinite(amount) && amount > 0)) {
      return reply
        .code(400)
        .send({ error: "Expected to (a string) and amount (a number above 0)." });
    }
    const { headers } = request;
    const authorId = headers["x-author-id"] ?? "nobody";
    const transfer = {
      number: transfersOf(request).length + 1,
      to,
      amount,
      authorId,
      actorSource: headers["x-actor-source"] ?? null,
      confirmedBy: headers["x-confirmed-by"] ?? null,
    };
    transfers.set(authorId, [...transfersOf(request), transfer]);
    return reply.code(201).send(transfer);
  });
}

/** Returns the members of a JSON body, or an empty object if it is not JSON. */
async function readFields(request) {
  const { text } = await readBody(request.raw, 16 * 1024);
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
