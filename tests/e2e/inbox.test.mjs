// Webhooks with an inbox: accepted once stored, and delivered until upstream accepts them.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { assertProblem, openGateway, sessionCookieOf } from "../support/gateway.mjs";

const SECRET = "whsec_test_secret_of_the_provider";
const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };

let gateway;
let Cookie;
before(async () => {
  gateway = await openGateway({
    variables: {
      SESSION: { login: "accounts" },
      SETUP_TOKEN,
      WEBHOOKS: [
        {
          name: "stripe",
          scheme: "stripe",
          path: "/hooks/stripe",
          delivery: "inbox",
          timeout: "1s",
        },
        {
          name: "ordered",
          scheme: "stripe",
          path: "/hooks/ordered",
          delivery: "inbox",
          order: "/data/customer",
          timeout: "60s",
        },
      ],
      WEBHOOK_STRIPE_SECRET: SECRET,
      WEBHOOK_ORDERED_SECRET: SECRET,
    },
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: "correct horse" };
  Cookie = `mk_session=${sessionCookieOf(await post("/api/auth/setup", first)).value}`;
});
after(() => gateway.stop());

const post = (path, body, headers = {}) =>
  gateway.request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });

let count = 0;
let event;
beforeEach(() => {
  count += 1;
  event = { id: `evt_${count}`, type: "charge.refunded" };
});
const deliver = (path = "/hooks/stripe", content = event) => {
  const body = JSON.stringify(content);
  const at = Math.floor(Date.now() / 1_000);
  const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = {
    "Content-Type": "application/json",
    "Stripe-Signature": `t=${at},v1=${mac}`,
    "User-Agent": "Stripe/1.0",
    "X-User-ID": "usr_forged",
    Cookie: "a=b",
  };
  return gateway.request(path, { method: "POST", headers, body });
};
const delivered = async (path = "/hooks/stripe", id = event.id) => {
  for (;;) {
    const found = gateway.upstreamRequests.find(
      (one) => one.url === path && one.headers["x-webhook-event-id"] === id,
    );
    if (found) return found;
    await gateway.upstream.nextRequest();
  }
};
const list = async (query = "") =>
  (await gateway.request(`/api/webhooks?limit=100${query}`, { headers: { Cookie } })).json().items;
const listedEvent = async (test) => {
  for (;;) {
    const one = (await list()).find(({ eventId }) => eventId === event.id);
    if (one && test(one)) return one;
  }
};
const answer = (path, script) => {
  gateway.upstream.answers[path] = script;
};

describe("an event", () => {
  test("is accepted at once and delivered later, with its signature and the gateway's assertion", async () => {
    const response = await deliver();
    assert.deepEqual([response.status, response.text], [202, ""]);
    const { method, headers, body } = await delivered();
    assert.equal(method, "POST");
    assert.deepEqual(JSON.parse(await body), event);
    assert.equal(headers["idempotency-key"], event.id);
    assert.equal(headers["x-webhook-provider"], "stripe");
    assert.equal(headers["x-webhook-event-type"], event.type);
    assert.equal(headers["content-type"], "application/json");
    assert.match(headers["stripe-signature"], /^t=/);
    assert.equal(headers["x-user-id"], undefined);
    assert.equal(headers.cookie, undefined);
    const claims = JSON.parse(
      Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString(),
    );
    assert.deepEqual([claims.method, claims.path], ["POST", "/hooks/stripe"]);
    assert.equal(claims.requestId, headers["x-request-id"]);
    const one = await listedEvent(({ state }) => state === "delivered");
    assert.deepEqual(
      [one.webhook, one.attempts, one.duplicates, one.lastStatus],
      ["stripe", 1, 0, 200],
    );
    assert.ok(one.deliveredAt);
  });

  test("that is repeated is counted, and not delivered again", async () => {
    const all = await Promise.all(Array.from({ length: 200 }, () => deliver()));
    assert.equal(all.filter(({ status }) => status === 202).length, 1);
    for (const other of all.filter(({ status }) => status !== 202)) {
      assert.equal(other.headers["x-webhook-duplicate"], "true");
    }
    await delivered();
    const one = await listedEvent(({ state }) => state === "delivered");
    assert.equal(one.duplicates, 199);
    assert.equal(
      gateway.upstreamRequests.filter(({ headers }) => headers["x-webhook-event-id"] === event.id)
        .length,
      1,
    );
  });

  test("is retried until upstream accepts it", async () => {
    let tries = 0;
    answer("/hooks/stripe", (request, response) => {
      tries += 1;
      if (tries === 1) return request.socket.destroy();
      response.writeHead(tries === 2 ? 503 : 204).end();
    });
    await deliver();
    const one = await listedEvent(({ state }) => state === "delivered");
    assert.deepEqual([one.attempts, one.lastStatus, tries], [3, 204, 3]);
    answer("/hooks/stripe", undefined);
  });

  test("with an invalid signature is not accepted", async () => {
    const body = JSON.stringify(event);
    const response = await gateway.request("/hooks/stripe", {
      method: "POST",
      headers: { "Stripe-Signature": "t=1,v1=00" },
      body,
    });
    assertProblem(response, 401, "invalid_signature", "too_old");
    assert.ok(!(await list()).some(({ eventId }) => eventId === event.id));
  });
});

test("events with the same subject are delivered one after the other", async () => {
  const responses = [];
  answer("/hooks/ordered", (_, response) => responses.push(() => response.writeHead(200).end()));
  const deliverOrdered = (id, customer) =>
    deliver("/hooks/ordered", { id: `${event.id}_${id}`, type: "t", data: { customer } });
  await deliverOrdered("a", "ada");
  await delivered("/hooks/ordered", `${event.id}_a`);
  await deliverOrdered("b", "ada");
  await deliverOrdered("c", "bob");
  const order = () =>
    gateway.upstreamRequests
      .filter(({ url }) => url === "/hooks/ordered")
      .map(({ headers }) => headers["x-webhook-event-id"].slice(-1));
  // Upstream has not answered "a" yet. This holds back "b" but not another subject's event, which was accepted later.
  await delivered("/hooks/ordered", `${event.id}_c`);
  assert.deepEqual(order(), ["a", "c"]);
  responses[0]();
  await delivered("/hooks/ordered", `${event.id}_b`);
  assert.deepEqual(order(), ["a", "c", "b"]);
  for (const respond of responses.slice(1)) respond();
});

describe("an operator", () => {
  test("can have an event delivered again", async () => {
    await deliver();
    await delivered();
    const { id } = await listedEvent(({ state }) => state === "delivered");
    const before = gateway.upstreamRequests.length;
    const response = await post(`/api/webhooks/${id}/redeliver`, {}, { Cookie });
    assert.equal(response.status, 202, response.text);
    while (gateway.upstreamRequests.length === before) await gateway.upstream.nextRequest();
    assert.equal(gateway.upstreamRequests.at(-1).headers["idempotency-key"], event.id);
  });

  test("can list events by state and webhook, page by page", async () => {
    const all = await list("&webhook=stripe");
    assert.ok(all.length > 3 && all.every(({ webhook }) => webhook === "stripe"));
    assert.deepEqual(await list("&state=dead"), []);
    const pages = [];
    let cursor = "";
    do {
      const query = `?limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
      const page = await gateway.request(`/api/webhooks${query}`, { headers: { Cookie } });
      pages.push(...page.json().items);
      cursor = page.json().next;
    } while (cursor);
    assert.deepEqual(
      pages.map(({ id }) => id),
      (await list()).map(({ id }) => id),
    );
  });

  test("must be an admin and give known ids and states", async () => {
    assertProblem(await gateway.request("/api/webhooks"), 401, "unauthorized", "no_credential");
    for (const id of ["whk_stripe.none", "whk_none.x", "x", "whk_stripe"]) {
      const response = await post(`/api/webhooks/${id}/redeliver`, {}, { Cookie });
      assertProblem(response, 404, "not_found");
    }
    const unknown = await gateway.request("/api/webhooks?state=x", { headers: { Cookie } });
    assert.equal(assertProblem(unknown, 400, "invalid_body").field, "state");
  });
});

// This comes last, because it leaves more events than a page of the list has.
describe("while upstream does not respond to some events", () => {
  const HANGING = 40;
  const held = [];
  const hang = (request, response) => {
    if (request.headers["x-webhook-event-type"] === "hang") held.push(response);
    else response.writeHead(200).end();
  };
  after(() => {
    answer("/hooks/ordered", undefined);
    for (const response of held) response.destroy();
  });

  test("later events with other subjects are delivered", async () => {
    answer("/hooks/ordered", hang);
    const name = event.id;
    const deliverTyped = (id, type, customer) =>
      deliver("/hooks/ordered", { id: `${name}_${id}`, type, data: { customer } });
    for (let at = 0; at < HANGING; at += 1) {
      assert.equal((await deliverTyped(`hang${at}`, "hang", `hangs${at}`)).status, 202);
    }
    assert.equal((await deliverTyped("behind", "t", "hangs0")).status, 202);
    for (let at = 0; at < 100; at += 1) await deliverTyped(`good${at}`, "t", `good${at % 10}`);
    // Each is delivered while all hanging events still hang.
    for (let at = 0; at < 100; at += 1) await delivered("/hooks/ordered", `${name}_good${at}`);
    const ids = gateway.upstreamRequests.map(({ headers }) => headers["x-webhook-event-id"]);
    assert.ok(!ids.includes(`${name}_behind`), "an event waits for the one before it");
    const hanging = ids.filter((id) => id?.startsWith(`${name}_hang`));
    assert.equal(hanging.length, new Set(hanging).size, "no hanging event was retried meanwhile");
  });
});
