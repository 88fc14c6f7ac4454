// Passkeys: enrolling, signing in with one alone, as a second factor and to reauthenticate; races and limits. The
// messages that a browser would not send are in `src/accounts/factors/passkeys/tests.rs`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { devicesOf, fromNewAddress } from "../support/factors.mjs";
import { assertProblem, openGateway, PUBLIC, sessionCookieOf } from "../support/gateway.mjs";
import { newPasskey } from "../support/passkeys.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";

const NOW = 2_000_000_010;
const ROUTES = [{ path: "/private/{*rest}", access: "authenticated" }];

const variables = (session = {}, more = {}) => ({
  ...ACCOUNTS,
  PUBLIC_ORIGINS: [PUBLIC, "https://other.example"],
  SESSION: { ...ACCOUNTS.SESSION, ...session },
  CREDENTIALS: [{ prefix: "mul_", kind: "user", machine: false }],
  DANGER_FIXED_NOW: NOW,
  ...more,
});

const open = (session, more) =>
  openGateway({ routes: ROUTES, variables: variables(session, more) });

// Returns functions for the passkeys of users at a gateway.
function passkeysOf(devices) {
  const { post } = devices;
  const passkeys = {
    async options(caller, body = {}) {
      const response = await post("/api/auth/passkeys/options", body, caller);
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    async add(caller, { name = "a passkey", more, ...options } = {}) {
      const passkey = newPasskey({ origin: PUBLIC, ...options });
      const { ceremony, publicKey } = await passkeys.options(caller);
      const body = { ceremony, name, passkey: passkey.create(publicKey, more) };
      const response = await post("/api/auth/passkeys", body, caller);
      return { passkey, response, body };
    },

    async enroll(caller, options) {
      const { passkey, response } = await passkeys.add(caller, options);
      assert.equal(response.status, 201, response.text);
      const { id, recoveryCodes = [] } = response.json();
      for (const code of recoveryCodes) trackSecret(code);
      return Object.assign(passkey, { storedId: id, recoveryCodes });
    },

    async begin(body = {}, caller) {
      const response = await post("/api/auth/passkeys/login-options", body, caller);
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    // Returns the body of a sign-in with a passkey.
    async proof(passkey, more, body, caller) {
      const { ceremony, publicKey } = await passkeys.begin(body, caller);
      return { ceremony, passkey: passkey.get(publicKey, more) };
    },

    logIn: (body, headers) => post("/api/auth/passkeys/login", body, undefined, headers),
  };
  return passkeys;
}

const asCaller = (response) => ({
  headers: { Cookie: `mk_session=${sessionCookieOf(response).value}` },
});

describe("a passkey", () => {
  let gateway;
  let people;
  let devices;
  let passkeys;
  let call;
  before(async () => {
    gateway = await open();
    people = await setUpUsers(gateway);
    call = people.call;
    devices = devicesOf(call, NOW);
    passkeys = passkeysOf(devices);
  });
  after(() => gateway.stop());

  const newUser = async (name, options) => {
    const session = await people.createUser(name);
    return { name, ...session, passkey: await passkeys.enroll(session, options) };
  };
  const expectStatus = async (status, sent) => {
    const response = await sent;
    assert.equal(response.status, status, response.text);
    return response;
  };

  test("is announced by the settings, and asked for as documented", async () => {
    const settings = (await call("GET", "/api/auth/settings")).json();
    assert.equal(settings.passkeys, true);
    const { ceremony, publicKey, expiresAt } = await passkeys.begin();
    assert.equal(expiresAt, new Date((NOW + 300) * 1000).toISOString().replace(".000", ""));
    assert.match(publicKey.challenge, /^[\w-]{43}$/);
    const { challenge, ...rest } = publicKey;
    assert.deepEqual(rest, {
      rpId: "app.example",
      timeout: 300_000,
      allowCredentials: [],
      userVerification: "required",
    });
    const [, claims] = ceremony.split(".");
    assert.equal(JSON.parse(Buffer.from(claims, "base64url")).exp, NOW + 300);
    const again = await passkeys.begin();
    assert.notEqual(again.ceremony, ceremony);
    assert.notEqual(again.publicKey.challenge, challenge);
  });

  test("signs its user in without a password, with each algorithm", async () => {
    for (const [name, algorithm] of [
      ["ada", "ES256"],
      ["eve", "Ed25519"],
    ]) {
      const user = await newUser(name, { algorithm, name: `${name}'s key` });
      assert.equal(user.passkey.recoveryCodes.length, 10, "it is the first factor");
      const options = await passkeys.options(user);
      const handle = Buffer.from(options.publicKey.user.id, "base64url").toString();
      assert.equal(handle, user.id, "the user handle is no e-mail address");
      assert.deepEqual(options.publicKey.excludeCredentials, [
        { type: "public-key", id: user.passkey.id },
      ]);
      const done = await expectStatus(200, passkeys.logIn(await passkeys.proof(user.passkey)));
      assert.equal(done.json().userId, user.id);
      const me = (await call("GET", "/api/auth/me", asCaller(done))).json();
      assert.deepEqual([me.userId, me.sessionId], [user.id, done.json().sessionId]);
      const factors = (await call("GET", "/api/auth/factors", user)).json();
      const time = new Date(NOW * 1000).toISOString().replace(".000", "");
      assert.deepEqual(factors, {
        totp: false,
        passkeys: [
          {
            id: user.passkey.storedId,
            name: `${name}'s key`,
            createdAt: time,
            lastUsedAt: time,
          },
        ],
        recoveryCodesLeft: 10,
      });
    }
  });

  test("is the second factor after the password", async () => {
    const bob = await newUser("bob");
    const first = await devices.logIn("bob");
    const problem = assertProblem(first, 401, "second_factor_required");
    assert.deepEqual(problem.methods, ["recovery_code", "passkey"]);
    const ticket = trackSecret(problem.ticket);
    const options = await passkeys.begin({ ticket });
    assert.deepEqual(options.publicKey.allowCredentials, [
      { type: "public-key", id: bob.passkey.id },
    ]);
    assert.equal(options.publicKey.userVerification, "preferred");
    // The password was right, so presence is enough, and the user handle may be missing.
    const message = bob.passkey.get(options.publicKey, { flags: 1, userHandle: null });
    const body = { ticket, ceremony: options.ceremony, passkey: message };
    // The ceremony of a sign-in without a password, and the passkey of another user.
    const alone = await passkeys.proof(bob.passkey);
    assertProblem(await devices.finish({ ticket, ...alone }), 410, "ceremony_unusable");
    assertProblem(await passkeys.logIn({ ...body, ticket: undefined }), 410, "ceremony_unusable");
    const other = await newUser("bob-other");
    const theirs = await passkeys.proof(other.passkey, {}, { ticket });
    assertProblem(await devices.finish({ ticket, ...theirs }), 401, "invalid_credentials");
    assertProblem(await devices.finish({ ...body, code: "123456" }), 400, "invalid_body");
    const done = await expectStatus(200, devices.finish(body));
    assert.equal(done.json().userId, bob.id);
    assertProblem(await devices.finish(body), 410, "ticket_unusable");
    const next = await devices.ticket("bob");
    assertProblem(await devices.finish({ ...body, ticket: next }), 410, "ceremony_unusable");
    await expectStatus(
      200,
      devices.finish({ ticket: next, recoveryCode: bob.passkey.recoveryCodes[0] }),
    );
  });

  test("confirms that a signed-in user is there", async () => {
    const cyd = await newUser("cyd");
    const reauthenticate = (body, caller = cyd) =>
      devices.post("/api/auth/reauthenticate", body, caller);
    const proof = await passkeys.proof(cyd.passkey, {}, { for: "reauthentication" }, cyd);
    const other = await newUser("cyd-other");
    assertProblem(await reauthenticate(proof, other), 410, "ceremony_unusable");
    assertProblem(await passkeys.logIn(proof), 410, "ceremony_unusable");
    await expectStatus(204, reauthenticate(proof));
    assertProblem(await reauthenticate(proof), 410, "ceremony_unusable");
    const present = { flags: 1 };
    const unverified = await passkeys.proof(cyd.passkey, present, { for: "reauthentication" }, cyd);
    assertProblem(await reauthenticate(unverified), 401, "invalid_credentials");
    const theirs = await passkeys.proof(other.passkey, {}, { for: "reauthentication" }, cyd);
    assertProblem(await reauthenticate(theirs), 401, "invalid_credentials");
    const anonymous = await devices.post("/api/auth/passkeys/login-options", {
      for: "reauthentication",
    });
    assertProblem(anonymous, 401, "unauthorized", "no_credential");
  });

  test("gets the same refusal for every wrong message, and the log the reason", async () => {
    const dan = await newUser("dan");
    const refuse = async (proof, reason) => {
      const response = await gateway.expectNotForwarded(() => passkeys.logIn(proof));
      const { requestId, ...problem } = assertProblem(response, 401, "invalid_credentials");
      assert.deepEqual(response.cookies, []);
      await gateway.waitForLog(
        (line) => line.includes("passkey_rejected") && line.includes(`"reason":"${reason}"`),
      );
      return problem;
    };
    const proof = (more) => passkeys.proof(dan.passkey, more);
    const stranger = newPasskey({ origin: PUBLIC });
    const unknown = await refuse(await passkeys.proof(stranger, { userHandle: "x" }), "unknown");
    for (const [more, reason] of [
      [{ flags: 1 }, "user_verification"],
      [{ flags: 4 }, "user_presence"],
      [{ rpId: "evil.example" }, "relying_party"],
      [{ clientData: { origin: "https://evil.example" } }, "origin"],
      [{ clientData: { origin: "https://other.example" } }, "origin"],
      [{ clientData: { crossOrigin: true } }, "cross_origin"],
      [{ clientData: { type: "webauthn.create" } }, "type"],
      [{ clientData: { challenge: "AAAA" } }, "challenge"],
      [{ userHandle: null }, "user_handle"],
      [{ userHandle: "AAAA" }, "user_handle"],
    ])
      assert.deepEqual(await refuse(await proof(more), reason), unknown, reason);
    const [one, two] = [await proof(), await proof()];
    assert.deepEqual(await refuse({ ...two, ceremony: one.ceremony }, "challenge"), unknown);
    const forged = structuredClone(one);
    forged.passkey.response.signature = two.passkey.response.signature;
    assert.deepEqual(await refuse(forged, "signature"), unknown);
    for (const passkey of [null, [], "x", {}, { ...one.passkey, response: {} }])
      assertProblem(await passkeys.logIn({ ...one, passkey }), 400, "invalid_body");
    assertProblem(await passkeys.logIn({ ...one, ceremony: "x" }), 410, "ceremony_unusable");
    await expectStatus(200, passkeys.logIn(one));
  });

  test("is not registered from a message that fails a check", async () => {
    const fay = await people.createUser("fay");
    const RS256 = new Map([
      [1, 3],
      [3, -257],
    ]);
    for (const more of [
      { flags: 1 },
      { format: "packed" },
      { rpId: "evil.example" },
      { cose: RS256 },
      { clientData: { origin: "https://evil.example" } },
      { clientData: { crossOrigin: true } },
      { clientData: { type: "webauthn.get" } },
      { clientData: { challenge: "AAAA" } },
    ]) {
      const { response } = await passkeys.add(fay, { more });
      assert.equal(assertProblem(response, 400, "invalid_body").field, "passkey");
    }
    const { response, body } = await passkeys.add(fay);
    assert.equal(response.status, 201);
    for (const code of response.json().recoveryCodes) trackSecret(code);
    const again = await devices.post("/api/auth/passkeys", body, fay);
    assertProblem(again, 410, "ceremony_unusable");
    // The same credential, for another user.
    const gus = await people.createUser("gus");
    const taken = newPasskey({ origin: PUBLIC });
    const options = await passkeys.options(fay);
    const enroll = (caller, { ceremony, publicKey }) =>
      devices.post(
        "/api/auth/passkeys",
        { ceremony, name: "x", passkey: taken.create(publicKey) },
        caller,
      );
    await expectStatus(201, enroll(fay, options));
    assertProblem(await enroll(gus, await passkeys.options(gus)), 400, "invalid_body");
    assertProblem(await enroll(gus, options), 410, "ceremony_unusable");
    const factors = (await call("GET", "/api/auth/factors", gus)).json();
    assert.deepEqual(factors, { totp: false, passkeys: [], recoveryCodesLeft: 0 });
  });

  test("whose counter does not grow is refused", async () => {
    const hal = await newUser("hal", { counts: true });
    await expectStatus(200, passkeys.logIn(await passkeys.proof(hal.passkey, { counter: 7 })));
    for (const counter of [7, 6, 0]) {
      const copy = await passkeys.logIn(await passkeys.proof(hal.passkey, { counter }));
      assertProblem(copy, 401, "invalid_credentials");
    }
    await gateway.waitForLog((line) => line.includes('"reason":"counter"'));
    await expectStatus(200, passkeys.logIn(await passkeys.proof(hal.passkey, { counter: 8 })));
  });

  test("signs in nobody who was disabled, and with the present role who was demoted", async () => {
    const ivy = await newUser("ivy");
    const change = (body) =>
      expectStatus(200, call("PATCH", `/api/users/${ivy.id}`, people.root, body));
    await change({ role: "admin" });
    const begun = await passkeys.proof(ivy.passkey);
    await change({ role: "user" });
    const done = await expectStatus(200, passkeys.logIn(begun));
    assert.equal(done.json().role, "user");
    const late = await passkeys.proof(ivy.passkey);
    await change({ status: "disabled" });
    assertProblem(await passkeys.logIn(late), 401, "invalid_credentials");
    await change({ status: "active" });
    await expectStatus(200, passkeys.logIn(late));
    await expectStatus(204, call("DELETE", `/api/users/${ivy.id}`, people.root));
    const gone = await passkeys.logIn(await passkeys.proof(ivy.passkey));
    assertProblem(gone, 401, "invalid_credentials");
  });

  test("opens one session for one ceremony that is sent 100 times at once", async () => {
    const joe = await newUser("joe");
    const proof = await passkeys.proof(joe.passkey);
    const responses = await Promise.all(
      Array.from({ length: 100 }, () => passkeys.logIn(proof, fromNewAddress())),
    );
    const done = responses.filter(({ status }) => status === 200);
    assert.equal(done.length, 1);
    for (const response of responses.filter(({ status }) => status !== 200))
      assertProblem(response, 410, "ceremony_unusable");
    const sessions = (await call("GET", "/api/sessions", joe)).json().items;
    assert.equal(sessions.length, 2, "the one of the invite, and a new one");
  });

  test("is stored once, if it is enrolled 50 times at once, and at most 20 times", async () => {
    const kim = await people.createUser("kim");
    const passkey = newPasskey({ origin: PUBLIC });
    const { ceremony, publicKey } = await passkeys.options(kim);
    const body = { ceremony, name: "x", passkey: passkey.create(publicKey) };
    const responses = await Promise.all(
      Array.from({ length: 50 }, () => devices.post("/api/auth/passkeys", body, kim)),
    );
    assert.equal(responses.filter(({ status }) => status === 201).length, 1);
    for (let count = 1; count < 20; count += 1) await passkeys.enroll(kim);
    const { response } = await passkeys.add(kim);
    assertProblem(response, 403, "forbidden_policy", "passkey_limit");
    const factors = (await call("GET", "/api/auth/factors", kim)).json();
    assert.equal(factors.passkeys.length, 20);
  });

  test("is removed by its user, or with all factors by an admin", async () => {
    const lea = await newUser("lea");
    const second = await passkeys.enroll(lea);
    assert.deepEqual(second.recoveryCodes, []);
    const remove = (id, caller = lea) =>
      call("DELETE", `/api/auth/factors/passkeys/${id}`, caller, undefined);
    assertProblem(await remove(lea.passkey.storedId, people.root), 404, "not_found");
    assertProblem(await remove("psk_unknown"), 404, "not_found");
    await expectStatus(204, remove(lea.passkey.storedId));
    const proof = await passkeys.proof(lea.passkey);
    assertProblem(await passkeys.logIn(proof), 401, "invalid_credentials");
    const begun = await passkeys.proof(second);
    await expectStatus(204, call("DELETE", `/api/users/${lea.id}/factors`, people.root));
    assertProblem(await passkeys.logIn(begun), 401, "invalid_credentials");
    await expectStatus(200, devices.logIn("lea"));
  });

  test("belongs to people: no token enrolls, uses or removes one", async () => {
    const mia = await newUser("mia");
    const token = await people.createToken(mia, "mul_");
    const { ceremony, publicKey } = await passkeys.options(mia);
    const body = {
      ceremony,
      name: "x",
      passkey: newPasskey({ origin: PUBLIC }).create(publicKey),
    };
    const forbidden = async (sent) => assertProblem(await sent, 403, "forbidden_human_only");
    await forbidden(devices.post("/api/auth/passkeys/options", {}, token));
    await forbidden(devices.post("/api/auth/passkeys", body, token));
    await forbidden(
      devices.post("/api/auth/passkeys/login-options", { for: "reauthentication" }, token),
    );
    const path = `/api/auth/factors/passkeys/${mia.passkey.storedId}`;
    await forbidden(call("DELETE", path, token));
    const foreign = { headers: { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" } };
    const proof = await passkeys.proof(mia.passkey);
    const response = await passkeys.logIn(proof, { ...fromNewAddress(), ...foreign.headers });
    assertProblem(response, 403, "forbidden_origin");
  });

  test("is guessed fifty times from one address, then nothing is compared", async () => {
    const ned = await newUser("ned");
    const headers = { "CF-Connecting-IP": "10.77.0.1" };
    const wrong = await passkeys.proof(ned.passkey, { flags: 1 });
    for (let attempt = 0; attempt < 50; attempt += 1)
      assertProblem(await passkeys.logIn(wrong, headers), 401, "invalid_credentials");
    const right = await passkeys.proof(ned.passkey);
    const { limit } = assertProblem(await passkeys.logIn(right, headers), 429, "rate_limited");
    assert.equal(limit, undefined);
    await expectStatus(200, passkeys.logIn(right));
  });
});

test("the audit trail says who enrolled, used and removed a passkey", async (t) => {
  const gateway = await open();
  t.after(() => gateway.stop());
  const people = await setUpUsers(gateway);
  const passkeys = passkeysOf(devicesOf(people.call, NOW));
  const ada = await people.createUser("ada");
  const trail = auditTrailOf(people);
  let [id, session] = [];
  const rows = await trail.rowsAddedBy(3, async () => {
    const passkey = await passkeys.enroll(ada);
    id = passkey.storedId;
    const done = await passkeys.logIn(await passkeys.proof(passkey));
    assert.equal(done.status, 200, done.text);
    session = done.json().sessionId;
    const unverified = await passkeys.logIn(await passkeys.proof(passkey, { flags: 1 }));
    assertProblem(unverified, 401, "invalid_credentials");
    const removed = await people.call("DELETE", `/api/auth/factors/passkeys/${id}`, ada);
    assert.equal(removed.status, 204);
  });
  assert.deepEqual(
    rows.map(({ operation, principal, detail }) => [operation, principal.id, detail]).toSorted(),
    [
      ["vestibule.factors.passkeys.remove", ada.id, `passkey ${id}`],
      ["vestibule.login.passkey", ada.id, `${session} passkey ${id}`],
      ["vestibule.passkeys.add", ada.id, `passkey ${id}`],
    ],
  );
});

test("a passkey is what the policy asks for", async (t) => {
  const gateway = await open({ require_second_factor: "everybody" });
  t.after(() => gateway.stop());
  const { callerOf, SETUP_TOKEN, PASSWORD } = await import("../support/people.mjs");
  const call = callerOf(gateway);
  const devices = devicesOf(call, NOW);
  const passkeys = passkeysOf(devices);
  const first = {
    setupToken: trackSecret(SETUP_TOKEN),
    email: "root@example.com",
    password: PASSWORD,
  };
  const made = (await call("POST", "/api/auth/setup", undefined, first)).json();
  const ticket = trackSecret(made.secondFactorEnrollment.ticket);

  const { ceremony, publicKey } = await passkeys.options(undefined, { ticket });
  const passkey = newPasskey({ origin: PUBLIC });
  const body = { ticket, ceremony, name: "first", passkey: passkey.create(publicKey) };
  const added = await devices.post("/api/auth/passkeys", body);
  assert.equal(added.status, 201, added.text);
  assert.deepEqual(added.cookies, []);
  for (const code of added.json().recoveryCodes) trackSecret(code);
  const again = await devices.post("/api/auth/passkeys", body);
  assertProblem(again, 410, "ticket_unusable");

  // With user verification, it is two factors: no password is asked for.
  const done = await passkeys.logIn(await passkeys.proof(passkey));
  assert.equal(done.status, 200, done.text);
  const root = asCaller(done);
  const path = `/api/auth/factors/passkeys/${added.json().id}`;
  assertProblem(await call("DELETE", path, root), 403, "forbidden_policy", "last_factor");
  const app = await devices.enroll(root);
  assert.ok(app.secret);
  assert.equal((await call("DELETE", path, root)).status, 204);
  assertProblem(await passkeys.logIn(await passkeys.proof(passkey)), 401, "invalid_credentials");
});

test("there are no passkeys at an IP address", async (t) => {
  const gateway = await open({}, { PUBLIC_ORIGINS: ["http://127.0.0.1:8787"] });
  t.after(() => gateway.stop());
  const settings = await gateway.request("/api/auth/settings");
  assert.equal(settings.json().passkeys, false);
  const options = await gateway.request("/api/auth/passkeys/login-options", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin" },
    body: "{}",
  });
  assertProblem(options, 404, "not_found");
});
