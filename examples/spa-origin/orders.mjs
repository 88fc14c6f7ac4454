/** Orders, counted by whoever makes them. This server knows no keys: what is let in twice is made twice. */

import { setTimeout as delay } from "node:timers/promises";
import { readBody } from "./body.mjs";

export async function orderRoutes(app) {
  const made = new Map();
  const of = ({ headers }) => headers["x-user-id"] ?? "nobody";

  app.get("/api/orders", async (request, reply) => {
    reply.header("cache-control", "no-store");
    return { orders: made.get(of(request)) ?? 0 };
  });

  app.post("/api/orders", async (request, reply) => {
    await readBody(request.raw);
    const order = (made.get(of(request)) ?? 0) + 1;
    made.set(of(request), order);
    // Slow enough for another to come in meanwhile.
    await delay(SLOWLY);
    return reply.code(201).send({ order });
  });
}

const SLOWLY = 300;
