// `X-Vestibule-Assertion`, verified by upstream with the code of docs/upstream.md.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { DEVELOPMENT, openGateway, PRODUCTION } from "../support/gateway.mjs";
import {
  breakSignature,
  createSessionToken,
  now,
  payloadOf,
  sessionCookies,
  trackSecret,
} from "../support/tokens.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/optional/{*rest}", access: "optional" },
  { path: "/user/{*rest}", access: "user" },
];

// The code for a Node server in docs/upstream.md.
const guide = readFileSync(new URL("../../docs/upstream.md", import.meta.url), "utf8");
const [, code] = /<!-- tested: assertion -->\s*```js\n(.*?)```/s.exec(guide);
const folder = new URL("../../target/e2e/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("verify-assertion.mjs", folder), code);
const { verifyAssertion } = await import(new URL("verify-assertion.mjs", folder));
const verifyRequest = (seen, secret = UPSTREAM_SECRET) => verifyAssertion(seen, secret);

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(`in ${environment.toLowerCase()}, the assertion`, () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    const userClaims = { sub: "usr_ada", kind: "user", userId: "usr_ada", sessionId: "ses_1" };
    for (const [method, path, token, identityClaims] of [
      ["GET", "/public/x", undefined, {}],
      ["POST", "/public/x?a=1&a=2", undefined, {}],
      ["GET", "/public/x", createSessionToken(), {}],
      ["GET", "/optional/x", undefined, {}],
      ["GET", "/optional/x", breakSignature(createSessionToken()), {}],
      ["GET", "/optional/x", createSessionToken(), userClaims],
      ["HEAD", "/user/x", createSessionToken(), userClaims],
      ["DELETE", "/user/x?q=%2F%20+", createSessionToken(), userClaims],
      ["PROPFIND", "/user/x", createSessionToken(), userClaims],
      ["GET", "/user/%61%7e?", createSessionToken(), userClaims],
      ["GET", "/user/%E2%82%AC?%zz", createSessionToken(), userClaims],
    ]) {
      test(`names the request and the principal: ${method} ${path} with ${token ? "a" : "no"} session`, async () => {
        const headers = token ? { cookie: sessionCookies(token) } : {};
        const { seen } = await gateway.expectForwarded(() =>
          gateway.request(path, { method, headers }),
        );
        const { iat, exp, ...rest } = await verifyRequest(seen);
        const requestId = seen.headers["x-request-id"];
        assert.deepEqual(rest, {
          ...{ iss: "vestibule", aud: "vestibule-upstream", ...identityClaims },
          ...{ method, path: seen.url, requestId },
        });
        assert.equal(exp - iat, 60);
        assert.ok(Math.abs(iat - now()) < 60);
        trackSecret(seen.headers["x-vestibule-assertion"]);
      });
    }

    for (const [length, claim] of [
      [2_048, "path"],
      [2_049, "pathHash"],
      [8_000, "pathHash"],
    ]) {
      test(`contains a path of ${length} bytes as \`${claim}\``, async () => {
        const path = `/public/x?${"a".repeat(length - "/public/x?".length)}`;
        const { seen } = await gateway.expectForwarded(() => gateway.request(path));
        const claims = await verifyRequest(seen);
        assert.equal(typeof claims[claim], "string");
        assert.equal(["path", "pathHash"].filter((name) => name in claims).length, 1);
        assert.ok(seen.headers["x-vestibule-assertion"].length < 4_096);
        await assert.rejects(verifyRequest({ ...seen, url: `${seen.url}b` }), /another request/);
        await assert.rejects(
          verifyRequest({ ...seen, url: seen.url.slice(0, -1) }),
          /another request/,
        );
      });
    }

    test("is valid only under UPSTREAM_SECRET and only for its own request", async () => {
      const headers = { cookie: sessionCookies(createSessionToken()) };
      const { seen } = await gateway.expectForwarded(() => gateway.request("/user/x", { headers }));
      await assert.rejects(verifyRequest(seen, AUTH_SECRET), /signature/);
      await assert.rejects(verifyRequest({ ...seen, method: "POST" }), /another request/);
      await assert.rejects(verifyRequest({ ...seen, url: "/user/y" }), /another request/);
      const { seen: next } = await gateway.expectForwarded(() =>
        gateway.request("/user/x", { headers }),
      );
      const otherRequest = { ...seen.headers, "x-request-id": next.headers["x-request-id"] };
      await assert.rejects(verifyRequest({ ...seen, headers: otherRequest }), /another request/);
      const token = {
        ...seen.headers,
        "x-vestibule-assertion": createSessionToken({ iss: "vestibule" }),
      };
      await assert.rejects(verifyRequest({ ...seen, headers: token }), /signature/);
    });

    test("is rejected as a session, and so are its claims signed with UPSTREAM_SECRET", async () => {
      const headers = { cookie: sessionCookies(createSessionToken()) };
      const { seen } = await gateway.expectForwarded(() => gateway.request("/user/x", { headers }));
      const assertion = seen.headers["x-vestibule-assertion"];
      const signedSession = createSessionToken(payloadOf(assertion), { secret: UPSTREAM_SECRET });
      for (const [token, reason] of [
        [assertion, "session_malformed"],
        [signedSession, "session_bad_signature"],
      ]) {
        const refused = { headers: { cookie: sessionCookies(token) } };
        await gateway.expectRejected("/user/x", refused, 401, "unauthorized", reason);
      }
    });
  });
}

test("an assertion of another deployment is rejected as a session, even under the same secret", async (t) => {
  const other = await openGateway({
    routes: ROUTES,
    variables: { UPSTREAM_SECRET: AUTH_SECRET, AUTH_SECRET: UPSTREAM_SECRET },
  });
  t.after(() => other.stop());
  const gateway = await openGateway({ routes: ROUTES });
  t.after(() => gateway.stop());
  const session = sessionCookies(createSessionToken({}, { secret: UPSTREAM_SECRET }));
  const { seen } = await other.expectForwarded(() =>
    other.request("/user/x", { headers: { cookie: session } }),
  );
  const assertion = trackSecret(seen.headers["x-vestibule-assertion"]);
  const claims = payloadOf(assertion);
  assert.equal(claims.userId, "usr_ada");
  const { aud, ...claimsOf01 } = claims;
  assert.equal(aud, "vestibule-upstream");
  // Unchanged, under the header of a session, and with the claims that 0.1 wrote.
  for (const token of [assertion, createSessionToken(claims), createSessionToken(claimsOf01)]) {
    const refused = { headers: { cookie: sessionCookies(token) } };
    await gateway.expectRejected("/user/x", refused, 401, "unauthorized", "session_malformed");
  }
  // Upstream rejects a session as an assertion, too.
  const { method, path, requestId } = claims;
  const signedSession = createSessionToken({
    iss: "vestibule",
    aud: "vestibule-upstream",
    method,
    path,
    requestId,
  });
  const headers = { ...seen.headers, "x-vestibule-assertion": signedSession };
  await assert.rejects(verifyRequest({ ...seen, headers }, AUTH_SECRET), /typ/);
});

test("without UPSTREAM_SECRET no assertion is sent, and the client's own is removed", async (t) => {
  const gateway = await openGateway({ routes: ROUTES, variables: { UPSTREAM_SECRET: null } });
  t.after(() => gateway.stop());
  const headers = {
    "x-vestibule-assertion": createSessionToken({ iss: "vestibule" }),
    cookie: sessionCookies(createSessionToken()),
  };
  for (const path of ["/public/x", "/optional/x", "/user/x"]) {
    const { seen } = await gateway.expectForwarded(() => gateway.request(path, { headers }));
    assert.equal(seen.headers["x-vestibule-assertion"], undefined);
  }
});

test("the assertion's times follow the clock", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: { DANGER_FIXED_NOW: 1_700_000_000 },
  });
  t.after(() => gateway.stop());
  const { seen } = await gateway.expectForwarded(() => gateway.request("/public/x"));
  const { iat, exp } = payloadOf(seen.headers["x-vestibule-assertion"]);
  assert.deepEqual([iat, exp], [1_700_000_000, 1_700_000_060]);
});
