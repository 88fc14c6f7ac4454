// Passwords: changing them, reset links, recovery, and races with sign-ins and with changes of users.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { kindOf } from "../support/commands.mjs";
import { devicesOf, fromNewAddress } from "../support/factors.mjs";
import { assertProblem, openGateway, sessionCookieOf } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, SETUP_TOKEN, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";
import { startUpstream } from "../support/upstream.mjs";

// The clock stands still, in the middle of a step of an authenticator app.
const NOW = 2_000_000_010;
const NEW = "a quite different phrase";
const ROUTES = [{ path: "/private/{*rest}", access: "authenticated" }];
const variables = (more = {}) => ({
  ...ACCOUNTS,
  CREDENTIALS: [{ prefix: "mul_", kind: "user", machine: false }],
  DANGER_FIXED_NOW: NOW,
  ...more,
});

// Holds the commands of the kinds that `X-Held` names, until the test releases them.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const kinds = { ACCOUNTS: ${kindOf("Accounts")}, SESSIONS: ${kindOf("Sessions")} };
const held = (store, name, env, wanted) => ({
  idFromName: (name) => store.idFromName(name),
  get: (id) => ({
    async command(command, ...more) {
      if (wanted.includes(kinds[name](command))) await fetch(env.HOLD + "/hold");
      return store.get(id).command(command, ...more);
    },
  }),
});
export default {
  fetch(request, env, context) {
    const wanted = request.headers.get("x-held")?.split(" ");
    if (!wanted) return worker.fetch(request, env, context);
    const changed = { ...env };
    for (const name of Object.keys(kinds)) changed[name] = held(env[name], name, env, wanted);
    return worker.fetch(request, changed, context);
  },
};`;

// Resolves to a function that releases the next held command.
const held = [];
const waiting = [];
const nextHeld = () =>
  held.length > 0
    ? Promise.resolve(held.shift())
    : new Promise((resolve) => {
        waiting.push(resolve);
      });
const hold = (_request, response) => {
  const release = () => response.writeHead(204).end();
  const resolve = waiting.shift();
  if (resolve) resolve(release);
  else held.push(release);
};

let holdServer;
let gateway;
let people;
let root;
let call;
let trail;
before(async () => {
  holdServer = await startUpstream({ "/hold": hold });
  gateway = await openGateway({
    routes: ROUTES,
    variables: variables({ HOLD: holdServer.origin }),
    wrapperModules: { "entry.mjs": ENTRY },
  });
  people = await setUpUsers(gateway);
  ({ root, call } = people);
  trail = auditTrailOf(people);
});
after(() => gateway.stop());
after(() => holdServer?.stop());

// A new user. Each redeems from another address, because redeeming is limited by address.
let count = 0;
async function createUser(role = "user") {
  count += 1;
  const email = `person-${count}@example.com`;
  const { token } = (await call("POST", "/api/invites", root, { role })).json();
  const path = `/api/invites/${trackSecret(token)}/redeem`;
  const body = { email, password: PASSWORD };
  const response = await call("POST", path, ANONYMOUS, body, { headers: fromNewAddress() });
  assert.equal(response.status, 201, response.text);
  return { id: response.json().userId, email, ...callerOf(response) };
}
const callerOf = (response) => ({
  headers: { Cookie: `mk_session=${sessionCookieOf(response).value}` },
});
const post = (path, caller, body, headers = {}) =>
  call("POST", path, caller, body, { headers: { ...fromNewAddress(), ...headers } });
const logIn = (email, password, headers) =>
  post("/api/auth/login", ANONYMOUS, { email, password }, headers);
async function signIn({ email }, password = PASSWORD) {
  const response = await logIn(email, password);
  assert.equal(response.status, 200, response.text);
  return callerOf(response);
}
// If it succeeds, the caller has the new session.
async function change(caller, body = {}, headers = undefined) {
  const json = { currentPassword: PASSWORD, newPassword: NEW, ...body };
  const response = await post("/api/auth/password", caller, json, headers);
  if (response.status === 204) Object.assign(caller, callerOf(response));
  return response;
}
async function makeLink({ id }, caller = root) {
  const response = await post(`/api/users/${id}/reset`, caller);
  assert.equal(response.status, 201, response.text);
  return trackSecret(response.json().token);
}
const redeem = (token, body = {}, headers) =>
  post("/api/auth/reset/redeem", ANONYMOUS, { token, newPassword: NEW, ...body }, headers);
const statusAs = async (caller) => (await call("GET", "/private/x", caller)).status;
const assertStatus = async (status, sent) => {
  const response = await sent;
  assert.equal(response.status, status, response.text);
  return response;
};

describe("a change", () => {
  test("ends all other sessions, and replaces the one in which it was made", async () => {
    const ada = await createUser();
    const [second, third] = [await signIn(ada), await signIn(ada)];
    const copy = { ...second };
    const idOf = async (caller) => (await call("GET", "/api/auth/me", caller)).json().sessionId;
    const before = await idOf(second);
    const [row] = await trail.rowsAddedBy(
      1,
      () =>
        assertStatus(
          204,
          gateway.expectNotForwarded(() => change(second)),
        ),
      "operation=vestibule.password.change",
    );
    assert.deepEqual([row.principal.id, row.detail], [ada.id, `${ada.id} sessions=2 tokens=0`]);
    assert.deepEqual(
      [await statusAs(second), await statusAs(ada), await statusAs(third)],
      [200, 401, 401],
    );
    assert.notEqual(await idOf(second), before);
    // The one that was replaced lives on for half a minute, and only the new one is listed.
    assert.deepEqual([await idOf(copy), await statusAs(copy)], [before, 200]);
    const { items } = (await call("GET", "/api/sessions", second)).json();
    assert.deepEqual([items.length, items[0].current], [1, true]);
    assertProblem(await call("GET", "/private/x", ada), 401, "unauthorized", "session_revoked");
    assertProblem(await logIn(ada.email, PASSWORD), 401, "invalid_credentials");
    assert.equal(await statusAs(await signIn(ada, NEW)), 200);
    assert.equal(await statusAs(second), 200);
  });

  test("changing needs the current password and a session", async () => {
    const ada = await createUser();
    assertProblem(await change(ada, { currentPassword: NEW }), 401, "invalid_credentials");
    assertProblem(await change(ANONYMOUS), 401, "unauthorized", "no_credential");
    const token = await people.createToken(ada, "mul_");
    assertProblem(await change(token), 403, "forbidden_human_only");
    for (const [body, field] of [
      [{ newPassword: "too short" }, "newPassword"],
      [{ newPassword: "x".repeat(257) }, "newPassword"],
      [{ newPassword: null }, "newPassword"],
      [{ currentPassword: null }, "currentPassword"],
      [{ revokeTokens: "on" }, "revokeTokens"],
      [{ userId: "usr_x" }, "(unknown)"],
    ])
      assert.equal(assertProblem(await change(ada, body), 400, "invalid_body").field, field);
    const common = await change(ada, { newPassword: "Password1234!" });
    assert.equal(assertProblem(common, 400, "password_too_common").field, "newPassword");
    assert.equal(await statusAs(await signIn(ada)), 200, "nothing was changed");
    // Attempts count as sign-ins.
    const headers = fromNewAddress();
    for (let left = 10; left > 0; left -= 1)
      assertProblem(
        await change(ada, { currentPassword: NEW }, headers),
        401,
        "invalid_credentials",
      );
    assertProblem(await change(ada, {}, headers), 429, "rate_limited");
    await assertStatus(204, change(ada));
  });

  test("revokes the user's tokens on request only", async () => {
    const ada = await createUser();
    const tokens = [
      await people.createToken(ada, "mul_"),
      await people.createToken(ada, "mul_", { name: "another" }),
    ];
    await assertStatus(204, change(ada));
    assert.equal(await statusAs(tokens[0]), 200);
    const back = { currentPassword: NEW, newPassword: PASSWORD };
    await assertStatus(204, change(ada, { ...back, revokeTokens: true }));
    for (const token of tokens)
      assertProblem(await call("GET", "/private/x", token), 401, "unauthorized", "token_revoked");
    const list = (await call("GET", "/api/agent-tokens", ada)).json();
    assert.deepEqual(list.items, []);
  });

  test("a change against sign-ins: the old password leaves no session", async () => {
    const ada = await createUser();
    const attempts = Array.from({ length: 8 }, () => logIn(ada.email, PASSWORD));
    const [changed, ...signIns] = await Promise.all([change(ada), ...attempts]);
    assert.equal(changed.status, 204, changed.text);
    for (const response of signIns) {
      assert.ok([200, 401].includes(response.status), response.text);
      if (response.status === 200) assert.equal(await statusAs(callerOf(response)), 401);
    }
    const { items } = (await call("GET", "/api/sessions", ada)).json();
    assert.deepEqual([items.length, items[0].current], [1, true]);
  });

  test("a sign-in that compared the old password before the change opens no session after it", async () => {
    const ada = await createUser();
    const late = logIn(ada.email, PASSWORD, { "X-Held": "Open" });
    const release = await nextHeld();
    await assertStatus(204, change(ada));
    release();
    const response = assertProblem(await late, 401, "invalid_credentials");
    assert.equal(response.ticket, undefined);
    assert.deepEqual((await late).cookies, []);
  });

  test("of changes at once, one counts", async () => {
    const ada = await createUser();
    const caller = await signIn(ada);
    const phrases = Array.from({ length: 6 }, (_, at) => `phrase number ${at} of six`);
    const responses = await Promise.all(
      phrases.map((newPassword) => change(caller, { newPassword })),
    );
    const won = responses.map(({ status }) => status).filter((status) => status === 204);
    assert.equal(won.length, 1);
    const phrase = phrases[responses.findIndex(({ status }) => status === 204)];
    for (const { status } of responses) assert.ok([204, 401].includes(status));
    assert.equal(await statusAs(await signIn(ada, phrase)), 200);
  });
});

describe("a reset link", () => {
  test("sets a password, ends all sessions, and says so in the audit trail", async () => {
    const ada = await createUser();
    const made = await assertStatus(201, post(`/api/users/${ada.id}/reset`, root));
    const { token, url, expiresAt } = made.json();
    trackSecret(token);
    assert.match(token, /^mkr_[\w-]{27}$/);
    assert.equal(url, `https://app.example/login#reset=${token}`);
    assert.equal(Date.parse(expiresAt), (NOW + 3_600) * 1_000);
    const [row] = await trail.rowsAddedBy(
      1,
      () => assertStatus(204, redeem(token)),
      "operation=vestibule.reset.redeem",
    );
    assert.deepEqual([row.principal.id, row.detail], [ada.id, `${ada.id} sessions=1 tokens=0`]);
    assert.equal(await statusAs(ada), 401);
    assertProblem(await logIn(ada.email, PASSWORD), 401, "invalid_credentials");
    assert.equal(await statusAs(await signIn(ada, NEW)), 200);
    assertProblem(await redeem(token), 410, "reset_unusable");
    const { items } = await trail.page("operation=vestibule.users.reset&limit=1");
    assert.deepEqual([items[0].principal.id, items[0].detail], [root.id, ada.id]);
  });

  test("leaves the second factor, which the user then gives", async () => {
    const ada = await createUser();
    await devicesOf(call, NOW).enroll(ada);
    await assertStatus(204, redeem(await makeLink(ada)));
    assertProblem(await logIn(ada.email, NEW), 401, "second_factor_required");
  });

  test("ends a sign-in that waits for its second factor", async () => {
    const ada = await createUser();
    const app = await devicesOf(call, NOW).enroll(ada);
    const ticket = trackSecret((await logIn(ada.email, PASSWORD)).json().ticket);
    await assertStatus(204, redeem(await makeLink(ada)));
    const finish = post("/api/auth/factor", ANONYMOUS, { ticket, code: app.code() });
    assertProblem(await finish, 410, "ticket_unusable");
  });

  test("a link that many use at once sets one password", async () => {
    const ada = await createUser();
    const token = await makeLink(ada);
    const phrases = Array.from({ length: 200 }, (_, at) => `phrase number ${at} of many`);
    const responses = await Promise.all(
      phrases.map((newPassword) => redeem(token, { newPassword })),
    );
    const counts = Object.groupBy(responses, ({ status }) => status);
    assert.equal(counts[204].length, 1);
    // At most 20 were compared with the link.
    assert.equal(counts[429].length, 180);
    for (const response of counts[410] ?? []) assertProblem(response, 410, "reset_unusable");
    const won = phrases[responses.findIndex(({ status }) => status === 204)];
    assert.equal(await statusAs(await signIn(ada, won)), 200);
  });

  const ENDS = {
    "a newer link": ({ id }) => makeLink({ id }),
    "a change of the password": (user) => change(user),
    "the role": ({ id }) => call("PATCH", `/api/users/${id}`, root, { role: "admin" }),
    "the status": async ({ id }) => {
      await call("PATCH", `/api/users/${id}`, root, { status: "disabled" });
      return call("PATCH", `/api/users/${id}`, root, { status: "active" });
    },
    "the user": ({ id }) => call("DELETE", `/api/users/${id}`, root),
    "its maker's role": (_user, { id }) =>
      call("PATCH", `/api/users/${id}`, root, { role: "user" }),
    "its maker": (_user, { id }) => call("DELETE", `/api/users/${id}`, root),
  };
  for (const [what, end] of Object.entries(ENDS)) {
    test(`a link ends with ${what}`, async () => {
      const [ada, eve] = [await createUser(), await createUser("admin")];
      const token = await makeLink(ada, eve);
      await end(ada, eve);
      const refused = await gateway.expectNotForwarded(() => redeem(token));
      assertProblem(refused, 410, "reset_unusable");
    });
  }

  test("is for admins with a session, and for active users", async () => {
    const [ada, eve] = [await createUser(), await createUser("admin")];
    const path = `/api/users/${ada.id}/reset`;
    assertProblem(await post(path, ada), 403, "forbidden_role");
    assertProblem(await post(path, ANONYMOUS), 401, "unauthorized", "no_credential");
    const token = await people.createToken(eve, "mul_");
    assertProblem(await post(path, token), 403, "forbidden_human_only");
    assertProblem(await post("/api/users/usr_nobody/reset", root), 404, "not_found");
    await call("PATCH", `/api/users/${ada.id}`, root, { status: "disabled" });
    assertProblem(await post(path, root), 403, "forbidden_policy", "user_disabled");
  });

  test("an admin who was demoted while the request was in flight makes none", async () => {
    const [ada, eve] = [await createUser(), await createUser("admin")];
    const late = post(`/api/users/${ada.id}/reset`, eve, undefined, { "X-Held": "Write" });
    const release = await nextHeld();
    await assertStatus(200, call("PATCH", `/api/users/${eve.id}`, root, { role: "user" }));
    release();
    assertProblem(await late, 403, "forbidden_role");
  });

  test("a user who was disabled while the link was used gets no password", async () => {
    const ada = await createUser();
    const late = redeem(await makeLink(ada), {}, { "X-Held": "Password" });
    const releaseCheck = await nextHeld();
    releaseCheck();
    const releaseUse = await nextHeld();
    await call("PATCH", `/api/users/${ada.id}`, root, { status: "disabled" });
    releaseUse();
    assertProblem(await late, 410, "reset_unusable");
    await call("PATCH", `/api/users/${ada.id}`, root, { status: "active" });
    assert.equal(await statusAs(await signIn(ada)), 200);
  });

  test("guessing is limited by address and by link, before anything is compared", async () => {
    const ada = await createUser();
    const token = await makeLink(ada);
    const guess = (at) => `${token.slice(0, 12)}${String(at).padStart(19, "x")}`;
    for (let at = 0; at < 20; at += 1)
      assertProblem(await redeem(guess(at)), 410, "reset_unusable");
    assertProblem(await redeem(guess(20)), 429, "rate_limited");
    assertProblem(await redeem(token), 429, "rate_limited");
    // Another link of the user has attempts of its own.
    await assertStatus(204, redeem(await makeLink(ada)));

    const headers = fromNewAddress();
    const other = (at) => redeem(`mkr_${String(at).padEnd(27, "y")}`, {}, headers);
    for (let at = 0; at < 50; at += 1) assertProblem(await other(at), 410, "reset_unusable");
    assertProblem(await other(50), 429, "rate_limited");
  });

  test("invalid tokens and passwords are refused, and change nothing", async () => {
    const ada = await createUser();
    const token = await makeLink(ada);
    for (const text of ["", "mkr_", `${token}x`, token.slice(1), token.replace("mkr_", "mki_")])
      assertProblem(await redeem(text), 410, "reset_unusable");
    assert.equal(
      assertProblem(await redeem(token, { newPassword: "short" }), 400, "invalid_body").field,
      "newPassword",
    );
    assertProblem(
      await redeem(token, { newPassword: "qwertyuiop1234" }),
      400,
      "password_too_common",
    );
    await assertStatus(204, redeem(token));
  });
});

describe("recovery", () => {
  const recover = (body, headers) =>
    post(
      "/api/auth/recover",
      ANONYMOUS,
      { setupToken: SETUP_TOKEN, newPassword: NEW, ...body },
      headers,
    );

  test("with the setup token, an admin gets a new password, and loses the second factors", async () => {
    const eve = await createUser("admin");
    await devicesOf(call, NOW).enroll(eve);
    await assertStatus(204, recover({ email: eve.email }));
    assert.equal(await statusAs(eve), 401);
    assert.equal(await statusAs(await signIn(eve, NEW)), 200);
  });

  test("recovery is for active admins, and is limited", async () => {
    const ada = await createUser();
    const eve = await createUser("admin");
    await call("PATCH", `/api/users/${eve.id}`, root, { status: "disabled" });
    for (const email of [ada.email, eve.email, "nobody@example.com"])
      assert.equal(assertProblem(await recover({ email }), 400, "invalid_body").field, "email");
    assert.equal(await statusAs(ada), 200);
    const headers = fromNewAddress();
    const guess = () => recover({ email: "root@example.com", setupToken: PASSWORD }, headers);
    for (let left = 10; left > 0; left -= 1)
      assertProblem(await guess(), 401, "invalid_credentials");
    assertProblem(await guess(), 429, "rate_limited");
    const right = recover({ email: "root@example.com" }, headers);
    assertProblem(await right, 429, "rate_limited");
  });

  test("without a setup token, nobody can recover", async (t) => {
    const { SETUP_TOKEN: _, ...withoutToken } = variables();
    const other = await openGateway({ variables: withoutToken });
    t.after(() => other.stop());
    const body = { setupToken: SETUP_TOKEN, email: "root@example.com", newPassword: NEW };
    const options = { request: other.request, headers: fromNewAddress() };
    assertProblem(
      await call("POST", "/api/auth/recover", ANONYMOUS, body, options),
      404,
      "not_found",
    );
  });
});

test("a higher cost applies from the next sign-in on, and the store has no token", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const open = (more) => openGateway({ routes: ROUTES, variables: variables(more), folder });
  const stored = () => {
    const parent = join(folder, "do");
    const files = readdirSync(parent, { recursive: true, withFileTypes: true });
    const texts = files
      .filter((entry) => entry.isFile() && entry.parentPath.endsWith("Accounts"))
      .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"));
    return texts.join();
  };
  let site = await open();
  const made = await setUpUsers(site);
  const ada = { email: "ada@example.com", ...(await made.createUser("ada")) };
  const link = await made.call("POST", `/api/users/${ada.id}/reset`, made.root);
  const token = trackSecret(link.json().token);
  await site.stop();
  assert.ok(stored().includes("$argon2id$v=19$m=19456,t=2,p=1$"));
  assert.ok(!stored().includes(token) && !stored().includes(token.slice(12)));

  site = await open({ PASSWORDS: { passes: 3, min_length: 15 } });
  t.after(() => site.stop());
  const options = { request: site.request };
  const logIn = (email) =>
    made.call("POST", "/api/auth/login", ANONYMOUS, { email, password: PASSWORD }, options);
  // At once: each of them leaves a session, although one of them replaces the hash.
  const responses = await Promise.all([1, 2, 3].map(() => logIn(ada.email)));
  for (const response of responses) assert.equal(response.status, 200, response.text);
  assert.equal((await logIn(ada.email)).status, 200);
  const body = { token, newPassword: "fourteen chars" };
  const short = await made.call("POST", "/api/auth/reset/redeem", ANONYMOUS, body, options);
  assert.equal(assertProblem(short, 400, "invalid_body").field, "newPassword");
  const settings = await made.call("GET", "/api/auth/settings", ANONYMOUS, undefined, options);
  assert.deepEqual([settings.json().passwords, settings.json().passwordMinLength], [true, 15]);
  await site.stop();
  const hashes = stored();
  assert.ok(hashes.includes("$argon2id$v=19$m=19456,t=3,p=1$"), "the hash was made again");
});
