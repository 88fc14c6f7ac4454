// Stripe's own client, with its own retries and keys, before an upstream that charges each time it is asked.
// Whatever breaks: one charge, and the client has it or an error that says what is known.

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

// The second isolate is an hour ahead: no lease is left there.
const NOW = now();
const LATER = 3_600;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { DANGER_FIXED_NOW: NOW },
    twin: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

// What upstream has made, by key.
let made;
let key;
beforeEach(() => {
  made = new Map();
  key = randomUUID();
});

const charges = () => made.get(key)?.length ?? 0;
const charge = ({ url, headers }) => {
  const key = headers["idempotency-key"];
  const one = { id: `ch_${randomUUID()}`, object: url.split("/").at(-1), status: "succeeded" };
  made.set(key, [...(made.get(key) ?? []), one]);
  return one;
};
const reply = (response, status, body, headers = {}) =>
  response
    .writeHead(status, { "Content-Type": "application/json", "Request-Id": "req_1", ...headers })
    .end(JSON.stringify(body));
const failure = { error: { type: "api_error", message: "something broke" } };

// Has upstream answer so, one after the other; the last from then on.
const answers = (path, ...scripts) => {
  gateway.upstream.answers[path] = async (request, response, seen) => {
    await seen.body;
    const script = scripts.length > 1 ? scripts.shift() : scripts[0];
    await script(request, response);
  };
};
const charged = (request, response) => reply(response, 200, charge(request));
const broken = (request) => {
  charge(request);
  request.socket.destroy();
};

// Stripe's client, and the status of each attempt that it made; nothing where it was not answered.
// `through` names another isolate that answers for the same host.
function client({ origin = gateway.direct, through = origin, ...options } = {}) {
  const { hostname, port } = new URL(origin);
  const agent = new http.Agent({ keepAlive: false });
  agent.createConnection = () => net.connect(new URL(through).port, hostname);
  const inner = Stripe.createNodeHttpClient(agent);
  const attempts = [];
  const httpClient = Object.assign(Object.create(inner), {
    async makeRequest(...request) {
      const at = attempts.push(undefined) - 1;
      const response = await inner.makeRequest(...request);
      attempts[at] = response.getStatusCode();
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
const failed = async (paying) => {
  const error = await paying.then(
    (paid) => assert.fail(`it was paid: ${JSON.stringify(paid)}`),
    (error) => error,
  );
  assert.ok(error instanceof Stripe.errors.StripeError, String(error));
  return error;
};

test("a charge is made, and the same again is the same charge", async () => {
  answers(CHARGES, charged);
  const shop = client();
  const first = await pay(shop);
  assert.equal(first.id, made.get(key)[0].id);
  const again = await pay(shop);
  assert.equal(again.id, first.id);
  assert.equal(again.lastResponse.headers["idempotent-replayed"], "true");
  assert.equal(charges(), 1);
});

test("keys that the client makes by itself are taken", async () => {
  answers(CHARGES, charged);
  const { stripe } = client();
  await stripe.charges.create({ amount: 1, currency: "eur" });
  const [generated] = made.keys();
  assert.match(generated, /^stripe-node-retry-/);
});

test("another amount under the same key is refused, and not tried again", async () => {
  answers(CHARGES, charged);
  const shop = client();
  await pay(shop);
  const error = await failed(pay(shop, 2_000));
  assert.deepEqual([error.statusCode, error.rawType], [422, "idempotency_key_reused"]);
  assert.deepEqual(shop.attempts, [200, 422]);
  assert.equal(charges(), 1);
});

describe("the client's connection", () => {
  test("breaks when the charge was made: the client tries again and has it", async (t) => {
    // Its first answer gets lost.
    let answered = 0;
    const proxy = net.createServer((socket) => {
      const door = net.connect(Number(new URL(gateway.direct).port), "127.0.0.1");
      for (const one of [socket, door]) one.on("error", () => {});
      socket.pipe(door);
      door.once("data", (bytes) => {
        answered += 1;
        if (answered === 1) return socket.destroy();
        socket.write(bytes);
        door.pipe(socket);
      });
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    t.after(() => proxy.close());
    answers(CHARGES, charged);
    const shop = client({ origin: `http://127.0.0.1:${proxy.address().port}` });
    const paid = await pay(shop);
    assert.equal(paid.id, made.get(key)[0].id);
    assert.equal(paid.lastResponse.headers["idempotent-replayed"], "true");
    assert.deepEqual(shop.attempts, [undefined, 200]);
    assert.equal(charges(), 1);
  });

  test("times out: the client is told to wait, and has it once it is there", async () => {
    let give;
    const told = new Promise((resolve) => {
      give = resolve;
    });
    answers(CHARGES, async (request, response) => {
      const one = charge(request);
      await told;
      reply(response, 200, one);
    });
    const shop = client({ timeout: 300, maxNetworkRetries: 6 });
    const paying = pay(shop);
    await gateway.logged((line) => line.includes('"idempotency_in_flight"'));
    give();
    const paid = await paying;
    assert.equal(paid.id, made.get(key)[0].id);
    assert.equal(paid.lastResponse.headers["idempotent-replayed"], "true");
    const [first, second] = shop.attempts;
    assert.deepEqual([first, second, shop.attempts.at(-1)], [undefined, 409, 200]);
    assert.equal(charges(), 1);
  });
});

describe("upstream", () => {
  test("breaks off when the charge was made: the client learns that it is not known", async () => {
    answers(CHARGES, broken, charged);
    const shop = client({ maxNetworkRetries: 1 });
    const error = await failed(pay(shop));
    assert.deepEqual([error.statusCode, error.rawType], [409, "idempotency_in_flight"]);
    assert.deepEqual(shop.attempts, [502, 409]);
    // Once the lease is over.
    const late = client({ through: gateway.twin, maxNetworkRetries: 1 });
    const unknown = await failed(pay(late));
    assert.deepEqual([unknown.statusCode, unknown.rawType], [409, "idempotency_outcome_unknown"]);
    assert.deepEqual(late.attempts, [409, 409], "it tries again in vain");
    assert.equal(charges(), 1);
  });

  test("breaks off, and can be asked: the client has the charge in the end", async () => {
    const asked = (request, response) => {
      assert.equal(request.headers["x-idempotency-recovery"], "1");
      const [known] = made.get(request.headers["idempotency-key"]);
      reply(response, 200, known);
    };
    answers("/v1/refunds", broken, asked);
    const refund = ({ stripe }) =>
      stripe.refunds.create({ charge: "ch_1" }, { idempotencyKey: key });
    const error = await failed(refund(client({ maxNetworkRetries: 0 })));
    assert.deepEqual([error.statusCode, error.rawType], [502, "upstream_failed"]);
    const paid = await refund(client({ through: gateway.twin }));
    assert.equal(paid.id, made.get(key)[0].id);
    assert.equal(charges(), 1);
  });

  test("fails once without a charge: the client tries again and is charged once", async () => {
    answers(CHARGES, (_, response) => reply(response, 500, failure), charged);
    const shop = client();
    const paid = await pay(shop);
    assert.equal(paid.id, made.get(key)[0].id);
    assert.deepEqual(shop.attempts, [500, 200]);
    assert.equal(charges(), 1);
  });

  test("fails with a charge, as Stripe keeps it: the error stays, and nothing is charged again", async () => {
    const path = "/v1/payment_intents";
    const fail = (request, response) => {
      charge(request);
      reply(response, 500, failure, { "Stripe-Should-Retry": "false" });
    };
    answers(path, fail, charged);
    const shop = client();
    const intend = () =>
      shop.stripe.paymentIntents.create({ amount: 1, currency: "eur" }, { idempotencyKey: key });
    for (const _ of [1, 2]) {
      const error = await failed(intend());
      assert.ok(error instanceof Stripe.errors.StripeAPIError);
      assert.deepEqual([error.statusCode, error.message], [500, "something broke"]);
    }
    assert.deepEqual(shop.attempts, [500, 500], "what upstream says of trying again is kept too");
    assert.equal(charges(), 1);
  });

  test("declines a card: the client is told so, as often as it asks", async () => {
    const error = { type: "card_error", code: "card_declined", message: "no" };
    answers(CHARGES, (_, response) => reply(response, 402, { error }), charged);
    const shop = client();
    for (const replayed of [undefined, "true"]) {
      const declined = await failed(pay(shop));
      assert.ok(declined instanceof Stripe.errors.StripeCardError);
      assert.equal(declined.code, "card_declined");
      assert.equal(declined.headers["idempotent-replayed"], replayed);
    }
    assert.deepEqual(shop.attempts, [402, 402]);
    assert.equal(charges(), 0);
  });
});
