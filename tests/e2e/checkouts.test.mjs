// Checkouts: whatever the browser brings back, only a verified webhook confirms one. And the ticks that release
// what was never paid.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { cookie, mint, now } from "../support/tokens.mjs";

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
    twin: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

let count = 0;
let ref;
beforeEach(() => {
  count += 1;
  ref = `cs_${count}`;
});

const ADA = { Cookie: cookie(mint({ userId: "usr_ada", iat: NOW, exp: NOW + 2 * LATER })) };
const BOB = { Cookie: cookie(mint({ userId: "usr_bob", iat: NOW, exp: NOW + 2 * LATER })) };
const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };
const later = (...given) => gateway.askTwin(...given);

const begin = (who = ADA, ask = gateway.ask, more = {}) => {
  const { path = "/api/orders", key = `key-${ref}`, id = JSON.stringify(ref) } = more;
  gateway.upstream.answers[path] = {
    status: 201,
    headers: ["Content-Type", "application/json"],
    body: `{"order":7,"checkout":{"id":${id}}}`,
  };
  return ask(path, {
    method: "POST",
    headers: { ...SAME_SITE, ...who, "Idempotency-Key": key },
    body: "{}",
  });
};
const hook = (path, event, headers) =>
  gateway.ask(path, { method: "POST", headers, body: JSON.stringify(event) });
const paid = (more = {}, ask = gateway.ask, at = NOW, path = "/hooks/stripe") => {
  const event = {
    id: `evt_${ref}`,
    type: "checkout.session.completed",
    data: { object: { id: ref, payment_status: "paid" } },
    ...more,
  };
  return signed(JSON.stringify(event), ask, at, path);
};
const signed = (body, ask = gateway.ask, at = NOW, path = "/hooks/stripe") => {
  const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = { "Stripe-Signature": `t=${at},v1=${mac}` };
  return ask(path, { method: "POST", headers, body });
};
const status = async (who = ADA, ask = gateway.ask, query = "") => {
  const response = await ask(`/api/checkouts/${ref}${query}`, { headers: who });
  assert.equal(response.status, 200, response.text);
  return response.json();
};
const cancel = (who = ADA, ask = gateway.ask) =>
  ask(`/api/checkouts/${ref}/cancel`, { method: "POST", headers: { ...SAME_SITE, ...who } });

describe("a checkout", () => {
  test("is pending until a verified webhook comes, and confirmed from then on", async () => {
    assert.equal((await begin()).status, 201);
    const pending = await status();
    assert.deepEqual(pending, {
      ref,
      provider: "stripe",
      status: "pending",
      late: false,
      evidence: null,
      expiresAt: new Date((NOW + 1_800) * 1_000).toISOString().replace(".000", ""),
      history: [],
    });
    // The browser comes back before the provider has said anything.
    await gateway.ask(`/done?session_id=${ref}&status=paid`, { headers: ADA });
    assert.equal((await status()).status, "pending");
    assert.equal((await paid()).text, "ok");
    const confirmed = await status();
    assert.equal(confirmed.status, "confirmed");
    assert.deepEqual(confirmed.evidence, {
      webhook: "stripe",
      event: `evt_${ref}`,
      eventType: "checkout.session.completed",
      at: new Date(NOW * 1_000).toISOString().replace(".000", ""),
    });
    assert.equal((await cancel()).json().status, "confirmed", "nothing leads away from it");
    assert.equal((await status(ADA, later)).status, "confirmed");
  });

  test("is not confirmed by what was not signed, or says something else", async () => {
    await begin();
    const event = {
      id: "evt_x",
      type: "checkout.session.completed",
      data: { object: { id: ref } },
    };
    const forged = await gateway.untouched(() => hook("/hooks/stripe", event, {}));
    assertProblem(forged, 401, "invalid_signature", "missing_header");
    await paid({ data: { object: { id: ref, payment_status: "unpaid" } } });
    await paid({ id: `${ref}_2`, type: "checkout.session.expired" });
    await paid({ id: `${ref}_3`, data: { object: { id: [ref], payment_status: "paid" } } });
    assert.equal((await status()).status, "pending");
    // Another provider's word, however well signed.
    await paid({}, gateway.ask, NOW, "/hooks/other");
    assert.equal((await status()).status, "pending");
  });

  test("may be confirmed before upstream has answered", async () => {
    await paid();
    for (const who of [{}, ADA, BOB]) {
      const early = await gateway.ask(`/api/checkouts/${ref}`, { headers: who });
      assertProblem(early, 404, "not_found");
    }
    await begin();
    const { status: is, late } = await status();
    assert.deepEqual([is, late], ["confirmed", false]);
  });

  test("that was given up or has expired is confirmed all the same, and flagged", async () => {
    await begin();
    assert.equal((await cancel()).json().status, "cancelled");
    assert.equal((await cancel()).json().status, "cancelled");
    await paid();
    const given = await status();
    assert.deepEqual([given.status, given.late], ["confirmed", true]);
    ref = `${ref}_expired`;
    await begin();
    assert.equal((await status(ADA, later)).status, "expired");
    assert.equal((await cancel(ADA, later)).json().status, "expired");
    await paid({}, later, NOW + LATER);
    const expired = await status(ADA, later);
    assert.deepEqual([expired.status, expired.late], ["confirmed", true]);
  });

  test("is nobody else's to see or to give up", async () => {
    await begin();
    for (const who of [BOB, {}]) {
      const seen = await gateway.ask(`/api/checkouts/${ref}`, { headers: who });
      assertProblem(seen, 404, "not_found");
      assertProblem(await cancel(who), 404, "not_found");
    }
    const foreign = { ...ADA, "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" };
    assertProblem(await cancel(foreign), 403, "forbidden_origin");
    assert.equal((await status()).status, "pending");
    ref = "cs_of_nobody";
    const none = await gateway.ask(`/api/checkouts/${ref}`, { headers: ADA });
    assertProblem(none, 404, "not_found");
  });

  test("of the public is whoever's who knows its ref", async () => {
    await begin({});
    assert.equal((await status(BOB)).status, "pending");
    assert.equal((await cancel({})).json().status, "cancelled");
  });

  test("is begun once, however often it is asked for", async () => {
    const before = gateway.seen.length;
    const first = await begin();
    await cancel();
    const again = await begin();
    assert.equal(again.headers["idempotent-replayed"], "true");
    assert.equal(again.text, first.text);
    assert.equal(gateway.seen.length, before + 1);
    assert.equal((await status()).status, "cancelled");
  });

  test("that upstream does not name is answered, and said in the log", async () => {
    gateway.upstream.answers["/api/orders"] = { status: 201, body: "no JSON" };
    const response = await gateway.ask("/api/orders", {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA, "Idempotency-Key": `key-${ref}` },
    });
    assert.deepEqual([response.status, response.text], [201, "no JSON"]);
    await gateway.logged((line) => line.includes('"unregistered"'));
  });
});

describe("a ref", () => {
  const other = { path: "/api/others" };

  test("of two providers names two checkouts, each with its owner", async () => {
    await begin(BOB);
    assert.equal((await begin(ADA, gateway.ask, { ...other, key: `key-b-${ref}` })).status, 201);
    await paid({}, gateway.ask, NOW, "/hooks/other");
    const theirs = [await status(ADA), await status(BOB)];
    assert.deepEqual(
      theirs.map((one) => [one.provider, one.status]),
      [
        ["other", "confirmed"],
        ["stripe", "pending"],
      ],
    );
    // Begun by the same user, it has to be said which.
    ref = `${ref}_both`;
    await begin(ADA);
    await begin(ADA, gateway.ask, { ...other, key: `key-b-${ref}` });
    const which = await gateway.ask(`/api/checkouts/${ref}`, { headers: ADA });
    assert.equal(assertProblem(which, 400, "invalid_body").field, "provider");
    const cancelled = await gateway.ask(`/api/checkouts/${ref}/cancel?provider=other`, {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA },
    });
    assert.equal(cancelled.json().status, "cancelled");
    assert.equal((await status(ADA, gateway.ask, "?provider=stripe")).status, "pending");
    assert.equal((await status(ADA, gateway.ask, "?provider=other")).status, "cancelled");
    const none = await gateway.ask(`/api/checkouts/${ref}?provider=none`, { headers: ADA });
    assertProblem(none, 404, "not_found");
  });

  test("of another user's checkout is a conflict, and logged", async () => {
    await begin(ADA);
    const before = gateway.seen.length;
    const conflict = await begin(BOB, gateway.ask, { key: `key-b-${ref}` });
    assert.equal(assertProblem(conflict, 409, "checkout_conflict").safeToRetry, false);
    assert.equal(gateway.seen.length, before + 1);
    const line = await gateway.logged((line) => line.includes('"checkout_conflict","requestId"'));
    assert.equal(JSON.parse(line).provider, "stripe");
    assert.ok(!line.includes(ref), line);
    const again = await gateway.untouched(() => begin(BOB, gateway.ask, { key: `key-b-${ref}` }));
    assert.equal(assertProblem(again, 409, "idempotency_outcome_unknown").answered, 201);
    assertProblem(await gateway.ask(`/api/checkouts/${ref}`, { headers: BOB }), 404, "not_found");
    await paid();
    assert.equal((await status(ADA)).status, "confirmed");
  });

  test("of a cancelled checkout can begin again, and keeps its history", async () => {
    await begin(ADA);
    await cancel(ADA);
    assert.equal((await begin(ADA, gateway.ask, { key: `key-b-${ref}` })).status, 201);
    const anew = await status(ADA);
    assert.deepEqual(
      [anew.status, anew.history.map((one) => one.status)],
      ["pending", ["cancelled"]],
    );
    await cancel(ADA);
    // It stays theirs: a payment that comes late counts for nobody else.
    const conflict = await begin(BOB, gateway.ask, { key: `key-c-${ref}` });
    assertProblem(conflict, 409, "checkout_conflict");
    await paid();
    const theirs = await status(ADA);
    assert.deepEqual([theirs.status, theirs.late, theirs.history.length], ["confirmed", true, 1]);
  });

  test("that is a number keeps its text", async () => {
    for (const number of ["18446744073709551616", "-0", `9007199254740993${count}`]) {
      ref = number;
      assert.equal((await begin(ADA, gateway.ask, { id: number })).status, 201);
      await signed(
        `{"id":"evt_${number}","type":"checkout.session.completed","data":{"object":{"id":${number},"payment_status":"paid"}}}`,
      );
      const one = await status();
      assert.deepEqual([one.ref, one.status], [number, "confirmed"]);
    }
  });

  test("with characters that no path can have goes into the query", async () => {
    const id = `order/${count}%2F`;
    ref = "-";
    await begin(ADA, gateway.ask, { id: JSON.stringify(id), key: `key-${id}` });
    const query = `?ref=${encodeURIComponent(id)}`;
    const one = await status(ADA, gateway.ask, query);
    assert.deepEqual([one.ref, one.status], [id, "pending"]);
    const given = await gateway.ask(`/api/checkouts/-/cancel${query}`, {
      method: "POST",
      headers: { ...SAME_SITE, ...ADA },
    });
    assert.equal(given.json().status, "cancelled");
  });

  for (const [id, reason] of [
    ['"cs_é"', "characters"],
    ['"cs 1"', "characters"],
    [`"${"x".repeat(256)}"`, "length"],
    ["1.5", "type"],
    ["[7]", "type"],
    ["null", "type"],
  ]) {
    test(`${id.slice(0, 8)} is invalid: reported to the client and in the log`, async () => {
      const response = await begin(ADA, gateway.ask, { id });
      assert.equal(response.status, 201);
      assert.equal(response.headers["x-vestibule-checkout"], "unregistered");
      const { headers } = await gateway.upstream.last();
      const requestId = headers["x-request-id"];
      const line = await gateway.logged(
        (line) => line.includes("checkout_unregistered") && line.includes(requestId),
      );
      assert.equal(JSON.parse(line).reason, reason);
      // The event goes on to upstream, and that it confirms nothing is in the log.
      const event = `{"id":"evt_${ref}","type":"checkout.session.completed","data":{"object":{"id":${id},"payment_status":"paid"}}}`;
      assert.equal((await signed(event)).text, "ok");
      const last = gateway.upstream.last().headers["x-request-id"];
      const unconfirmed = await gateway.logged(
        (line) => line.includes("checkout_unconfirmed") && line.includes(last),
      );
      assert.equal(JSON.parse(unconfirmed).reason, reason);
    });
  }

  for (const [what, object] of [
    ["twice", `"object":{"id":"REF","id":"cs_x","payment_status":"paid"}`],
    ["twice, by an escape", `"object":{"id":"REF","\\u0069d":"cs_x","payment_status":"paid"}`],
    [
      "in a member that is there twice",
      `"object":{},"object":{"id":"REF","payment_status":"paid"}`,
    ],
  ]) {
    test(`${what}: the event is refused although its signature is valid`, async () => {
      await begin();
      const body = `{"id":"evt_${ref}","type":"checkout.session.completed","data":{${object.replace("REF", ref)}}}`;
      const refused = await gateway.untouched(() => signed(body));
      assert.equal(assertProblem(refused, 400, "invalid_body").field, "(body)");
      assert.equal((await status()).status, "pending");
    });
  }
});

describe("a tick", () => {
  // The second isolate is an hour ahead: what was begun and not confirmed has expired there.
  const tick = (at, ask = later) => {
    const due = (NOW + LATER + at) * 1_000;
    return ask(`/cdn-cgi/tick?at=${due}`);
  };
  const told = async () => {
    const all = gateway.seen.filter(({ url }) => url === "/internal/tick");
    const others = gateway.seen.filter(({ url }) => url === "/internal/audit");
    assert.equal(others.length, all.length, "every path is told");
    return Promise.all(all.map(async ({ body }) => JSON.parse(await body)));
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
    // Ticks come by the platform; here, by a path of the test's own.
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
      around: { "entry.mjs": ENTRY },
      twin: { DANGER_FIXED_NOW: NOW + LATER },
    });
  });
  beforeEach(() => {
    gateway.seen.splice(0);
    gateway.upstream.answers["/internal/tick"] = { status: 204 };
  });

  test("tells upstream what to release, signed, once", async () => {
    const refs = [];
    for (let at = 0; at < 5; at += 1) {
      ref = `cs_due_${at}`;
      refs.push(ref);
      assert.equal((await begin({})).status, 201);
    }
    gateway.seen.splice(0);
    assert.equal((await tick(0)).text, "ticked");
    const [{ method, headers }] = gateway.seen;
    assert.equal(method, "POST");
    assert.match(headers["idempotency-key"], /^[0-9a-f]{64}$/);
    const claims = JSON.parse(
      Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString(),
    );
    assert.deepEqual([claims.method, claims.path], ["POST", "/internal/tick"]);
    const [{ release, reservations }] = await told();
    assert.deepEqual(release.sort(), refs);
    assert.deepEqual(
      reservations.map(({ provider, ref }) => `${provider} ${ref}`).sort(),
      refs.map((ref) => `stripe ${ref}`),
    );
    await tick(0);
    assert.equal(gateway.seen.length, 2, "a tick is done once");
    await tick(60);
    assert.deepEqual((await told())[1].release, [], "what was released is not told again");
  });

  test("does not release a checkout that was paid at another provider under the same ref", async () => {
    ref = "cs_shared";
    await begin({});
    await begin({}, gateway.ask, { path: "/api/others", key: "key-shared-b" });
    await paid({}, gateway.ask, NOW, "/hooks/other");
    await tick(90);
    const [{ release, reservations }] = await told();
    assert.deepEqual([release, reservations], [[], [{ provider: "stripe", ref: "cs_shared" }]]);
  });

  test("releases a checkout that was begun again only when it expires again", async () => {
    ref = "cs_anew";
    await begin({});
    // It has expired by the clock of the second isolate, where it is begun again.
    assert.equal((await begin({}, later, { key: "key-anew" })).status, 201);
    await tick(100);
    assert.deepEqual((await told())[0].reservations, [], "upstream holds it anew");
    assert.equal((await status({}, later)).history[0].status, "expired");
    await gateway.askTwin("/api/checkouts/cs_anew/cancel", { method: "POST", headers: SAME_SITE });
    await tick(110);
    assert.deepEqual((await told())[1].release, ["cs_anew"]);
  });

  test("that upstream refuses is made up for by the next", async () => {
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
    const releases = (await told()).map(({ release }) => release);
    assert.deepEqual(releases, [["cs_refused"], ["cs_refused"], ["cs_refused"], []]);
    const line = await gateway.logged((line) => line.includes('"refused"'));
    assert.equal(JSON.parse(line).status, 503);
  });

  test("is not a client's to make", async () => {
    const response = await gateway.untouched(() =>
      gateway.ask("/internal/tick", {
        method: "POST",
        headers: SAME_SITE,
        body: '{"release":["x"]}',
      }),
    );
    assertProblem(response, 404, "not_found");
  });

  test("that overlaps another does nothing twice", async () => {
    ref = "cs_overlap";
    await begin({});
    gateway.seen.splice(0);
    const gates = [];
    gateway.upstream.answers["/internal/tick"] = (_, response) =>
      gates.push(() => response.writeHead(204).end());
    const first = tick(360);
    while (gates.length === 0) await gateway.upstream.arrival();
    await Promise.all([tick(360), tick(420), tick(480)]);
    assert.equal(gateway.seen.length, 1);
    gates[0]();
    await first;
    assert.equal(gateway.seen.length, 2, "and then the other path");
  });
});
