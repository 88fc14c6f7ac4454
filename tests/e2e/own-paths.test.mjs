// Vestibule's endpoints are below `ENDPOINTS`. All other paths belong to the application.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway, PRODUCTION } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";

const PAGE = { "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", Accept: "text/html" };
const MOVED = "/_vestibule/api";

for (const endpoints of ["/api", MOVED]) {
  describe(`endpoints below ${endpoints}`, () => {
    let gateway;
    let people;
    let root;
    before(async () => {
      gateway = await openGateway({
        routes: [
          { path: "/act", access: "authenticated", confirm: "human" },
          { path: "/app/{*rest}", access: "user" },
        ],
        variables: { ...ACCOUNTS, ...(endpoints === MOVED && { ENDPOINTS: MOVED }) },
      });
      people = await setUpUsers(gateway, endpoints);
      root = people.root;
    });
    after(() => gateway.stop());
    const callOwn = (...args) => gateway.expectNotForwarded(() => people.call(...args));

    test("auth/me returns the signed-in user, and 401 to anyone else", async () => {
      const me = await callOwn("GET", `${endpoints}/auth/me`, root);
      assert.deepEqual([me.status, me.json().userId], [200, root.id]);
      assertProblem(
        await callOwn("GET", `${endpoints}/auth/me`),
        401,
        "unauthorized",
        "no_credential",
      );
      const wrongMethod = await callOwn("POST", `${endpoints}/auth/me`, root);
      assertProblem(wrongMethod, 405, "method_not_allowed");
      assert.equal(wrongMethod.headers.allow, "GET, HEAD");
    });

    test("login and logout work", async () => {
      const body = { email: "root@example.com", password: PASSWORD };
      const login = await callOwn("POST", `${endpoints}/auth/login`, ANONYMOUS, body);
      assert.equal(login.status, 200, login.text);
      const user = { headers: { Cookie: login.cookies[0].split(";")[0] } };
      assert.equal((await callOwn("GET", `${endpoints}/sessions`, user)).status, 200);
      const logout = await callOwn("POST", `${endpoints}/auth/logout`, user);
      assert.deepEqual([logout.status, logout.cookies.length], [204, 1]);
      assert.equal((await callOwn("GET", `${endpoints}/auth/me`, user)).status, 401);
    });

    test("the approval page, its forms and its redirect are below the same path", async () => {
      const machine = await people.createToken(root, "mat_");
      const problem = assertProblem(
        await callOwn("POST", "/act", machine, "x"),
        403,
        "confirmation_required",
      );
      const path = `${endpoints}/confirmations/${problem.confirmationId}`;
      assert.equal(problem.approveUrl, `https://app.example${path}`);
      const page = await callOwn("GET", path, root, undefined, { headers: PAGE });
      const actions = [...page.text.matchAll(/action="([^"]+)"/g)].map(([, action]) => action);
      assert.deepEqual(actions, [`${path}/approve`, `${path}/reject`]);
      const decision = await callOwn("POST", actions[0], root, undefined, { headers: PAGE });
      assert.deepEqual([decision.status, decision.headers.location], [303, path]);
      const headers = { "Confirmation-ID": problem.confirmationId };
      await gateway.expectForwarded(() => people.call("POST", "/act", machine, "x", { headers }));
    });

    test("the form of the loop page posts to the logout endpoint", async () => {
      let cookie;
      let response;
      for (let count = 0; count < 5 && response?.status !== 200; count += 1) {
        const headers = { ...PAGE, ...(cookie && { Cookie: cookie }) };
        response = await callOwn("GET", "/app/x", ANONYMOUS, undefined, { headers });
        cookie = response.cookies.at(-1).split(";")[0];
      }
      assert.match(response.text, new RegExp(`action="${endpoints}/auth/logout\\?cookies=all"`));
    });

    test("a return path may name the application's paths and approval pages, but no other endpoint", async () => {
      for (const [next, expected] of [
        [`${endpoints}/auth/logout`, "/"],
        [`${endpoints}/users/usr_1`, "/"],
        [`${endpoints}/confirmations/x`, `${endpoints}/confirmations/x`],
        [`${endpoints}/features/x`, `${endpoints}/features/x`],
        ["/other/auth/logout", "/other/auth/logout"],
      ]) {
        const login = `/login?next=${encodeURIComponent(next)}`;
        const redirect = await callOwn("GET", login, root, undefined, { headers: PAGE });
        assert.deepEqual([redirect.status, redirect.headers.location], [302, expected], next);
      }
    });

    test("no other spelling of an endpoint reaches the application", async () => {
      for (const path of [
        `/${endpoints}/auth/me`,
        `${endpoints}//auth/me`,
        `${endpoints}/auth/me/`,
        `${endpoints.toUpperCase()}/auth/me`,
        `${endpoints}/auth/ME`,
        `${endpoints}/auth;v=1/me`,
        `${endpoints}/auth%2Fme`,
      ]) {
        assertProblem(await callOwn("GET", path, root), 400, "ambiguous_path");
      }
    });

    test("the well-known endpoints do not move", async () => {
      for (const path of ["/.well-known/vestibule", "/.well-known/agent-operations"]) {
        assert.equal((await callOwn("GET", path)).status, 200, path);
      }
    });
  });
}

describe("the application's /api when ENDPOINTS is set", () => {
  let gateway;
  let people;
  before(async () => {
    gateway = await openGateway({
      routes: [
        { path: "/api/users", access: "user" },
        { path: "/api/users/{id}", access: "admin" },
        { path: "/api/{*rest}", access: "public" },
      ],
      variables: { ...ACCOUNTS, ENDPOINTS: MOVED },
    });
    people = await setUpUsers(gateway, MOVED);
  });
  after(() => gateway.stop());

  test("is forwarded under its own rules", async () => {
    const { root } = people;
    const ada = await people.createUser("ada");
    for (const [method, path, caller] of [
      ["GET", "/api/users", ada],
      ["POST", "/api/users", ada],
      ["GET", "/api/users/7", root],
      ["GET", "/api/sessions", ANONYMOUS],
      ["DELETE", "/api/invites/7", ANONYMOUS],
      ["PUT", "/api/features/x", ANONYMOUS],
      ["GET", "/api/auth/me", ANONYMOUS],
      ["POST", "/api/auth/logout", ANONYMOUS],
    ]) {
      const { seen } = await gateway.expectForwarded(() => people.call(method, path, caller));
      assert.deepEqual([seen.method, seen.url], [method, path]);
    }
    const request = (path, caller) =>
      gateway.expectNotForwarded(() => people.call("GET", path, caller));
    assertProblem(await request("/api/users/7", ada), 403, "forbidden_role");
  });

  test("keeps its protection in every spelling", async () => {
    for (const path of [
      ...["/api/users", "/API/users", "/api/Users", "/api/users/", "/api//users", "//api/users"],
      ...["/api/us%65rs", "/api/users;v=1", "/api/users/7/", "/api/users/%37"],
    ]) {
      const response = await gateway.expectNotForwarded(() => people.call("GET", path));
      assertProblem(response, 401, "unauthorized", "no_credential");
    }
  });
});

test("the endpoints of a feature that is off are the application's paths", async (t) => {
  const kv = { bindings: { kvNamespaces: ["KV"] } };
  const gateway = await openGateway({ variables: { ...ACCOUNTS, CREDENTIALS: [] }, ...kv });
  t.after(() => gateway.stop());
  const { call, root } = await setUpUsers(gateway);
  for (const [method, path] of [
    ["PUT", "/api/features/x"],
    ["GET", "/api/checkouts/x"],
    ["GET", "/api/webhooks"],
    ["GET", "/api/idempotency"],
    ["GET", "/api/confirmations"],
    ["POST", "/api/agent-tokens"],
  ]) {
    const { seen } = await gateway.expectForwarded(() => call(method, path, root));
    assert.equal(seen.url, path);
  }
  // Like any path without a rule, they need a session.
  const response = await gateway.expectNotForwarded(() => call("GET", "/api/webhooks"));
  assertProblem(response, 401, "unauthorized", "no_credential");
  assert.equal(
    (await gateway.expectNotForwarded(() => call("GET", "/api/audit", root))).status,
    200,
  );
});

describe("an application path that an endpoint hides", () => {
  const ANSWERS = {
    "HEAD /api/auth/me": { status: 200 },
    "HEAD /api/auth/logout": { status: 302, headers: ["Location", "/"] },
    "HEAD /api/sessions": { status: 401 },
    "HEAD /api/invites": { status: 204 },
    "HEAD /api/agent-tokens": { status: 404 },
    "HEAD /api/users": { status: 405 },
    "HEAD /api/users/names": { status: 501 },
    "HEAD /api/auth/setup": { status: 500 },
    "HEAD /api/auth/login": (request) => request.socket.destroy(),
    // Never answers.
    "HEAD /api/explain": () => {},
    "HEAD /tick": { status: 200 },
  };
  const REQUESTS = [
    ["GET", "/api/auth/me?secret=1"],
    ["POST", "/api/auth/logout"],
    ["DELETE", "/api/sessions/ses_1"],
    ["POST", "/api/invites/mki_abcdefghijklmnopqrstuvwxyza/redeem"],
    ["GET", "/api/invites"],
    ["GET", "/api/agent-tokens"],
    ["PUT", "/api/users/usr_1"],
    ["GET", "/api/users/names"],
    ["POST", "/api/auth/setup"],
    ["POST", "/api/auth/login"],
    ["POST", "/api/explain"],
    ["GET", "/.well-known/vestibule"],
    ["GET", "/tick"],
    ["GET", "/elsewhere"],
  ];
  const shadowedPaths = (gateway) =>
    gateway.log
      .filter((line) => line.includes("path_shadowed"))
      .map((line) => JSON.parse(line))
      .map(({ path, upstreamStatus }) => `${upstreamStatus} ${path}`);
  const open = (variables) => {
    const MAINTENANCE = [{ path: "/tick" }];
    const all = { ...ACCOUNTS, MAINTENANCE, ...variables };
    return openGateway({ answers: ANSWERS, variables: all });
  };
  const COOKIE = { headers: { Cookie: "mk_session=broken; other=1", "X-Client": "1" } };

  test("is logged once in development, and the probe carries nothing from the client", async (t) => {
    const gateway = await open();
    t.after(() => gateway.stop());
    const { call } = await setUpUsers(gateway);
    const before = gateway.upstream.probes.length;
    for (const [method, path] of [...REQUESTS, ...REQUESTS]) {
      await gateway.expectNotForwarded(() => call(method, path, COOKIE));
    }
    await gateway.expectNotForwarded(() => call("GET", "/the/end"));
    await gateway.waitForLog((line) => line.includes('"rule":"(no rule)"'));
    assert.deepEqual(shadowedPaths(gateway).toSorted(), [
      "200 /api/auth/me",
      "204 /api/invites",
      "302 /api/auth/logout",
      "401 /api/sessions",
    ]);
    const { probes } = gateway.upstream;
    assert.ok(probes.length > before);
    // The runtime retries a HEAD if its connection breaks. Count these probes once.
    const first = probes.findIndex(({ url }) => url === "/api/auth/login");
    const once = probes.filter(({ url }, index) => url !== "/api/auth/login" || index === first);
    const paths = once.map(({ url }) => url).toSorted();
    const probed = Object.keys(ANSWERS).filter((name) => name !== "HEAD /tick");
    assert.deepEqual(paths, probed.map((name) => name.slice("HEAD ".length)).toSorted());
    for (const { method, headers } of probes) {
      assert.equal(method, "HEAD");
      const names = Object.keys(headers).filter((name) => !ADDED_BY_RUNTIME.includes(name));
      assert.deepEqual(names.toSorted(), ADDED_BY_VESTIBULE);
    }
    const line = JSON.parse(gateway.log.find((line) => line.includes("path_shadowed")));
    assert.match(line.detail, /set ENDPOINTS/);
  });

  test("is not probed in production", async (t) => {
    const gateway = await open(PRODUCTION);
    t.after(() => gateway.stop());
    const { call } = await setUpUsers(gateway);
    for (const [method, path] of REQUESTS) {
      await gateway.expectNotForwarded(() => call(method, path, COOKIE));
    }
    await gateway.waitForLog((line) => line.includes('"rule":"(no rule)"'));
    assert.deepEqual([gateway.upstream.probes, shadowedPaths(gateway)], [[], []]);
  });
});

// Headers that the runtime adds to every request.
const ADDED_BY_RUNTIME = [
  "host",
  "connection",
  "accept-encoding",
  "pragma",
  "cf-connecting-ip",
  "cf-worker",
];
const ADDED_BY_VESTIBULE = [
  ...["accept", "cache-control", "x-forwarded-host", "x-forwarded-proto", "x-operation"],
  ...["x-request-id", "x-vestibule-assertion"],
];
