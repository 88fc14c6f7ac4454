// Second factors: enrollment, the second step of a sign-in, recovery codes, the policy, races and limits.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { devicesOf, fromNewAddress, totp } from "../support/factors.mjs";
import { assertProblem, openGateway, sessionCookieOf } from "../support/gateway.mjs";
import {
  ACCOUNTS,
  ANONYMOUS,
  callerOf,
  PASSWORD,
  SETUP_TOKEN,
  setUpUsers,
} from "../support/people.mjs";
import { knownSecrets, trackSecret } from "../support/tokens.mjs";
import { AUTH_SECRET, PREVIOUS_SECRET } from "../support/worker.mjs";

// The clock stands still, in the middle of a step.
const NOW = 2_000_000_010;
const ROUTES = [{ path: "/private/{*rest}", access: "authenticated" }];

const variables = (session = {}, more = {}) => ({
  ...ACCOUNTS,
  SESSION: { ...ACCOUNTS.SESSION, ...session },
  CREDENTIALS: [{ prefix: "mul_", kind: "user", machine: false }],
  DANGER_FIXED_NOW: NOW,
  ...more,
});

const open = (session, more) =>
  openGateway({ routes: ROUTES, variables: variables(session, more) });
const countBy = (responses) => {
  const counts = Object.groupBy(responses, ({ status }) => status);
  return Object.fromEntries(Object.entries(counts).map(([status, all]) => [status, all.length]));
};

describe("a second factor", () => {
  let gateway;
  let people;
  let devices;
  let call;
  before(async () => {
    gateway = await open();
    people = await setUpUsers(gateway);
    call = people.call;
    devices = devicesOf(call, NOW);
  });
  after(() => gateway.stop());

  const newUser = async (name) => {
    const session = await people.createUser(name);
    return { name, ...session, app: await devices.enroll(session) };
  };
  const expectStatus = async (status, sent) => {
    const response = await sent;
    assert.equal(response.status, status, response.text);
    return response;
  };

  test("is pending, and counts for nothing, until a code confirms it", async () => {
    const ada = await people.createUser("ada");
    const { secret, uri } = (
      await expectStatus(200, devices.post("/api/auth/factors/totp", {}, ada))
    ).json();
    trackSecret(secret);
    assert.match(secret, /^[A-Z2-7]{32}$/);
    assert.equal(
      uri,
      `otpauth://totp/app.example:ada@example.com?secret=${secret}&issuer=app.example&algorithm=SHA1&digits=6&period=30`,
    );
    await expectStatus(200, devices.logIn("ada"));
    const read = async () => (await call("GET", "/api/auth/factors", ada)).json();
    assert.deepEqual(await read(), { totp: false, passkeys: [], recoveryCodesLeft: 0 });

    const confirm = (code) => devices.post("/api/auth/factors/totp/confirm", { code }, ada);
    assertProblem(await confirm(totp(secret, NOW - 60)), 401, "invalid_credentials");
    for (const code of ["", "12345", "1234567", "12345x"])
      assert.equal(assertProblem(await confirm(code), 400, "invalid_body").field, "code");
    const { recoveryCodes } = (await expectStatus(200, confirm(totp(secret, NOW - 30)))).json();
    for (const code of recoveryCodes) trackSecret(code);
    assert.equal(new Set(recoveryCodes).size, 10);
    for (const code of recoveryCodes) assert.match(code, /^([a-z2-7]{4}-){5}[a-z2-7]{4}$/);
    assert.deepEqual(await read(), { totp: true, passkeys: [], recoveryCodesLeft: 10 });
    assertProblem(await confirm(totp(secret, NOW)), 401, "invalid_credentials");
  });

  test("is asked for after a right password only, and opens the session", async () => {
    const bob = await newUser("bob");
    const wrong = { email: "bob@example.com", password: "wrong horse battery" };
    const refused = await devices.post("/api/auth/login", wrong);
    assertProblem(refused, 401, "invalid_credentials");
    assert.equal(refused.json().ticket, undefined);

    const first = await devices.logIn("bob");
    const problem = assertProblem(first, 401, "second_factor_required");
    assert.equal(first.headers["www-authenticate"], "Bearer");
    assert.deepEqual(first.cookies, []);
    assert.deepEqual(problem.methods, ["totp", "recovery_code"]);
    assert.equal(problem.expiresAt, new Date((NOW + 300) * 1000).toISOString().replace(".000", ""));
    const ticket = trackSecret(problem.ticket);

    assertProblem(
      await devices.finish({ ticket, code: bob.app.code(-2) }),
      401,
      "invalid_credentials",
    );
    const done = await expectStatus(200, devices.finish({ ticket, code: bob.app.code() }));
    assert.equal(done.json().userId, bob.id);
    const Cookie = `mk_session=${sessionCookieOf(done).value}`;
    const me = (await call("GET", "/api/auth/me", { headers: { Cookie } })).json();
    assert.deepEqual([me.userId, me.sessionId], [bob.id, done.json().sessionId]);
    // Each code and each ticket once.
    const again = (body) => devices.finish(body);
    assertProblem(await again({ ticket, code: bob.app.code(1) }), 410, "ticket_unusable");
    const other = await devices.ticket("bob");
    assertProblem(await again({ ticket: other, code: bob.app.code() }), 401, "invalid_credentials");
    await expectStatus(200, again({ ticket: other, code: bob.app.code(1) }));
  });

  test("can be replaced by each recovery code once, in any spelling", async () => {
    const cyd = await newUser("cyd");
    const [one, two, three] = cyd.app.recoveryCodes;
    const finish = async (recoveryCode) =>
      devices.finish({ ticket: await devices.ticket("cyd"), recoveryCode });
    await expectStatus(200, finish(one));
    assertProblem(await finish(one), 401, "invalid_credentials");
    await expectStatus(200, finish(` ${two.toUpperCase().replaceAll("-", "")} `));
    for (const text of ["", "abcd", `${three}x`, "a".repeat(5_000)])
      assertProblem(await finish(text), 401, "invalid_credentials");
    const { recoveryCodesLeft } = (await call("GET", "/api/auth/factors", cyd)).json();
    assert.equal(recoveryCodesLeft, 8);
    // New codes replace the old ones.
    const renewed = await expectStatus(
      200,
      devices.post("/api/auth/factors/recovery-codes", undefined, cyd),
    );
    const [fresh] = renewed.json().recoveryCodes.map(trackSecret);
    assertProblem(await finish(three), 401, "invalid_credentials");
    await expectStatus(200, finish(fresh));
  });

  test("opens one session for one code that is sent 100 times at once", async () => {
    const dan = await newUser("dan");
    const tickets = await Promise.all(Array.from({ length: 20 }, () => devices.ticket("dan")));
    const sessions = async () => (await call("GET", "/api/sessions", dan)).json().items.length;
    const earlier = await sessions();
    const race = (bodies) => Promise.all(bodies.map((body) => devices.finish(body)));
    const code = dan.app.code();
    const responses = await race(
      Array.from({ length: 100 }, (_, i) => ({ ticket: tickets[i % 20], code })),
    );
    const { 200: opened, ...refused } = countBy(responses);
    assert.equal(opened, 1);
    for (const status of Object.keys(refused)) assert.match(status, /^(401|410|429)$/);
    assert.equal(await sessions(), earlier + 1);
  });

  test("opens one session for one recovery code, and one for one ticket, at once", async () => {
    for (const [name, bodies] of [
      [
        "fay",
        ({ tickets, codes }) => tickets.map((ticket) => ({ ticket, recoveryCode: codes[0] })),
      ],
      [
        "gus",
        ({ tickets, codes }) => codes.map((code) => ({ ticket: tickets[0], recoveryCode: code })),
      ],
    ]) {
      const user = await newUser(name);
      const tickets = await Promise.all(Array.from({ length: 10 }, () => devices.ticket(name)));
      const sent = bodies({ tickets, codes: user.app.recoveryCodes });
      const responses = await Promise.all(sent.map((body) => devices.finish(body)));
      assert.equal(countBy(responses)[200], 1, name);
      const { items } = (await call("GET", "/api/sessions", user)).json();
      assert.equal(items.length, 2, name);
    }
  });

  test("needs a ticket of a user who has not changed since", async () => {
    const root = people.root;
    for (const [name, method, body] of [
      ["hal", "PATCH", { role: "admin" }],
      ["ian", "PATCH", { status: "disabled" }],
      ["jon", "DELETE", undefined],
    ]) {
      const user = await newUser(name);
      const ticket = await devices.ticket(name);
      const changed = await call(method, `/api/users/${user.id}`, root, body);
      assert.ok(changed.status < 300, changed.text);
      const byCode = await devices.finish({ ticket, code: user.app.code() });
      // With a user, the factors are deleted, so there is nothing to compare the code with.
      if (method === "DELETE") assertProblem(byCode, 401, "invalid_credentials");
      else assertProblem(byCode, 410, "ticket_unusable");
      const [recoveryCode] = user.app.recoveryCodes;
      assertProblem(await devices.finish({ ticket, recoveryCode }), 410, "ticket_unusable");
    }
  });

  test("its ticket is no session, no token, and no other ticket", async () => {
    const kim = await newUser("kim");
    const ticket = await devices.ticket("kim");
    for (const headers of [
      { Cookie: `mk_session=${ticket}` },
      { Authorization: `Bearer ${ticket}` },
      { Authorization: `Bearer mul_${ticket}` },
    ]) {
      for (const path of ["/private/x", "/api/auth/me", "/api/auth/factors"])
        await gateway.expectNotForwarded(() => expectStatus(401, call("GET", path, { headers })));
    }
    const enroll = { ticket };
    assertProblem(await devices.post("/api/auth/factors/totp", enroll), 410, "ticket_unusable");
    const session = kim.headers.Cookie.split("=")[1];
    for (const text of ["", "x", session, `${ticket}x`, ticket.slice(1)]) {
      const response = await devices.finish({ ticket: trackSecret(text), code: kim.app.code() });
      assertProblem(response, 410, "ticket_unusable");
    }
  });

  test("is guessed ten times, then no code is compared, from any address", async () => {
    const lea = await newUser("lea");
    const mia = await newUser("mia");
    const ticket = await devices.ticket("lea");
    const code = lea.app.code();
    const wrong = String((Number(code) + 1) % 1_000_000).padStart(6, "0");
    const others = [lea.app.code(-1), lea.app.code(1)];
    assert.ok(!others.includes(wrong), "the wrong code is that of another step");
    // Enrolling took two attempts.
    for (let i = 0; i < 8; i += 1)
      assertProblem(await devices.finish({ ticket, code: wrong }), 401, "invalid_credentials");
    for (const proof of [{ code }, { recoveryCode: lea.app.recoveryCodes[0] }]) {
      const limited = await devices.finish({ ticket, ...proof });
      assertProblem(limited, 429, "rate_limited");
      assert.equal(limited.headers["ratelimit-policy"], '"factor-account";q=10;w=900');
    }
    const other = { ticket: await devices.ticket("mia"), code: mia.app.code() };
    await expectStatus(200, devices.finish(other));
  });

  test("is guessed fifty times from one address, for all accounts together", async () => {
    const headers = fromNewAddress();
    const attempts = await Promise.all(
      Array.from({ length: 60 }, () => devices.finish({ ticket: "x", code: "123456" }, headers)),
    );
    assert.deepEqual(countBy(attempts), { 410: 50, 429: 10 });
  });

  test("is removed by its user in person, or by an admin", async () => {
    const nia = await newUser("nia");
    const token = await people.createToken(nia, "mul_");
    for (const [method, path] of [
      ["POST", "/api/auth/factors/totp"],
      ["DELETE", "/api/auth/factors/totp"],
      ["POST", "/api/auth/factors/recovery-codes"],
    ]) {
      const body = path.endsWith("totp") && method === "POST" ? {} : undefined;
      assertProblem(await call(method, path, token, body), 403, "forbidden_human_only");
      const anonymous = await call(method, path, ANONYMOUS, body);
      assertProblem(anonymous, 401, "unauthorized", "no_credential");
    }
    const path = `/api/users/${nia.id}/factors`;
    assertProblem(await call("DELETE", path, nia), 403, "forbidden_role");
    await expectStatus(204, call("DELETE", "/api/auth/factors/totp", nia));
    assertProblem(await call("DELETE", "/api/auth/factors/totp", nia), 404, "not_found");
    await expectStatus(200, devices.logIn("nia"));
    await devices.enroll(nia);
    await devices.ticket("nia");
    await expectStatus(204, call("DELETE", path, people.root));
    await expectStatus(200, devices.logIn("nia"));
    assertProblem(
      await call("DELETE", "/api/users/usr_unknown/factors", people.root),
      404,
      "not_found",
    );
  });

  for (const [name, body, field] of [
    ["nothing but a ticket", { ticket: "x" }, "code"],
    ["both codes", { ticket: "x", code: "123456", recoveryCode: "abcd" }, "code"],
    ["no ticket", { code: "123456" }, "ticket"],
    ["a number as code", { ticket: "x", code: 123456 }, "code"],
    ["an unknown member", { ticket: "x", code: "123456", user: "x" }, "(unknown)"],
  ]) {
    test(`the second step rejects ${name}`, async () => {
      assert.equal(assertProblem(await devices.finish(body), 400, "invalid_body").field, field);
    });
  }
});

describe("require_second_factor", () => {
  test("everybody: no session before a factor is enrolled, and the last one stays", async (t) => {
    const gateway = await open({ require_second_factor: "everybody" });
    t.after(() => gateway.stop());
    const call = callerOf(gateway);
    const devices = devicesOf(call, NOW);
    const signIn = async (name, app, drift = 0) => {
      const done = await devices.finish({
        ticket: await devices.ticket(name),
        code: app.code(drift),
      });
      assert.equal(done.status, 200, done.text);
      return {
        id: done.json().userId,
        headers: { Cookie: `mk_session=${sessionCookieOf(done).value}` },
      };
    };

    const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
    const made = await devices.post("/api/auth/setup", first);
    assert.deepEqual([made.status, made.cookies], [201, []], made.text);
    assert.equal(made.json().sessionId, undefined);
    const { ticket } = made.json().secondFactorEnrollment;
    trackSecret(ticket);
    // The ticket enrolls, and does nothing else.
    assertProblem(await devices.finish({ ticket, code: "123456" }), 410, "ticket_unusable");
    for (const headers of [
      { Cookie: `mk_session=${ticket}` },
      { Authorization: `Bearer ${ticket}` },
    ])
      assert.equal((await call("GET", "/api/auth/me", { headers })).status, 401);
    const rootApp = await devices.enroll(undefined, ticket);
    const again = await devices.post("/api/auth/factors/totp", { ticket });
    assertProblem(again, 410, "ticket_unusable");
    const root = await signIn("root", rootApp);

    const invited = await call("POST", "/api/invites", root, { role: "user" });
    const token = trackSecret(invited.json().token);
    const ada = { email: "ada@example.com", password: PASSWORD };
    const redeemed = await devices.post(`/api/invites/${token}/redeem`, ada);
    assert.deepEqual([redeemed.status, redeemed.cookies], [201, []]);
    const abandoned = trackSecret(redeemed.json().secondFactorEnrollment.ticket);
    // The user comes back later, with the password.
    const response = await devices.logIn("ada");
    const problem = assertProblem(response, 403, "second_factor_enrollment_required");
    assert.equal(problem.methods, undefined);
    assert.deepEqual(response.cookies, []);
    const adaApp = await devices.enroll(undefined, trackSecret(problem.ticket));
    const late = await devices.post("/api/auth/factors/totp", { ticket: abandoned });
    assertProblem(late, 410, "ticket_unusable");
    const adaSession = await signIn("ada", adaApp);

    const kept = await call("DELETE", "/api/auth/factors/totp", adaSession);
    assertProblem(kept, 403, "forbidden_policy", "last_factor");
    assert.equal((await call("DELETE", `/api/users/${adaSession.id}/factors`, root)).status, 204);
    assertProblem(await devices.logIn("ada"), 403, "second_factor_enrollment_required");
  });

  test("admins: a user needs none, and becomes an admin only with one", async (t) => {
    const gateway = await open({ require_second_factor: "admins" });
    t.after(() => gateway.stop());
    const call = callerOf(gateway);
    const devices = devicesOf(call, NOW);
    const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
    const made = await devices.post("/api/auth/setup", first);
    const ticket = trackSecret(made.json().secondFactorEnrollment.ticket);
    const app = await devices.enroll(undefined, ticket);
    const done = await devices.finish({ ticket: await devices.ticket("root"), code: app.code() });
    const root = { headers: { Cookie: `mk_session=${sessionCookieOf(done).value}` } };

    const token = (await call("POST", "/api/invites", root, { role: "user" })).json().token;
    const ada = { email: "ada@example.com", password: PASSWORD };
    const redeemed = await devices.post(`/api/invites/${trackSecret(token)}/redeem`, ada);
    assert.equal(redeemed.status, 201);
    const session = { headers: { Cookie: `mk_session=${sessionCookieOf(redeemed).value}` } };
    const promote = () =>
      call("PATCH", `/api/users/${redeemed.json().userId}`, root, { role: "admin" });
    assertProblem(await promote(), 403, "forbidden_policy", "second_factor_missing");
    await devices.enroll(session);
    assert.equal((await promote()).status, 200);
  });
});

test("what is stored contains no secret and no recovery code, and outlives a rotation", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const secret = (current, previous) => ({
    AUTH_SECRET: current,
    AUTH_SECRET_PREVIOUS: previous ?? null,
  });
  const start = (secrets) =>
    openGateway({ routes: ROUTES, folder, variables: variables({}, secrets) });

  let gateway = await start(secret(PREVIOUS_SECRET));
  let people = await setUpUsers(gateway);
  let devices = devicesOf(people.call, NOW);
  const apps = {};
  for (const name of ["ada", "bob"])
    apps[name] = await devices.enroll(await people.createUser(name));
  await gateway.stop();

  const stored = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /-Accounts$/.test(entry.parentPath))
    .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"))
    .join("");
  assert.ok(stored.includes("ada@example.com"));
  for (const { secret, recoveryCodes } of Object.values(apps)) {
    assert.ok(knownSecrets.has(secret));
    for (const code of recoveryCodes)
      for (const spelling of [
        code,
        code.replaceAll("-", ""),
        code.toUpperCase().replaceAll("-", ""),
      ])
        assert.ok(!stored.includes(spelling), "a recovery code is stored");
    assert.ok(!stored.includes(secret), "a secret is stored");
  }

  const finish = async (name, body) =>
    devices.finish({ ticket: await devices.ticket(name), ...body });
  gateway = await start(secret(AUTH_SECRET, PREVIOUS_SECRET));
  people = { call: callerOf(gateway) };
  devices = devicesOf(people.call, NOW);
  // This seals ada's secret again, under the current key.
  assert.equal((await finish("ada", { code: apps.ada.code() })).status, 200);
  await gateway.stop();

  gateway = await start(secret(AUTH_SECRET));
  t.after(() => gateway.stop());
  devices = devicesOf(callerOf(gateway), NOW);
  assert.equal((await finish("ada", { code: apps.ada.code(1) })).status, 200);
  assertProblem(await finish("bob", { code: apps.bob.code() }), 401, "invalid_credentials");
  await gateway.waitForLog((line) => line.includes('"totp_unreadable"'));
  assert.equal((await finish("bob", { recoveryCode: apps.bob.recoveryCodes[0] })).status, 200);
});
