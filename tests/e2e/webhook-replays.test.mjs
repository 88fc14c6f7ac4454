// A replay is recognized by its signed bytes: unsigned headers never make it a new event.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { openGateway } from "../support/gateway.mjs";

const SECRET = "secret_of_the_provider";
const WEBHOOKS = [
  { name: "github", scheme: "github", path: "/hooks/github" },
  { name: "bytes", scheme: "github", path: "/hooks/bytes", dedupe: "payload_hash" },
  { name: "kept", scheme: "github", path: "/hooks/kept", delivery: "inbox" },
  {
    name: "orders",
    scheme: "shopify",
    path: "/hooks/orders",
    events: ["orders/create", "orders/paid"],
  },
  { name: "whole", scheme: "shopify", path: "/hooks/whole", dedupe: "payload_hash" },
];

let gateway;
before(async () => {
  const secrets = WEBHOOKS.map(({ name }) => [`WEBHOOK_${name.toUpperCase()}_SECRET`, SECRET]);
  gateway = await openGateway({
    routes: [{ path: "/{*rest}", access: "public" }],
    variables: { WEBHOOKS, ...Object.fromEntries(secrets) },
  });
});
after(() => gateway.stop());

let count = 0;
const event = () => {
  count += 1;
  return JSON.stringify({ id: count });
};
const mac = (body) => createHmac("sha256", SECRET).update(body);
const deliver = (path, body, headers) =>
  gateway.request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body,
  });
const github = (path, body, kind, more = {}) =>
  deliver(path, body, {
    "X-Hub-Signature-256": `sha256=${mac(body).digest("hex")}`,
    ...(kind === undefined ? {} : { "X-GitHub-Event": kind }),
    ...more,
  });
const shopify = (path, body, topic, more = {}) =>
  deliver(path, body, {
    "X-Shopify-Hmac-Sha256": mac(body).digest("base64"),
    ...(topic === undefined ? {} : { "X-Shopify-Topic": topic }),
    ...more,
  });
const assertKnown = (response, as = "duplicate") => {
  assert.deepEqual([response.status, response.text], [200, ""]);
  assert.equal(response.headers[`x-webhook-${as}`], "true");
};
const REPLAYS = [
  ["push", {}],
  ["release", {}],
  ["", {}],
  [undefined, {}],
  ["push", { "X-GitHub-Delivery": "another", "Idempotency-Key": "another" }],
  ["push", { X_GitHub_Event: "another", "X-Webhook-Event-Type": "another" }],
  ["push", { "Content-Type": "application/x-www-form-urlencoded" }],
];

describe("GitHub", () => {
  for (const path of ["/hooks/github", "/hooks/bytes"]) {
    test(`${path}: one body is one event, whatever its headers say`, async () => {
      const body = event();
      const { seen } = await gateway.expectForwarded(() => github(path, body, "push"));
      const hash = createHash("sha256").update(body).digest("hex");
      assert.equal(seen.headers["idempotency-key"], hash);
      assert.equal(seen.headers["x-webhook-payload-hash"], hash);
      for (const [kind, more] of REPLAYS) {
        assertKnown(await gateway.expectNotForwarded(() => github(path, body, kind, more)));
      }
      await gateway.expectForwarded(() => github(path, event(), "push"));
    });
  }

  test("the unsigned type is forwarded as X-Webhook-Unsigned-Event-Type", async () => {
    const { seen } = await gateway.expectForwarded(() =>
      github("/hooks/github", event(), "push", { "X-Webhook-Unsigned-Event-Type": "forged" }),
    );
    assert.equal(seen.headers["x-webhook-unsigned-event-type"], "push");
    assert.equal(seen.headers["x-webhook-event-type"], undefined);
  });

  test("an inbox keeps one body once, and delivers it with the same header", async () => {
    const body = event();
    const from = gateway.upstreamRequests.length;
    assert.equal((await github("/hooks/kept", body, "push")).status, 202);
    while (gateway.upstreamRequests.length === from) await gateway.upstream.nextRequest();
    const seen = gateway.upstreamRequests[from];
    assert.equal(seen.headers["x-webhook-unsigned-event-type"], "push");
    assert.equal(seen.headers["x-webhook-event-type"], undefined);
    for (const [kind, more] of REPLAYS) {
      assertKnown(await gateway.expectNotForwarded(() => github("/hooks/kept", body, kind, more)));
    }
  });
});

describe("Shopify", () => {
  test("the same bytes are forwarded once for each listed topic, and for no other", async () => {
    const body = event();
    const keys = new Set();
    for (const topic of ["orders/create", "orders/paid"]) {
      const { seen } = await gateway.expectForwarded(() => shopify("/hooks/orders", body, topic));
      assert.equal(seen.headers["x-webhook-unsigned-event-type"], topic);
      assert.equal(seen.headers["x-webhook-event-type"], undefined);
      keys.add(seen.headers["idempotency-key"]);
    }
    assert.equal(keys.size, 2);
    for (const topic of ["orders/create", "orders/paid"]) {
      const more = { "X-Shopify-Event-Id": "another", "X-Shopify-Webhook-Id": "another" };
      assertKnown(
        await gateway.expectNotForwarded(() => shopify("/hooks/orders", body, topic, more)),
      );
    }
    for (const topic of ["orders/updated", "Orders/Create", "orders/create ,x", "", undefined]) {
      const ignored = await gateway.expectNotForwarded(() => shopify("/hooks/orders", body, topic));
      assertKnown(ignored, "ignored");
    }
  });

  test("with payload_hash, one body is one event under every topic", async () => {
    const body = event();
    const { seen } = await gateway.expectForwarded(() =>
      shopify("/hooks/whole", body, "orders/create"),
    );
    assert.equal(seen.headers["idempotency-key"], createHash("sha256").update(body).digest("hex"));
    for (const topic of ["orders/create", "orders/paid", "", undefined]) {
      assertKnown(await gateway.expectNotForwarded(() => shopify("/hooks/whole", body, topic)));
    }
  });
});
