// Events of providers: verified over the received bytes, run once, and released for the provider's next attempt if they
// fail. The ids in brackets are those of the scenarios in VECTORS_DIR.

import assert from "node:assert/strict";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { read, responseOf, startRequest } from "../support/client.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { now } from "../support/tokens.mjs";

const SECRET = "whsec_test_secret_of_the_provider";
const NEXT = "whsec_the_secret_after_that";
const WEBHOOKS = [
  { name: "stripe", scheme: "stripe", path: "/hooks/stripe", timeout: "1s" },
  { name: "other", scheme: "stripe", path: "/hooks/other" },
  { name: "github", scheme: "github", path: "/hooks/github", events: ["push", "release"] },
  { name: "square", scheme: "square", path: "/hooks/square" },
  { name: "small", scheme: "github", path: "/hooks/small", body_limit: 1_000 },
  {
    name: "own-kind",
    scheme: "hmac",
    path: "/hooks/own",
    secret: "OWN_SECRET",
    header: "X-Own-Signature",
    signed: "{timestamp}.{body}",
    timestamp_header: "X-Own-Time",
    event_id: "/event/id",
    event_type: "/event/type",
  },
];
const NOW = now();
const LATER = 8 * 86_400;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [{ path: "/{*rest}", access: "public" }],
    variables: {
      DANGER_FIXED_NOW: NOW,
      CSRF: "strict",
      WEBHOOKS,
      WEBHOOK_STRIPE_SECRET: `${SECRET},${NEXT}`,
      WEBHOOK_OTHER_SECRET: SECRET,
      WEBHOOK_GITHUB_SECRET: SECRET,
      WEBHOOK_SQUARE_SECRET: SECRET,
      WEBHOOK_SMALL_SECRET: SECRET,
      OWN_SECRET: SECRET,
    },
    secondIsolate: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

let count = 0;
let event;
beforeEach(() => {
  count += 1;
  event = { id: `evt_${count}`, type: "checkout.session.completed" };
});

const hmac = (text, secret = SECRET) => createHmac("sha256", secret).update(text);
const signed = (body, { secret, at = NOW } = {}) => ({
  "Stripe-Signature": `t=${at},v1=${hmac(`${at}.${body}`, secret).digest("hex")}`,
});
const deliver = (path, body, headers, request = gateway.request) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body,
  });
const stripe = (options, path = "/hooks/stripe") => {
  const body = JSON.stringify(event);
  return deliver(path, body, signed(body, options), options?.request);
};
const github = (body, type = "push", path = "/hooks/github") =>
  deliver(path, body, {
    "X-GitHub-Event": type,
    "X-GitHub-Delivery": `${Math.random()}`,
    "X-Hub-Signature-256": `sha256=${hmac(body).digest("hex")}`,
  });
const respond = (path, script) => {
  gateway.upstream.answers[path] = script;
};
const assertDuplicate = (response) => {
  assert.deepEqual([response.status, response.text], [200, ""]);
  assert.equal(response.headers["x-webhook-duplicate"], "true");
};

describe("a verified event", () => {
  test("is forwarded with its signed id and type", async () => {
    const body = JSON.stringify(event);
    const { response, seen } = await gateway.expectForwarded(() =>
      deliver("/hooks/stripe", body, {
        ...signed(body),
        "Idempotency-Key": "forged",
        "X-Webhook-Provider": "forged",
        "X-Webhook-Event-ID": "forged",
        "X-User-ID": "usr_forged",
      }),
    );
    assert.equal(response.status, 200);
    assert.equal((await seen.body).toString(), body);
    const { headers } = seen;
    assert.equal(headers["x-webhook-provider"], "stripe");
    assert.equal(headers["x-webhook-event-id"], event.id);
    assert.equal(headers["x-webhook-event-type"], event.type);
    assert.equal(headers["idempotency-key"], event.id);
    assert.equal(
      headers["x-webhook-payload-hash"],
      createHash("sha256").update(body).digest("hex"),
    );
    assert.equal(headers["x-operation"], "webhooks.stripe");
    assert.doesNotMatch(JSON.stringify(headers), /forged/);
  });

  test("[id-34] is answered but not forwarded when it comes again", async () => {
    await gateway.expectForwarded(() => stripe());
    for (const options of [{}, { secret: NEXT }, { at: NOW - 200 }]) {
      assertDuplicate(await gateway.expectNotForwarded(() => stripe(options)));
    }
    // The same event, as the provider sends it on its second attempt.
    event.pending_webhooks = 2;
    assertDuplicate(await gateway.expectNotForwarded(() => stripe()));
  });

  test("is forwarded again after its retention", async () => {
    await gateway.expectForwarded(() => stripe());
    await gateway.expectForwarded(() =>
      stripe({ at: NOW + LATER, request: gateway.requestSecondIsolate }),
    );
  });

  test("is forwarded once for 500 concurrent deliveries", async () => {
    const before = gateway.upstreamRequests.length;
    // At this endpoint, upstream has more than a second: with 500 clients it may need that.
    const send = () => stripe({}, "/hooks/other");
    const all = await Promise.all(Array.from({ length: 500 }, send));
    assert.equal(gateway.upstreamRequests.length - before, 1);
    assert.equal(all.filter(({ text }) => text === "ok").length, 1);
    for (const other of all.filter(({ text }) => text !== "ok")) {
      if (other.status === 409) assertProblem(other, 409, "webhook_in_flight");
      else assertDuplicate(other);
    }
    assertDuplicate(await gateway.expectNotForwarded(send));
  });

  test("[id-35] returns 409 while the first delivery is in flight", async () => {
    let release;
    const released = new Promise((resolve) => {
      release = resolve;
    });
    respond("/hooks/other", async (_, response) => {
      await released;
      response.writeHead(204).end();
    });
    const first = stripe({}, "/hooks/other");
    await gateway.upstream.nextRequest();
    const response = await gateway.expectNotForwarded(() => stripe({}, "/hooks/other"));
    assertProblem(response, 409, "webhook_in_flight");
    assert.ok(Number(response.headers["retry-after"]) >= 1);
    release();
    assert.equal((await first).status, 204);
    assertDuplicate(await gateway.expectNotForwarded(() => stripe({}, "/hooks/other")));
  });

  for (const [label, script, status] of [
    ["returns 422", { status: 422 }, 422],
    ["returns 500", { status: 500 }, 500],
    ["redirects", { status: 302, headers: ["Location", "/elsewhere"] }, 302],
    ["breaks off", (request) => request.socket.destroy(), 502],
    ["does not answer", () => {}, 504],
  ]) {
    test(`[id-36] is forwarded on the next attempt if upstream ${label}`, async () => {
      respond("/hooks/stripe", script);
      assert.equal((await stripe()).status, status);
      respond("/hooks/stripe", undefined);
      const { response } = await gateway.expectForwarded(() => stripe());
      assert.equal(response.text, "ok");
      assertDuplicate(await gateway.expectNotForwarded(() => stripe()));
    });
  }

  test("[id-37] is another event at another endpoint", async () => {
    await gateway.expectForwarded(() => stripe());
    await gateway.expectForwarded(() => stripe({}, "/hooks/other"));
  });

  test("without a signed id is deduplicated by its body", async () => {
    const body = JSON.stringify({ ref: event.id });
    const { seen } = await gateway.expectForwarded(() => github(body));
    assert.equal(seen.headers["x-webhook-event-id"], undefined, "the id is not signed");
    const content = createHash("sha256").update(body).digest("hex");
    assert.equal(seen.headers["idempotency-key"], content);
    assertDuplicate(await gateway.expectNotForwarded(() => github(body)));
    // The type is not signed either: the same body under another type is the same event.
    assertDuplicate(await gateway.expectNotForwarded(() => github(body, "release")));
    await gateway.expectForwarded(() => github(`${body} `));
  });

  test("of a type that is not listed is answered but not forwarded", async () => {
    const response = await gateway.expectNotForwarded(() => github(JSON.stringify(event), "ping"));
    assert.deepEqual([response.status, response.headers["x-webhook-ignored"]], [200, "true"]);
  });

  test("may have a body of any bytes", async () => {
    for (const body of [randomBytes(10_000), gzipSync("{}"), Buffer.alloc(0)]) {
      const { seen } = await gateway.expectForwarded(() => github(body));
      assert.deepEqual(await seen.body, body);
    }
  });

  test("may be signed over its URL: the public one, whatever its host is here", async () => {
    const body = JSON.stringify({ event_id: event.id, type: "payment.updated" });
    const mac = (url) => ({
      "X-Square-Hmacsha256-Signature": hmac(url + body).digest("base64"),
    });
    const direct = mac("http://app.example/hooks/square");
    const refused = await gateway.expectNotForwarded(() => deliver("/hooks/square", body, direct));
    assertProblem(refused, 401, "invalid_signature", "mismatch");
    const { seen } = await gateway.expectForwarded(() =>
      deliver("/hooks/square", body, mac("https://app.example/hooks/square")),
    );
    assert.equal(seen.headers["x-webhook-event-id"], event.id);
  });

  test("may have a signature scheme that the configuration describes", async () => {
    const body = JSON.stringify({ event });
    const headers = {
      "X-Own-Time": String(NOW),
      "X-Own-Signature": hmac(`${NOW}.${body}`).digest("hex"),
    };
    const { seen } = await gateway.expectForwarded(() => deliver("/hooks/own", body, headers));
    assert.equal(seen.headers["x-webhook-provider"], "own-kind");
    assert.deepEqual(
      [seen.headers["x-webhook-event-id"], seen.headers["x-webhook-event-type"]],
      [event.id, event.type],
    );
    assertDuplicate(await gateway.expectNotForwarded(() => deliver("/hooks/own", body, headers)));
  });
});

describe("an invalid event", () => {
  const body = () => JSON.stringify(event);
  const good = () => signed(body())["Stripe-Signature"];

  for (const [label, headers, reason] of [
    ["no signature", () => ({}), "missing_header"],
    ["an empty signature", () => ({ "Stripe-Signature": "" }), "missing_header"],
    ["a malformed signature", () => ({ "Stripe-Signature": "hello" }), "malformed"],
    ["a signature under another secret", () => signed(body(), { secret: "whsec_x" }), "mismatch"],
    ["a signature of another body", () => signed("{}"), "mismatch"],
    ["an old signature", () => signed(body(), { at: NOW - 301 }), "too_old"],
    ["a signature from the future", () => signed(body(), { at: NOW + 301 }), "from_the_future"],
    ["a longer signature", () => ({ "Stripe-Signature": `${good()}00` }), "malformed"],
    ["a shorter signature", () => ({ "Stripe-Signature": good().slice(0, -2) }), "malformed"],
    [
      "a thousand signatures, of which the last is valid",
      () => ({
        "Stripe-Signature": good().replace("v1=", `${`v1=${"00".repeat(32)},`.repeat(999)}v1=`),
      }),
      "mismatch",
    ],
  ]) {
    test(`[id-38] with ${label}: is rejected and claims nothing`, async () => {
      const refused = await gateway.expectNotForwarded(() =>
        deliver("/hooks/stripe", body(), headers()),
      );
      assertProblem(refused, 401, "invalid_signature", reason);
      await gateway.expectForwarded(() => stripe());
    });
  }

  test("is rejected at another spelling of the path", async () => {
    for (const path of ["/hooks/Stripe", "/HOOKS/stripe", "/hooks/stripe;x", "/hooks/stripe/"]) {
      const response = await gateway.expectNotForwarded(() => deliver(path, body(), {}));
      assertProblem(response, 400, "ambiguous_path");
    }
  });

  test("is rejected without a signature, even if its id is known", async () => {
    await gateway.expectForwarded(() => stripe());
    const forged = await gateway.expectNotForwarded(() => deliver("/hooks/stripe", body(), {}));
    assertProblem(forged, 401, "invalid_signature", "missing_header");
  });

  test("is rejected before its body is read if the signature cannot be valid", async () => {
    for (const [headers, reason] of [
      [{}, "missing_header"],
      [signed("", { at: NOW - 301 }), "too_old"],
      [{ "Stripe-Signature": `t=${NOW},v1=hello` }, "malformed"],
      [{ "Stripe-Signature": `t=${NOW},v1=${"0".repeat(62)}` }, "malformed"],
      [{ "Stripe-Signature": `t=${NOW},t=${NOW},v1=${"0".repeat(64)}` }, "malformed"],
    ]) {
      const request = startRequest(gateway.direct, "/hooks/stripe", {
        method: "POST",
        host: "app.example",
        headers: { "Content-Length": "1000000", ...headers },
      });
      request.on("error", () => {});
      const response = responseOf(request);
      // The rest of the body never comes.
      request.write("x");
      const refused = await gateway.expectNotForwarded(async () => read(await response));
      assertProblem(refused, 401, "invalid_signature", reason);
      request.destroy();
    }
  });

  test("is rejected before its body is read if the body is above the limit", async () => {
    for (const headers of [
      { "Content-Length": String(25 * 1_048_576) },
      { "Transfer-Encoding": "chunked" },
    ]) {
      const request = startRequest(gateway.direct, "/hooks/small", {
        method: "POST",
        host: "app.example",
        headers: { "X-Hub-Signature-256": `sha256=${"0".repeat(64)}`, ...headers },
      });
      request.on("error", () => {});
      const response = responseOf(request);
      request.write("x".repeat(2_000));
      assertProblem(
        await gateway.expectNotForwarded(async () => read(await response)),
        413,
        "body_too_large",
      );
      request.destroy();
    }
  });

  test("a request with another method is not a webhook", async () => {
    const { seen } = await gateway.expectForwarded(() => gateway.request("/hooks/stripe", {}));
    assert.equal(seen.headers["x-webhook-provider"], undefined, "nothing was verified");
  });
});
