// Rules that ask a policy of the operator's own: what it is told, what it may answer, and that anything else
// is no.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { faultsOf } from "../support/faults.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";
import { remember } from "../support/tokens.mjs";
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
const YES = JSON.stringify({ decision: "allow" });

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
      POLICY_URL: `${policy.origin}/judge?tenant=1`,
      RATE_LIMITS: [{ name: "one", limit: 1, period: "1h", by: "principal" }],
    },
    bindings: { kvNamespaces: ["KV"] },
  });
  people = await settle(gateway);
  ada = await people.invited("ada");
});
after(async () => {
  await gateway.stop();
  await policy.stop();
});

let count = 0;
beforeEach(() => {
  count += 1;
  says({ decision: "allow" });
  policy.seen.splice(0);
});

const says = (answer) => {
  policy.answers["/judge"] = {
    headers: ["Content-Type", "application/json"],
    body: typeof answer === "string" ? answer : JSON.stringify(answer),
  };
};
const call = (...given) => people.call(...given);
const act = (more = "", who = ada) => call("POST", `/acts/${count}${more}`, who, "body");
const forbidden = async (reason, sending, asked = 1) => {
  const response = await gateway.untouched(sending);
  assertProblem(response, 403, "forbidden_policy", reason);
  assert.equal(policy.seen.length, asked);
  return response;
};

describe("it is told", () => {
  const told = async (method, path, who, more) => {
    policy.seen.splice(0);
    const { seen } = await gateway.passed(() => call(method, path, who, undefined, more));
    assert.equal(policy.seen.length, 1);
    const [question] = policy.seen;
    assert.deepEqual([question.method, question.url], ["POST", "/judge?tenant=1"]);
    assert.equal(question.headers["content-type"], "application/json");
    return { ...JSON.parse(await question.body), question, upstream: seen };
  };

  test("what is asked, in its canonical form", async () => {
    for (const [method, path, wanted] of [
      ["POST", "/acts/7?x=1&y=%2f", { path: "/acts/7", query: "?x=1&y=%2f" }],
      ["GET", "/acts//%61b//c", { path: "/acts//ab//c", query: "" }],
      ["DELETE", "/acts//b", { path: "/acts//b", query: "" }],
      ["PROPFIND", "/plain", { path: "/plain", query: "", operation: null }],
    ]) {
      const { operation, path: is, query, policy: name, ...rest } = await told(method, path, ada);
      const expected = { operation: "orders.act", policy: "payments", ...wanted };
      assert.deepEqual({ operation, path: is, query, policy: name }, expected);
      assert.equal(rest.method, method);
      assert.equal(rest.upstream.url.split("?")[0], wanted.path);
    }
    assert.equal((await told("GET", "/other", ada)).policy, "refunds");
  });

  test("who asks, as upstream is", async () => {
    const root = people.root;
    const task = { agentId: "agent_7", taskId: "task_9" };
    const mat = await people.token(ada, "mat_", task);
    const mk = await people.token(root, "mk_", { agentId: "agent_7" });
    const mul = await people.token(ada, "mul_");
    const mcn = await people.token(root, "mcn_");
    const user = { kind: "user", id: ada.id, userId: ada.id, role: "user" };
    const admin = { kind: "user", id: root.id, userId: root.id, role: "admin" };
    for (const [who, wanted] of [
      [NOBODY, null],
      [ada, user],
      [mul, { ...user, tokenId: mul.id }],
      [mat, { ...user, tokenId: mat.id, actorSource: "task_token", ...task }],
      [mcn, { ...admin, tokenId: mcn.id, actorSource: "cloud_pat" }],
      [mk, { kind: "agent", id: "agent_7", tokenId: mk.id, actorSource: "agent_token" }],
    ]) {
      const { principal, upstream } = await told("GET", "/plain", who);
      if (wanted === null) {
        assert.equal(principal, null);
        continue;
      }
      const { sessionId, ...rest } = principal;
      assert.equal(sessionId, upstream.headers["x-session-id"]);
      // The agent's own id may be told twice.
      if (wanted.kind === "agent") delete rest.agentId;
      assert.deepEqual(rest, wanted);
    }
  });

  test("nothing of a secret, of a header or of the body", async () => {
    const secret = remember("query.secret-that-is-nobodys");
    const headers = { "X-Mine": secret, "X-User-ID": "usr_mallory" };
    const { question } = await told("GET", "/plain", ada, { headers });
    const body = String(await question.body);
    assert.equal(question.headers.cookie, undefined);
    assert.equal(question.headers.authorization, undefined);
    const text = JSON.stringify(question.headers) + body;
    for (const hidden of [secret, "mallory", ada.headers.Cookie.split("=")[1]])
      assert.ok(!text.includes(hidden), text);
  });
});

describe("it answers", () => {
  test("allow: upstream gets the request, body and all", async () => {
    const { response, seen } = await gateway.passed(() => act());
    assert.equal(response.text, "ok");
    assert.equal(String(await seen.body), "body");
  });

  test("in time: upstream gets it then", async () => {
    const gate = Promise.withResolvers();
    policy.answers["/judge"] = async (_request, response) => {
      await gate.promise;
      response.writeHead(200, { "Content-Type": "application/json" }).end(YES);
    };
    const arrival = policy.arrival();
    const answer = act();
    await arrival;
    gate.resolve();
    assert.equal((await answer).text, "ok");
  });

  test("forbid: nobody gets anything", async () => {
    says({ decision: "forbid" });
    await forbidden("policy", () => act());
  });

  for (const [status, body] of [
    [402, { error: "top_up", missing: 7 }],
    [400, {}],
    [451, { a: ["é", null, 1.5, { b: "\u2028</script>" }] }],
    [503, { later: true }],
    [599, { x: "y".repeat(20_000) }],
  ]) {
    test(`fail: ${status} is passed on as it is`, async () => {
      says({ decision: "fail", status, body });
      const response = await gateway.untouched(() => act());
      assert.equal(response.status, status);
      assert.match(response.headers["content-type"], /^application\/json/);
      assert.match(response.headers["cache-control"], /no-store/);
      assert.deepEqual(response.json(), body);
    });
  }

  // Written as nobody would who reads and writes it again.
  for (const body of [
    '{"n":12345678901234567890123,"f":1.10,"e":1E2,"z":0.1000000000000000055511151231257827}',
    '{"a":1,"a":2}',
    '{ "b" : [ 1,2 ] ,\t"a":"\\u00e9\\/é"}',
    '"text"',
    "[]",
    "null",
    "7",
  ]) {
    test(`fail: byte for byte, ${body}`, async () => {
      says(`{"decision":"fail","status":402,"body":${body}}`);
      const response = await gateway.untouched(() => act());
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
    test(`what it may not: ${JSON.stringify(answer)}`, async () => {
      says(answer);
      await forbidden("unavailable", () => act());
    });
  }

  for (const [what, fault] of faultsOf(YES, "/elsewhere")) {
    test(`by ${what}: that is no`, async () => {
      policy.answers["/judge"] = fault;
      await forbidden("unavailable", () => act());
      // And is not remembered.
      says({ decision: "allow" });
      assert.equal((await act()).text, "ok");
    });
  }

  for (const [what, bytes] of [
    [
      "a letter that is none",
      [...Buffer.from('{"decision":"allow","x":"'), 0xff, ...Buffer.from('"}')],
    ],
    ["half a letter", [...Buffer.from('{"decision":"allow","x":"'), 0xc3, ...Buffer.from('"}')]],
    [
      "a surrogate",
      [...Buffer.from('{"decision":"allow","x":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')],
    ],
  ]) {
    test(`what is no UTF-8: ${what}`, async () => {
      policy.answers["/judge"] = {
        headers: ["Content-Type", "application/json"],
        body: Buffer.from(bytes),
      };
      await forbidden("unavailable", () => act());
    });
  }

  test("more than is read: that is no", async () => {
    for (const [length, reason] of [
      [60_000, "policy"],
      [70_000, "unavailable"],
    ]) {
      policy.seen.splice(0);
      says({ decision: "forbid", x: "x".repeat(length) });
      await forbidden(reason, () => act(`/${length}`));
    }
  });

  test("not at all: that is no", async () => {
    const gone = await startUpstream();
    await gone.stop();
    const variables = { POLICY_URL: `${gone.origin}/judge` };
    const other = await openGateway({ routes: [rule("/plain")], variables });
    try {
      await other.refused("/plain", {}, 403, "forbidden_policy", "unavailable");
    } finally {
      await other.stop();
    }
  });
});

describe("what it says is remembered", () => {
  const asked = () => policy.seen.length;

  test("not where it does not say so", async () => {
    for (const times of [1, 2, 3]) {
      await gateway.passed(() => act());
      assert.equal(asked(), times);
    }
    says({ decision: "fail", status: 402, body: {}, ttl: 60 });
    for (const times of [4, 5]) {
      assert.equal((await gateway.untouched(() => act())).status, 402);
      assert.equal(asked(), times, "what fails is asked each time");
    }
  });

  for (const decision of ["allow", "forbid"]) {
    test(`${decision}: for as long as it says, of this question alone`, async () => {
      says({ decision, ttl: 60 });
      const is = async (more, who) => {
        const response = await act(more, who);
        if (decision === "allow") assert.equal(response.text, "ok");
        else assertProblem(response, 403, "forbidden_policy", "policy");
      };
      for (const _ of [1, 2, 3]) await is("", ada);
      assert.equal(asked(), 1);
      // Whatever it says by now.
      says({ decision: decision === "allow" ? "forbid" : "allow" });
      await is("", ada);
      assert.equal(asked(), 1);
      says({ decision });
      const others = [
        ["/other", ada],
        ["?x=1", ada],
        ["", people.root],
        ["", NOBODY],
        ["", await people.token(ada, "mat_")],
      ];
      for (const [at, [more, who]] of others.entries()) {
        await is(more, who);
        assert.equal(asked(), at + 2, `${more} is another question`);
      }
      await call("PUT", `/acts/${count}`, ada, "body");
      assert.equal(asked(), others.length + 2, "another method is another question");
    });
  }

  test("no longer than that", async () => {
    says({ decision: "allow", ttl: 1 });
    await act();
    says({ decision: "forbid" });
    let response;
    do response = await act();
    while (response.status === 200);
    assertProblem(response, 403, "forbidden_policy", "policy");
    assert.equal(asked(), 2);
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
    test(`not for ${ttl} seconds: that is none`, async () => {
      const isJson = ttl !== "1e400";
      says(`{"decision":"allow","ttl":${ttl}}`);
      const first = await act();
      if (isJson) assert.equal(first.text, "ok");
      else assertProblem(first, 403, "forbidden_policy", "unavailable");
      says({ decision: "forbid" });
      assertProblem(await act(), 403, "forbidden_policy", "policy");
      assert.equal(asked(), 2);
    });
  }

  test("many questions, however long, take little to remember", async () => {
    says({ decision: "allow", ttl: 300 });
    const long = (i) => act(`?i=${i}&x=${"x".repeat(8_000)}`);
    for (const i of [1, 2, 3]) assert.equal((await long(i)).text, "ok");
    assert.equal(asked(), 3);
    for (const i of [1, 2, 3]) assert.equal((await long(i)).text, "ok");
    assert.equal(asked(), 3);
  });
});

describe("its place in the order", () => {
  for (const [what, path, who, headers, status, error, reason] of [
    ["nobody", "/members", () => NOBODY, {}, 401, "unauthorized", "no_credential"],
    ["a feature that is off", "/closed", () => ada, {}, 403, "feature_disabled"],
    [
      ...["a forged request", "/plain", () => ada],
      ...[{ "Sec-Fetch-Site": "cross-site", Origin: "https://e.example" }, 403, "forbidden_origin"],
    ],
  ]) {
    test(`${what} is refused before it is asked`, async () => {
      const response = await gateway.untouched(() => call("POST", path, who(), "x", { headers }));
      assertProblem(response, status, error, reason);
      assert.equal(policy.seen.length, 0);
    });
  }

  test("who is beyond the limit is refused before, too", async () => {
    says({ decision: "forbid" });
    await forbidden("policy", () => call("POST", "/limited", ada, "x"));
    const response = await gateway.untouched(() => call("POST", "/limited", ada, "x"));
    assertProblem(response, 429, "rate_limited");
    assert.equal(policy.seen.length, 1);
  });

  test("what it forbids is not put before a person, and no key is claimed for it", async () => {
    const machine = await people.token(ada, "mat_");
    says({ decision: "forbid" });
    await forbidden("policy", () => call("POST", "/confirmed", machine, "x"));
    const { items } = (await call("GET", "/api/confirmations", ada)).json();
    assert.deepEqual(items, []);
    const keyed = { headers: { "Idempotency-Key": `key-${count}` } };
    await forbidden("policy", () => call("POST", "/keyed", ada, "x", keyed), 2);
    says({ decision: "allow" });
    const first = await call("POST", "/keyed", ada, "y", keyed);
    assert.deepEqual([first.text, first.headers["idempotent-replayed"]], ["ok", undefined]);
    // Nor is it answered again to who may not any more.
    says({ decision: "forbid" });
    await forbidden("policy", () => call("POST", "/keyed", ada, "y", keyed), 4);
    says({ decision: "allow" });
    const again = await gateway.untouched(() => call("POST", "/keyed", ada, "y", keyed));
    assert.equal(again.headers["idempotent-replayed"], "true");
  });
});

describe("a Worker of one's own as the policy", () => {
  test("is asked by its binding", async () => {
    const questions = [];
    const POLICY = async (request) => {
      const question = await request.json();
      questions.push([request.method, request.url, question.policy]);
      const decision = question.query === "?yes" ? "allow" : "forbid";
      return Response.json({ decision });
    };
    const bindings = { serviceBindings: { POLICY } };
    const other = await openGateway({ routes: [rule("/plain")], bindings });
    try {
      await other.passed(() => other.ask("/plain?yes"));
      await other.refused("/plain?no", {}, 403, "forbidden_policy", "policy");
      const question = ["POST", "https://policy.invalid/", "payments"];
      assert.deepEqual(questions, [question, question]);
    } finally {
      await other.stop();
    }
  });
});
