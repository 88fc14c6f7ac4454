// Rules with `policy`: what the external policy receives, which answers it may give, and that any other answer
// forbids the request.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { faultsOf } from "../support/faults.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { startUpstream } from "../support/upstream.mjs";

const rule = (path, more) => ({ path, access: "optional", policy: "payments", ...more });
const ROUTES = [
  rule("/acts/{*rest}", { operation: "orders.act" }),
  rule("/plain"),
  rule("/other", { policy: "refunds" }),
  rule("/members", { access: "user" }),
  rule("/closed", { feature: "closed" }),
  rule("/keyed", { idempotency: "optional" }),
  rule("/limited", { limit: "one" }),
  rule("/confirmed", { access: "user", confirm: "human" }),
];
const ALLOW = JSON.stringify({ decision: "allow" });

let policy;
let gateway;
let people;
let ada;
before(async () => {
  policy = await startUpstream();
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      POLICY_URL: `${policy.origin}/decide?tenant=1`,
      RATE_LIMITS: [{ name: "one", limit: 1, period: "1h", by: "principal" }],
    },
    bindings: { kvNamespaces: ["KV"] },
  });
  people = await setUpUsers(gateway);
  ada = await people.createUser("ada");
});
after(async () => {
  await gateway.stop();
  await policy.stop();
});

let count = 0;
beforeEach(() => {
  count += 1;
  respond({ decision: "allow" });
  policy.seen.splice(0);
});

const respond = (answer) => {
  policy.answers["/decide"] = {
    headers: ["Content-Type", "application/json"],
    body: typeof answer === "string" ? answer : JSON.stringify(answer),
  };
};
const call = (...args) => people.call(...args);
const act = (more = "", caller = ada) => call("POST", `/acts/${count}${more}`, caller, "body");
const assertForbidden = async (reason, send, requests = 1) => {
  const response = await gateway.expectNotForwarded(send);
  assertProblem(response, 403, "forbidden_policy", reason);
  assert.equal(policy.seen.length, requests);
  return response;
};

describe("the request to the policy", () => {
  const policyRequest = async (method, path, caller, more) => {
    policy.seen.splice(0);
    const { seen } = await gateway.expectForwarded(() =>
      call(method, path, caller, undefined, more),
    );
    assert.equal(policy.seen.length, 1);
    const [request] = policy.seen;
    assert.deepEqual([request.method, request.url], ["POST", "/decide?tenant=1"]);
    assert.equal(request.headers["content-type"], "application/json");
    return { ...JSON.parse(await request.body), request, upstream: seen };
  };

  test("has the method, canonical path, query, operation and name of the policy", async () => {
    for (const [method, path, fields] of [
      ["POST", "/acts/7?x=1&y=%2f", { path: "/acts/7", query: "?x=1&y=%2f" }],
      ["GET", "/acts//%61b//c", { path: "/acts//ab//c", query: "" }],
      ["DELETE", "/acts//b", { path: "/acts//b", query: "" }],
      ["PROPFIND", "/plain", { path: "/plain", query: "", operation: null }],
    ]) {
      const {
        operation,
        path: actual,
        query,
        policy: name,
        ...rest
      } = await policyRequest(method, path, ada);
      const expected = { operation: "orders.act", policy: "payments", ...fields };
      assert.deepEqual({ operation, path: actual, query, policy: name }, expected);
      assert.equal(rest.method, method);
      assert.equal(rest.upstream.url.split("?")[0], fields.path);
    }
    assert.equal((await policyRequest("GET", "/other", ada)).policy, "refunds");
  });

  test("has the same principal as upstream gets", async () => {
    const root = people.root;
    const task = { agentId: "agent_7", taskId: "task_9" };
    const mat = await people.createToken(ada, "mat_", task);
    const mk = await people.createToken(root, "mk_", { agentId: "agent_7" });
    const mul = await people.createToken(ada, "mul_");
    const mcn = await people.createToken(root, "mcn_");
    const user = { kind: "user", id: ada.id, userId: ada.id, role: "user" };
    const admin = { kind: "user", id: root.id, userId: root.id, role: "admin" };
    for (const [caller, expected] of [
      [ANONYMOUS, null],
      [ada, user],
      [mul, { ...user, tokenId: mul.id }],
      [mat, { ...user, tokenId: mat.id, actorSource: "task_token", ...task }],
      [mcn, { ...admin, tokenId: mcn.id, actorSource: "cloud_pat" }],
      [mk, { kind: "agent", id: "agent_7", tokenId: mk.id, actorSource: "agent_token" }],
    ]) {
      const { principal, upstream } = await policyRequest("GET", "/plain", caller);
      if (expected === null) {
        assert.equal(principal, null);
        continue;
      }
      const { sessionId, ...rest } = principal;
      assert.equal(sessionId, upstream.headers["x-session-id"]);
      // `agentId` may repeat the id of an agent.
      if (expected.kind === "agent") delete rest.agentId;
      assert.deepEqual(rest, expected);
    }
  });

  test("has no secret, no header of the client and no body", async () => {
    const secret = trackSecret("query.secret-that-is-nobodys");
    const headers = { "X-Mine": secret, "X-User-ID": "usr_mallory" };
    const { request } = await policyRequest("GET", "/plain", ada, { headers });
    const body = String(await request.body);
    assert.equal(request.headers.cookie, undefined);
    assert.equal(request.headers.authorization, undefined);
    const text = JSON.stringify(request.headers) + body;
    for (const hidden of [secret, "mallory", ada.headers.Cookie.split("=")[1]])
      assert.ok(!text.includes(hidden), text);
  });
});

describe("the policy's answer", () => {
  test("allow: the request is forwarded with its body", async () => {
    const { response, seen } = await gateway.expectForwarded(() => act());
    assert.equal(response.text, "ok");
    assert.equal(String(await seen.body), "body");
  });

  test("a slow allow: the request is forwarded once it arrives", async () => {
    const gate = Promise.withResolvers();
    policy.answers["/decide"] = async (_request, response) => {
      await gate.promise;
      response.writeHead(200, { "Content-Type": "application/json" }).end(ALLOW);
    };
    const arrival = policy.nextRequest();
    const answer = act();
    await arrival;
    gate.resolve();
    assert.equal((await answer).text, "ok");
  });

  test("forbid: returns 403 and forwards nothing", async () => {
    respond({ decision: "forbid" });
    await assertForbidden("policy", () => act());
  });

  for (const [status, body] of [
    [402, { error: "top_up", missing: 7 }],
    [400, {}],
    [451, { a: ["é", null, 1.5, { b: "\u2028</script>" }] }],
    [503, { later: true }],
    [599, { x: "y".repeat(20_000) }],
  ]) {
    test(`fail: returns ${status} with the policy's body`, async () => {
      respond({ decision: "fail", status, body });
      const response = await gateway.expectNotForwarded(() => act());
      assert.equal(response.status, status);
      assert.match(response.headers["content-type"], /^application\/json/);
      assert.match(response.headers["cache-control"], /no-store/);
      assert.deepEqual(response.json(), body);
    });
  }

  // JSON that would change if it were parsed and written again.
  for (const body of [
    '{"n":12345678901234567890123,"f":1.10,"e":1E2,"z":0.1000000000000000055511151231257827}',
    '{"a":1,"a":2}',
    '{ "b" : [ 1,2 ] ,\t"a":"\\u00e9\\/é"}',
    '"text"',
    "[]",
    "null",
    "7",
  ]) {
    test(`fail: returns the body byte for byte: ${body}`, async () => {
      respond(`{"decision":"fail","status":402,"body":${body}}`);
      const response = await gateway.expectNotForwarded(() => act());
      assert.deepEqual([response.status, response.text], [402, body]);
      assert.match(response.headers["content-type"], /^application\/json/);
    });
  }

  for (const answer of [
    ["allow"],
    ["allow", null, null, 60],
    [],
    {},
    { decision: "Allow" },
    { decision: "allow " },
    { decision: true },
    { decision: ["allow"] },
    { decision: null, allow: true },
    { allow: true },
    { decision: "fail" },
    { decision: "fail", status: 200, body: {} },
    { decision: "fail", status: 302, body: {} },
    { decision: "fail", status: 399, body: {} },
    { decision: "fail", status: 600, body: {} },
    { decision: "fail", status: "402", body: {} },
    { decision: "fail", status: 402.5, body: {} },
  ]) {
    test(`an invalid answer forbids: ${JSON.stringify(answer)}`, async () => {
      respond(answer);
      await assertForbidden("unavailable", () => act());
    });
  }

  for (const [label, fault] of faultsOf(ALLOW, "/elsewhere")) {
    test(`a fault forbids: ${label}`, async () => {
      policy.answers["/decide"] = fault;
      await assertForbidden("unavailable", () => act());
      // The fault is not cached.
      respond({ decision: "allow" });
      assert.equal((await act()).text, "ok");
    });
  }

  for (const [label, bytes] of [
    ["an invalid byte", [...Buffer.from('{"decision":"allow","x":"'), 0xff, ...Buffer.from('"}')]],
    [
      "a truncated sequence",
      [...Buffer.from('{"decision":"allow","x":"'), 0xc3, ...Buffer.from('"}')],
    ],
    [
      "a surrogate",
      [...Buffer.from('{"decision":"allow","x":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')],
    ],
  ]) {
    test(`invalid UTF-8 forbids: ${label}`, async () => {
      policy.answers["/decide"] = {
        headers: ["Content-Type", "application/json"],
        body: Buffer.from(bytes),
      };
      await assertForbidden("unavailable", () => act());
    });
  }

  test("an answer above the size limit forbids", async () => {
    for (const [length, reason] of [
      [60_000, "policy"],
      [70_000, "unavailable"],
    ]) {
      policy.seen.splice(0);
      respond({ decision: "forbid", x: "x".repeat(length) });
      await assertForbidden(reason, () => act(`/${length}`));
    }
  });

  test("a policy that cannot be reached forbids", async () => {
    const gone = await startUpstream();
    await gone.stop();
    const variables = { POLICY_URL: `${gone.origin}/decide` };
    const other = await openGateway({ routes: [rule("/plain")], variables });
    try {
      await other.expectRejected("/plain", {}, 403, "forbidden_policy", "unavailable");
    } finally {
      await other.stop();
    }
  });
});

describe("a decision is cached", () => {
  const requestCount = () => policy.seen.length;

  test("only if it has a ttl", async () => {
    for (const times of [1, 2, 3]) {
      await gateway.expectForwarded(() => act());
      assert.equal(requestCount(), times);
    }
    respond({ decision: "fail", status: 402, body: {}, ttl: 60 });
    for (const times of [4, 5]) {
      assert.equal((await gateway.expectNotForwarded(() => act())).status, 402);
      assert.equal(requestCount(), times, "`fail` is never cached");
    }
  });

  for (const decision of ["allow", "forbid"]) {
    test(`${decision}: until its ttl ends, and for this request alone`, async () => {
      respond({ decision, ttl: 60 });
      const assertDecision = async (more, caller) => {
        const response = await act(more, caller);
        if (decision === "allow") assert.equal(response.text, "ok");
        else assertProblem(response, 403, "forbidden_policy", "policy");
      };
      for (const _ of [1, 2, 3]) await assertDecision("", ada);
      assert.equal(requestCount(), 1);
      // The cached decision counts, not the new one.
      respond({ decision: decision === "allow" ? "forbid" : "allow" });
      await assertDecision("", ada);
      assert.equal(requestCount(), 1);
      respond({ decision });
      const others = [
        ["/other", ada],
        ["?x=1", ada],
        ["", people.root],
        ["", ANONYMOUS],
        ["", await people.createToken(ada, "mat_")],
      ];
      for (const [at, [more, caller]] of others.entries()) {
        await assertDecision(more, caller);
        assert.equal(requestCount(), at + 2, `"${more}" is another request`);
      }
      await call("PUT", `/acts/${count}`, ada, "body");
      assert.equal(requestCount(), others.length + 2, "another method is another request");
    });
  }

  test("no longer than its ttl", async () => {
    respond({ decision: "allow", ttl: 1 });
    await act();
    respond({ decision: "forbid" });
    const response = await pollUntil(
      act,
      ({ status }) => status !== 200,
      "the stored decision to expire",
    );
    assertProblem(response, 403, "forbidden_policy", "policy");
    assert.equal(requestCount(), 2);
  });

  for (const ttl of [
    "0",
    "-1",
    '"60"',
    "60.5",
    "30.0",
    "null",
    "true",
    "[60]",
    '{"s":60}',
    "1e400",
  ]) {
    test(`not if its ttl is ${ttl}`, async () => {
      const isJson = ttl !== "1e400";
      respond(`{"decision":"allow","ttl":${ttl}}`);
      const first = await act();
      if (isJson) assert.equal(first.text, "ok");
      else assertProblem(first, 403, "forbidden_policy", "unavailable");
      respond({ decision: "forbid" });
      assertProblem(await act(), 403, "forbidden_policy", "policy");
      assert.equal(requestCount(), 2);
    });
  }

  test("for long requests too", async () => {
    respond({ decision: "allow", ttl: 300 });
    const long = (i) => act(`?i=${i}&x=${"x".repeat(8_000)}`);
    for (const i of [1, 2, 3]) assert.equal((await long(i)).text, "ok");
    assert.equal(requestCount(), 3);
    for (const i of [1, 2, 3]) assert.equal((await long(i)).text, "ok");
    assert.equal(requestCount(), 3);
  });
});

describe("the order of checks", () => {
  for (const [label, path, caller, headers, status, error, reason] of [
    [
      "a request without a credential",
      "/members",
      () => ANONYMOUS,
      {},
      401,
      "unauthorized",
      "no_credential",
    ],
    ["a request to a feature that is off", "/closed", () => ada, {}, 403, "feature_disabled"],
    [
      ...["a cross-site request", "/plain", () => ada],
      ...[{ "Sec-Fetch-Site": "cross-site", Origin: "https://e.example" }, 403, "forbidden_origin"],
    ],
  ]) {
    test(`${label} is rejected before the policy is asked`, async () => {
      const response = await gateway.expectNotForwarded(() =>
        call("POST", path, caller(), "x", { headers }),
      );
      assertProblem(response, status, error, reason);
      assert.equal(policy.seen.length, 0);
    });
  }

  test("a request above the rate limit is rejected before the policy is asked", async () => {
    respond({ decision: "forbid" });
    await assertForbidden("policy", () => call("POST", "/limited", ada, "x"));
    const response = await gateway.expectNotForwarded(() => call("POST", "/limited", ada, "x"));
    assertProblem(response, 429, "rate_limited");
    assert.equal(policy.seen.length, 1);
  });

  test("a forbidden request creates no approval and claims no idempotency key", async () => {
    const machine = await people.createToken(ada, "mat_");
    respond({ decision: "forbid" });
    await assertForbidden("policy", () => call("POST", "/confirmed", machine, "x"));
    const { items } = (await call("GET", "/api/confirmations", ada)).json();
    assert.deepEqual(items, []);
    const keyed = { headers: { "Idempotency-Key": `key-${count}` } };
    await assertForbidden("policy", () => call("POST", "/keyed", ada, "x", keyed), 2);
    respond({ decision: "allow" });
    const first = await call("POST", "/keyed", ada, "y", keyed);
    assert.deepEqual([first.text, first.headers["idempotent-replayed"]], ["ok", undefined]);
    // The policy must allow a replay, too.
    respond({ decision: "forbid" });
    await assertForbidden("policy", () => call("POST", "/keyed", ada, "y", keyed), 4);
    respond({ decision: "allow" });
    const again = await gateway.expectNotForwarded(() => call("POST", "/keyed", ada, "y", keyed));
    assert.equal(again.headers["idempotent-replayed"], "true");
  });
});

describe("a Worker as the policy", () => {
  test("is called by its service binding", async () => {
    const requests = [];
    const POLICY = async (request) => {
      const body = await request.json();
      requests.push([request.method, request.url, body.policy]);
      const decision = body.query === "?yes" ? "allow" : "forbid";
      return Response.json({ decision });
    };
    const bindings = { serviceBindings: { POLICY } };
    const other = await openGateway({ routes: [rule("/plain")], bindings });
    try {
      await other.expectForwarded(() => other.request("/plain?yes"));
      await other.expectRejected("/plain?no", {}, 403, "forbidden_policy", "policy");
      const expected = ["POST", "https://policy.invalid/", "payments"];
      assert.deepEqual(requests, [expected, expected]);
    } finally {
      await other.stop();
    }
  });
});
