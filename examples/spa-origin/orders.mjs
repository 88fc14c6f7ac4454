/** Counts orders by user. This server does not support idempotency keys: each request makes an order. */

import { setTimeout as delay } from "node:timers/promises";
import { readBody } from "./body.mjs";

export async function orderRoutes(app) {
  const counts = new Map();
  const userOf = ({ headers }) => headers["x-user-id"] ?? "nobody";

  app.get("/api/orders", async (request, reply) => {
    reply.header("cache-control", "no-store");
    return { orders: counts.get(userOf(request)) ?? 0 };
  });

  app.post("/api/orders", async (request, reply) => {
    await readBody(request.raw);
    const order = (counts.get(userOf(request)) ?? 0) + 1;
    counts.set(userOf(request), order);
    // Slow, so that a second request can arrive in the meantime.
    await delay(ORDER_DELAY);
    return reply.code(201).send({ order });
  });
}

const ORDER_DELAY = 300;
