// GET /api/routes, /api/config and /api/features: what admins see of the configuration.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const PATHS = ["/api/routes", "/api/config", "/api/features"];

let gateway;
let people;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/orders/{id}", methods: ["GET"], access: "user", operation: "orders.read" },
      { path: "/beta", access: "public", feature: "new-search", mode: "report" },
      { path: "/gamma", access: "user", feature: "another", audit: "required" },
    ],
    variables: { ...ACCOUNTS, POLICY_URL: "https://policy.example/key-K3Y" },
    bindings: { kvNamespaces: ["KV"] },
  });
  people = await setUpUsers(gateway);
});
after(() => gateway.stop());

const read = async (path, caller = people.root) => {
  const response = await gateway.expectNotForwarded(() => people.call("GET", path, caller));
  assert.equal(response.status, 200, response.text);
  return response;
};

test("only admins read them, and upstream is not asked", async () => {
  const user = await people.createUser("user");
  for (const path of PATHS) {
    const refused = await gateway.expectNotForwarded(() => people.call("GET", path, user));
    assertProblem(refused, 403, "forbidden_role");
    const anonymous = await gateway.expectNotForwarded(() => people.call("GET", path));
    assertProblem(anonymous, 401, "unauthorized", "no_credential");
    assert.equal((await read(path)).headers["cache-control"], "no-store");
  }
});

test("the rules have their checks, and built-in routes are told apart", async () => {
  const { rules, warnings } = (await read("/api/routes")).json();
  const ruleOf = (path, method) =>
    rules.find((rule) => rule.path === path && (!method || rule.methods.includes(method)));
  assert.deepEqual(ruleOf("/orders/{id}"), {
    methods: ["GET"],
    path: "/orders/{id}",
    access: "user",
    operation: "orders.read",
    destination: "upstream",
    source: "configured",
    guards: [],
    report: false,
  });
  assert.deepEqual(ruleOf("/gamma").guards, ["feature another", "audit required"]);
  assert.equal(ruleOf("/beta").report, true);
  const own = ruleOf("/api/users", "GET");
  assert.deepEqual([own.source, own.destination], ["built_in", "endpoint"]);
  assert.ok(Array.isArray(warnings));
});

test("the configuration has no secret and no key in a URL", async () => {
  const response = await read("/api/config");
  const { settings, defaults, mistakes } = response.json();
  for (const secret of [AUTH_SECRET, UPSTREAM_SECRET, ACCOUNTS.SETUP_TOKEN, "K3Y"]) {
    assert.ok(!response.text.includes(secret));
  }
  assert.deepEqual([settings.AUTH_SECRET, settings.EXPORT_KEY], [{ set: true }, { set: false }]);
  assert.equal(settings.SESSION.login, "accounts");
  assert.equal(settings.POLICY_URL, "https://policy.example/…");
  assert.equal(defaults["SESSION.lifetime"], "30d");
  assert.deepEqual(mistakes, []);
});

test("all features that rules name are listed with their states", async () => {
  const body = { state: "percent", percent: 10 };
  const put = await people.call("PUT", "/api/features/new-search", people.root, body);
  assert.equal(put.status, 200);
  assert.deepEqual((await read("/api/features")).json(), {
    items: [
      { name: "another", state: "off", percent: 0, principals: [] },
      { name: "new-search", state: "percent", percent: 10, principals: [] },
    ],
    next: null,
  });
});
