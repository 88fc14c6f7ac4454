// `POST /api/auth/backchannel-logout`: upstream ends a user's sessions with a logout token that it signs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { SignJWT } from "jose";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { createSessionToken, now, sign, trackSecret } from "../support/tokens.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const PATH = "/api/auth/backchannel-logout";
const EVENT = "http://schemas.openid.net/event/backchannel-logout";

// Returns a logout token, signed as upstream would.
async function logoutToken(
  sub,
  claims = {},
  { typ = "logout+jwt", secret = UPSTREAM_SECRET } = {},
) {
  const all = {
    iss: "https://origin.example",
    aud: "vestibule-logout",
    sub,
    jti: randomUUID(),
    iat: now(),
    exp: now() + 120,
    events: { [EVENT]: {} },
    ...claims,
  };
  const jwt = new SignJWT(JSON.parse(JSON.stringify(all)));
  return trackSecret(
    await jwt.setProtectedHeader({ alg: "HS256", typ }).sign(new TextEncoder().encode(secret)),
  );
}

describe("with accounts", () => {
  let gateway;
  let users;
  before(async () => {
    gateway = await openGateway({ variables: ACCOUNTS });
    users = await setUpUsers(gateway);
  });
  after(() => gateway.stop());

  const send = (token, headers = {}, body = new URLSearchParams({ logout_token: token })) =>
    gateway.expectNotForwarded(() =>
      gateway.request(PATH, {
        method: "POST",
        headers: { "Content-Type": "application/x-www-form-urlencoded", ...headers },
        body: String(body),
      }),
    );
  const assertEnded = async (session) => {
    const response = await gateway.expectNotForwarded(() => users.call("GET", "/x", session));
    assertProblem(response, 401, "unauthorized", "session_revoked");
  };
  const assertLive = async (session) => {
    const { response } = await gateway.expectForwarded(() => users.call("GET", "/x", session));
    assert.equal(response.status, 200, response.text);
  };
  const assertRefused = (response, reason) =>
    assertProblem(response, 400, "logout_token_invalid", reason);
  const signIn = async (name) => {
    const body = { email: `${name}@example.com`, password: PASSWORD };
    const response = await users.call("POST", "/api/auth/login", ANONYMOUS, body);
    return { headers: { Cookie: response.cookies[0].split(";")[0] } };
  };
  const sessionIdOf = async (session) =>
    (await users.call("GET", "/api/auth/me", session)).json().sessionId;

  test("ends all sessions of the user, and of nobody else", async () => {
    const [ada, other] = [await users.createUser("ada"), await signIn("ada")];
    const bob = await users.createUser("bob");
    const token = await users.createToken(ada, "mul_");
    const response = await send(await logoutToken(ada.id));
    assert.deepEqual([response.status, response.text, response.cookies], [204, "", []]);
    for (const session of [ada, other]) await assertEnded(session);
    await assertLive(bob);
    await assertLive(token);
  });

  test("ends one session", async () => {
    const [carl, other] = [await users.createUser("carl"), await signIn("carl")];
    const sid = await sessionIdOf(carl);
    assert.equal((await send(await logoutToken(carl.id, { sid }))).status, 204);
    await assertEnded(carl);
    await assertLive(other);
    // Another user's session is not among them, and there may be nothing to end.
    const bystander = await sessionIdOf(users.root);
    assert.equal((await send(await logoutToken(carl.id, { sid: bystander }))).status, 204);
    assert.equal((await send(await logoutToken("usr_unknown"))).status, 204);
    await assertLive(users.root);
  });

  test("accepts a token once, also of 20 at a time", async () => {
    const dora = await users.createUser("dora");
    const token = await logoutToken(dora.id);
    const all = await Promise.all(Array.from({ length: 20 }, () => send(token)));
    assert.deepEqual(all.map(({ status }) => status).sort(), [204, ...Array(19).fill(400)]);
    await assertEnded(dora);
    const again = await signIn("dora");
    assertRefused(await send(token), "used");
    // The id counts, whatever else the token says.
    const jti = JSON.parse(Buffer.from(token.split(".")[1], "base64url")).jti;
    assertRefused(await send(await logoutToken(dora.id, { jti, exp: now() + 300 })), "used");
    await assertLive(again);
  });

  test("rejects every other token", async () => {
    const eve = await users.createUser("eve");
    const session = eve.headers.Cookie.split("=").slice(1).join("=");
    const { seen } = await gateway.expectForwarded(() => users.call("GET", "/x", eve));
    const payload = (await logoutToken(eve.id)).split(".")[1];
    const none = Buffer.from('{"alg":"none","typ":"logout+jwt"}').toString("base64url");
    const jwt = (header) =>
      sign(JSON.stringify(header), Buffer.from(payload, "base64url"), UPSTREAM_SECRET);
    for (const [token, reason] of [
      [await logoutToken(eve.id, {}, { secret: AUTH_SECRET }), "mismatch"],
      [await logoutToken(eve.id, {}, { typ: "JWT" }), "malformed"],
      [jwt({ alg: "HS256" }), "malformed"],
      [jwt({ alg: "HS512", typ: "logout+jwt" }), "malformed"],
      [jwt({ alg: "HS256", typ: "logout+jwt", kid: "other" }), "mismatch"],
      [`${none}.${payload}.`, "malformed"],
      [session, "malformed"],
      [createSessionToken({ userId: eve.id }, { secret: UPSTREAM_SECRET }), "malformed"],
      [seen.headers["x-vestibule-assertion"], "malformed"],
      [await logoutToken(eve.id, { aud: "vestibule-upstream" }), "claims"],
      [await logoutToken(eve.id, { aud: undefined }), "claims"],
      [await logoutToken(eve.id, { events: {} }), "claims"],
      [await logoutToken(eve.id, { nonce: "n" }), "claims"],
      [await logoutToken(undefined), "claims"],
      [await logoutToken(eve.id, { jti: undefined }), "claims"],
      [await logoutToken(eve.id, { exp: now() + 3_600 }), "claims"],
      [await logoutToken(eve.id, { iat: now() - 300, exp: now() - 1 }), "expired"],
      [await logoutToken(eve.id, { iat: now() + 200, exp: now() + 300 }), "expired"],
    ]) {
      assertRefused(await send(token), reason);
    }
    await assertLive(eve);
  });

  test("a logout token is no session and no bearer token", async () => {
    const token = await logoutToken(users.root.id, { userId: users.root.id, sessionId: "ses_1" });
    const cookie = { headers: { Cookie: `mk_session=${token}` } };
    const refused = await gateway.expectNotForwarded(() => users.call("GET", "/x", cookie));
    assertProblem(refused, 401, "unauthorized", "session_malformed");
    const bearer = { headers: { Authorization: `Bearer ${token}` } };
    const unknown = await gateway.expectNotForwarded(() => users.call("GET", "/x", bearer));
    assertProblem(unknown, 401, "unauthorized", "token_unknown");
  });

  test("is not for browsers", async () => {
    const finn = await users.createUser("finn");
    for (const headers of [
      { Origin: "http://app.example", "Sec-Fetch-Site": "same-origin" },
      { Origin: "https://evil.example" },
      { "Sec-Fetch-Site": "none" },
      { "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin" },
    ]) {
      assertProblem(await send(await logoutToken(finn.id), headers), 403, "forbidden_origin");
    }
    await assertLive(finn);
  });

  test("rejects a body that is not a form with one token", async () => {
    const token = await logoutToken(users.root.id);
    const json = { "Content-Type": "application/json" };
    assertProblem(
      await send(token, json, JSON.stringify({ logout_token: token })),
      415,
      "unsupported_media_type",
    );
    for (const body of ["", "a=1", `logout_token=${token}&logout_token=${token}`]) {
      assertProblem(await send(token, {}, body), 400, "invalid_body");
    }
    assertProblem(await send(token, {}, `a=${"x".repeat(17_000)}`), 413, "body_too_large");
    assertProblem(await send(""), 400, "logout_token_invalid", "malformed");
    const get = await gateway.expectNotForwarded(() => gateway.request(PATH));
    assertProblem(get, 405, "method_not_allowed");
    await assertLive(users.root);
  });
});

test("with a sign-in by upstream, ends the session, too", async (t) => {
  const gateway = await openGateway({
    routes: [{ path: "/in", methods: ["POST"], access: "public", login: true }],
    answers: { "/in": { headers: ["X-Vestibule-Login", "usr_ada"] } },
    variables: { SESSION: { login: "upstream", check_ttl: "0s" } },
  });
  t.after(() => gateway.stop());
  const signedIn = await gateway.request("/in", {
    method: "POST",
    headers: { "Sec-Fetch-Site": "same-origin" },
  });
  const headers = { Cookie: signedIn.cookies[0].split(";")[0] };
  await gateway.expectForwarded(() => gateway.request("/x", { headers }));
  const response = await gateway.request(PATH, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: String(new URLSearchParams({ logout_token: await logoutToken("usr_ada") })),
  });
  assert.equal(response.status, 204, response.text);
  const gone = await gateway.expectNotForwarded(() => gateway.request("/x", { headers }));
  assertProblem(gone, 401, "unauthorized", "session_revoked");
});

test("without UPSTREAM_SECRET, the path belongs to upstream", async (t) => {
  const gateway = await openGateway({
    variables: { SESSION: { login: "upstream" }, UPSTREAM_SECRET: null },
  });
  t.after(() => gateway.stop());
  const response = await gateway.expectNotForwarded(() =>
    gateway.request(PATH, { method: "POST" }),
  );
  assertProblem(response, 401, "unauthorized", "no_credential");
});
