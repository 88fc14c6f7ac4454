// `max_lifetime` and `idle`: sessions end a time after the sign-in, and a time after their last use.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway, sessionCookieOf } from "../support/gateway.mjs";
import { payloadOf } from "../support/tokens.mjs";

const NOW = 1_900_000_000;
const HOUR = 3_600;
const ROUTES = [{ path: "/in", methods: ["POST"], access: "public", login: true }];
const ANSWERS = { "/in": { headers: ["X-Vestibule-Login", "usr_ada"] } };
const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };

// Opens a gateway whose second isolate is `later` seconds ahead.
function open(session, later) {
  return openGateway({
    routes: ROUTES,
    answers: ANSWERS,
    variables: {
      SESSION: { login: "upstream", check_ttl: "60s", ...session },
      DANGER_FIXED_NOW: NOW,
    },
    secondIsolate: { DANGER_FIXED_NOW: NOW + later },
  });
}

async function signIn(request, Cookie) {
  const response = await request("/in", { method: "POST", headers: { ...SAME_SITE, Cookie } });
  return sessionCookieOf(response);
}

const withCookie = ({ value }) => ({ headers: { Cookie: `mk_session=${value}` } });

describe("max_lifetime", () => {
  let gateway;
  let later;
  before(async () => {
    const session = { lifetime: "30d", refresh_after: "0s", max_lifetime: "2h" };
    gateway = await open(session, HOUR);
    later = (path, options) => gateway.requestSecondIsolate(path, options);
  });
  after(() => gateway.stop());

  test("cuts the token and the cookie at the sign-in, and no refresh moves the end", async () => {
    const first = await signIn(gateway.request);
    const { exp, startedAt, iat } = payloadOf(first.value);
    assert.deepEqual([iat, startedAt, exp], [NOW, NOW, NOW + 2 * HOUR]);
    assert.ok(first.attributes.includes("Max-Age=7200"), first.line);
    // Its expiry stays the same, so nothing is signed again.
    const { response } = await gateway.expectForwarded(() => later("/x", withCookie(first)));
    assert.deepEqual(response.cookies, []);
    const { items } = (await later("/api/sessions", withCookie(first))).json();
    assert.equal(Date.parse(items[0].expiresAt) / 1_000, NOW + 2 * HOUR);
  });

  test("starts anew with a new sign-in", async () => {
    const first = await signIn(gateway.request);
    const second = await signIn(later, `mk_session=${first.value}`);
    assert.equal(payloadOf(second.value).exp, NOW + 3 * HOUR);
    const gone = await gateway.expectNotForwarded(() => later("/x", withCookie(first)));
    assertProblem(gone, 401, "unauthorized", "session_revoked");
  });
});

test("max_lifetime ends a session from before it was configured, also in the registry", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    answers: ANSWERS,
    variables: { SESSION: { login: "upstream" }, DANGER_FIXED_NOW: NOW },
    secondIsolate: {
      SESSION: { login: "upstream", max_lifetime: "1h" },
      DANGER_FIXED_NOW: NOW + HOUR,
    },
  });
  t.after(() => gateway.stop());
  const old = await signIn(gateway.request);
  await gateway.expectForwarded(() => gateway.request("/x", withCookie(old)));
  const gone = await gateway.expectNotForwarded(() =>
    gateway.requestSecondIsolate("/x", withCookie(old)),
  );
  assertProblem(gone, 401, "unauthorized", "session_expired");
  assert.match(gone.cookies[0], /^mk_session=; Path=\/; Max-Age=0/);
  const fresh = await signIn((path, options) => gateway.requestSecondIsolate(path, options));
  const { items } = (await gateway.requestSecondIsolate("/api/sessions", withCookie(fresh))).json();
  assert.deepEqual(
    items.map(({ current }) => current),
    [true],
  );
});

describe("idle", () => {
  test("ends a session that was not used, and not one that was", async (t) => {
    const gateway = await open({ idle: "30m" }, 1_799);
    t.after(() => gateway.stop());
    const session = await signIn(gateway.request);
    assert.equal(payloadOf(session.value).exp, NOW + 1_800);
    const { response } = await gateway.expectForwarded(() =>
      gateway.requestSecondIsolate("/x", withCookie(session)),
    );
    const renewed = sessionCookieOf(response);
    assert.equal(payloadOf(renewed.value).exp, NOW + 1_799 + 1_800);
    assert.ok(renewed.attributes.includes("Max-Age=1800"), renewed.line);
  });

  test("ends it in the registry, too", async (t) => {
    const gateway = await open({ idle: "30m" }, 1_800);
    t.after(() => gateway.stop());
    const session = await signIn(gateway.request);
    const gone = await gateway.expectNotForwarded(() =>
      gateway.requestSecondIsolate("/x", withCookie(session)),
    );
    assertProblem(gone, 401, "unauthorized", "session_expired");
    const fresh = await signIn((path, options) => gateway.requestSecondIsolate(path, options));
    const listed = await gateway.requestSecondIsolate("/api/sessions", withCookie(fresh));
    assert.equal(listed.json().items.length, 1);
  });
});
