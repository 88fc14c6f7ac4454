// Stripe's own client library, with its retries and keys, in front of an upstream that makes a charge for each request.
// After any failure there is one charge, and the client has it or an error that says what is known.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import Stripe from "stripe";
import { openGateway } from "../support/gateway.mjs";
import { now } from "../support/tokens.mjs";

const CHARGES = "/v1/charges";
const keyed = { access: "public", methods: ["POST"], idempotency: "required" };
const ROUTES = [
  { path: CHARGES, ...keyed },
  { path: "/v1/payment_intents", save: "stripe", ...keyed },
  { path: "/v1/refunds", hold: "ask", ...keyed },
];

// The second isolate's clock is an hour ahead, so all leases have ended there.
const NOW = now();
const LATER = 3_600;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { DANGER_FIXED_NOW: NOW },
    secondIsolate: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

// The charges that upstream made, by key.
let charges;
let key;
beforeEach(() => {
  charges = new Map();
  key = randomUUID();
});

const chargeCount = () => charges.get(key)?.length ?? 0;
const charge = ({ url, headers }) => {
  const key = headers["idempotency-key"];
  const one = { id: `ch_${randomUUID()}`, object: url.split("/").at(-1), status: "succeeded" };
  charges.set(key, [...(charges.get(key) ?? []), one]);
  return one;
};
const reply = (response, status, body, headers = {}) =>
  response
    .writeHead(status, { "Content-Type": "application/json", "Request-Id": "req_1", ...headers })
    .end(JSON.stringify(body));
const failure = { error: { type: "api_error", message: "something broke" } };

// Sets upstream's responses: the scripts in order, and the last one from then on.
const respondWith = (path, ...scripts) => {
  gateway.upstream.answers[path] = async (request, response, seen) => {
    await seen.body;
    const script = scripts.length > 1 ? scripts.shift() : scripts[0];
    await script(request, response);
  };
};
const charged = (request, response) => reply(response, 200, charge(request));
const chargeAndDisconnect = (request) => {
  charge(request);
  request.socket.destroy();
};

// Returns Stripe's client and the status of each of its attempts; undefined for an attempt without a response.
// `through` is another isolate, to which the requests go under the same host name.
function client({ origin = gateway.direct, through = origin, ...options } = {}) {
  const { hostname, port } = new URL(origin);
  const agent = new http.Agent({ keepAlive: false });
  agent.createConnection = () => net.connect(new URL(through).port, hostname);
  const inner = Stripe.createNodeHttpClient(agent);
  const attempts = [];
  const httpClient = Object.assign(Object.create(inner), {
    async makeRequest(...request) {
      const index = attempts.push(undefined) - 1;
      const response = await inner.makeRequest(...request);
      attempts[index] = response.getStatusCode();
      return response;
    },
  });
  const stripe = new Stripe("sk_test_x", {
    host: hostname,
    port,
    protocol: "http",
    maxNetworkRetries: 2,
    telemetry: false,
    httpClient,
    ...options,
  });
  return { stripe, attempts };
}
const pay = ({ stripe }, amount = 1_000) =>
  stripe.charges.create({ amount, currency: "eur", source: "tok_visa" }, { idempotencyKey: key });
const failureOf = async (payment) => {
  const error = await payment.then(
    (paid) => assert.fail(`the payment succeeded: ${JSON.stringify(paid)}`),
    (error) => error,
  );
  assert.ok(error instanceof Stripe.errors.StripeError, String(error));
  return error;
};

test("returns the same charge if the request is repeated", async () => {
  respondWith(CHARGES, charged);
  const shop = client();
  const first = await pay(shop);
  assert.equal(first.id, charges.get(key)[0].id);
  const again = await pay(shop);
  assert.equal(again.id, first.id);
  assert.equal(again.lastResponse.headers["idempotent-replayed"], "true");
  assert.equal(chargeCount(), 1);
});

test("accepts the keys that the client generates", async () => {
  respondWith(CHARGES, charged);
  const { stripe } = client();
  await stripe.charges.create({ amount: 1, currency: "eur" });
  const [generated] = charges.keys();
  assert.match(generated, /^stripe-node-retry-/);
});

test("refuses another amount under the same key, and the client does not retry", async () => {
  respondWith(CHARGES, charged);
  const shop = client();
  await pay(shop);
  const error = await failureOf(pay(shop, 2_000));
  assert.deepEqual([error.statusCode, error.rawType], [422, "idempotency_key_reused"]);
  assert.deepEqual(shop.attempts, [200, 422]);
  assert.equal(chargeCount(), 1);
});

describe("if the client's connection", () => {
  test("breaks after the charge, a retry gets the charge", async (t) => {
    // The proxy drops the first response.
    let responses = 0;
    const proxy = net.createServer((socket) => {
      const gatewaySocket = net.connect(Number(new URL(gateway.direct).port), "127.0.0.1");
      for (const one of [socket, gatewaySocket]) one.on("error", () => {});
      socket.pipe(gatewaySocket);
      gatewaySocket.once("data", (bytes) => {
        responses += 1;
        if (responses === 1) return socket.destroy();
        socket.write(bytes);
        gatewaySocket.pipe(socket);
      });
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    t.after(() => proxy.close());
    respondWith(CHARGES, charged);
    const shop = client({ origin: `http://127.0.0.1:${proxy.address().port}` });
    const paid = await pay(shop);
    assert.equal(paid.id, charges.get(key)[0].id);
    assert.equal(paid.lastResponse.headers["idempotent-replayed"], "true");
    assert.deepEqual(shop.attempts, [undefined, 200]);
    assert.equal(chargeCount(), 1);
  });

  test("times out, retries get 409 until the charge is made, and then the charge", async () => {
    let release;
    const released = new Promise((resolve) => {
      release = resolve;
    });
    respondWith(CHARGES, async (request, response) => {
      const one = charge(request);
      await released;
      reply(response, 200, one);
    });
    const shop = client({ timeout: 300, maxNetworkRetries: 6 });
    const payment = pay(shop);
    await gateway.waitForLog((line) => line.includes('"idempotency_in_flight"'));
    release();
    const paid = await payment;
    assert.equal(paid.id, charges.get(key)[0].id);
    assert.equal(paid.lastResponse.headers["idempotent-replayed"], "true");
    const [first, second] = shop.attempts;
    assert.deepEqual([first, second, shop.attempts.at(-1)], [undefined, 409, 200]);
    assert.equal(chargeCount(), 1);
  });
});

describe("if upstream", () => {
  test("disconnects after the charge, the client learns that the outcome is unknown", async () => {
    respondWith(CHARGES, chargeAndDisconnect, charged);
    const shop = client({ maxNetworkRetries: 1 });
    const error = await failureOf(pay(shop));
    assert.deepEqual([error.statusCode, error.rawType], [409, "idempotency_in_flight"]);
    assert.deepEqual(shop.attempts, [502, 409]);
    // After the lease has ended.
    const late = client({ through: gateway.secondIsolate, maxNetworkRetries: 1 });
    const unknown = await failureOf(pay(late));
    assert.deepEqual([unknown.statusCode, unknown.rawType], [409, "idempotency_outcome_unknown"]);
    assert.deepEqual(late.attempts, [409, 409], "the client retries, with the same result");
    assert.equal(chargeCount(), 1);
  });

  test("disconnects after the charge and the rule has hold = ask, a retry gets the charge", async () => {
    const recover = (request, response) => {
      assert.equal(request.headers["x-idempotency-recovery"], "1");
      const [known] = charges.get(request.headers["idempotency-key"]);
      reply(response, 200, known);
    };
    respondWith("/v1/refunds", chargeAndDisconnect, recover);
    const refund = ({ stripe }) =>
      stripe.refunds.create({ charge: "ch_1" }, { idempotencyKey: key });
    const error = await failureOf(refund(client({ maxNetworkRetries: 0 })));
    assert.deepEqual([error.statusCode, error.rawType], [502, "upstream_failed"]);
    const paid = await refund(client({ through: gateway.secondIsolate }));
    assert.equal(paid.id, charges.get(key)[0].id);
    assert.equal(chargeCount(), 1);
  });

  test("fails once without a charge, a retry makes one charge", async () => {
    respondWith(CHARGES, (_, response) => reply(response, 500, failure), charged);
    const shop = client();
    const paid = await pay(shop);
    assert.equal(paid.id, charges.get(key)[0].id);
    assert.deepEqual(shop.attempts, [500, 200]);
    assert.equal(chargeCount(), 1);
  });

  test("fails after the charge and the rule has save = stripe, the error is replayed and nothing is charged again", async () => {
    const path = "/v1/payment_intents";
    const fail = (request, response) => {
      charge(request);
      reply(response, 500, failure, { "Stripe-Should-Retry": "false" });
    };
    respondWith(path, fail, charged);
    const shop = client();
    const createIntent = () =>
      shop.stripe.paymentIntents.create({ amount: 1, currency: "eur" }, { idempotencyKey: key });
    for (const _ of [1, 2]) {
      const error = await failureOf(createIntent());
      assert.ok(error instanceof Stripe.errors.StripeAPIError);
      assert.deepEqual([error.statusCode, error.message], [500, "something broke"]);
    }
    assert.deepEqual(shop.attempts, [500, 500], "the header Stripe-Should-Retry is replayed, too");
    assert.equal(chargeCount(), 1);
  });

  test("declines a card, the refusal is replayed", async () => {
    const error = { type: "card_error", code: "card_declined", message: "no" };
    respondWith(CHARGES, (_, response) => reply(response, 402, { error }), charged);
    const shop = client();
    for (const replayed of [undefined, "true"]) {
      const declined = await failureOf(pay(shop));
      assert.ok(declined instanceof Stripe.errors.StripeCardError);
      assert.equal(declined.code, "card_declined");
      assert.equal(declined.headers["idempotent-replayed"], replayed);
    }
    assert.deepEqual(shop.attempts, [402, 402]);
    assert.equal(chargeCount(), 0);
  });
});
