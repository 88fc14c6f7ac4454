// Rules that ask for a sign that no bot acts: a token of Turnstile's, good once, and no request without.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { responseOf, send } from "../support/client.mjs";
import { faultsOf } from "../support/faults.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { cookie, mint } from "../support/tokens.mjs";
import {
  ALREADY_SPENT,
  ALWAYS_FAILS,
  ALWAYS_PASSES,
  startTurnstile,
  TURNSTILE_SECRET,
  YES,
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
  turnstile.honest();
  turnstile.asked.splice(0);
  count += 1;
  address = `192.0.2.${count}`;
});

const HEADER = "CF-Turnstile-Response";
const FIELD = "cf-turnstile-response";
const JSON_TYPE = { "Content-Type": "application/json" };
const FORM_TYPE = { "Content-Type": "application/x-www-form-urlencoded" };
const post = (path, { body = "{}", ask = gateway.ask, method = "POST", ...headers } = {}) =>
  ask(path, { method, headers: { "CF-Connecting-IP": address, ...headers }, body });
const withToken = (token, path = "/signup", more = {}) => post(path, { [HEADER]: token, ...more });
const refused = async (reason, sending, asked = 1) => {
  const response = await gateway.untouched(sending);
  assertProblem(response, 403, "bot_check_failed", reason);
  assert.equal(turnstile.asked.length, asked);
  assert.equal(response.headers["retry-after"], reason === "unavailable" ? "1" : undefined);
  return response;
};
const form = (entries) => {
  const data = new FormData();
  for (const [name, value] of entries) data.append(name, value);
  return data;
};
const multipart = async (entries) => {
  const response = new Response(form(entries));
  const headers = { "Content-Type": response.headers.get("content-type") };
  return { ...headers, body: Buffer.from(await response.arrayBuffer()) };
};

describe("a token passes", () => {
  const bytes = randomBytes(50_000);
  for (const [where, sent] of [
    ["in the header", (token) => ({ [HEADER]: token, body: bytes })],
    ["in a form", (token) => ({ ...FORM_TYPE, body: `name=a+b%26&${FIELD}=${token}&x=%ff` })],
    [
      "in a form, its name escaped",
      (token) => ({
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        body: `cf%2Dturnstile-response=${token.replaceAll("-", "%2d")}`,
      }),
    ],
    [
      "among the parts of a form",
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
      "in a form, where the header is empty",
      (token) => ({ ...FORM_TYPE, [HEADER]: "", body: `${FIELD}=${token}` }),
    ],
    [
      "in JSON, where the header is empty",
      (token) => ({ ...JSON_TYPE, [HEADER]: "", body: JSON.stringify({ [FIELD]: token }) }),
    ],
    [
      "in the header, whatever the body says",
      (token) => ({ ...JSON_TYPE, [HEADER]: token, body: JSON.stringify({ [FIELD]: "x" }) }),
    ],
  ]) {
    test(`${where}, once, and the body goes on as it came`, async () => {
      const token = turnstile.issue();
      const request = await sent(token);
      const { response, seen } = await gateway.passed(() => post("/signup", request));
      assert.equal(response.text, "ok");
      assert.deepEqual(await seen.body, Buffer.from(request.body));
      assert.equal(seen.headers["content-type"], request["Content-Type"]);
      const [{ method, headers, fields }] = turnstile.asked;
      assert.equal(method, "POST");
      assert.equal(headers["content-type"].split(";")[0], "application/x-www-form-urlencoded");
      assert.deepEqual(fields, { secret: TURNSTILE_SECRET, response: token, remoteip: address });
      assert.equal(turnstile.asked.length, 1);
      await refused("spent", () => post("/signup", request), 2);
    });
  }

  test("without a body", async () => {
    const token = turnstile.issue();
    await gateway.passed(() => withToken(token, "/signup?x=1", { method: "GET", body: undefined }));
  });

  test("as long as Turnstile answers in time", async () => {
    const gate = Promise.withResolvers();
    turnstile.gate = gate.promise;
    const arrival = turnstile.arrival();
    const answer = withToken(turnstile.issue());
    await arrival;
    gate.resolve();
    assert.equal((await answer).text, "ok");
  });

  test("once, of twenty at the same time", async () => {
    const token = turnstile.issue();
    const before = gateway.seen.length;
    const answers = await Promise.all(Array.from({ length: 20 }, () => withToken(token)));
    assert.equal(answers.filter(({ text }) => text === "ok").length, 1);
    for (const other of answers.filter(({ status }) => status !== 200))
      assertProblem(other, 403, "bot_check_failed", "spent");
    assert.equal(gateway.seen.length, before + 1);
  });
});

describe("there is no token", () => {
  const long = "0".repeat(2_049);
  for (const [what, sent] of [
    ["at all", () => ({})],
    ["at all, nor a body", () => ({ body: undefined })],
    ["in an empty header", () => ({ [HEADER]: "" })],
    ["in a header that is too long", () => ({ [HEADER]: long })],
    [
      "in a header that is none, whatever the body says",
      (token) => ({ ...FORM_TYPE, [HEADER]: long, body: `${FIELD}=${token}` }),
    ],
    ["in an empty field", () => ({ ...FORM_TYPE, body: `${FIELD}=` })],
    ["in another field", (token) => ({ ...FORM_TYPE, body: `x-${FIELD}=${token}` })],
    ["in a field that is too long", () => ({ ...FORM_TYPE, body: `${FIELD}=${long}` })],
    ["in JSON that is none", (token) => ({ ...JSON_TYPE, body: `{"${FIELD}":"${token}"` })],
    ["deeper in JSON", (token) => ({ ...JSON_TYPE, body: `{"a":{"${FIELD}":"${token}"}}` })],
    ["in a list", (token) => ({ ...JSON_TYPE, body: `[{"${FIELD}":"${token}"}]` })],
    ["but a number", () => ({ ...JSON_TYPE, body: `{"${FIELD}":7}` })],
    ["in a text", (token) => ({ "Content-Type": "text/plain", body: `${FIELD}=${token}` })],
    ["in a part of another name", (token) => multipart([["token", token]])],
    ["in the query", (token) => ({ query: `?${FIELD}=${token}` })],
  ]) {
    test(`${what}: nobody is asked`, async () => {
      const { query = "", ...request } = await sent(turnstile.issue());
      await refused("missing", () => post(`/signup${query}`, request), 0);
    });
  }
});

describe("a token does not pass", () => {
  for (const [what, reason, token] of [
    ["that nobody gave out", "rejected", () => "0.made-up"],
    ["of the longest", "rejected", () => "0".repeat(2_048)],
    ["that is too old", "spent", () => turnstile.issue({ age: 301 })],
    ["of another site", "hostname", () => turnstile.issue({ hostname: "evil.example" })],
    ["of a site below", "hostname", () => turnstile.issue({ hostname: "x.app.example" })],
    ["of no site", "hostname", () => turnstile.issue({ hostname: undefined })],
    ["of another form", "action", () => turnstile.issue({ action: "login" })],
    ["of a form in capitals", "action", () => turnstile.issue({ action: "SIGNUP" })],
    ["of no form", "action", () => turnstile.issue({ action: undefined })],
  ]) {
    test(`${what}: ${reason}`, async () => {
      await refused(reason, () => withToken(token()));
    });
  }

  for (const [what, lie, reasons] of [
    ["true in words", { success: "true" }, ["rejected", "unavailable"]],
    ["one", { success: 1 }, ["rejected", "unavailable"]],
    ["no word of it", { success: undefined }, ["rejected", "unavailable"]],
    ["false, and why not is missing", { success: false }, ["rejected"]],
    ["false, with errors that are none", { success: false, "error-codes": 7 }, ["unavailable"]],
    ["a list of hostnames", { hostname: ["app.example"] }, ["hostname", "unavailable"]],
    ["a list of actions", { action: ["signup"] }, ["action", "unavailable"]],
  ]) {
    test(`of which Turnstile says ${what}`, async () => {
      turnstile.lie = lie;
      const response = await gateway.untouched(() => withToken(turnstile.issue()));
      assert.ok(reasons.includes(response.json().reason), response.text);
      assertProblem(response, 403, "bot_check_failed", response.json().reason);
    });
  }
});

describe("what is no word on the visitor is not taken for one", () => {
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
    test(`${codes.join(", ") || "no error"}: ${reason}`, async () => {
      turnstile.lie = { success: false, "error-codes": codes };
      await refused(reason, () => withToken("0.made-up"));
    });
  }

  test("a secret that is not the widget's", async (t) => {
    const variables = {
      TURNSTILE_SECRET: `${TURNSTILE_SECRET}x`,
      BOT_CHECK: { verify_url: turnstile.url },
    };
    const other = await openGateway({ routes: [rule("/signup")], variables });
    t.after(() => other.stop());
    const sent = () => withToken(turnstile.issue(), "/signup", { ask: other.ask });
    const response = await other.untouched(sent);
    assertProblem(response, 403, "bot_check_failed", "unavailable");
    assert.equal(response.headers["retry-after"], "1");
  });
});

describe("Turnstile answers by", () => {
  for (const [what, fault] of faultsOf(YES, "/elsewhere")) {
    test(`${what}: closed`, async () => {
      turnstile.fault = fault;
      const token = turnstile.issue();
      const response = await gateway.untouched(() => withToken(token));
      assertProblem(response, 403, "bot_check_failed", "unavailable");
      assert.equal(response.headers["retry-after"], "1");
      assert.ok(!turnstile.asked.includes("elsewhere"), "a redirect was followed");
      // The token is as good as before.
      turnstile.honest();
      assert.equal((await withToken(token)).text, "ok");
    });
  }

  for (const [what, text] of [
    ["the members of a yes in a list", '[true,"app.example","signup"]'],
    [
      "a yes that is no UTF-8 in one letter",
      Buffer.from([
        ...Buffer.from(YES.slice(0, -1)),
        ...Buffer.from(',"x":"'),
        0xff,
        ...Buffer.from('"}'),
      ]),
    ],
  ]) {
    test(`${what}: closed`, async () => {
      turnstile.fault = (_request, response) =>
        response.writeHead(200, { "Content-Type": "application/json" }).end(text);
      await refused("unavailable", () => withToken(turnstile.issue()));
    });
  }

  test("not being there: closed", async () => {
    const gone = await startUpstream();
    await gone.stop();
    const variables = { TURNSTILE_SECRET, BOT_CHECK: { verify_url: `${gone.origin}/verify` } };
    const other = await openGateway({ routes: [rule("/signup")], variables });
    try {
      const headers = { [HEADER]: "0.token" };
      const options = { method: "POST", headers };
      const response = await other.refused(
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

describe("its place in the order", () => {
  test("a longer body than the rule takes is not read for a token", async () => {
    const body = `${FIELD}=${turnstile.issue()}&x=${"x".repeat(4_000)}`;
    for (const chunked of [false, true]) {
      const length = chunked
        ? { "Transfer-Encoding": "chunked" }
        : { "Content-Length": String(body.length) };
      const sending = send(gateway.direct, "/small", {
        method: "POST",
        headers: { ...FORM_TYPE, ...length },
      });
      const response = responseOf(sending);
      sending.end(body);
      await gateway.untouched(async () => assert.equal((await response).statusCode, 413));
    }
    assert.equal(turnstile.asked.length, 0);
  });

  for (const [what, path, more, status, error, reason] of [
    ["a forged request", "/signup", { Origin: "https://evil.example" }, 403, "forbidden_origin"],
    ["nobody", "/members", {}, 401, "unauthorized", "no_credential"],
  ]) {
    test(`${what} is refused before Turnstile is asked`, async () => {
      const token = turnstile.issue();
      const response = await gateway.untouched(() => withToken(token, path, more));
      assertProblem(response, status, error, reason);
      assert.equal(turnstile.asked.length, 0);
    });
  }

  for (const path of ["/once", "/mine"]) {
    test(`who is beyond the limit is refused before, too: ${path}`, async () => {
      await refused("missing", () => post(path), 0);
      const response = await gateway.untouched(() => withToken(turnstile.issue(), path));
      assertProblem(response, 429, "rate_limited");
      assert.equal(turnstile.asked.length, 0);
    });
  }

  test("who is known is asked all the same", async () => {
    const Cookie = cookie(mint());
    await refused("missing", () => post("/members", { Cookie }), 0);
    await gateway.passed(() => withToken(turnstile.issue(), "/members", { Cookie }));
  });

  test("a feature that is off is found out after", async () => {
    await refused("missing", () => post("/closed"), 0);
    const response = await gateway.untouched(() => withToken(turnstile.issue(), "/closed"));
    assertProblem(response, 403, "feature_disabled");
    assert.equal(turnstile.asked.length, 1);
  });

  test("what was answered before is answered again to who has a new token, and nobody else", async () => {
    const keyed = { "Idempotency-Key": `key-${count}` };
    const token = turnstile.issue();
    const first = await withToken(token, "/keyed", keyed);
    assert.equal(first.text, "ok");
    await refused("spent", () => withToken(token, "/keyed", keyed), 2);
    await refused("missing", () => post("/keyed", keyed), 2);
    const again = await gateway.untouched(() => withToken(turnstile.issue(), "/keyed", keyed));
    assert.deepEqual([again.text, again.headers["idempotent-replayed"]], ["ok", "true"]);
    // In the body, another token is another request.
    const form = () => ({ ...FORM_TYPE, body: `${FIELD}=${turnstile.issue()}` });
    const changed = await gateway.untouched(() => post("/keyed", { ...keyed, ...form() }));
    assertProblem(changed, 422, "idempotency_key_reused");
    const inBody = { ...form(), "Idempotency-Key": `form-${count}` };
    const { seen } = await gateway.passed(() => post("/keyed", inBody));
    assert.equal(String(await seen.body), inBody.body);
  });
});

describe("the secrets that are published for tests", () => {
  for (const [what, secret, lie, reason] of [
    ["passes what it is asked, whatever for", ALWAYS_PASSES, {}, undefined],
    ["passes nothing that is not marked as a test's", ALWAYS_PASSES, { metadata: {} }, "hostname"],
    ["fails", ALWAYS_FAILS, {}, "rejected"],
    ["is spent", ALREADY_SPENT, {}, "spent"],
  ]) {
    test(`${secret.slice(0, 2)}… ${what}`, async (t) => {
      const variables = { TURNSTILE_SECRET: secret, BOT_CHECK: { verify_url: turnstile.url } };
      const other = await openGateway({ routes: [rule("/signup")], variables });
      t.after(() => other.stop());
      turnstile.lie = lie;
      const sent = () => withToken("XXXX.DUMMY.TOKEN.XXXX", "/signup", { ask: other.ask });
      if (!reason) return void (await other.passed(sent));
      assertProblem(await other.untouched(sent), 403, "bot_check_failed", reason);
    });
  }

  test("nobody passes by their mark alone", async () => {
    turnstile.lie = { metadata: { result_with_testing_key: true } };
    await refused("hostname", () => withToken(turnstile.issue({ hostname: "example.com" })));
    await refused("action", () => withToken(turnstile.issue({ action: undefined })), 2);
  });
});
