// Scopes of tokens: a token may do what its owner may, cut by operations, methods and addresses.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertMisconfigured, assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";

const CATALOGUE = "/.well-known/agent-operations";
const CREDENTIALS = [
  { prefix: "mul_", kind: "user", machine: false, delegate: true },
  { prefix: "mat_", kind: "user", source: "task_token", machine: true },
  { prefix: "mk_", kind: "agent", source: "agent_token", machine: true },
];
const ROUTES = [
  {
    path: "/orders",
    methods: ["GET", "POST"],
    operation: "orders.all",
    access: "user",
    catalogue: true,
  },
  {
    path: "/orders/{id}",
    methods: ["GET"],
    operation: "orders.read",
    access: "user",
    catalogue: true,
  },
  {
    path: "/orders/{id}/items",
    methods: ["GET"],
    operation: "orders.items.list",
    access: "owner",
    owner_from: "/owners/{id}",
  },
  {
    path: "/transfers",
    methods: ["POST"],
    operation: "transfers.create",
    access: "user",
    idempotency: "optional",
    catalogue: true,
  },
  {
    path: "/reports",
    methods: ["GET"],
    operation: "reports.read",
    access: "admin",
    catalogue: true,
  },
  {
    path: "/jobs",
    methods: ["POST"],
    operation: "orders.jobs",
    access: "agent",
    catalogue: true,
  },
  {
    path: "/open",
    methods: ["GET"],
    operation: "pages.open",
    access: "public",
    catalogue: true,
  },
  { path: "/maybe", operation: "pages.maybe", access: "optional" },
  { path: "/unnamed", access: "user" },
];

const openWith = async (variables) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, CREDENTIALS, ...variables },
    secondIsolate: true,
  });
  return { gateway, people: await setUpUsers(gateway) };
};

let gateway;
let people;
let root;
let ada;
before(async () => {
  ({ gateway, people } = await openWith());
  root = people.root;
  ada = await people.createUser("ada");
  gateway.upstream.answers["/owners/1"] = { headers: ["X-Owner-ID", ada.id] };
});
after(() => gateway.stop());

const create = (caller, body) =>
  people.call("POST", "/api/agent-tokens", caller, { name: "scoped", prefix: "mul_", ...body });
const created = async (caller, body) => {
  const response = await create(caller, body);
  assert.equal(response.status, 201, response.text);
  const token = response.json();
  return { ...token, headers: { Authorization: `Bearer ${trackSecret(token.plaintext)}` } };
};
const send = (method, path, caller, headers) =>
  people.call(method, path, caller, undefined, { headers });

const assertForwarded = async (method, path, caller, headers) => {
  const { response } = await gateway.expectForwarded(() => send(method, path, caller, headers));
  assert.equal(response.status, 200, response.text);
};
const assertOutOfScope = async (reason, method, path, caller, headers) => {
  for (const request of [gateway.request, gateway.requestSecondIsolate]) {
    const response = await gateway.expectNotForwarded(() =>
      people.call(method, path, caller, undefined, { headers, request }),
    );
    const problem = assertProblem(response, 403, "forbidden_scope", reason);
    assert.equal(problem.type, `urn:vestibule:errors#forbidden_scope-${reason}`);
  }
};

describe("operations", () => {
  test("a token does what its patterns name, and nothing else", async () => {
    const token = await created(ada, { operations: ["orders.*"] });
    assert.deepEqual(token.operations, ["orders.*"]);
    await assertForwarded("GET", "/orders", token);
    await assertForwarded("POST", "/orders", token);
    await assertForwarded("GET", "/orders/7", token);
    await assertOutOfScope("operation", "POST", "/transfers", token);
    await assertOutOfScope("operation", "POST", "/transfers", token, { "Idempotency-Key": "k-1" });
    // A rule without an operation, and the default rule.
    await assertOutOfScope("operation", "GET", "/unnamed", token);
    await assertOutOfScope("operation", "GET", "/elsewhere", token);
    await assertOutOfScope("operation", "GET", "/maybe", token);
  });

  test("a wildcard alone still needs a name", async () => {
    const token = await created(ada, { operations: ["*"] });
    await assertForwarded("POST", "/transfers", token);
    await assertOutOfScope("operation", "GET", "/unnamed", token);
  });

  test("upstream is not asked for an owner before the scope is checked", async () => {
    const narrow = await created(ada, { operations: ["orders.read"] });
    await assertOutOfScope("operation", "GET", "/orders/1/items", narrow);
  });

  test("the owner's rights stay the limit", async () => {
    const token = await created(ada, { operations: ["*"] });
    const response = await gateway.expectNotForwarded(() => send("GET", "/reports", token));
    assertProblem(response, 403, "forbidden_role");
  });

  test("built-in routes are operations, too", async () => {
    const token = await created(ada, { operations: ["orders.*"] });
    for (const [method, path] of [
      ["GET", "/api/auth/me"],
      ["GET", "/api/agent-tokens"],
      ["DELETE", `/api/agent-tokens/${token.id}`],
      ["GET", "/api/sessions"],
      ["DELETE", "/api/sessions"],
      ["GET", "/api/users/names?ids=x"],
    ])
      await assertOutOfScope("operation", method, path, token);
    const reader = await created(ada, { operations: ["vestibule.me", "vestibule.tokens.list"] });
    assert.equal((await send("GET", "/api/auth/me", reader)).json().userId, ada.id);
    assert.equal((await send("GET", "/api/agent-tokens", reader)).status, 200);
    await assertOutOfScope("operation", "DELETE", `/api/agent-tokens/${token.id}`, reader);
  });

  test("an admin's scoped token invites nobody, unless its scope says so", async () => {
    const token = await created(root, { operations: ["orders.*"] });
    const invite = (caller) => people.call("POST", "/api/invites", caller, { role: "admin" });
    assertProblem(await invite(token), 403, "forbidden_scope", "operation");
    const inviting = await created(root, { operations: ["vestibule.invites.create"] });
    assert.equal((await invite(inviting)).status, 201);
  });

  test("a public rule uses no credential, so no scope counts", async () => {
    const token = await created(ada, { operations: ["orders.*"] });
    await assertForwarded("GET", "/open", token);
  });

  test("a session beside the token is not cut", async () => {
    const token = await created(ada, { operations: ["orders.*"] });
    await assertForwarded("GET", "/unnamed", { headers: { ...token.headers, ...ada.headers } });
  });

  test("an agent's own token has a scope, too", async () => {
    const token = await created(root, { prefix: "mk_", operations: ["orders.jobs"] });
    await assertForwarded("POST", "/jobs", token);
    const other = await created(root, { prefix: "mk_", operations: ["orders.read"] });
    await assertOutOfScope("operation", "POST", "/jobs", other);
    const mine = { headers: root.headers };
    const taken = await people.call("POST", `/api/agent-tokens/${other.id}/take-over`, mine);
    assert.deepEqual([taken.status, taken.json().operations], [200, ["orders.read"]]);
    await assertOutOfScope("operation", "POST", "/jobs", other);
  });
});

describe("methods", () => {
  test("GET includes HEAD, and other methods are refused", async () => {
    const token = await created(ada, { methods: ["GET"] });
    await assertForwarded("GET", "/orders", token);
    await assertForwarded("HEAD", "/orders", token);
    await assertForwarded("GET", "/unnamed", token);
    await assertOutOfScope("method", "POST", "/orders", token);
    await assertOutOfScope("method", "OPTIONS", "/unnamed", token);
    await assertOutOfScope("method", "DELETE", `/api/agent-tokens/${token.id}`, token);
  });
});

describe("addresses", () => {
  const from = (address) => ({ "CF-Connecting-IP": address });

  test("only clients of these ranges may use the token", async () => {
    const token = await created(ada, { addresses: ["192.0.2.0/24", "2001:db8::/32"] });
    for (const address of ["192.0.2.0", "192.0.2.255", "2001:db8:7::1", "::ffff:192.0.2.9"])
      await assertForwarded("GET", "/orders", token, from(address));
    for (const address of ["192.0.3.0", "2001:db9::1", "203.0.113.9", "::ffff:192.0.3.1"])
      await assertOutOfScope("address", "GET", "/orders", token, from(address));
  });

  test("what a client claims about its address does not count", async () => {
    const token = await created(ada, { addresses: ["192.0.2.0/24"] });
    const claims = {
      "X-Forwarded-For": "192.0.2.1",
      Forwarded: "for=192.0.2.1",
      "X-Real-IP": "192.0.2.1",
    };
    await assertOutOfScope("address", "GET", "/orders", token, {
      ...from("203.0.113.9"),
      ...claims,
    });
  });

  test("the first part that does not fit is the reason", async () => {
    const token = await created(ada, {
      operations: ["orders.*"],
      methods: ["GET"],
      addresses: ["192.0.2.0/24"],
    });
    const elsewhere = from("203.0.113.9");
    await assertOutOfScope("operation", "POST", "/transfers", token, elsewhere);
    await assertOutOfScope("method", "POST", "/orders", token, elsewhere);
    await assertOutOfScope("address", "GET", "/orders", token, elsewhere);
    await assertForwarded("GET", "/orders", token, from("192.0.2.1"));
  });
});

describe("making tokens", () => {
  for (const [member, values] of [
    ["operations", [[], ["orders.*.list"], ["*.list"], ["Orders"], ["orders*"], [""], "orders.*"]],
    ["operations", [[7], Array.from({ length: 33 }, (_, i) => `orders.o${i}`)]],
    ["methods", [[], ["get"], ["FOO"], ["CONNECT"], "GET"]],
    ["addresses", [[], ["192.0.2.1/24"], ["192.0.2.0/33"], ["host"], ["::ffff:192.0.2.1"], {}]],
  ]) {
    test(`rejects invalid ${member}: ${JSON.stringify(values).slice(0, 60)}`, async () => {
      for (const value of values) {
        const response = await create(ada, { [member]: value });
        assert.equal(assertProblem(response, 400, "invalid_body").field, member);
      }
    });
  }

  test("a token without a scope is not cut, and null is no scope", async () => {
    const token = await created(ada, { operations: null, methods: null, addresses: null });
    assert.deepEqual([token.operations, token.methods, token.addresses], [null, null, null]);
    await assertForwarded("GET", "/unnamed", token);
    await assertForwarded("POST", "/transfers", token);
  });

  test("the list shows scopes", async () => {
    const scope = { operations: ["orders.read"], methods: ["GET"], addresses: ["::1"] };
    const { id } = await created(ada, scope);
    const { items } = (await send("GET", "/api/agent-tokens?limit=100", ada)).json();
    const { operations, methods, addresses } = items.find((item) => item.id === id);
    assert.deepEqual({ operations, methods, addresses }, scope);
  });
});

describe("tokens that make tokens", () => {
  const TASK = { prefix: "mat_", taskId: "task_1", expiresIn: "1h" };
  const MAKES = ["vestibule.tokens.create", "orders.*"];

  test("a child token gets the scope of its parent, or a part of it", async () => {
    const maker = await created(ada, { operations: MAKES, methods: ["GET", "POST"] });
    const same = await created(maker, TASK);
    assert.deepEqual([same.operations, same.methods], [MAKES, ["GET", "POST"]]);
    const less = await created(maker, { ...TASK, operations: ["orders.read"], methods: ["GET"] });
    await assertForwarded("GET", "/orders/7", less);
    await assertOutOfScope("operation", "GET", "/orders", less);
    await assertOutOfScope("operation", "POST", "/transfers", same);
  });

  test("it never gets more", async () => {
    const maker = await created(ada, {
      operations: MAKES,
      methods: ["GET", "POST"],
      addresses: ["0.0.0.0/1", "::/0"],
    });
    const address = { headers: { ...maker.headers, "CF-Connecting-IP": "2001:db8::1" } };
    for (const [more, reason] of [
      [{ operations: ["*"] }, "operation"],
      [{ operations: ["orders.read", "transfers.create"] }, "operation"],
      [{ operations: ["vestibule.*"] }, "operation"],
      [{ methods: ["DELETE"] }, "method"],
      [{ addresses: ["0.0.0.0/0"] }, "address"],
      [{ addresses: ["2001:db8::/32", "192.0.2.0/24"] }, "address"],
    ]) {
      const response = await gateway.expectNotForwarded(() =>
        create(address, { ...TASK, ...more }),
      );
      assertProblem(response, 403, "forbidden_scope", reason);
    }
    assert.equal((await create(address, { ...TASK, addresses: ["2001:db8::/32"] })).status, 201);
  });

  test("a scope without the operation makes no tokens", async () => {
    const maker = await created(ada, { operations: ["orders.*"] });
    assertProblem(await create(maker, TASK), 403, "forbidden_scope", "operation");
  });
});

describe("the catalogue", () => {
  const names = (response) =>
    response.json().operations.map(({ operation, methods }) => `${operation} ${methods}`);
  const read = (caller, path = CATALOGUE) =>
    gateway.expectNotForwarded(() => send("GET", path, caller));
  const ALL = [
    "orders.all GET,POST",
    "orders.read GET",
    "transfers.create POST",
    "reports.read GET",
    "orders.jobs POST",
    "pages.open GET",
  ];

  test("shows everything to everybody else", async () => {
    for (const caller of [undefined, ada, { headers: { Authorization: "Bearer mul_unknown" } }]) {
      const response = await read(caller);
      assert.deepEqual(names(response), ALL);
      assert.match(response.headers.vary, /\bAuthorization\b/);
    }
  });

  test("shows only what the token may do", async () => {
    for (const [owner, body, want] of [
      [ada, {}, ALL.filter((name) => !/^(reports|orders.jobs)/.test(name))],
      [root, {}, ALL.filter((name) => !/^orders.jobs/.test(name))],
      [
        ada,
        { operations: ["orders.*"] },
        ["orders.all GET,POST", "orders.read GET", "pages.open GET"],
      ],
      [ada, { operations: ["orders.*"], methods: ["POST"] }, ["orders.all POST", "pages.open GET"]],
      [ada, { operations: ["vestibule.me"] }, ["pages.open GET"]],
      [root, { prefix: "mk_", operations: ["*"] }, ["orders.jobs POST", "pages.open GET"]],
    ]) {
      const token = await created(owner, body);
      const response = await read(token);
      assert.deepEqual(names(response), want, JSON.stringify(body));
      assert.equal(response.headers["cache-control"], "private, no-cache");
      const { paths } = (await read(token, `${CATALOGUE}/openapi.json`)).json();
      const operations = Object.values(paths).flatMap((item) => Object.keys(item));
      assert.equal(operations.length, want.flatMap((name) => name.split(",")).length);
      const { etag } = response.headers;
      const repeated = await send("GET", CATALOGUE, token, { "If-None-Match": etag });
      assert.equal(repeated.status, 304);
    }
  });
});

describe("explain", () => {
  const explain = async (method, path, caller, headers = {}) => {
    const body = {
      method,
      url: `https://app.example${path}`,
      headers: { ...caller.headers, ...headers },
    };
    const response = await people.call("POST", "/api/explain", root, body);
    assert.equal(response.status, 200, response.text);
    const trace = response.json();
    return { ...trace, scope: trace.steps.find(({ step }) => step === "scope") };
  };

  test("shows the step, its reason and the scope", async () => {
    const scope = { operations: ["orders.*"], methods: ["GET"], addresses: ["192.0.2.0/24"] };
    const token = await created(ada, scope);
    const near = { "CF-Connecting-IP": "192.0.2.1" };
    const passed = await explain("GET", "/orders", token, near);
    assert.equal(passed.decision, "allow");
    assert.deepEqual(passed.scope, { step: "scope", outcome: "passed" });
    assert.deepEqual(passed.principal.scope, scope);
    for (const [method, path, headers, reason] of [
      ["POST", "/transfers", near, "operation"],
      ["POST", "/orders", near, "method"],
      ["GET", "/orders", { "CF-Connecting-IP": "203.0.113.9" }, "address"],
      ["GET", "/orders", {}, "address"],
    ]) {
      const refused = await explain(method, path, token, headers);
      assert.deepEqual(
        [refused.decision, refused.reason, refused.status],
        ["forbidden_scope", reason, 403],
      );
      assert.deepEqual(refused.scope, { step: "scope", outcome: "refused", detail: reason });
    }
  });

  test("skips the step without a scope", async () => {
    const token = await created(ada, {});
    for (const caller of [ada, token, { headers: {} }]) {
      const { scope, principal } = await explain("GET", "/orders", caller);
      assert.equal(scope.outcome, "skipped");
      assert.equal(principal?.scope, undefined);
    }
  });
});

describe("TOKEN_MAX_EXPIRY", () => {
  let limited;
  before(async () => {
    limited = await openWith({ TOKEN_MAX_EXPIRY: "12h" });
  });
  after(() => limited.gateway.stop());
  const make = (body, caller = limited.people.root) =>
    limited.people.call("POST", "/api/agent-tokens", caller, {
      name: "x",
      prefix: "mul_",
      ...body,
    });

  test("makes an expiry mandatory, and bounds it", async () => {
    for (const expiresIn of [undefined, null, "13h", "30d", "43201s"]) {
      const problem = assertProblem(await make({ expiresIn }), 400, "invalid_body");
      assert.equal(problem.field, "expiresIn");
      assert.match(problem.detail, /at most "12h"/);
    }
    for (const expiresIn of ["12h", "1m"]) assert.equal((await make({ expiresIn })).status, 201);
    assert.equal((await make({ prefix: "mk_" })).status, 400);
  });

  test("bounds the default of a token that a token makes", async () => {
    const maker = (await make({ expiresIn: "12h" })).json();
    const caller = { headers: { Authorization: `Bearer ${trackSecret(maker.plaintext)}` } };
    const task = { prefix: "mat_", taskId: "t" };
    const made = (await make(task, caller)).json();
    assert.ok(Date.parse(made.expiresAt) <= Date.parse(maker.expiresAt), JSON.stringify(made));
    assertProblem(await make({ ...task, expiresIn: "13h" }, caller), 400, "invalid_body");
  });

  test("does not bound tokens of AGENT_TOKENS", async (t) => {
    const value = trackSecret(`mk_${"b4".repeat(20)}`);
    const { gateway } = await openWith({
      TOKEN_MAX_EXPIRY: "12h",
      AGENT_TOKENS: `deploy:${value}`,
    });
    t.after(() => gateway.stop());
    const headers = { Authorization: `Bearer ${value}` };
    const response = await gateway.request("/jobs", { method: "POST", headers });
    assert.equal(response.status, 200, response.text);
  });

  test("needs accounts", () =>
    assertMisconfigured(
      { variables: { TOKEN_MAX_EXPIRY: "90d", SESSION: { login: "upstream" } } },
      "TOKEN_MAX_EXPIRY",
    ));
});
