// Checkouts: only a verified webhook confirms one, whatever the browser sends. Maintenance ticks release the ones that
// were never paid.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, now, sessionCookies } from "../support/tokens.mjs";

const SECRET = "whsec_test_secret_of_the_provider";
const NOW = now();
const LATER = 3_600;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [
      {
        path: "/api/orders",
        methods: ["POST"],
        access: "optional",
        idempotency: "required",
        checkout: { provider: "stripe", ref: "/checkout/id", reserve: "30m" },
      },
      {
        path: "/api/others",
        methods: ["POST"],
        access: "optional",
        idempotency: "required",
        checkout: { provider: "other", ref: "/checkout/id", reserve: "30m" },
      },
      { path: "/done", access: "public" },
    ],
    variables: {
      DANGER_FIXED_NOW: NOW,
      WEBHOOKS: [
        { name: "stripe", scheme: "stripe", path: "/hooks/stripe" },
        { name: "other", scheme: "stripe", path: "/hooks/other" },
      ],
      WEBHOOK_STRIPE_SECRET: SECRET,
      WEBHOOK_OTHER_SECRET: SECRET,
      CHECKOUT_PROVIDERS: [
        {
          provider: "stripe",
          confirm: [
            {
              event: "checkout.session.completed",
              ref: "/data/object/id",
              equals: { "/data/object/payment_status": "paid" },
            },
          ],
        },
        {
          provider: "other",
          confirm: [{ event: "checkout.session.completed", ref: "/data/object/id" }],
        },
      ],
      MAINTENANCE: [{ path: "/internal/tick", timeout: "2s" }],
    },
    secondIsolate: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

let count = 0;
let ref;
beforeEach(() => {
  count += 1;
  ref = `cs_${count}`;
});

const ADA = {
  Cookie: sessionCookies(createSessionToken({ userId: "usr_ada", iat: NOW, exp: NOW + 2 * LATER })),
};
const BOB = {
  Cookie: sessionCookies(createSessionToken({ userId: "usr_bob", iat: NOW, exp: NOW + 2 * LATER })),
};
const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };
const callLater = (...args) => gateway.requestSecondIsolate(...args);

const begin = (caller = ADA, request = gateway.request, options = {}) => {
  const { path = "/api/orders", key = `key-${ref}`, id = JSON.stringify(ref) } = options;
  gateway.upstream.answers[path] = {
    status: 201,
    headers: ["Content-Type", "application/json"],
    body: `{"order":7,"checkout":{"id":${id}}}`,
  };
  return request(path, {
    method: "POST",
    headers: { ...SAME_SITE, ...caller, "Idempotency-Key": key },
    body: "{}",
  });
};
const postEvent = (path, event, headers) =>
  gateway.request(path, { method: "POST", headers, body: JSON.stringify(event) });
const sendPaidEvent = (
  overrides = {},
  request = gateway.request,
  at = NOW,
  path = "/hooks/stripe",
) => {
  const event = {
    id: `evt_${ref}`,
    type: "checkout.session.completed",
    data: { object: { id: ref, payment_status: "paid" } },
    ...overrides,
  };
  return sendSigned(JSON.stringify(event), request, at, path);
};
const sendSigned = (body, request = gateway.request, at = NOW, path = "/hooks/stripe") => {
  const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = { "Stripe-Signature": `t=${at},v1=${mac}` };
  return request(path, { method: "POST", headers, body });
};
const getCheckout = async (caller = ADA, request = gateway.request, query = "") => {
  const response = await request(`/api/checkouts/${ref}${query}`, { headers: caller });
  assert.equal(response.status, 200, response.text);
  return response.json();
};
const cancel = (caller = ADA, request = gateway.request) =>
  request(`/api/checkouts/${ref}/cancel`, { method: "POST", headers: { ...SAME_SITE, ...caller } });

describe("a checkout", () => {
  test("is pending until a verified webhook confirms it", async () => {
    assert.equal((await begin()).status, 201);
    const pending = await getCheckout();
    assert.deepEqual(pending, {
      ref,
      provider: "stripe",
      status: "pending",
      late: false,
      evidence: null,
      expiresAt: new Date((NOW + 1_800) * 1_000).toISOString().replace(".000", ""),
      history: [],
    });
    // The browser returns before the provider's webhook arrives.
    await gateway.request(`/done?session_id=${ref}&status=paid`, { headers: ADA });
    assert.equal((await getCheckout()).status, "pending");
    assert.equal((await sendPaidEvent()).text, "ok");
    const confirmed = await getCheckout();
    assert.equal(confirmed.status, "confirmed");
    assert.deepEqual(confirmed.evidence, {
      webhook: "stripe",
      event: `evt_${ref}`,
      eventType: "checkout.session.completed",
      at: new Date(NOW * 1_000).toISOString().replace(".000", ""),
    });
    assert.equal(
      (await cancel()).json().status,
      "confirmed",
      "a confirmed checkout cannot be cancelled",
    );
    assert.equal((await getCheckout(ADA, callLater)).status, "confirmed");
  });

  test("is not confirmed by unsigned events or events that do not match", async () => {
    await begin();
    const event = {
      id: "evt_x",
      type: "checkout.session.completed",
      data: { object: { id: ref } },
    };
    const forged = await gateway.expectNotForwarded(() => postEvent("/hooks/stripe", event, {}));
    assertProblem(forged, 401, "invalid_signature", "missing_header");
    await sendPaidEvent({ data: { object: { id: ref, payment_status: "unpaid" } } });
    await sendPaidEvent({ id: `${ref}_2`, type: "checkout.session.expired" });
    await sendPaidEvent({
      id: `${ref}_3`,
      data: { object: { id: [ref], payment_status: "paid" } },
    });
    assert.equal((await getCheckout()).status, "pending");
    // A validly signed event of another provider.
    await sendPaidEvent({}, gateway.request, NOW, "/hooks/other");
    assert.equal((await getCheckout()).status, "pending");
  });

  test("can be confirmed before upstream has answered", async () => {
    await sendPaidEvent();
    for (const caller of [{}, ADA, BOB]) {
      const early = await gateway.request(`/api/checkouts/${ref}`, { headers: caller });
      assertProblem(early, 404, "not_found");
    }
    await begin();
    const { status: checkoutStatus, late } = await getCheckout();
    assert.deepEqual([checkoutStatus, late], ["confirmed", false]);
  });

  test("that was cancelled or expired is still confirmed, and marked as late", async () => {
    await begin();
    assert.equal((await cancel()).json().status, "cancelled");
    assert.equal((await cancel()).json().status, "cancelled");
    await sendPaidEvent();
    const cancelled = await getCheckout();
    assert.deepEqual([cancelled.status, cancelled.late], ["confirmed", true]);
    ref = `${ref}_expired`;
    await begin();
    assert.equal((await getCheckout(ADA, callLater)).status, "expired");
    assert.equal((await cancel(ADA, callLater)).json().status, "expired");
    await sendPaidEvent({}, callLater, NOW + LATER);
    const expired = await getCheckout(ADA, callLater);
    assert.deepEqual([expired.status, expired.late], ["confirmed", true]);
  });

  test("can be read and cancelled by its owner only", async () => {
    await begin();
    for (const caller of [BOB, {}]) {
      const response = await gateway.request(`/api/checkouts/${ref}`, { headers: caller });
      assertProblem(response, 404, "not_found");
      assertProblem(await cancel(caller), 404, "not_found");
    }
    const foreign = { ...ADA, "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" };
    assertProblem(await cancel(foreign), 403, "forbidden_origin");
    assert.equal((await getCheckout()).status, "pending");
    ref = "cs_of_nobody";
    const unknown = await gateway.request(`/api/checkouts/${ref}`, { headers: ADA });
    assertProblem(unknown, 404, "not_found");
  });

  test("without an owner can be read and cancelled by anyone who knows its ref", async () => {
    await begin({});
    assert.equal((await getCheckout(BOB)).status, "pending");
    assert.equal((await cancel({})).json().status, "cancelled");
  });

  test("is begun once under one idempotency key", async () => {
    const before = gateway.upstreamRequests.length;
    const first = await begin();
    await cancel();
    const replay = await begin();
    assert.equal(replay.headers["idempotent-replayed"], "true");
    assert.equal(replay.text, first.text);
    assert.equal(gateway.upstreamRequests.length, before + 1);
    assert.equal((await getCheckout()).status, "cancelled");
  });

  test("whose ref upstream does not return is logged, and the response is forwarded", async () => {
    gateway.upstream.answers["/api/orders"] = { status: 201, body: "no JSON" };
    const response = await gateway.request("/api/orders", {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA, "Idempotency-Key": `key-${ref}` },
    });
    assert.deepEqual([response.status, response.text], [201, "no JSON"]);
    await gateway.waitForLog((line) => line.includes('"unregistered"'));
  });

  test("whose response is a stream is logged and marked, and the response is forwarded", async () => {
    const headers = { "Content-Type": "text/event-stream" };
    gateway.upstream.answers["/api/orders"] = { status: 201, headers, body: "data: 1\n\n" };
    const response = await gateway.request("/api/orders", {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA, "Idempotency-Key": `stream-${ref}` },
    });
    assert.deepEqual([response.status, response.text], [201, "data: 1\n\n"]);
    assert.equal(response.headers["x-vestibule-checkout"], "unregistered");
    const requestId = gateway.upstream.last().headers["x-request-id"];
    const line = await gateway.waitForLog(
      (line) => line.includes("checkout_unregistered") && line.includes(requestId),
    );
    assert.equal(JSON.parse(line).reason, "stream");
  });
});

describe("a ref", () => {
  const atOther = { path: "/api/others" };

  test("at two providers names two checkouts, each with its owner", async () => {
    await begin(BOB);
    assert.equal(
      (await begin(ADA, gateway.request, { ...atOther, key: `key-b-${ref}` })).status,
      201,
    );
    await sendPaidEvent({}, gateway.request, NOW, "/hooks/other");
    const checkouts = [await getCheckout(ADA), await getCheckout(BOB)];
    assert.deepEqual(
      checkouts.map((checkout) => [checkout.provider, checkout.status]),
      [
        ["other", "confirmed"],
        ["stripe", "pending"],
      ],
    );
    // If one user has both, the provider has to be named.
    ref = `${ref}_both`;
    await begin(ADA);
    await begin(ADA, gateway.request, { ...atOther, key: `key-b-${ref}` });
    const ambiguous = await gateway.request(`/api/checkouts/${ref}`, { headers: ADA });
    assert.equal(assertProblem(ambiguous, 400, "invalid_body").field, "provider");
    const cancelled = await gateway.request(`/api/checkouts/${ref}/cancel?provider=other`, {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA },
    });
    assert.equal(cancelled.json().status, "cancelled");
    assert.equal((await getCheckout(ADA, gateway.request, "?provider=stripe")).status, "pending");
    assert.equal((await getCheckout(ADA, gateway.request, "?provider=other")).status, "cancelled");
    const unknown = await gateway.request(`/api/checkouts/${ref}?provider=none`, { headers: ADA });
    assertProblem(unknown, 404, "not_found");
  });

  test("of another user's checkout gets 409, and is logged", async () => {
    await begin(ADA);
    const before = gateway.upstreamRequests.length;
    const response = await begin(BOB, gateway.request, { key: `key-b-${ref}` });
    assert.equal(assertProblem(response, 409, "checkout_conflict").safeToRetry, false);
    assert.equal(gateway.upstreamRequests.length, before + 1);
    const line = await gateway.waitForLog((line) =>
      line.includes('"checkout_conflict","requestId"'),
    );
    assert.equal(JSON.parse(line).provider, "stripe");
    assert.ok(!line.includes(ref), line);
    const repeated = await gateway.expectNotForwarded(() =>
      begin(BOB, gateway.request, { key: `key-b-${ref}` }),
    );
    assert.equal(assertProblem(repeated, 409, "idempotency_outcome_unknown").answered, 201);
    assertProblem(
      await gateway.request(`/api/checkouts/${ref}`, { headers: BOB }),
      404,
      "not_found",
    );
    await sendPaidEvent();
    assert.equal((await getCheckout(ADA)).status, "confirmed");
  });

  test("of a cancelled checkout can be used again by its owner, and keeps its history", async () => {
    await begin(ADA);
    await cancel(ADA);
    assert.equal((await begin(ADA, gateway.request, { key: `key-b-${ref}` })).status, 201);
    const current = await getCheckout(ADA);
    assert.deepEqual(
      [current.status, current.history.map((entry) => entry.status)],
      ["pending", ["cancelled"]],
    );
    await cancel(ADA);
    // The checkout keeps its owner, to whom a late payment belongs.
    const response = await begin(BOB, gateway.request, { key: `key-c-${ref}` });
    assertProblem(response, 409, "checkout_conflict");
    await sendPaidEvent();
    const checkout = await getCheckout(ADA);
    assert.deepEqual(
      [checkout.status, checkout.late, checkout.history.length],
      ["confirmed", true, 1],
    );
  });

  test("that is a number keeps its exact text", async () => {
    for (const number of ["18446744073709551616", "-0", `9007199254740993${count}`]) {
      ref = number;
      assert.equal((await begin(ADA, gateway.request, { id: number })).status, 201);
      await sendSigned(
        `{"id":"evt_${number}","type":"checkout.session.completed","data":{"object":{"id":${number},"payment_status":"paid"}}}`,
      );
      const checkout = await getCheckout();
      assert.deepEqual([checkout.ref, checkout.status], [number, "confirmed"]);
    }
  });

  test("with characters that a path cannot contain goes into the query", async () => {
    const id = `order/${count}%2F`;
    ref = "-";
    await begin(ADA, gateway.request, { id: JSON.stringify(id), key: `key-${id}` });
    const query = `?ref=${encodeURIComponent(id)}`;
    const checkout = await getCheckout(ADA, gateway.request, query);
    assert.deepEqual([checkout.ref, checkout.status], [id, "pending"]);
    const response = await gateway.request(`/api/checkouts/-/cancel${query}`, {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA },
    });
    assert.equal(response.json().status, "cancelled");
  });

  for (const [id, reason] of [
    ['"cs_é"', "characters"],
    ['"cs 1"', "characters"],
    [`"${"x".repeat(256)}"`, "length"],
    ["1.5", "type"],
    ["[7]", "type"],
    ["null", "type"],
  ]) {
    test(`that is invalid is reported to the client and in the log: ${id.slice(0, 8)}`, async () => {
      const response = await begin(ADA, gateway.request, { id });
      assert.equal(response.status, 201);
      assert.equal(response.headers["x-vestibule-checkout"], "unregistered");
      const { headers } = await gateway.upstream.last();
      const requestId = headers["x-request-id"];
      const line = await gateway.waitForLog(
        (line) => line.includes("checkout_unregistered") && line.includes(requestId),
      );
      assert.equal(JSON.parse(line).reason, reason);
      // The event is forwarded to upstream, and the log says that it confirmed nothing.
      const event = `{"id":"evt_${ref}","type":"checkout.session.completed","data":{"object":{"id":${id},"payment_status":"paid"}}}`;
      assert.equal((await sendSigned(event)).text, "ok");
      const requestIdOfEvent = gateway.upstream.last().headers["x-request-id"];
      const unconfirmed = await gateway.waitForLog(
        (line) => line.includes("checkout_unconfirmed") && line.includes(requestIdOfEvent),
      );
      assert.equal(JSON.parse(unconfirmed).reason, reason);
    });
  }

  for (const [name, object] of [
    ["a repeated ref", `"object":{"id":"REF","id":"cs_x","payment_status":"paid"}`],
    [
      "a repeated ref, once escaped",
      `"object":{"id":"REF","\\u0069d":"cs_x","payment_status":"paid"}`,
    ],
    ["a repeated parent of the ref", `"object":{},"object":{"id":"REF","payment_status":"paid"}`],
  ]) {
    test(`in an ambiguous event gets 400 despite a valid signature: ${name}`, async () => {
      await begin();
      const body = `{"id":"evt_${ref}","type":"checkout.session.completed","data":{${object.replace("REF", ref)}}}`;
      const refused = await gateway.expectNotForwarded(() => sendSigned(body));
      assert.equal(assertProblem(refused, 400, "invalid_body").field, "(body)");
      assert.equal((await getCheckout()).status, "pending");
    });
  }
});

describe("a maintenance tick", () => {
  // The second isolate's clock is an hour ahead: there, unconfirmed checkouts have expired.
  const tick = (offset, request = callLater) => {
    const due = (NOW + LATER + offset) * 1_000;
    return request(`/cdn-cgi/tick?at=${due}`);
  };
  const tickBodies = async () => {
    const ofTick = gateway.upstreamRequests.filter(({ url }) => url === "/internal/tick");
    const ofOtherPath = gateway.upstreamRequests.filter(({ url }) => url === "/internal/audit");
    assert.equal(ofOtherPath.length, ofTick.length, "each path gets every tick");
    return Promise.all(ofTick.map(async ({ body }) => JSON.parse(await body)));
  };

  before(async () => {
    await gateway.stop();
    const variables = {
      MAINTENANCE: [
        { path: "/internal/tick", timeout: "2s" },
        { path: "/internal/audit", timeout: "2s" },
      ],
      WEBHOOKS: [
        { name: "stripe", scheme: "stripe", path: "/hooks/stripe" },
        { name: "other", scheme: "stripe", path: "/hooks/other" },
      ],
      WEBHOOK_STRIPE_SECRET: SECRET,
      WEBHOOK_OTHER_SECRET: SECRET,
      CHECKOUT_PROVIDERS: [
        { provider: "stripe", confirm: [{ event: "x", ref: "/id" }] },
        {
          provider: "other",
          confirm: [{ event: "checkout.session.completed", ref: "/data/object/id" }],
        },
      ],
      ROUTES: [
        {
          path: "/api/orders",
          access: "public",
          idempotency: "required",
          checkout: { provider: "stripe", ref: "/checkout/id" },
        },
        {
          path: "/api/others",
          access: "public",
          idempotency: "required",
          checkout: { provider: "other", ref: "/checkout/id" },
        },
      ],
      DANGER_FIXED_NOW: NOW,
    };
    // In production, the platform triggers ticks. The test uses a path for it.
    const ENTRY = `
      import worker from "./index.js";
      export * from "./index.js";
      export default {
        async fetch(request, env, context) {
          const { pathname, searchParams } = new URL(request.url);
          if (pathname !== "/cdn-cgi/tick") return worker.fetch(request, env, context);
          await worker.scheduled({ scheduledTime: Number(searchParams.get("at")) }, env, context);
          return new Response("ticked");
        },
      };`;
    gateway = await openGateway({
      variables,
      wrapperModules: { "entry.mjs": ENTRY },
      secondIsolate: { DANGER_FIXED_NOW: NOW + LATER },
    });
  });
  beforeEach(() => {
    gateway.upstreamRequests.splice(0);
    gateway.upstream.answers["/internal/tick"] = { status: 204 };
  });

  test("sends upstream the expired checkouts once, with an assertion", async () => {
    const refs = [];
    for (let at = 0; at < 5; at += 1) {
      ref = `cs_due_${at}`;
      refs.push(ref);
      assert.equal((await begin({})).status, 201);
    }
    gateway.upstreamRequests.splice(0);
    assert.equal((await tick(0)).text, "ticked");
    const [{ method, headers }] = gateway.upstreamRequests;
    assert.equal(method, "POST");
    assert.match(headers["idempotency-key"], /^[0-9a-f]{64}$/);
    const claims = JSON.parse(
      Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString(),
    );
    assert.deepEqual([claims.method, claims.path], ["POST", "/internal/tick"]);
    const [{ release, reservations }] = await tickBodies();
    assert.deepEqual(release.sort(), refs);
    assert.deepEqual(
      reservations.map(({ provider, ref }) => `${provider} ${ref}`).sort(),
      refs.map((ref) => `stripe ${ref}`),
    );
    await tick(0);
    assert.equal(gateway.upstreamRequests.length, 2, "a tick is sent once");
    await tick(60);
    assert.deepEqual((await tickBodies())[1].release, [], "released checkouts are not sent again");
  });

  test("does not release a checkout that was paid at another provider under the same ref", async () => {
    ref = "cs_shared";
    await begin({});
    await begin({}, gateway.request, { path: "/api/others", key: "key-shared-b" });
    await sendPaidEvent({}, gateway.request, NOW, "/hooks/other");
    await tick(90);
    const [{ release, reservations }] = await tickBodies();
    assert.deepEqual([release, reservations], [[], [{ provider: "stripe", ref: "cs_shared" }]]);
  });

  test("releases a checkout that was begun again only when it expires again", async () => {
    ref = "cs_anew";
    await begin({});
    // It has expired by the clock of the second isolate, where it is begun again.
    assert.equal((await begin({}, callLater, { key: "key-anew" })).status, 201);
    await tick(100);
    assert.deepEqual((await tickBodies())[0].reservations, [], "upstream has reserved it again");
    assert.equal((await getCheckout({}, callLater)).history[0].status, "expired");
    await gateway.requestSecondIsolate("/api/checkouts/cs_anew/cancel", {
      method: "POST",
      headers: SAME_SITE,
    });
    await tick(110);
    assert.deepEqual((await tickBodies())[1].release, ["cs_anew"]);
  });

  test("that upstream refused is repeated by the next one", async () => {
    ref = "cs_refused";
    await begin({});
    gateway.upstream.answers["/internal/tick"] = { status: 503 };
    await tick(120);
    gateway.upstream.answers["/internal/tick"] = async (request, _, seen) => {
      await seen.body;
      request.socket.destroy();
    };
    await tick(180);
    gateway.upstream.answers["/internal/tick"] = { status: 204 };
    await tick(240);
    await tick(300);
    const releases = (await tickBodies()).map(({ release }) => release);
    assert.deepEqual(releases, [["cs_refused"], ["cs_refused"], ["cs_refused"], []]);
    const line = await gateway.waitForLog((line) => line.includes('"refused"'));
    assert.equal(JSON.parse(line).status, 503);
  });

  test("cannot be sent by a client", async () => {
    const response = await gateway.expectNotForwarded(() =>
      gateway.request("/internal/tick", {
        method: "POST",
        headers: SAME_SITE,
        body: '{"release":["x"]}',
      }),
    );
    assertProblem(response, 404, "not_found");
  });

  test("that overlaps another one is not run twice", async () => {
    ref = "cs_overlap";
    await begin({});
    gateway.upstreamRequests.splice(0);
    const pending = [];
    gateway.upstream.answers["/internal/tick"] = (_, response) =>
      pending.push(() => response.writeHead(204).end());
    const first = tick(360);
    while (pending.length === 0) await gateway.upstream.nextRequest();
    await Promise.all([tick(360), tick(420), tick(480)]);
    assert.equal(gateway.upstreamRequests.length, 1);
    pending[0]();
    await first;
    assert.equal(gateway.upstreamRequests.length, 2, "the other path follows");
  });
});
