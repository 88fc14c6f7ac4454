// What upstream can prove: `X-Vestibule-Assertion`, verified as docs/upstream.md tells a Node server to.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { DEVELOPMENT, openGateway, PRODUCTION } from "../support/gateway.mjs";
import { cookie, forge, mint, now, payloadOf, remember } from "../support/tokens.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/optional/{*rest}", access: "optional" },
  { path: "/user/{*rest}", access: "user" },
];

// The very code that docs/upstream.md gives to a Node server.
const guide = readFileSync(new URL("../../docs/upstream.md", import.meta.url), "utf8");
const [, code] = /<!-- tested: assertion -->\s*```js\n(.*?)```/s.exec(guide);
const folder = new URL("../../target/e2e/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("verify-assertion.mjs", folder), code);
const { verifyAssertion } = await import(new URL("verify-assertion.mjs", folder));
const whoAsks = (seen, secret = UPSTREAM_SECRET) => verifyAssertion(seen, secret);

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    const user = { sub: "usr_ada", kind: "user", userId: "usr_ada", sessionId: "ses_1" };
    for (const [method, path, token, who] of [
      ["GET", "/public/x", undefined, {}],
      ["POST", "/public/x?a=1&a=2", undefined, {}],
      ["GET", "/public/x", mint(), {}],
      ["GET", "/optional/x", undefined, {}],
      ["GET", "/optional/x", forge(mint()), {}],
      ["GET", "/optional/x", mint(), user],
      ["HEAD", "/user/x", mint(), user],
      ["DELETE", "/user/x?q=%2F%20+", mint(), user],
      ["PROPFIND", "/user/x", mint(), user],
      ["GET", "/user/%61%7e?", mint(), user],
      ["GET", "/user/%E2%82%AC?%zz", mint(), user],
    ]) {
      test(`${method} ${path} with ${token ? "a" : "no"} session`, async () => {
        const headers = token ? { cookie: cookie(token) } : {};
        const { seen } = await gateway.passed(() => gateway.ask(path, { method, headers }));
        const { iat, exp, ...rest } = await whoAsks(seen);
        const requestId = seen.headers["x-request-id"];
        assert.deepEqual(rest, {
          ...{ iss: "vestibule", aud: "vestibule-upstream", ...who },
          ...{ method, path: seen.url, requestId },
        });
        assert.equal(exp - iat, 60);
        assert.ok(Math.abs(iat - now()) < 60);
        remember(seen.headers["x-vestibule-assertion"]);
      });
    }

    for (const [length, claim] of [
      [2_048, "path"],
      [2_049, "pathHash"],
      [8_000, "pathHash"],
    ]) {
      test(`a path of ${length} bytes is bound by \`${claim}\``, async () => {
        const path = `/public/x?${"a".repeat(length - "/public/x?".length)}`;
        const { seen } = await gateway.passed(() => gateway.ask(path));
        const claims = await whoAsks(seen);
        assert.equal(typeof claims[claim], "string");
        assert.equal(["path", "pathHash"].filter((name) => name in claims).length, 1);
        assert.ok(seen.headers["x-vestibule-assertion"].length < 4_096);
        await assert.rejects(whoAsks({ ...seen, url: `${seen.url}b` }), /another request/);
        await assert.rejects(whoAsks({ ...seen, url: seen.url.slice(0, -1) }), /another request/);
      });
    }

    test("holds under its own secret alone, for this request alone", async () => {
      const headers = { cookie: cookie(mint()) };
      const { seen } = await gateway.passed(() => gateway.ask("/user/x", { headers }));
      await assert.rejects(whoAsks(seen, AUTH_SECRET), /signature/);
      await assert.rejects(whoAsks({ ...seen, method: "POST" }), /another request/);
      await assert.rejects(whoAsks({ ...seen, url: "/user/y" }), /another request/);
      const { seen: next } = await gateway.passed(() => gateway.ask("/user/x", { headers }));
      const crossed = { ...seen.headers, "x-request-id": next.headers["x-request-id"] };
      await assert.rejects(whoAsks({ ...seen, headers: crossed }), /another request/);
      const token = { ...seen.headers, "x-vestibule-assertion": mint({ iss: "vestibule" }) };
      await assert.rejects(whoAsks({ ...seen, headers: token }), /signature/);
    });

    test("is no session, even where it says the same", async () => {
      const headers = { cookie: cookie(mint()) };
      const { seen } = await gateway.passed(() => gateway.ask("/user/x", { headers }));
      const assertion = seen.headers["x-vestibule-assertion"];
      const signed = mint(payloadOf(assertion), { secret: UPSTREAM_SECRET });
      for (const [token, reason] of [
        [assertion, "session_malformed"],
        [signed, "session_bad_signature"],
      ]) {
        const refused = { headers: { cookie: cookie(token) } };
        await gateway.refused("/user/x", refused, 401, "unauthorized", reason);
      }
    });
  });
}

test("an assertion of another deployment is never a session, even under the same secret", async (t) => {
  const other = await openGateway({
    routes: ROUTES,
    variables: { UPSTREAM_SECRET: AUTH_SECRET, AUTH_SECRET: UPSTREAM_SECRET },
  });
  t.after(() => other.stop());
  const gateway = await openGateway({ routes: ROUTES });
  t.after(() => gateway.stop());
  const session = cookie(mint({}, { secret: UPSTREAM_SECRET }));
  const { seen } = await other.passed(() => other.ask("/user/x", { headers: { cookie: session } }));
  const assertion = remember(seen.headers["x-vestibule-assertion"]);
  const claims = payloadOf(assertion);
  assert.equal(claims.userId, "usr_ada");
  const { aud, ...earlier } = claims;
  assert.equal(aud, "vestibule-upstream");
  // As it is, under a header that sessions have, and as 0.1 made it.
  for (const token of [assertion, mint(claims), mint(earlier)]) {
    const refused = { headers: { cookie: cookie(token) } };
    await gateway.refused("/user/x", refused, 401, "unauthorized", "session_malformed");
  }
  // Nor is a session an assertion for upstream.
  const { method, path, requestId } = claims;
  const signed = mint({ iss: "vestibule", aud: "vestibule-upstream", method, path, requestId });
  const headers = { ...seen.headers, "x-vestibule-assertion": signed };
  await assert.rejects(whoAsks({ ...seen, headers }, AUTH_SECRET), /typ/);
});

test("there is none without UPSTREAM_SECRET, and a client's own is no substitute", async (t) => {
  const gateway = await openGateway({ routes: ROUTES, variables: { UPSTREAM_SECRET: null } });
  t.after(() => gateway.stop());
  const headers = { "x-vestibule-assertion": mint({ iss: "vestibule" }), cookie: cookie(mint()) };
  for (const path of ["/public/x", "/optional/x", "/user/x"]) {
    const { seen } = await gateway.passed(() => gateway.ask(path, { headers }));
    assert.equal(seen.headers["x-vestibule-assertion"], undefined);
  }
});

test("it follows the clock", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: { DANGER_FIXED_NOW: 1_700_000_000 },
  });
  t.after(() => gateway.stop());
  const { seen } = await gateway.passed(() => gateway.ask("/public/x"));
  const { iat, exp } = payloadOf(seen.headers["x-vestibule-assertion"]);
  assert.deepEqual([iat, exp], [1_700_000_000, 1_700_000_060]);
});
