// Rules with `recent`: who authenticated too long ago is asked to do it again, and comes back.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { devicesOf, totp } from "../support/factors.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";

const NOW = 1_900_000_000;
const RECENT = 600;
const ROUTES = [
  { path: "/pay/{*rest}", access: "user", recent: "10m" },
  { path: "/forms/{*rest}", access: "user", methods: ["POST"], recent: "10m" },
  { path: "/embedded", access: "user", recent: "10m", unauthenticated: "401" },
  { path: "/plain/{*rest}", access: "user" },
  { path: "/deploys", methods: ["POST"], access: "user", confirm: "human" },
  {
    path: "/pay/catalogue",
    methods: ["POST"],
    operation: "pay",
    access: "user",
    recent: "10m",
    catalogue: true,
  },
];
const NAVIGATE = {
  Accept: "text/html",
  "Sec-Fetch-Mode": "navigate",
  "Sec-Fetch-Dest": "document",
  "Sec-Fetch-Site": "none",
};
const CHALLENGE = 'Bearer error="insufficient_user_authentication", max_age="600"';

function assertAsked(response, loginUrl) {
  const problem = assertProblem(response, 401, "reauthentication_required");
  assert.equal(response.headers["www-authenticate"], CHALLENGE);
  assert.equal(problem.loginUrl, loginUrl);
  assert.equal(response.headers["x-vestibule-login-url"], loginUrl);
  assert.deepEqual(response.cookies, [], "the session stays");
}

describe("with accounts", () => {
  // The second isolate's clock is ten minutes and a second ahead: there, users authenticated too long ago.
  let gateway;
  let users;
  let ada;
  before(async () => {
    const session = { ...ACCOUNTS.SESSION, check_ttl: "60s", recent_admin: "10m" };
    gateway = await openGateway({
      routes: ROUTES,
      variables: { ...ACCOUNTS, SESSION: session, DANGER_FIXED_NOW: NOW },
      secondIsolate: { DANGER_FIXED_NOW: NOW + RECENT + 1 },
    });
    users = await setUpUsers(gateway);
    ada = await users.createUser("ada");
  });
  after(() => gateway.stop());

  const later = { request: (...args) => gateway.requestSecondIsolate(...args) };
  const at = (when, method, path, caller, body, headers) =>
    users.call(method, path, caller, body, { ...when, headers });
  const refused = (...args) => gateway.expectNotForwarded(() => at(...args));
  const passes = async (...args) => {
    const { response, seen } = await gateway.expectForwarded(() => at(...args));
    assert.equal(response.status, 200, response.text);
    return seen;
  };
  const signIn = async (when, name, headers) => {
    const body = { email: `${name}@example.com`, password: PASSWORD };
    const response = await at(when, "POST", "/api/auth/login", ANONYMOUS, body, headers);
    assert.equal(response.status, 200, response.text);
    return { headers: { Cookie: response.cookies[0].split(";")[0] } };
  };
  // If it succeeds, the caller has the new session.
  const reauthenticate = async (when, caller, body = { password: PASSWORD }) => {
    const response = await at(when, "POST", "/api/auth/reauthenticate", caller, body);
    if (response.status === 204) caller.headers.Cookie = response.cookies[0].split(";")[0];
    return response;
  };

  test("passes right after the sign-in, and is asked ten minutes later", async () => {
    await passes({}, "GET", "/pay/1", ada);
    assertAsked(
      await refused(later, "GET", "/pay/1", ada),
      "/login?reason=reauthenticate&next=%2F",
    );
    await passes(later, "GET", "/plain/1", ada);
  });

  test("a password is enough, for a new session: neither a copy of the old one nor another one is recent", async () => {
    const [eve, other] = [await users.createUser("eve"), await signIn({}, "eve")];
    assertAsked(
      await refused(later, "POST", "/pay/1", eve, {}),
      "/login?reason=reauthenticate&next=%2F",
    );
    const copy = { headers: { ...eve.headers } };
    const before = (await at(later, "GET", "/api/auth/me", eve)).json();
    const done = await gateway.expectNotForwarded(() => reauthenticate(later, eve));
    assert.deepEqual([done.status, done.text, done.cookies.length], [204, "", 1]);
    await passes(later, "POST", "/pay/1", eve, {});
    const { sessionId, ...rest } = (await at(later, "GET", "/api/auth/me", eve)).json();
    assert.notEqual(sessionId, before.sessionId);
    assert.equal(rest.userId, before.userId);
    // Requests that another tab has sent already still pass, but the copy gains nothing.
    await passes(later, "GET", "/plain/1", copy);
    await refused(later, "POST", "/pay/1", copy, {});
    await refused(later, "POST", "/pay/1", other, {});
    const { items } = (await at(later, "GET", "/api/sessions", eve)).json();
    const times = items.map(({ current, authenticatedAt }) => [
      current,
      Date.parse(authenticatedAt) / 1_000,
    ]);
    assert.deepEqual(times.sort(), [
      [false, NOW],
      [true, NOW + RECENT + 1],
    ]);
  });

  test("the replaced session ends soon", async () => {
    const ivy = await users.createUser("ivy");
    const copy = { headers: { ...ivy.headers } };
    assert.equal((await reauthenticate({}, ivy)).status, 204);
    await passes({}, "GET", "/plain/1", copy);
    const { items } = (await at({}, "GET", "/api/sessions", ivy)).json();
    assert.deepEqual(
      items.map(({ current }) => current),
      [true],
    );
    const ended = await refused(later, "GET", "/plain/1", copy);
    assertProblem(ended, 401, "unauthorized", "session_revoked");
    await passes(later, "GET", "/plain/1", ivy);
  });

  test("an isolate that remembers the old time asks the registry before it refuses", async () => {
    const bob = await users.createUser("bob");
    // The second isolate remembers this answer for a minute.
    await passes(later, "GET", "/plain/1", bob);
    const again = await reauthenticate({ request: gateway.request }, bob);
    assert.equal(again.status, 204, again.text);
    // The first isolate's clock has written NOW, which is still too old for the second one.
    await refused(later, "GET", "/pay/1", bob);
    const fresh = await signIn(later, "bob", bob.headers);
    await passes(later, "GET", "/pay/1", fresh);
  });

  test("a wrong password changes nothing, and counts as an attempt to sign in", async () => {
    const carl = await users.createUser("carl");
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const wrong = await refused(later, "POST", "/api/auth/reauthenticate", carl, {
        password: "wrong",
      });
      assertProblem(wrong, 401, "invalid_credentials");
    }
    assertProblem(await reauthenticate(later, carl), 429, "rate_limited");
    const body = { email: "carl@example.com", password: PASSWORD };
    assertProblem(await at(later, "POST", "/api/auth/login", ANONYMOUS, body), 429, "rate_limited");
    await refused(later, "GET", "/pay/1", carl);
  });

  test("a code of an authenticator app is enough, once", async () => {
    const fay = await users.createUser("fay");
    const { secret } = await devicesOf(users.call, NOW).enroll(fay);
    const body = { code: totp(secret, NOW + RECENT + 1) };
    assertProblem(
      await reauthenticate(later, fay, { code: totp(secret, NOW) }),
      401,
      "invalid_credentials",
    );
    await refused(later, "GET", "/pay/1", fay);
    assert.equal((await reauthenticate(later, fay, body)).status, 204);
    await passes(later, "GET", "/pay/1", fay);
    assertProblem(await reauthenticate(later, fay, body), 401, "invalid_credentials");
    for (const wrong of [{}, { code: "12" }, { code: "123456", password: PASSWORD }, { code: 7 }]) {
      assertProblem(await reauthenticate(later, fay, wrong), 400, "invalid_body");
    }
    // Only a user with a confirmed factor has codes.
    assertProblem(await reauthenticate(later, ada, { code: "123456" }), 401, "invalid_credentials");
  });

  test("an old session neither enrolls a factor to authenticate with, nor removes one", async () => {
    const [gus, hal] = [await users.createUser("gus"), await users.createUser("hal")];
    const app = await devicesOf(users.call, NOW).enroll(hal);
    const begun = (await at({}, "POST", "/api/auth/factors/totp", hal, {})).json();
    for (const [method, path, caller, body] of [
      ["POST", "/api/auth/factors/totp", gus, {}],
      ["POST", "/api/auth/passkeys/options", gus, {}],
      ["DELETE", "/api/auth/factors/passkeys/psk_1", hal],
      ["POST", "/api/auth/factors/totp", hal, {}],
      ["DELETE", "/api/auth/factors/totp", hal],
      ["POST", "/api/auth/factors/recovery-codes", hal],
    ]) {
      const response = await gateway.expectNotForwarded(() =>
        at(later, method, path, caller, body),
      );
      assertProblem(response, 401, "reauthentication_required");
    }
    const read = async (caller) => (await at(later, "GET", "/api/auth/factors", caller)).json();
    assert.deepEqual([(await read(gus)).totp, (await read(hal)).totp], [false, true]);
    // The user who has begun confirms, and the password is enough for the rest.
    const code = totp(begun.secret, NOW + RECENT + 1);
    const confirmed = await at(later, "POST", "/api/auth/factors/totp/confirm", hal, { code });
    assert.equal(confirmed.status, 200, confirmed.text);
    assert.notEqual(begun.secret, app.secret);
    assert.equal((await reauthenticate(later, hal)).status, 204);
    assert.equal((await at(later, "DELETE", "/api/auth/factors/totp", hal)).status, 204);
    assert.equal((await read(hal)).totp, false);
  });

  test("recent_admin holds for an admin's acts at endpoints that users have, too", async () => {
    const { root } = users;
    const { userId } = (await at(later, "GET", "/api/auth/me", ada)).json();
    const agent = { name: "agent", prefix: "mk_" };
    for (const [method, path, body] of [
      ["GET", `/api/sessions?user=${userId}`],
      ["DELETE", `/api/sessions?user=${userId}`],
      ["DELETE", `/api/sessions/ses_1?user=${userId}`],
      ["POST", "/api/agent-tokens", agent],
    ]) {
      const response = await gateway.expectNotForwarded(() => at(later, method, path, root, body));
      assertProblem(response, 401, "reauthentication_required");
    }
    const token = await users.createToken(root, "mul_");
    const listed = await at({}, "GET", `/api/sessions?user=${userId}`, token);
    assertProblem(listed, 403, "forbidden_human_only");
    // What is the admin's own needs no more than a user's does.
    assert.equal((await at(later, "GET", "/api/sessions", root)).status, 200);
    const own = await at(later, "POST", "/api/agent-tokens", root, { name: "own", prefix: "mul_" });
    assert.equal(own.status, 201, own.text);
    assert.equal((await at({}, "GET", `/api/sessions?user=${userId}`, root)).status, 200);
    assert.equal((await at({}, "POST", "/api/agent-tokens", root, agent)).status, 201);
  });

  test("no token is recent, and none authenticates again", async () => {
    const token = await users.createToken(ada, "mul_");
    assertProblem(await refused({}, "GET", "/pay/1", token), 403, "forbidden_human_only");
    assertProblem(await reauthenticate({}, token), 403, "forbidden_human_only");
    assertProblem(await reauthenticate({}, ANONYMOUS), 401, "unauthorized", "no_credential");
    const machine = await users.createToken(ada, "mat_");
    assertProblem(await reauthenticate({}, machine), 403, "forbidden_human_only");
    const { operations } = (await gateway.request("/.well-known/agent-operations")).json();
    const listed = operations.map(({ credentials, recentSeconds }) => [credentials, recentSeconds]);
    assert.deepEqual(listed, [[["session"], RECENT]]);
  });

  test("a session that ended in the meantime cannot authenticate again", async () => {
    const dora = await users.createUser("dora");
    const other = await signIn({}, "dora");
    assert.equal((await at({}, "DELETE", "/api/sessions", other)).json().revoked, 1);
    assertProblem(await reauthenticate(later, dora), 401, "unauthorized", "session_revoked");
  });

  test("a navigation is led to the login page, which a signed-in user sees, and back", async () => {
    const away = await refused(later, "GET", "/pay/7?a=1", ada, undefined, NAVIGATE);
    const location = "/login?reason=reauthenticate&next=%2Fpay%2F7%3Fa%3D1";
    assert.deepEqual([away.status, away.headers.location], [302, location]);
    const shown = await gateway.expectForwarded(() =>
      at(later, "GET", location, ada, undefined, NAVIGATE),
    );
    assert.equal(shown.response.status, 200);
    const elsewhere = await refused(
      later,
      "GET",
      "/login?next=%2Fpay%2F7",
      ada,
      undefined,
      NAVIGATE,
    );
    assert.deepEqual([elsewhere.status, elsewhere.headers.location], [302, "/pay/7"]);
    const never = await refused(later, "GET", "/embedded", ada, undefined, NAVIGATE);
    assert.equal(never.status, 401);
    assert.match(never.text, /Confirm that it is you/);
  });

  test("a form is led there with its own page as the return path", async () => {
    const headers = {
      ...NAVIGATE,
      "Sec-Fetch-Site": "same-origin",
      Referer: "http://app.example/plain/form",
    };
    const away = await refused(later, "POST", "/forms/1", ada, "a=1", headers);
    const location = "/login?reason=reauthenticate&next=%2Fplain%2Fform";
    assert.deepEqual([away.status, away.headers.location], [303, location]);
  });

  test("a login page that sends the user back without asking ends in a page", async () => {
    let cookie = ada.headers.Cookie;
    const statuses = [];
    for (let round = 0; round < 4; round += 1) {
      const headers = { ...NAVIGATE, Cookie: cookie };
      const response = await refused(later, "GET", "/pay/loop", ANONYMOUS, undefined, headers);
      statuses.push(response.status);
      const hops = response.cookies.find((line) => line.startsWith("mk_session_hops="));
      cookie = `${ada.headers.Cookie}; ${hops.split(";")[0]}`;
      if (response.status === 200) assert.match(response.text, /confirm that it is you/);
    }
    assert.deepEqual(statuses, [302, 302, 302, 200]);
  });

  test("`recent_admin` guards endpoints for admins and decisions about approvals", async () => {
    const { root } = users;
    assert.equal((await at({}, "GET", "/api/users", root)).status, 200);
    assertAsked(
      await refused(later, "GET", "/api/users", root),
      "/login?reason=reauthenticate&next=%2F",
    );
    const invite = await refused(later, "POST", "/api/invites", root, { role: "admin" });
    assertProblem(invite, 401, "reauthentication_required");
    assert.equal(
      (await at({}, "GET", "/api/invites", root))
        .json()
        .items.filter(({ status }) => status === "unused").length,
      0,
    );
    assertProblem(await refused(later, "GET", "/api/users", ada), 403, "forbidden_role");
    const machine = await users.createToken(ada, "mat_");
    const asked = await refused(later, "POST", "/deploys", machine, {});
    const { confirmationId } = assertProblem(asked, 403, "confirmation_required");
    const approve = `/api/confirmations/${confirmationId}/approve`;
    assertProblem(await refused(later, "POST", approve, ada), 401, "reauthentication_required");
    const page = await refused(
      later,
      "GET",
      `/api/confirmations/${confirmationId}`,
      ada,
      undefined,
      NAVIGATE,
    );
    assert.equal(page.status, 200);
    const headers = {
      ...NAVIGATE,
      "Sec-Fetch-Site": "same-origin",
      Referer: `http://app.example/api/confirmations/${confirmationId}`,
    };
    const button = await refused(later, "POST", approve, ada, "", headers);
    const next = encodeURIComponent(`/api/confirmations/${confirmationId}`);
    assert.deepEqual(
      [button.status, button.headers.location],
      [303, `/login?reason=reauthenticate&next=${next}`],
    );
    assert.equal((await reauthenticate(later, ada)).status, 204);
    assert.equal((await at(later, "POST", approve, ada)).status, 200);
  });

  test("explain says what a rule demands", async () => {
    const zoe = await users.createUser("zoe");
    assert.equal((await reauthenticate(later, users.root)).status, 204);
    const described = {
      method: "GET",
      url: "http://app.example/pay/1",
      headers: { cookie: zoe.headers.Cookie },
    };
    const trace = (await at(later, "POST", "/api/explain", users.root, described)).json();
    const step = trace.steps.find(({ outcome }) => outcome === "refused");
    assert.deepEqual(step, {
      step: "access",
      outcome: "refused",
      detail: "reauthentication_required",
    });
  });
});

describe("with a sign-in by upstream", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: [
        ...ROUTES.slice(0, 1),
        { path: "/in", methods: ["POST"], access: "public", login: true },
      ],
      variables: { SESSION: { login: "upstream" }, DANGER_FIXED_NOW: NOW },
      secondIsolate: { DANGER_FIXED_NOW: NOW + RECENT + 1 },
      answers: { "/in": { headers: ["X-Vestibule-Login", "usr_ada"] } },
    });
  });
  after(() => gateway.stop());

  test("a new sign-in is recent", async () => {
    const signIn = async (request, Cookie) => {
      const headers = { "Sec-Fetch-Site": "same-origin", Cookie };
      const response = await request("/in", { method: "POST", headers });
      return response.cookies[0].split(";")[0];
    };
    const old = await signIn(gateway.request);
    const headers = { Cookie: old };
    const asked = await gateway.expectNotForwarded(() =>
      gateway.requestSecondIsolate("/pay/1", { headers }),
    );
    assertProblem(asked, 401, "reauthentication_required");
    const login = "/login?reason=reauthenticate&next=%2Fpay%2F1";
    await gateway.expectForwarded(() =>
      gateway.requestSecondIsolate(login, { headers: { ...NAVIGATE, ...headers } }),
    );
    const fresh = await signIn(gateway.requestSecondIsolate, old);
    await gateway.expectForwarded(() =>
      gateway.requestSecondIsolate("/pay/1", { headers: { Cookie: fresh } }),
    );
    const gone = await gateway.expectNotForwarded(() =>
      gateway.requestSecondIsolate("/pay/1", { headers }),
    );
    assertProblem(gone, 401, "unauthorized", "session_revoked");
  });
});
