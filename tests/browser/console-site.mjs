// A site with something in each list of the console: its upstream, its rules, and what is in its stores.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { trackSecret } from "../support/tokens.mjs";
import { PAGES } from "../support/worker.mjs";
import { ADA, BOB, openSite, serve } from "./support.mjs";

const WEBHOOK_SECRET = "whsec_test_secret_of_the_provider";

const VARIABLES = {
  RATE_LIMITS: [{ name: "orders", limit: 100, period: "1h", by: "principal" }],
  ROUTES: [
    {
      path: "/api/orders",
      methods: ["POST"],
      operation: "orders.create",
      access: "user",
      idempotency: "required",
      audit: "best_effort",
      limit: "orders",
      timeout: "1s",
    },
    {
      path: "/api/transfers",
      methods: ["POST"],
      operation: "transfers.create",
      access: "user",
      confirm: "human",
      idempotency: "required",
      audit: "required",
    },
    {
      path: "/api/payments",
      methods: ["POST"],
      operation: "payments.create",
      access: "user",
      idempotency: "required",
      checkout: { provider: "stripe", ref: "/checkout/id", reserve: "30m" },
    },
    { path: "/beta/{*rest}", operation: "beta.view", access: "user", feature: "new-search" },
    { path: "/orders/{id}", methods: ["GET"], operation: "orders.read", access: "user" },
  ],
  WEBHOOKS: [{ name: "stripe", scheme: "stripe", path: "/hooks/stripe", delivery: "inbox" }],
  WEBHOOK_STRIPE_SECRET: WEBHOOK_SECRET,
  CHECKOUT_PROVIDERS: [
    {
      provider: "stripe",
      confirm: [{ event: "checkout.session.completed", ref: "/data/object/id" }],
    },
  ],
};

// Opens the site. `deliveries` has the ids of the events that upstream got, in their order. `arrived(count)` waits until
// there are so many.
export async function openConsoleSite() {
  const deliveries = [];
  const news = new EventEmitter();
  const startUpstream = () =>
    serve((request, response) => {
      answer(request, response, deliveries);
      news.emit("request");
    });
  const site = await openSite({
    startUpstream,
    variables: VARIABLES,
    bindings: { assets: PAGES, kvNamespaces: ["KV"] },
    metrics: true,
  });
  const arrived = async (count) => {
    while (deliveries.length < count) await once(news, "request");
  };
  return { ...site, deliveries, arrived };
}

function answer(request, response, deliveries) {
  const { pathname } = new URL(request.url, "http://upstream");
  request.resume();
  if (pathname === "/hooks/stripe") {
    deliveries.push(request.headers["x-webhook-event-id"]);
    // This customer's events fail.
    response.statusCode = request.headers["x-webhook-event-id"].includes("fails") ? 500 : 200;
    return response.end();
  }
  if (pathname === "/api/orders") {
    // The connection ends before a response: whether the order was made is unknown.
    return request.socket.destroy();
  }
  if (pathname === "/api/payments") {
    response.writeHead(201, { "content-type": "application/json" });
    return response.end(JSON.stringify({ checkout: { id: "cs_test_1" } }));
  }
  response.setHeader("content-type", "text/html");
  response.end("<title>App</title><h1>The app</h1>");
}

// Fills the stores of the site. Returns what the tests look for.
export async function fillStores({ origin }) {
  const send = async (method, path, { body, headers, session } = {}) => {
    const response = await fetch(origin + path, {
      method,
      headers: {
        "Content-Type": "application/json",
        "Sec-Fetch-Site": "same-origin",
        ...(session && { Cookie: session }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      body: parsed(await response.text()),
      headers: response.headers,
    };
  };
  const signIn = async ({ email, password }) => {
    const answered = await send("POST", "/api/auth/login", { body: { email, password } });
    assert.equal(answered.status, 200);
    const [cookie] = answered.headers.getSetCookie()[0].split(";");
    trackSecret(valueIn(cookie));
    return cookie;
  };
  const [ada, bob] = [await signIn(ADA), await signIn(BOB)];
  const expect = async (status, ...request) => {
    const answered = await send(...request);
    assert.equal(answered.status, status, JSON.stringify(answered.body));
    return answered.body;
  };

  const makeToken = (session, name, prefix) =>
    expect(201, "POST", "/api/agent-tokens", {
      session,
      body: { name, prefix, expiresIn: "30d", agentId: "agt_7", taskId: "tsk_1" },
    });
  const bookkeeper = await makeToken(bob, "Bookkeeper", "mat_");
  trackSecret(bookkeeper.plaintext);
  trackSecret((await makeToken(ada, "Nightly export", "mat_")).plaintext);
  const machine = {
    Authorization: `Bearer ${trackSecret((await makeToken(ada, "Payer", "mat_")).plaintext)}`,
  };

  for (let at = 0; at < 55; at += 1) {
    const body = { role: "user", email: `guest-${at}@example.com` };
    await expect(201, "POST", "/api/invites", { session: ada, body });
  }
  for (const to of ["carol", "dave"]) {
    await expect(403, "POST", "/api/transfers", {
      headers: { ...machine, "Idempotency-Key": `transfer-${to}` },
      body: { to, amount: 250 },
    });
  }
  for (const key of ["order-1", "order-2"]) {
    await send("POST", "/api/orders", {
      session: bob,
      headers: { "Idempotency-Key": key },
      body: { item: "door" },
    });
  }
  await expect(201, "POST", "/api/payments", {
    session: bob,
    headers: { "Idempotency-Key": "payment-1" },
    body: { amount: 12 },
  });
  for (const id of ["evt_1", "evt_2", "evt_3", "evt_fails_1", "evt_fails_2"]) {
    await deliverEvent(send, { id, type: id.includes("fails") ? "invoice.failed" : "charge.paid" });
  }
  const feature = { state: "percent", percent: 20, principals: [BOB.userId] };
  await expect(200, "PUT", "/api/features/new-search", { session: ada, body: feature });
  await send("GET", "/orders/1", {});
  return { ada: valueIn(ada), bob: valueIn(bob) };
}

const valueIn = (cookie) => cookie.slice(cookie.indexOf("=") + 1);

function deliverEvent(send, event) {
  const body = JSON.stringify(event);
  const at = Math.floor(Date.now() / 1_000);
  const mac = createHmac("sha256", WEBHOOK_SECRET).update(`${at}.${body}`).digest("hex");
  return send("POST", "/hooks/stripe", {
    headers: { "Stripe-Signature": `t=${at},v1=${mac}` },
    body: event,
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// Answers for the endpoints of metrics, with known numbers: 600 requests in the last hour, 60 of them refused.
export async function mockMetrics(page) {
  await page.route("**/_vestibule/settings", async (route) => {
    const settings = await (await route.fetch()).json();
    await route.fulfill({ json: { ...settings, features: [...settings.features, "metrics"] } });
  });
  await page.route(/\/api\/metrics\?/, (route) => route.fulfill({ json: metrics() }));
  await page.route("**/api/metrics/tail", (route) =>
    route.fulfill({ contentType: "text/event-stream", body: TAIL }),
  );
}

function metrics() {
  const minute = Math.floor(Date.now() / 60_000) * 60_000;
  const buckets = Array.from({ length: 60 }, (_, ago) => ({
    start: new Date(minute - ago * 60_000).toISOString(),
    requests: 10,
    byDecision: { allow: 9, unauthorized: 1 },
    byReason: { session_expired: 1 },
    byStatus: { "2xx": 9, "4xx": 1 },
    byPrincipal: { user: 9 },
    byRule: { "/orders/{id}": 10 },
    heals: 1,
    replays: 0,
    duplicates: 0,
    upstream: { count: 9, sumMs: 675, buckets: [0, 9, 0] },
  }));
  return { buckets, bounds: [50, 100] };
}

const TAIL = [
  { decision: "allow", status: 200, upstreamMs: 12, principal: "user" },
  { decision: "unauthorized", reason: "session_expired", status: 401 },
  { decision: "redirect_to_login", reason: "no_credential", status: 302 },
]
  .map((line, at) => ({ requestId: `req_${at}`, method: "GET", rule: "/orders/{id}", ...line }))
  .map((line) => `event: decision\ndata: ${JSON.stringify(line)}\n\n`)
  .join("");
