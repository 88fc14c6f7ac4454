// Vestibule's own endpoints, and the log line of each request.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CookieJar } from "tough-cookie";
import { DEVELOPMENT, openGateway, PRODUCTION, PUBLIC } from "../support/gateway.mjs";
import {
  breakSignature,
  createSessionToken,
  now,
  sessionCookies,
  trackSecret,
} from "../support/tokens.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public", operation: "demo.public" },
  { path: "/user/{id}", access: "user", operation: "demo.user" },
];
const VARY = "Cookie, Authorization, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept";
const PAGE = { accept: "text/html", "sec-fetch-mode": "navigate" };

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
      gateway.upstream.answers["/public/reset"] = (request) => request.socket.resetAndDestroy();
    });
    after(() => gateway.stop());

    // Calls one of Vestibule's endpoints, and asserts that upstream is not called.
    const callOwn = async (path, options) => {
      const response = await gateway.expectNotForwarded(() => gateway.request(path, options));
      assert.match(response.headers["cache-control"], /no-store/);
      assert.equal(response.headers.vary, VARY);
      assert.equal(response.headers["x-content-type-options"], "nosniff");
      const isPage = response.headers["content-type"]?.startsWith("text/html");
      const policy = response.headers["content-security-policy"];
      if (isPage) assert.match(policy, /^default-src 'none'; style-src 'sha256-/);
      else assert.equal(policy, "default-src 'none'; frame-ancestors 'none'");
      assert.equal(response.headers["server-timing"] !== undefined, environment === "DEVELOPMENT");
      return response;
    };

    test("me returns the principal and the expiry", async () => {
      const exp = now() + 1000;
      const headers = {
        cookie: sessionCookies(createSessionToken({ exp, userId: "u\u0021~", sessionId: 's"<' })),
      };
      const response = await callOwn("/api/auth/me", { headers });
      assert.equal(response.status, 200);
      assert.equal(response.headers["content-type"], "application/json");
      assert.deepEqual(response.json(), {
        kind: "user",
        userId: "u!~",
        sessionId: 's"<',
        expiresAt: new Date(exp * 1000).toISOString().replace(".000", ""),
      });
      assert.deepEqual(response.cookies, []);
    });

    test("me returns a text or 401 for an `exp` beyond the year 9999", async () => {
      for (const exp of [253_402_300_799, 253_402_300_800, Number.MAX_SAFE_INTEGER]) {
        const response = await callOwn("/api/auth/me", {
          headers: { cookie: sessionCookies(createSessionToken({ exp })) },
        });
        assert.ok([200, 401].includes(response.status), response.text);
        if (response.status === 200) assert.equal(typeof response.json().expiresAt, "string");
      }
    });

    test("me answers HEAD without a body", async () => {
      const request = { headers: { cookie: sessionCookies(createSessionToken()) }, method: "HEAD" };
      const response = await callOwn("/api/auth/me", request);
      assert.equal(response.status, 200);
      assert.equal(response.headers["content-type"], "application/json");
      assert.equal(response.body.length, 0);
      assert.equal((await callOwn("/api/auth/me", { method: "HEAD" })).status, 401);
    });

    test("me returns 401 without a valid session, clears the cookie and never redirects", async () => {
      await gateway.expectRejected("/api/auth/me", {}, 401, "unauthorized", "no_credential");
      for (const headers of [{}, PAGE, { accept: "text/html" }]) {
        const request = {
          headers: { ...headers, cookie: sessionCookies(breakSignature(createSessionToken())) },
        };
        const response = await callOwn("/api/auth/me", request);
        assert.equal(response.status, 401);
        assert.equal(response.headers.location, undefined);
        assert.deepEqual(response.cookies, ["mk_session=; Path=/; Max-Age=0"]);
      }
    });

    describe("logout", () => {
      const assertCookieCleared = (response) => {
        const line = response.cookies.find((text) => text.startsWith("mk_session="));
        assert.match(line ?? "", /^mk_session=; Path=\/; Max-Age=0/);
      };
      test("returns 204 to a script", async () => {
        const headers = { cookie: sessionCookies(createSessionToken()), origin: PUBLIC };
        const response = await callOwn("/api/auth/logout", { method: "POST", headers });
        assert.equal(response.status, 204);
        assert.equal(response.body.length, 0);
        assert.equal(response.headers["clear-site-data"], undefined);
        assertCookieCleared(response);
      });

      test("redirects a form to the login page", async () => {
        const headers = { ...PAGE, cookie: sessionCookies(createSessionToken()), origin: PUBLIC };
        const headersOfForm = { ...headers, "content-type": "application/x-www-form-urlencoded" };
        const response = await callOwn("/api/auth/logout", {
          method: "POST",
          headers: headersOfForm,
          body: "a=1",
        });
        assert.equal(response.status, 303);
        assert.equal(response.headers.location, "/login");
        assertCookieCleared(response);
      });

      test("sends Clear-Site-Data with `cookies=all` only", async () => {
        const headers = { cookie: sessionCookies(createSessionToken()) };
        for (const [query, clearsAll] of [
          ["?cookies=all", true],
          ["?a=b&cookies=all", true],
          ["?cookies=none", false],
          ["?cookies=", false],
        ]) {
          const path = `/api/auth/logout${query}`;
          const response = await callOwn(path, { method: "POST", headers });
          const value = clearsAll ? '"cookies"' : undefined;
          assert.equal(response.headers["clear-site-data"], value, query);
          assertCookieCleared(response);
        }
      });

      test("works without a cookie, with an invalid one and with several", async () => {
        for (const sent of [
          {},
          { cookie: sessionCookies("junk") },
          { cookie: sessionCookies("junk", createSessionToken()) },
        ]) {
          const response = await callOwn("/api/auth/logout", { method: "POST", headers: sent });
          assert.equal(response.status, 204);
          assertCookieCleared({ cookies: response.cookies.slice(-1) });
        }
      });

      test("removes all session cookies from a browser", async () => {
        const jar = new CookieJar();
        const url = `${PUBLIC}/api/auth/logout`;
        await jar.setCookie(
          `${sessionCookies(createSessionToken())}; Path=/; HttpOnly; Secure`,
          url,
        );
        await jar.setCookie(`${sessionCookies("junk")}; Path=/api; HttpOnly; Secure`, url);
        const headers = { cookie: await jar.getCookieString(url), origin: PUBLIC };
        const response = await gateway.expectNotForwarded(() =>
          gateway.requestUrl(url, { method: "POST", headers }),
        );
        for (const line of response.cookies) await jar.setCookie(line, url);
        assert.deepEqual(await jar.getCookies(url, { allPaths: true }), []);
      });

      test("refuses cross-site requests and keeps the cookie", async () => {
        for (const headers of [
          { origin: "https://evil.example" },
          { origin: "null" },
          { "sec-fetch-site": "cross-site" },
        ]) {
          const sent = {
            method: "POST",
            headers: { ...headers, cookie: sessionCookies(createSessionToken()) },
          };
          const response = await gateway.expectRejected(
            "/api/auth/logout",
            sent,
            403,
            "forbidden_origin",
          );
          assert.deepEqual(response.cookies, []);
        }
      });
    });

    test("/.well-known/vestibule returns the version and the health", async () => {
      const response = await callOwn("/.well-known/vestibule", {});
      assert.equal(response.status, 200);
      assert.deepEqual(Object.keys(response.json()).sort(), ["status", "version"]);
      assert.equal(response.json().status, "ok");
      assert.match(response.json().version, /^\d+\.\d+\.\d+/);
      assert.equal((await callOwn("/.well-known/vestibule", { method: "HEAD" })).body.length, 0);
    });

    for (const [path, allow, methods] of [
      ["/api/auth/me", "GET, HEAD", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]],
      ["/api/auth/logout", "POST", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]],
      ["/.well-known/vestibule", "GET, HEAD", ["POST", "DELETE", "OPTIONS", "QUERY"]],
    ]) {
      test(`${path} returns 405 with Allow to other methods`, async () => {
        for (const method of methods) {
          for (const more of [{}, PAGE]) {
            const headers = { cookie: sessionCookies(createSessionToken()), ...more };
            const response = await callOwn(path, { method, headers });
            assert.equal(response.status, 405, method);
            assert.equal(response.headers.allow, allow);
            if (method !== "HEAD") assert.match(response.text, /\bmethod_not_allowed\b/);
          }
        }
      });
    }

    test("neighbouring paths are forwarded, and ambiguous spellings refused", async () => {
      const headers = { cookie: sessionCookies(createSessionToken()) };
      for (const path of ["/api/auth", "/.well-known/other", "/API/auth/other"]) {
        const { seen } = await gateway.expectForwarded(() => gateway.request(path, { headers }));
        assert.equal(seen.url, path);
      }
      // Escaped letters are the same path to every server. Other spellings may be an endpoint's path or upstream's.
      assert.equal((await callOwn("/api/%61uth/me", { headers })).json().kind, "user");
      for (const path of ["//api/auth/me", "/api/auth//me", "/api/auth/me/", "/API/auth/me"])
        await gateway.expectRejected(path, { headers }, 400, "ambiguous_path");
    });

    describe("the log", () => {
      // Sends a request with a recognizable log line. Once it is logged, all earlier lines are, too.
      const isMarkerLine = (line) => line.includes("vestibule.well_known");
      async function flushLog() {
        const marks = () => gateway.log.filter(isMarkerLine).length;
        const before = marks();
        await gateway.request("/.well-known/vestibule");
        await gateway.waitForLog(() => marks() > before);
      }

      for (const [name, method, path, headers, expected] of [
        [
          ...["a public request", "GET", "/public/secret-path?token=query-secret", {}],
          { rule: "/public/{*rest}", operation: "demo.public", decision: "allow", status: 200 },
        ],
        [
          ...[
            "a user's request",
            "QUERY",
            "/user/7",
            { cookie: () => sessionCookies(createSessionToken()) },
          ],
          {
            ...{ rule: "/user/{id}", operation: "demo.user", decision: "allow", status: 200 },
            principal: "user",
          },
        ],
        [
          ...["a request without a credential", "GET", "/user/7", {}],
          {
            ...{
              rule: "/user/{id}",
              operation: "demo.user",
              decision: "unauthorized",
              status: 401,
            },
            reason: "no_credential",
          },
        ],
        [
          ...[
            "an invalid session",
            "GET",
            "/user/7",
            { cookie: () => sessionCookies(breakSignature(createSessionToken())) },
          ],
          {
            ...{ decision: "unauthorized", reason: "session_bad_signature", status: 401 },
            cookiesChanged: 1,
          },
        ],
        [
          ...["a navigation", "GET", "/user/7", PAGE],
          { decision: "redirect_to_login", reason: "no_credential", status: 302 },
        ],
        [
          ...[
            "a signed-in user at the login page",
            "GET",
            "/login",
            { ...PAGE, cookie: () => sessionCookies(createSessionToken()) },
          ],
          { rule: "/login", decision: "redirect_from_login", status: 302 },
        ],
        [
          ...["a cross-site request", "POST", "/public/x", { origin: "https://evil.example" }],
          { rule: "/public/{*rest}", decision: "forbidden_origin", status: 403 },
        ],
        [
          ...["an ambiguous path", "GET", "/public/%2f", {}],
          { rule: "/public/{*rest}", decision: "ambiguous_path", status: 400 },
        ],
        [
          ...["an upstream that is down", "GET", "/public/reset", {}],
          { rule: "/public/{*rest}", decision: "upstream_failed", status: 502 },
        ],
        [
          ...[
            "a path without a rule",
            "GET",
            "/else",
            { cookie: () => sessionCookies(createSessionToken()) },
          ],
          { rule: "(no rule)", decision: "allow", principal: "user", status: 200 },
        ],
        [
          ...["a built-in route", "POST", "/api/auth/logout", {}],
          {
            rule: "/api/auth/logout",
            operation: "vestibule.logout",
            decision: "allow",
            status: 204,
          },
        ],
      ]) {
        test(`has one line without secrets for ${name}`, async () => {
          const marker = trackSecret(`marker.${Math.random().toString(36).slice(2)}`);
          const sent = Object.fromEntries(
            Object.entries(headers).map(([name, value]) => [
              name,
              typeof value === "function" ? value() : value,
            ]),
          );
          await flushLog();
          const at = gateway.log.length;
          const response = await gateway.request(path, {
            method,
            headers: { "x-marker": marker, authorization: `Basic ${marker}`, ...sent },
          });
          assert.equal(response.status, expected.status, response.text);
          await flushLog();
          const lines = gateway.log.slice(at).filter((line) => !isMarkerLine(line));
          assert.equal(lines.length, 1, lines.join("\n"));
          const event = JSON.parse(lines[0]);
          assert.equal(event.event, "request");
          assert.equal(event.method, method);
          for (const [name, value] of Object.entries(expected))
            assert.equal(event[name], value, name);
          assert.match(event.requestId, /^req_[0-9a-f]{32}$/);
          assert.equal(typeof event.durationMs, "number");
          assert.equal(typeof event.cookiesChanged, "number");
          if (expected.decision === "allow" && !event.operation?.startsWith("vestibule.")) {
            assert.equal(event.requestId, gateway.upstream.last().headers["x-request-id"]);
            assert.equal(typeof event.upstreamMs, "number");
          } else if (response.headers["content-type"] === "application/problem+json") {
            assert.equal(event.requestId, response.json().requestId);
          }
          for (const hidden of [
            "secret-path",
            "query-secret",
            "usr_ada",
            "ses_1",
            "evil.example",
          ]) {
            assert.ok(!lines[0].includes(hidden), lines[0]);
          }
        });
      }
    });
  });
}
