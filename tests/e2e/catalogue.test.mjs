// The catalogue of operations for agents. It lists what they may call, and nothing internal.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const PATH = "/.well-known/agent-operations";
const OPENAPI = `${PATH}/openapi.json`;
const SUMMARY = 'Starts a deployment: "now", <b>or later</b>';

const ROUTES = [
  {
    path: "/deploys/{id}/{*rest}",
    methods: ["POST", "PUT"],
    operation: "deploys.create",
    access: "authenticated",
    confirm: "human",
    idempotency: "required",
    invocation_id: true,
    retention: "2h",
    limit: "slow",
    policy: "inner-policy",
    feature: "inner-feature",
    timeout: "73s",
    audit: "required",
    catalogue: { summary: SUMMARY, schema: "https://schemas.example/deploy.json" },
  },
  {
    path: "/reports",
    methods: ["GET"],
    operation: "reports.read",
    access: "user",
    limit: "mine",
    catalogue: true,
  },
  {
    path: "/reports",
    methods: ["POST", "QUERY"],
    operation: "reports.write",
    access: "human",
    idempotency: "optional",
    catalogue: { schema: "/schemas/report.json" },
  },
  { path: "/open", methods: ["GET"], operation: "open", access: "public", catalogue: true },
  {
    path: "/signup",
    methods: ["POST"],
    operation: "signup",
    access: "optional",
    bot_check: "inner-action",
    catalogue: true,
  },
  { path: "/agents", methods: ["GET"], operation: "agents", access: "agent", catalogue: true },
  { path: "/admins", methods: ["GET"], operation: "admins", access: "admin", catalogue: true },
  { path: "/inner/{secret}", methods: ["GET"], operation: "inner.read", access: "public" },
];
const VARIABLES = {
  SESSION: { login: "accounts", cookie: "app_session" },
  SETUP_TOKEN: "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p",
  POLICY_URL: "http://policy.internal/decide",
  TURNSTILE_SECRET: "0x4AAAAAAA_test_secret_of_the_widget",
  AGENT_TOKENS: `inner-agent:mk_${"a7".repeat(20)}`,
  RATE_LIMITS: [
    { name: "slow", limit: 7, period: "2h", by: "principal" },
    { name: "mine", limit: 60, period: "1m", by: "address" },
  ],
  CREDENTIALS: [
    { prefix: "mul_", kind: "user", machine: false },
    { prefix: "mat_", kind: "user", source: "task_token", machine: true },
    { prefix: "mk_", kind: "agent", source: "agent_token", machine: true },
    { prefix: "bot_", kind: "user", source: "build_bot", machine: true },
  ],
};

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: VARIABLES,
    bindings: { kvNamespaces: ["KV"] },
  });
});
after(() => gateway.stop());

const get = async (path, headers, method) => {
  const response = await gateway.expectNotForwarded(() =>
    gateway.request(path, { method, headers }),
  );
  return response;
};
const listOperations = async () => (await get(PATH)).json().operations;

test("the catalogue lists each operation with its requirements", async () => {
  const PEOPLE = ["session", "mul_"];
  const USERS = [...PEOPLE, "mat_", "bot_"];
  const ALL = [...PEOPLE, "mat_", "mk_", "bot_"];
  const plain = { idempotency: null, confirmation: null, limit: null, botCheck: false };
  const sorted = (list) =>
    list
      .map((entry) => ({ ...entry, credentials: [...entry.credentials].sort() }))
      .sort((first, second) => (first.operation < second.operation ? -1 : 1));
  assert.deepEqual(
    sorted(await listOperations()),
    sorted([
      {
        operation: "deploys.create",
        methods: ["POST", "PUT"],
        path: "/deploys/{id}/{*rest}",
        summary: SUMMARY,
        schema: "https://schemas.example/deploy.json",
        access: "authenticated",
        credentials: ALL,
        idempotency: {
          header: "Idempotency-Key",
          required: true,
          fallback: "Invocation-ID",
          retentionSeconds: 7_200,
        },
        confirmation: "human",
        limit: { limit: 7, periodSeconds: 7_200, by: "principal" },
        botCheck: false,
      },
      {
        ...plain,
        ...{ operation: "reports.read", methods: ["GET"], path: "/reports", access: "user" },
        credentials: USERS,
        limit: { limit: 60, periodSeconds: 60, by: "address" },
      },
      {
        ...plain,
        ...{ operation: "reports.write", methods: ["POST", "QUERY"], path: "/reports" },
        ...{ access: "human", credentials: PEOPLE, schema: "/schemas/report.json" },
        idempotency: { header: "Idempotency-Key", required: false, retentionSeconds: 86_400 },
      },
      {
        ...plain,
        ...{ operation: "open", methods: ["GET"], path: "/open", access: "public" },
        credentials: [],
      },
      {
        ...plain,
        ...{ operation: "signup", methods: ["POST"], path: "/signup", access: "optional" },
        ...{ credentials: ALL, botCheck: true },
      },
      {
        ...plain,
        ...{ operation: "agents", methods: ["GET"], path: "/agents", access: "agent" },
        credentials: ["mk_"],
      },
      {
        ...plain,
        ...{ operation: "admins", methods: ["GET"], path: "/admins", access: "admin" },
        credentials: USERS,
      },
    ]),
  );
});

test("the catalogue lists the kinds of credentials and links the OpenAPI document", async () => {
  const { credentials, openapi, ...rest } = (await get(PATH)).json();
  assert.deepEqual(Object.keys(rest), ["operations"]);
  assert.equal(openapi, OPENAPI);
  assert.deepEqual(credentials, [
    { prefix: "mul_", kind: "user", actorSource: null, machine: false },
    { prefix: "mat_", kind: "user", actorSource: "task_token", machine: true },
    { prefix: "mk_", kind: "agent", actorSource: "agent_token", machine: true },
    { prefix: "bot_", kind: "user", actorSource: "build_bot", machine: true },
  ]);
});

for (const path of [PATH, OPENAPI]) {
  describe(path, () => {
    test("contains nothing internal", async () => {
      const { text } = await get(path);
      for (const hidden of [
        ...["inner", "policy", "feature", "73", "slow", "mine", "turnstile", "audit", "upstream"],
        ...[new URL(gateway.upstream.origin).host, "127.0.0.1", "localhost", "vestibule.", "/api/"],
        ...[AUTH_SECRET, UPSTREAM_SECRET, VARIABLES.TURNSTILE_SECRET, VARIABLES.SETUP_TOKEN],
      ]) {
        assert.ok(!text.toLowerCase().includes(hidden.toLowerCase()), `found ${hidden}`);
      }
    });

    test("is public and cacheable, and returns 304 to a matching ETag", async () => {
      const original = await get(path);
      assert.equal(original.status, 200);
      assert.match(original.headers["content-type"], /^application\/json/);
      assert.equal(original.headers["cache-control"], "public, max-age=300");
      assert.deepEqual(original.cookies, []);
      const { etag } = original.headers;
      assert.match(etag, /^"[\x21\x23-\x7e]+"$/);
      for (const value of [etag, `W/${etag}`, `"other", ${etag}`, "*", `W/"a",W/${etag} , "b"`]) {
        const repeated = await get(path, { "If-None-Match": value });
        assert.deepEqual([repeated.status, repeated.text], [304, ""], value);
        assert.equal(repeated.headers.etag, etag);
        assert.equal(repeated.headers["cache-control"], "public, max-age=300");
      }
      for (const value of ['"other"', etag.slice(1, -1), `${etag.slice(0, -1)}x"`, ""]) {
        const repeated = await get(path, { "If-None-Match": value });
        assert.deepEqual([repeated.status, repeated.text], [200, original.text], value);
      }
    });

    test("is read-only", async () => {
      const head = await get(path, {}, "HEAD");
      assert.deepEqual([head.status, head.text], [200, ""]);
      assert.equal(head.headers.etag, (await get(path)).headers.etag);
      for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
        const response = await get(path, {}, method);
        assertProblem(response, 405, "method_not_allowed");
        assert.equal(response.headers.allow, "GET, HEAD");
      }
    });

    test("is the same for every client, with or without credentials", async () => {
      const { text } = await get(path);
      const asPage = { Accept: "text/html", "Sec-Fetch-Mode": "navigate" };
      for (const headers of [asPage, { Authorization: "Bearer mk_x" }]) {
        assert.equal((await get(path, headers)).text, text);
      }
      // A response that clears a cookie must not be stored by shared caches.
      const response = await get(path, { Cookie: "app_session=x" });
      assert.equal(response.text, text);
      if (response.cookies.length > 0)
        assert.match(response.headers["cache-control"], /private|no-store/);
    });
  });
}

describe("the OpenAPI document", () => {
  const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
  const entriesOf = ({ paths }) =>
    Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
    );
  let document;
  before(async () => {
    document = (await get(OPENAPI)).json();
  });

  test("conforms to OpenAPI 3.1", () => {
    assert.match(document.openapi, /^3\.1\.\d+$/);
    for (const name of ["title", "version"]) assert.equal(typeof document.info[name], "string");
    assert.deepEqual(
      document.servers.map(({ url }) => url),
      ["https://app.example"],
    );
    const allowed = ["openapi", "info", "servers", "paths", "components", "security", "tags"];
    assert.deepEqual(
      Object.keys(document).filter((name) => !allowed.includes(name)),
      [],
    );
    const ids = new Set();
    for (const { path, method, operation } of entriesOf(document)) {
      assert.ok(METHODS.includes(method), `${method} is not a method in OpenAPI`);
      assert.match(path, /^\/[^{}?#]*(\{\w+\}[^{}?#]*)*$/, "not an OpenAPI path template");
      assert.ok(!ids.has(operation.operationId), `${operation.operationId} is used twice`);
      ids.add(operation.operationId);
      assert.ok(Object.keys(operation.responses).length > 0);
      for (const [status, response] of Object.entries(operation.responses)) {
        assert.match(status, /^([1-5]\d\d|[1-5]XX|default)$/);
        assert.ok(response.$ref || typeof response.description === "string");
      }
      const inPath = operation.parameters.filter((parameter) => parameter.in === "path");
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(inPath.map(({ name }) => name).sort(), names.sort());
      for (const parameter of operation.parameters) {
        assert.ok(["path", "header"].includes(parameter.in));
        assert.ok(parameter.schema);
        if (parameter.in === "path") assert.equal(parameter.required, true);
      }
      const keys = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      assert.equal(new Set(keys).size, keys.length);
    }
  });

  test("has no unresolved reference and no undeclared security scheme", () => {
    const checkReferences = (value) => {
      if (typeof value !== "object" || value === null) return;
      if (typeof value.$ref === "string") {
        const steps = value.$ref.split("/");
        assert.equal(steps.shift(), "#", value.$ref);
        const target = steps.reduce((node, step) => node?.[step], document);
        assert.ok(target, value.$ref);
      }
      Object.values(value).forEach(checkReferences);
    };
    checkReferences(document);
    const schemes = document.components.securitySchemes;
    assert.deepEqual(
      Object.values(schemes).map(({ type, in: where, name, scheme }) => [
        type,
        where ?? scheme,
        name,
      ]),
      [
        ["apiKey", "cookie", "app_session"],
        ["http", "bearer", undefined],
      ],
    );
    for (const { operation } of entriesOf(document)) {
      for (const scheme of operation.security ?? [])
        for (const name of Object.keys(scheme)) assert.ok(name in schemes, name);
    }
  });

  test("contains exactly the operations of the catalogue", async () => {
    const listed = (await listOperations()).flatMap(({ path, methods }) =>
      methods
        .filter((method) => METHODS.includes(method.toLowerCase()))
        .map((method) => `${method} ${path.replace("{*", "{")}`),
    );
    const documented = entriesOf(document).map(
      ({ path, method }) => `${method.toUpperCase()} ${path}`,
    );
    assert.deepEqual(documented.sort(), listed.sort());
  });

  test("lists the headers and credentials that an operation needs", () => {
    const { parameters, summary, security } = document.paths["/deploys/{id}/{rest}"].post;
    const headers = parameters
      .filter((parameter) => parameter.in === "header")
      .map(({ name }) => name);
    assert.deepEqual(headers.sort(), ["Confirmation-ID", "Idempotency-Key", "Invocation-ID"]);
    assert.equal(summary, SUMMARY);
    assert.equal(security.length, 2);
    const securityOf = (path, method) =>
      (document.paths[path][method].security ?? []).map((requirement) =>
        Object.keys(requirement).join(),
      );
    assert.deepEqual(securityOf("/open", "get"), []);
    assert.equal(securityOf("/agents", "get").length, 1);
    assert.ok(securityOf("/signup", "post").includes(""), "no credential is also allowed");
    assert.ok(!securityOf("/admins", "get").includes(""));
  });
});

test("both documents are empty if no rule has a catalogue", async () => {
  const otherGateway = await openGateway({ routes: [{ path: "/a", access: "public" }] });
  try {
    const { operations } = (await otherGateway.request(PATH)).json();
    const { paths } = (await otherGateway.request(OPENAPI)).json();
    assert.deepEqual([operations, paths], [[], {}]);
  } finally {
    await otherGateway.stop();
  }
});
