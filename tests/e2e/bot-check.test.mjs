// Rules with `bot_check`: each request needs a Turnstile token, which is valid once.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { responseOf, startRequest } from "../support/client.mjs";
import { faultsOf } from "../support/faults.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";
import {
  ALREADY_SPENT,
  ALWAYS_FAILS,
  ALWAYS_PASSES,
  SUCCESS,
  startTurnstile,
  TURNSTILE_SECRET,
} from "../support/turnstile.mjs";
import { startUpstream } from "../support/upstream.mjs";

const rule = (path, more) => ({ path, access: "public", bot_check: "signup", ...more });
const ROUTES = [
  rule("/signup"),
  rule("/small", { body_limit: 4_000 }),
  rule("/keyed", { idempotency: "optional" }),
  rule("/members", { access: "user" }),
  rule("/once", { limit: "once" }),
  rule("/mine", { limit: "mine" }),
  rule("/closed", { feature: "closed" }),
];

let turnstile;
let gateway;
before(async () => {
  turnstile = await startTurnstile();
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      TURNSTILE_SECRET,
      BOT_CHECK: { verify_url: turnstile.url, timeout: "1s" },
      RATE_LIMITS: [
        { name: "once", limit: 1, period: "1h", by: "address" },
        { name: "mine", limit: 1, period: "1h", by: "principal" },
      ],
    },
    bindings: { kvNamespaces: ["KV"] },
  });
});
after(async () => {
  await gateway.stop();
  await turnstile.stop();
});

let count = 0;
let address;
beforeEach(() => {
  turnstile.reset();
  turnstile.requests.splice(0);
  count += 1;
  address = `192.0.2.${count}`;
});

const HEADER = "CF-Turnstile-Response";
const FIELD = "cf-turnstile-response";
const JSON_TYPE = { "Content-Type": "application/json" };
const FORM_TYPE = { "Content-Type": "application/x-www-form-urlencoded" };
const post = (path, { body = "{}", request = gateway.request, method = "POST", ...headers } = {}) =>
  request(path, { method, headers: { "CF-Connecting-IP": address, ...headers }, body });
const withToken = (token, path = "/signup", more = {}) => post(path, { [HEADER]: token, ...more });
const assertRefused = async (reason, run, askedTimes = 1) => {
  const response = await gateway.expectNotForwarded(run);
  assertProblem(response, 403, "bot_check_failed", reason);
  assert.equal(turnstile.requests.length, askedTimes);
  assert.equal(response.headers["retry-after"], reason === "unavailable" ? "1" : undefined);
  return response;
};
const formDataOf = (entries) => {
  const data = new FormData();
  for (const [name, value] of entries) data.append(name, value);
  return data;
};
const multipart = async (entries) => {
  const response = new Response(formDataOf(entries));
  const headers = { "Content-Type": response.headers.get("content-type") };
  return { ...headers, body: Buffer.from(await response.arrayBuffer()) };
};

describe("a valid token passes", () => {
  const bytes = randomBytes(50_000);
  for (const [where, requestOf] of [
    ["in the header", (token) => ({ [HEADER]: token, body: bytes })],
    ["in a form field", (token) => ({ ...FORM_TYPE, body: `name=a+b%26&${FIELD}=${token}&x=%ff` })],
    [
      "in a form field with an escaped name",
      (token) => ({
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        body: `cf%2Dturnstile-response=${token.replaceAll("-", "%2d")}`,
      }),
    ],
    [
      "in a part of a multipart form",
      (token) =>
        multipart([
          ["name", "Ada"],
          ["file", new File([bytes], `name="${FIELD}"`)],
          [FIELD, token],
        ]),
    ],
    [
      "in JSON",
      (token) => ({ ...JSON_TYPE, body: JSON.stringify({ a: [1, "é"], [FIELD]: token }) }),
    ],
    [
      "in a form field beside an empty header",
      (token) => ({ ...FORM_TYPE, [HEADER]: "", body: `${FIELD}=${token}` }),
    ],
    [
      "in JSON beside an empty header",
      (token) => ({ ...JSON_TYPE, [HEADER]: "", body: JSON.stringify({ [FIELD]: token }) }),
    ],
    [
      "in the header, which takes precedence over the body",
      (token) => ({ ...JSON_TYPE, [HEADER]: token, body: JSON.stringify({ [FIELD]: "x" }) }),
    ],
  ]) {
    test(`${where}, once, and the body is forwarded unchanged`, async () => {
      const token = turnstile.issue();
      const request = await requestOf(token);
      const { response, seen } = await gateway.expectForwarded(() => post("/signup", request));
      assert.equal(response.text, "ok");
      assert.deepEqual(await seen.body, Buffer.from(request.body));
      assert.equal(seen.headers["content-type"], request["Content-Type"]);
      const [{ method, headers, fields }] = turnstile.requests;
      assert.equal(method, "POST");
      assert.equal(headers["content-type"].split(";")[0], "application/x-www-form-urlencoded");
      assert.deepEqual(fields, { secret: TURNSTILE_SECRET, response: token, remoteip: address });
      assert.equal(turnstile.requests.length, 1);
      await assertRefused("spent", () => post("/signup", request), 2);
    });
  }

  test("in a request without a body", async () => {
    const token = turnstile.issue();
    await gateway.expectForwarded(() =>
      withToken(token, "/signup?x=1", { method: "GET", body: undefined }),
    );
  });

  test("if Turnstile answers within the timeout", async () => {
    const answerNow = Promise.withResolvers();
    turnstile.delay = answerNow.promise;
    const arrival = turnstile.nextRequest();
    const response = withToken(turnstile.issue());
    await arrival;
    answerNow.resolve();
    assert.equal((await response).text, "ok");
  });

  test("once, if twenty requests send it at the same time", async () => {
    const token = turnstile.issue();
    const before = gateway.upstreamRequests.length;
    const responses = await Promise.all(Array.from({ length: 20 }, () => withToken(token)));
    assert.equal(responses.filter(({ text }) => text === "ok").length, 1);
    for (const other of responses.filter(({ status }) => status !== 200))
      assertProblem(other, 403, "bot_check_failed", "spent");
    assert.equal(gateway.upstreamRequests.length, before + 1);
  });
});

describe("a request without a usable token", () => {
  const tooLong = "0".repeat(2_049);
  for (const [name, requestOf] of [
    ["no token", () => ({})],
    ["no token and no body", () => ({ body: undefined })],
    ["an empty header", () => ({ [HEADER]: "" })],
    ["a header that is too long", () => ({ [HEADER]: tooLong })],
    [
      "a header that is too long, beside a token in the body",
      (token) => ({ ...FORM_TYPE, [HEADER]: tooLong, body: `${FIELD}=${token}` }),
    ],
    ["an empty field", () => ({ ...FORM_TYPE, body: `${FIELD}=` })],
    ["a field of another name", (token) => ({ ...FORM_TYPE, body: `x-${FIELD}=${token}` })],
    ["a field that is too long", () => ({ ...FORM_TYPE, body: `${FIELD}=${tooLong}` })],
    ["invalid JSON", (token) => ({ ...JSON_TYPE, body: `{"${FIELD}":"${token}"` })],
    [
      "a nested member of JSON",
      (token) => ({ ...JSON_TYPE, body: `{"a":{"${FIELD}":"${token}"}}` }),
    ],
    ["a member in a JSON array", (token) => ({ ...JSON_TYPE, body: `[{"${FIELD}":"${token}"}]` })],
    ["a number", () => ({ ...JSON_TYPE, body: `{"${FIELD}":7}` })],
    [
      "a body of type text/plain",
      (token) => ({ "Content-Type": "text/plain", body: `${FIELD}=${token}` }),
    ],
    ["a multipart part of another name", (token) => multipart([["token", token]])],
    ["a query parameter", (token) => ({ query: `?${FIELD}=${token}` })],
  ]) {
    test(`is refused without asking Turnstile: ${name}`, async () => {
      const { query = "", ...request } = await requestOf(turnstile.issue());
      await assertRefused("missing", () => post(`/signup${query}`, request), 0);
    });
  }
});

describe("an invalid token", () => {
  for (const [name, reason, token] of [
    ["never issued", "rejected", () => "0.made-up"],
    ["of the maximum length", "rejected", () => "0".repeat(2_048)],
    ["older than five minutes", "spent", () => turnstile.issue({ age: 301 })],
    ["of another site", "hostname", () => turnstile.issue({ hostname: "evil.example" })],
    ["of a subdomain", "hostname", () => turnstile.issue({ hostname: "x.app.example" })],
    ["without a hostname", "hostname", () => turnstile.issue({ hostname: undefined })],
    ["of another action", "action", () => turnstile.issue({ action: "login" })],
    ["of the action in capitals", "action", () => turnstile.issue({ action: "SIGNUP" })],
    ["without an action", "action", () => turnstile.issue({ action: undefined })],
  ]) {
    test(`is refused with the reason ${reason}: ${name}`, async () => {
      await assertRefused(reason, () => withToken(token()));
    });
  }

  for (const [name, override, reasons] of [
    ["a string for success", { success: "true" }, ["rejected", "unavailable"]],
    ["a number for success", { success: 1 }, ["rejected", "unavailable"]],
    ["no success member", { success: undefined }, ["rejected", "unavailable"]],
    ["false and no error codes", { success: false }, ["rejected"]],
    [
      "false and error codes that are not an array",
      { success: false, "error-codes": 7 },
      ["unavailable"],
    ],
    ["an array of hostnames", { hostname: ["app.example"] }, ["hostname", "unavailable"]],
    ["an array of actions", { action: ["signup"] }, ["action", "unavailable"]],
  ]) {
    test(`is refused if Turnstile answers with ${name}`, async () => {
      turnstile.override = override;
      const response = await gateway.expectNotForwarded(() => withToken(turnstile.issue()));
      assert.ok(reasons.includes(response.json().reason), response.text);
      assertProblem(response, 403, "bot_check_failed", response.json().reason);
    });
  }
});

describe("Turnstile's error codes", () => {
  for (const [codes, reason] of [
    [["missing-input-secret"], "unavailable"],
    [["invalid-input-secret"], "unavailable"],
    [["bad-request"], "unavailable"],
    [["internal-error"], "unavailable"],
    [["timeout-or-duplicate", "internal-error"], "unavailable"],
    [["invalid-input-response"], "rejected"],
    [["missing-input-response"], "rejected"],
    [["something-new"], "rejected"],
    [[], "rejected"],
  ]) {
    test(`become the reason ${reason}: ${codes.join(", ") || "no error code"}`, async () => {
      turnstile.override = { success: false, "error-codes": codes };
      await assertRefused(reason, () => withToken("0.made-up"));
    });
  }

  test("become the reason unavailable if the secret is not the widget's", async (t) => {
    const variables = {
      TURNSTILE_SECRET: `${TURNSTILE_SECRET}x`,
      BOT_CHECK: { verify_url: turnstile.url },
    };
    const other = await openGateway({ routes: [rule("/signup")], variables });
    t.after(() => other.stop());
    const sendToken = () => withToken(turnstile.issue(), "/signup", { request: other.request });
    const response = await other.expectNotForwarded(sendToken);
    assertProblem(response, 403, "bot_check_failed", "unavailable");
    assert.equal(response.headers["retry-after"], "1");
  });
});

describe("a failure of Turnstile", () => {
  for (const [name, fault] of faultsOf(SUCCESS, "/elsewhere")) {
    test(`refuses the request: ${name}`, async () => {
      turnstile.fault = fault;
      const token = turnstile.issue();
      const response = await gateway.expectNotForwarded(() => withToken(token));
      assertProblem(response, 403, "bot_check_failed", "unavailable");
      assert.equal(response.headers["retry-after"], "1");
      assert.ok(!turnstile.requests.includes("elsewhere"), "a redirect was followed");
      // The token is still valid.
      turnstile.reset();
      assert.equal((await withToken(token)).text, "ok");
    });
  }

  for (const [name, text] of [
    ["the members of a success in an array", '[true,"app.example","signup"]'],
    [
      "a success with one invalid UTF-8 byte",
      Buffer.from([
        ...Buffer.from(SUCCESS.slice(0, -1)),
        ...Buffer.from(',"x":"'),
        0xff,
        ...Buffer.from('"}'),
      ]),
    ],
  ]) {
    test(`refuses the request: ${name}`, async () => {
      turnstile.fault = (_request, response) =>
        response.writeHead(200, { "Content-Type": "application/json" }).end(text);
      await assertRefused("unavailable", () => withToken(turnstile.issue()));
    });
  }

  test("refuses the request: no connection", async () => {
    const stoppedServer = await startUpstream();
    await stoppedServer.stop();
    const variables = {
      TURNSTILE_SECRET,
      BOT_CHECK: { verify_url: `${stoppedServer.origin}/verify` },
    };
    const other = await openGateway({ routes: [rule("/signup")], variables });
    try {
      const headers = { [HEADER]: "0.token" };
      const options = { method: "POST", headers };
      const response = await other.expectRejected(
        "/signup",
        options,
        403,
        "bot_check_failed",
        "unavailable",
      );
      assert.equal(response.headers["retry-after"], "1");
    } finally {
      await other.stop();
    }
  });
});

describe("the order of the checks", () => {
  test("a body beyond the rule's limit gets 413 before Turnstile is asked", async () => {
    const body = `${FIELD}=${turnstile.issue()}&x=${"x".repeat(4_000)}`;
    for (const chunked of [false, true]) {
      const lengthHeader = chunked
        ? { "Transfer-Encoding": "chunked" }
        : { "Content-Length": String(body.length) };
      const sending = startRequest(gateway.direct, "/small", {
        method: "POST",
        headers: { ...FORM_TYPE, ...lengthHeader },
      });
      const response = responseOf(sending);
      sending.end(body);
      await gateway.expectNotForwarded(async () => assert.equal((await response).statusCode, 413));
    }
    assert.equal(turnstile.requests.length, 0);
  });

  for (const [name, path, more, status, error, reason] of [
    [
      "a cross-site request",
      "/signup",
      { Origin: "https://evil.example" },
      403,
      "forbidden_origin",
    ],
    ["a request without a credential", "/members", {}, 401, "unauthorized", "no_credential"],
  ]) {
    test(`${name} is refused before Turnstile is asked`, async () => {
      const token = turnstile.issue();
      const response = await gateway.expectNotForwarded(() => withToken(token, path, more));
      assertProblem(response, status, error, reason);
      assert.equal(turnstile.requests.length, 0);
    });
  }

  for (const path of ["/once", "/mine"]) {
    test(`a request beyond the rate limit is refused before Turnstile is asked: ${path}`, async () => {
      await assertRefused("missing", () => post(path), 0);
      const response = await gateway.expectNotForwarded(() => withToken(turnstile.issue(), path));
      assertProblem(response, 429, "rate_limited");
      assert.equal(turnstile.requests.length, 0);
    });
  }

  test("a signed-in user needs a token, too", async () => {
    const Cookie = sessionCookies(createSessionToken());
    await assertRefused("missing", () => post("/members", { Cookie }), 0);
    await gateway.expectForwarded(() => withToken(turnstile.issue(), "/members", { Cookie }));
  });

  test("a disabled feature is refused after the token was checked", async () => {
    await assertRefused("missing", () => post("/closed"), 0);
    const response = await gateway.expectNotForwarded(() =>
      withToken(turnstile.issue(), "/closed"),
    );
    assertProblem(response, 403, "feature_disabled");
    assert.equal(turnstile.requests.length, 1);
  });

  test("a replay needs a new token", async () => {
    const withKey = { "Idempotency-Key": `key-${count}` };
    const token = turnstile.issue();
    const first = await withToken(token, "/keyed", withKey);
    assert.equal(first.text, "ok");
    await assertRefused("spent", () => withToken(token, "/keyed", withKey), 2);
    await assertRefused("missing", () => post("/keyed", withKey), 2);
    const replay = await gateway.expectNotForwarded(() =>
      withToken(turnstile.issue(), "/keyed", withKey),
    );
    assert.deepEqual([replay.text, replay.headers["idempotent-replayed"]], ["ok", "true"]);
    // A new token in the body changes the request's fingerprint.
    const formRequest = () => ({ ...FORM_TYPE, body: `${FIELD}=${turnstile.issue()}` });
    const changed = await gateway.expectNotForwarded(() =>
      post("/keyed", { ...withKey, ...formRequest() }),
    );
    assertProblem(changed, 422, "idempotency_key_reused");
    const inBody = { ...formRequest(), "Idempotency-Key": `form-${count}` };
    const { seen } = await gateway.expectForwarded(() => post("/keyed", inBody));
    assert.equal(String(await seen.body), inBody.body);
  });
});

describe("Turnstile's published test secrets", () => {
  for (const [name, secret, override, reason] of [
    ["passes every token", ALWAYS_PASSES, {}, undefined],
    ["passes no answer without the mark of a test", ALWAYS_PASSES, { metadata: {} }, "hostname"],
    ["rejects every token", ALWAYS_FAILS, {}, "rejected"],
    ["reports every token as spent", ALREADY_SPENT, {}, "spent"],
  ]) {
    test(`${secret.slice(0, 2)}… ${name}`, async (t) => {
      const variables = { TURNSTILE_SECRET: secret, BOT_CHECK: { verify_url: turnstile.url } };
      const other = await openGateway({ routes: [rule("/signup")], variables });
      t.after(() => other.stop());
      turnstile.override = override;
      const sendToken = () =>
        withToken("XXXX.DUMMY.TOKEN.XXXX", "/signup", { request: other.request });
      if (!reason) return void (await other.expectForwarded(sendToken));
      assertProblem(await other.expectNotForwarded(sendToken), 403, "bot_check_failed", reason);
    });
  }

  test("a real secret does not accept an answer with the mark of a test", async () => {
    turnstile.override = { metadata: { result_with_testing_key: true } };
    await assertRefused("hostname", () => withToken(turnstile.issue({ hostname: "example.com" })));
    await assertRefused("action", () => withToken(turnstile.issue({ action: undefined })), 2);
  });
});
