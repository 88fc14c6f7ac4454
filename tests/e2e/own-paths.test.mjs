// Where Vestibule's own endpoints are, and that what is not theirs is the application's.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway, PRODUCTION } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, PASSWORD, settle } from "../support/people.mjs";

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
      people = await settle(gateway, endpoints);
      root = people.root;
    });
    after(() => gateway.stop());
    const own = (...given) => gateway.untouched(() => people.call(...given));

    test("who is signed in is told, and nobody else", async () => {
      const me = await own("GET", `${endpoints}/auth/me`, root);
      assert.deepEqual([me.status, me.json().userId], [200, root.id]);
      assertProblem(await own("GET", `${endpoints}/auth/me`), 401, "unauthorized", "no_credential");
      const wrong = await own("POST", `${endpoints}/auth/me`, root);
      assertProblem(wrong, 405, "method_not_allowed");
      assert.equal(wrong.headers.allow, "GET, HEAD");
    });

    test("people sign in and out", async () => {
      const body = { email: "root@example.com", password: PASSWORD };
      const entered = await own("POST", `${endpoints}/auth/login`, NOBODY, body);
      assert.equal(entered.status, 200, entered.text);
      const who = { headers: { Cookie: entered.cookies[0].split(";")[0] } };
      assert.equal((await own("GET", `${endpoints}/sessions`, who)).status, 200);
      const out = await own("POST", `${endpoints}/auth/logout`, who);
      assert.deepEqual([out.status, out.cookies.length], [204, 1]);
      assert.equal((await own("GET", `${endpoints}/auth/me`, who)).status, 401);
    });

    test("a person approves by the page, from its address to where its form leads", async () => {
      const machine = await people.token(root, "mat_");
      const problem = assertProblem(
        await own("POST", "/act", machine, "x"),
        403,
        "confirmation_required",
      );
      const path = `${endpoints}/confirmations/${problem.confirmationId}`;
      assert.equal(problem.approveUrl, `https://app.example${path}`);
      const page = await own("GET", path, root, undefined, { headers: PAGE });
      const actions = [...page.text.matchAll(/action="([^"]+)"/g)].map(([, action]) => action);
      assert.deepEqual(actions, [`${path}/approve`, `${path}/reject`]);
      const sent = await own("POST", actions[0], root, undefined, { headers: PAGE });
      assert.deepEqual([sent.status, sent.headers.location], [303, path]);
      const headers = { "Confirmation-ID": problem.confirmationId };
      await gateway.passed(() => people.call("POST", "/act", machine, "x", { headers }));
    });

    test("the page that ends a loop signs out", async () => {
      let cookie;
      let answer;
      for (let count = 0; count < 5 && answer?.status !== 200; count += 1) {
        const headers = { ...PAGE, ...(cookie && { Cookie: cookie }) };
        answer = await own("GET", "/app/x", NOBODY, undefined, { headers });
        cookie = answer.cookies.at(-1).split(";")[0];
      }
      assert.match(answer.text, new RegExp(`action="${endpoints}/auth/logout\\?cookies=all"`));
    });

    test("nobody is led to an endpoint after signing in, and to the application's paths they are", async () => {
      for (const [next, want] of [
        [`${endpoints}/auth/logout`, "/"],
        [`${endpoints}/users/usr_1`, "/"],
        [`${endpoints}/confirmations/x`, `${endpoints}/confirmations/x`],
        [`${endpoints}/features/x`, `${endpoints}/features/x`],
        ["/other/auth/logout", "/other/auth/logout"],
      ]) {
        const at = `/login?next=${encodeURIComponent(next)}`;
        const led = await own("GET", at, root, undefined, { headers: PAGE });
        assert.deepEqual([led.status, led.headers.location], [302, want], next);
      }
    });

    test("no other spelling of an endpoint is the application's", async () => {
      for (const path of [
        `/${endpoints}/auth/me`,
        `${endpoints}//auth/me`,
        `${endpoints}/auth/me/`,
        `${endpoints.toUpperCase()}/auth/me`,
        `${endpoints}/auth/ME`,
        `${endpoints}/auth;v=1/me`,
        `${endpoints}/auth%2Fme`,
      ]) {
        assertProblem(await own("GET", path, root), 400, "ambiguous_path");
      }
    });

    test("the well-known ones stay where they are", async () => {
      for (const path of ["/.well-known/vestibule", "/.well-known/agent-operations"]) {
        assert.equal((await own("GET", path)).status, 200, path);
      }
    });
  });
}

describe("the application's own /api, beside ENDPOINTS", () => {
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
    people = await settle(gateway, MOVED);
  });
  after(() => gateway.stop());

  test("is reached, under its rules", async () => {
    const { root } = people;
    const ada = await people.invited("ada");
    for (const [method, path, who] of [
      ["GET", "/api/users", ada],
      ["POST", "/api/users", ada],
      ["GET", "/api/users/7", root],
      ["GET", "/api/sessions", NOBODY],
      ["DELETE", "/api/invites/7", NOBODY],
      ["PUT", "/api/features/x", NOBODY],
      ["GET", "/api/auth/me", NOBODY],
      ["POST", "/api/auth/logout", NOBODY],
    ]) {
      const { seen } = await gateway.passed(() => people.call(method, path, who));
      assert.deepEqual([seen.method, seen.url], [method, path]);
    }
    const asked = (path, who) => gateway.untouched(() => people.call("GET", path, who));
    assertProblem(await asked("/api/users/7", ada), 403, "forbidden_role");
  });

  test("keeps its protection in every spelling", async () => {
    for (const path of [
      ...["/api/users", "/API/users", "/api/Users", "/api/users/", "/api//users", "//api/users"],
      ...["/api/us%65rs", "/api/users;v=1", "/api/users/7/", "/api/users/%37"],
    ]) {
      const answer = await gateway.untouched(() => people.call("GET", path));
      assertProblem(answer, 401, "unauthorized", "no_credential");
    }
  });
});

test("paths of features that are off are the application's", async (t) => {
  const kv = { bindings: { kvNamespaces: ["KV"] } };
  const gateway = await openGateway({ variables: { ...ACCOUNTS, CREDENTIALS: [] }, ...kv });
  t.after(() => gateway.stop());
  const { call, root } = await settle(gateway);
  for (const [method, path] of [
    ["PUT", "/api/features/x"],
    ["GET", "/api/checkouts/x"],
    ["GET", "/api/webhooks"],
    ["GET", "/api/idempotency"],
    ["GET", "/api/confirmations"],
    ["POST", "/api/agent-tokens"],
  ]) {
    const { seen } = await gateway.passed(() => call(method, path, root));
    assert.equal(seen.url, path);
  }
  // The application's paths are guarded as any other that no rule names.
  const answer = await gateway.untouched(() => call("GET", "/api/webhooks"));
  assertProblem(answer, 401, "unauthorized", "no_credential");
  assert.equal((await gateway.untouched(() => call("GET", "/api/audit", root))).status, 200);
});

describe("a hidden path of the application's", () => {
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
    // Never.
    "HEAD /api/explain": () => {},
    "HEAD /tick": { status: 200 },
  };
  const ASKED = [
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
  const told = (gateway) =>
    gateway.log
      .filter((line) => line.includes("path_shadowed"))
      .map((line) => JSON.parse(line))
      .map(({ path, upstreamStatus }) => `${upstreamStatus} ${path}`);
  const open = (variables) => {
    const MAINTENANCE = [{ path: "/tick" }];
    const hidden = { ...ACCOUNTS, MAINTENANCE, ...variables };
    return openGateway({ answers: ANSWERS, variables: hidden });
  };
  const COOKIE = { headers: { Cookie: "mk_session=broken; other=1", "X-Client": "1" } };

  test("is told of once in development, and nothing of the client's goes along", async (t) => {
    const gateway = await open();
    t.after(() => gateway.stop());
    const { call } = await settle(gateway);
    const before = gateway.upstream.probes.length;
    for (const [method, path] of [...ASKED, ...ASKED]) {
      await gateway.untouched(() => call(method, path, COOKIE));
    }
    await gateway.untouched(() => call("GET", "/the/end"));
    await gateway.logged((line) => line.includes('"rule":"(no rule)"'));
    assert.deepEqual(told(gateway).toSorted(), [
      "200 /api/auth/me",
      "204 /api/invites",
      "302 /api/auth/logout",
      "401 /api/sessions",
    ]);
    const { probes } = gateway.upstream;
    assert.ok(probes.length > before);
    // The runtime tries a HEAD again whose connection broke.
    const again = probes.findIndex(({ url }) => url === "/api/auth/login");
    const once = probes.filter(({ url }, at) => url !== "/api/auth/login" || at === again);
    const paths = once.map(({ url }) => url).toSorted();
    const asked = Object.keys(ANSWERS).filter((name) => name !== "HEAD /tick");
    assert.deepEqual(paths, asked.map((name) => name.slice("HEAD ".length)).toSorted());
    for (const { method, headers } of probes) {
      assert.equal(method, "HEAD");
      const names = Object.keys(headers).filter((name) => !RUNTIME.includes(name));
      assert.deepEqual(names.toSorted(), OURS);
    }
    const line = JSON.parse(gateway.log.find((line) => line.includes("path_shadowed")));
    assert.match(line.detail, /set ENDPOINTS/);
  });

  test("is not looked for in production", async (t) => {
    const gateway = await open(PRODUCTION);
    t.after(() => gateway.stop());
    const { call } = await settle(gateway);
    for (const [method, path] of ASKED) {
      await gateway.untouched(() => call(method, path, COOKIE));
    }
    await gateway.logged((line) => line.includes('"rule":"(no rule)"'));
    assert.deepEqual([gateway.upstream.probes, told(gateway)], [[], []]);
  });
});

// What the runtime adds to every request by itself.
const RUNTIME = [
  "host",
  "connection",
  "accept-encoding",
  "pragma",
  "cf-connecting-ip",
  "cf-worker",
];
const OURS = [
  ...["accept", "cache-control", "x-forwarded-host", "x-forwarded-proto", "x-operation"],
  ...["x-request-id", "x-vestibule-assertion"],
];
