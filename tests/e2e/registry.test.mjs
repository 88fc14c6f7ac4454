// Sessions in the registry: started by `X-Vestibule-Login` from upstream, listed, and ended from any browser.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway, PRODUCTION, PUBLIC } from "../support/gateway.mjs";
import { COOKIE, createSessionToken, sessionCookies } from "../support/tokens.mjs";

const ROUTES = [
  { path: "/api/login", methods: ["POST"], access: "public", login: true },
  { path: "/link", methods: ["GET", "HEAD"], access: "public", login: true },
  { path: "/open/{*rest}", access: "public" },
  { path: "/maybe", access: "optional" },
  { path: "/admin/{*rest}", access: "admin" },
  { path: "/person/{*rest}", access: "human" },
];

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...PRODUCTION,
      SESSION: { check: "registry", login: "upstream", check_ttl: "60s" },
    },
  });
});
after(() => gateway.stop());

const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };

// Signs in by `X-Vestibule-Login` from upstream. Returns the headers that the browser sends afterwards.
async function signIn(user, headers = {}) {
  gateway.upstream.answers["/api/login"] = { headers: ["X-Vestibule-Login", user], body: "in" };
  const response = await gateway.requestUrl(`${PUBLIC}/api/login`, {
    method: "POST",
    headers: { ...SAME_SITE, ...headers },
  });
  assert.equal(response.text, "in");
  assert.equal(response.headers["x-vestibule-login"], undefined);
  assert.equal(response.headers["cache-control"], "private, no-store");
  const [line] = response.headers["set-cookie"];
  assert.match(
    line,
    /^mk_session=[\w.-]+; Path=\/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure$/,
  );
  return { Cookie: line.split(";")[0] };
}

const get = (path, headers) => gateway.requestUrl(PUBLIC + path, { headers });
const remove = (path, headers) =>
  gateway.requestUrl(PUBLIC + path, { method: "DELETE", headers: { ...SAME_SITE, ...headers } });

function assertHealed(response, reason) {
  assertProblem(response, 401, "unauthorized", reason);
  assert.match(response.headers["set-cookie"][0], /^mk_session=; Path=\/; Max-Age=0/);
}

describe("X-Vestibule-Login", () => {
  test("starts a session: upstream gets the id and role of the user", async () => {
    const ada = await signIn("usr_ada; role=admin");
    const { seen } = await gateway.expectForwarded(() => get("/admin/x", ada));
    assert.equal(seen.headers["x-user-id"], "usr_ada");
    assert.equal(seen.headers["x-user-role"], "admin");
    assert.match(seen.headers["x-session-id"], /^ses_[\w-]{27}$/);
    const me = (await get("/api/auth/me", ada)).json();
    assert.deepEqual(Object.keys(me), ["kind", "userId", "role", "sessionId", "expiresAt"]);
    assert.equal(me.role, "admin");
  });

  test("counts only from upstream", async () => {
    gateway.upstream.answers["/open/x"] = { body: "ok" };
    const response = await get("/open/x", { "X-Vestibule-Login": "usr_mallory; role=admin" });
    assert.equal(response.headers["set-cookie"], undefined);
    assert.equal(gateway.upstream.last().headers["x-vestibule-login"], undefined);
  });

  test("counts only on a successful response", async () => {
    gateway.upstream.answers["/link"] = { status: 401, headers: ["X-Vestibule-Login", "usr_ada"] };
    const response = await get("/link", {});
    assert.equal(response.status, 401);
    assert.equal(response.headers["set-cookie"], undefined);
    assert.equal(response.headers["x-vestibule-login"], undefined);
  });

  test("counts only under a rule with login = true, and is logged once elsewhere", async () => {
    const login = { "X-Vestibule-Login": "usr_ada; role=admin" };
    const answer = { headers: Object.entries(login).flat(), body: "in" };
    Object.assign(gateway.upstream.answers, { "/open/x": answer, "/link": answer });
    const ignored = () =>
      gateway.log.filter((line) => line.includes("login_ignored")).map((line) => JSON.parse(line));
    const before = ignored().length;
    const crossSite = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" };
    for (const [path, method, headers] of [
      ["/open/x", "GET", {}],
      ["/open/x", "POST", SAME_SITE],
      ["/link", "HEAD", {}],
      ["/link", "GET", crossSite],
      ["/link", "GET", { ...crossSite, "Sec-Fetch-Site": "same-site" }],
      // Browsers without fetch metadata, also from a page that sends no Referer.
      ["/link", "GET", { Referer: "https://evil.example/" }],
      ["/link", "GET", { Referer: "https://app.example.evil.example/" }],
      ["/link", "GET", { Referer: "https://app.example@evil.example/" }],
      ["/link", "GET", { Origin: "null" }],
      ["/link", "GET", {}],
      ["/link", "GET", { ...crossSite, Referer: `${PUBLIC}/a` }],
      ["/link", "GET", { "Sec-Fetch-Site": "none", Referer: "https://evil.example/" }],
    ]) {
      for (let time = 0; time < 2; time += 1) {
        const response = await gateway.requestUrl(PUBLIC + path, { method, headers });
        assert.equal(response.status, 200);
        assert.equal(response.headers["set-cookie"], undefined, `${method} ${path}`);
        assert.equal(response.headers["x-vestibule-login"], undefined);
      }
    }
    await gateway.waitForLog((line) => line.includes('"reason":"site"'));
    const lines = ignored().slice(before);
    assert.deepEqual(lines.map(({ rule, reason }) => `${rule} ${reason}`).sort(), [
      "/link method",
      "/link site",
      "/open/{*rest} rule",
    ]);
    for (const [status, headers] of [
      [206, ["Content-Range", "bytes 0-1/2"]],
      [304, []],
    ]) {
      gateway.upstream.answers["/link"] = { status, headers: [...answer.headers, ...headers] };
      const response = await get("/link", {});
      assert.deepEqual([response.status, response.headers["set-cookie"]], [status, undefined]);
    }
    gateway.upstream.answers["/link"] = answer;
    for (const sameSite of [{ "Sec-Fetch-Site": "none" }, SAME_SITE, { Referer: `${PUBLIC}/a` }]) {
      const link = await get("/link", sameSite);
      assert.match(link.headers["set-cookie"][0], /^mk_session=eyJ/);
    }
  });

  for (const value of [
    "",
    "usr_ada,usr_bob",
    "usr ada",
    "usr_ada; role=god",
    "usr_ada; admin",
    "x".repeat(129),
    ";role=user",
  ]) {
    test(`"${value.slice(0, 20)}" starts no session`, async () => {
      gateway.upstream.answers["/link"] = { headers: ["X-Vestibule-Login", value] };
      const response = await get("/link", SAME_SITE);
      if (value === "") assert.equal(response.headers["set-cookie"], undefined);
      else assertProblem(response, 502, "upstream_failed");
    });
  }

  test("a sign-in without a role removes it from all sessions of the user", async () => {
    const first = await signIn("usr_bob; role=admin");
    assert.equal((await get("/admin/x", first)).status, 200);
    const second = await signIn("usr_bob");
    for (const headers of [first, second]) {
      const response = await gateway.expectNotForwarded(() => get("/admin/x", headers));
      assertProblem(response, 403, "forbidden_role");
    }
  });
});

test("a return path never leads to a rule whose GET signs in", async () => {
  const { Cookie } = await signIn("usr_ada");
  const navigation = {
    accept: "text/html",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  };
  for (const [next, expected] of [
    ["/link", "/"],
    ["/link?code=1", "/"],
    ["/LINK;x/%3Fcode=1", "/"],
    ["/links", "/links"],
  ]) {
    const path = `/login?next=${encodeURIComponent(next)}`;
    const response = await gateway.expectNotForwarded(() => get(path, { ...navigation, Cookie }));
    assert.deepEqual([response.status, response.headers.location], [302, expected], next);
  }
});

test("a sign-in repeated under its key returns 409, not a replay without the session", async (t) => {
  const other = await openGateway({
    routes: [
      {
        ...{ path: "/api/login", methods: ["POST"], access: "public" },
        ...{ login: true, idempotency: "optional" },
      },
    ],
    variables: { ...PRODUCTION, SESSION: { login: "upstream" } },
  });
  t.after(() => other.stop());
  const send = (key) =>
    other.requestUrl(`${PUBLIC}/api/login`, {
      method: "POST",
      headers: { ...SAME_SITE, "Idempotency-Key": key },
    });
  other.upstream.answers["/api/login"] = { headers: ["X-Vestibule-Login", "usr_ada"], body: "in" };
  const first = await send("k1");
  assert.match(first.headers["set-cookie"][0], /^mk_session=eyJ/);
  for (let time = 0; time < 2; time += 1) {
    const again = await other.expectNotForwarded(() => send("k1"));
    const problem = assertProblem(
      again,
      409,
      "idempotency_outcome_unknown",
      "session_not_repeated",
    );
    assert.equal(problem.safeToRetry, false);
    assert.equal(again.headers["set-cookie"], undefined);
  }
  // A response without a session is replayed as usual.
  other.upstream.answers["/api/login"] = { body: "no" };
  assert.equal((await send("k2")).text, "no");
  assert.equal(
    (await other.expectNotForwarded(() => send("k2"))).headers["idempotent-replayed"],
    "true",
  );
});

describe("a session ends", () => {
  test("by logging out: its token is rejected from then on", async () => {
    const ada = await signIn("usr_out");
    assert.equal((await get("/x", ada)).status, 200);
    const logout = await gateway.requestUrl(`${PUBLIC}/api/auth/logout`, {
      method: "POST",
      headers: { ...SAME_SITE, ...ada },
    });
    assert.equal(logout.status, 204);
    assertHealed(await gateway.expectNotForwarded(() => get("/x", ada)), "session_revoked");
  });

  test("by a request from another browser of the user", async () => {
    const phone = await signIn("usr_two", { "User-Agent": "Phone/1.0" });
    const laptop = await signIn("usr_two", { "User-Agent": "Laptop/2.0" });
    const { items, next } = (await get("/api/sessions", laptop)).json();
    assert.equal(next, null);
    assert.deepEqual(items.map(({ userAgent, current }) => [userAgent, current]).sort(), [
      ["Laptop/2.0", true],
      ["Phone/1.0", false],
    ]);
    const { id } = items.find(({ current }) => !current);
    assert.equal((await remove(`/api/sessions/${id}`, laptop)).status, 204);
    assertHealed(await gateway.expectNotForwarded(() => get("/x", phone)), "session_revoked");
    assert.equal((await get("/x", laptop)).status, 200);
    const again = await remove(`/api/sessions/${id}`, laptop);
    assertProblem(again, 404, "not_found");
  });

  test("by a request that ends all other sessions", async () => {
    const all = [await signIn("usr_many"), await signIn("usr_many"), await signIn("usr_many")];
    const response = await remove("/api/sessions", all[1]);
    assert.deepEqual(response.json(), { revoked: 2 });
    assert.deepEqual(
      await Promise.all(all.map(async (headers) => (await get("/x", headers)).status)),
      [401, 200, 401],
    );
  });

  test("by signing out everywhere, which also clears the cookie", async () => {
    const all = [await signIn("usr_everywhere"), await signIn("usr_everywhere")];
    assertProblem(await remove("/api/sessions?all=yes", all[1]), 400, "invalid_body");
    const response = await remove("/api/sessions?all=true", all[1]);
    assert.deepEqual(response.json(), { revoked: 2 });
    assert.match(response.headers["set-cookie"][0], /^mk_session=; Path=\/; Max-Age=0/);
    for (const headers of all) assertHealed(await get("/x", headers), "session_revoked");
  });

  test("by its own request, which also clears the cookie", async () => {
    const ada = await signIn("usr_own");
    const { sessionId } = (await get("/api/auth/me", ada)).json();
    const response = await remove(`/api/sessions/${sessionId}`, ada);
    assert.equal(response.status, 204);
    assert.match(response.headers["set-cookie"][0], /Max-Age=0/);
    assertHealed(await get("/api/auth/me", ada), "session_revoked");
  });

  test("by the next sign-in of the same browser", async () => {
    const first = await signIn("usr_again");
    await signIn("usr_again", first);
    assertHealed(await get("/x", first), "session_revoked");
  });
});

test("a session has the name of its device, and the place that the platform knows", async () => {
  const agents = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "<script>alert(1)</script>",
  ];
  const last = [];
  for (const agent of agents) {
    last.push(await signIn("usr_device", { "User-Agent": agent, "CF-IPCountry": "ZZ" }));
  }
  const { items } = (await get("/api/sessions", last[1])).json();
  const byAgent = agents.map((agent) => items.find(({ userAgent }) => userAgent === agent));
  assert.deepEqual(
    byAgent.map(({ device }) => device),
    ["Firefox on Windows", null],
  );
  // A header of the client says nothing.
  for (const { place } of byAgent) assert.ok(place === null || !place.includes("ZZ"), place);
});

describe("access to sessions", () => {
  test("users may list and end only their own, admins those of every user", async () => {
    const [eve, root] = [await signIn("usr_eve"), await signIn("usr_root; role=admin")];
    const victim = await signIn("usr_victim");
    const { sessionId } = (await get("/api/auth/me", victim)).json();
    for (const [method, path] of [
      [get, "/api/sessions?user=usr_victim"],
      [remove, "/api/sessions?user=usr_victim"],
      [remove, `/api/sessions/${sessionId}?user=usr_victim`],
    ]) {
      assertProblem(await method(path, eve), 403, "forbidden_role");
    }
    assertProblem(await remove(`/api/sessions/${sessionId}`, eve), 404, "not_found");
    assert.equal((await get("/x", victim)).status, 200);
    const { items } = (await get("/api/sessions?user=usr_victim", root)).json();
    assert.deepEqual(
      items.map(({ id }) => id),
      [sessionId],
    );
    assert.deepEqual((await remove("/api/sessions?user=usr_victim", root)).json(), { revoked: 1 });
    assertHealed(await get("/x", victim), "session_revoked");
    assert.equal((await get("/x", root)).status, 200);
  });

  test("a cross-site request is rejected", async () => {
    const ada = await signIn("usr_csrf");
    const response = await gateway.requestUrl(`${PUBLIC}/api/sessions`, {
      method: "DELETE",
      headers: { ...ada, Origin: "https://evil.example", "Sec-Fetch-Site": "cross-site" },
    });
    assertProblem(response, 403, "forbidden_origin");
  });
});

describe("several copies of the cookie", () => {
  test("the first copy that the registry knows is used", async () => {
    const [older, newer] = [await signIn("usr_copies"), await signIn("usr_copies")];
    await remove(`/api/sessions/${(await get("/api/auth/me", newer)).json().sessionId}`, newer);
    const Cookie = `${newer.Cookie}; ${older.Cookie}`;
    const { response, seen } = await gateway.expectForwarded(() => get("/x", { Cookie }));
    assert.equal(response.status, 200);
    assert.equal(seen.headers.cookie, older.Cookie);
    assert.ok(response.headers["set-cookie"].some((line) => line.startsWith(`${older.Cookie};`)));
  });

  test("logging out ends the sessions of all copies", async () => {
    const both = [await signIn("usr_both"), await signIn("usr_both")];
    const Cookie = both.map((one) => one.Cookie).join("; ");
    await gateway.requestUrl(`${PUBLIC}/api/auth/logout`, {
      method: "POST",
      headers: { ...SAME_SITE, Cookie },
    });
    for (const one of both) assertHealed(await get("/x", one), "session_revoked");
  });

  test("a session cookie from upstream is dropped if Vestibule starts a session", async () => {
    gateway.upstream.answers["/api/login"] = {
      headers: [
        ...["X-Vestibule-Login", "usr_migrating"],
        ...["Set-Cookie", "mk_session=theirs; Domain=.app.example; Path=/"],
        ...["Set-Cookie", "theme=dark; Path=/"],
      ],
    };
    const options = { method: "POST", headers: SAME_SITE };
    const response = await gateway.requestUrl(`${PUBLIC}/api/login`, options);
    const names = response.headers["set-cookie"].map((line) =>
      line.split("=").slice(0, 2).join("="),
    );
    assert.deepEqual(
      names.map((name) => name.slice(0, 14)),
      ["theme=dark; Pa", "mk_session=eyJ"],
    );
  });
});

describe("a token that the registry does not know", () => {
  test("is rejected although its signature is valid", async () => {
    const headers = { Cookie: sessionCookies(createSessionToken()) };
    assertHealed(await gateway.expectNotForwarded(() => get("/x", headers)), "session_revoked");
    assertHealed(await get("/api/auth/me", headers), "session_revoked");
    const maybe = await gateway.expectForwarded(() => get("/maybe", headers));
    assert.equal(maybe.response.status, 200);
    assert.equal(maybe.seen.headers.cookie, undefined, "upstream might accept its signature");
    // Public rules check no session.
    assert.equal((await get("/open/fine", headers)).status, 200);
  });

  test("is cleared at the login page, which is shown without a redirect", async () => {
    const response = await get("/login", {
      Cookie: sessionCookies(createSessionToken()),
      "Sec-Fetch-Mode": "navigate",
    });
    assert.equal(response.status, 200);
    assert.match(response.headers["set-cookie"][0], new RegExp(`^${COOKIE}=; Path=/; Max-Age=0`));
    const live = await signIn("usr_login");
    const redirect = await get("/login?next=/m/1", { ...live, "Sec-Fetch-Mode": "navigate" });
    assert.equal(redirect.headers.location, "/m/1");
  });
});

test("300 concurrent sign-ins of one user start 300 sessions, of which 100 stay", async () => {
  await signIn("usr_storm");
  const all = await Promise.all(Array.from({ length: 300 }, () => signIn("usr_storm")));
  assert.equal(new Set(all.map(({ Cookie }) => Cookie)).size, 300);
  const last = await signIn("usr_storm");
  const { items } = (await get("/api/sessions", last)).json();
  assert.equal(items.length, 100);
});
