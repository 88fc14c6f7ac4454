// Cross-site requests: test vectors of other projects, and more cases of our own.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import {
  assertProblem,
  DEVELOPMENT,
  openGateway,
  PRODUCTION,
  PUBLIC,
} from "../support/gateway.mjs";
import { COOKIE, createSessionToken, sessionCookies, trackSecret } from "../support/tokens.mjs";
import { readVectors, skipWithout } from "../support/vectors.mjs";

const file = readVectors("csrf/csrf_cases.json");
const rows = file ? Object.values(file).find(Array.isArray) : [];

// Converts a pattern of Go's ServeMux to rules: a trailing slash also matches all paths below, and the method is a
// member.
function ruleOf(pattern) {
  const [, method, path] = /^(?:([A-Z]+) )?(\/\S*)$/.exec(pattern);
  const rule = { access: "public", insecure_skip_csrf: true, ...(method && { methods: [method] }) };
  if (!path.endsWith("/")) return [{ path, ...rule }];
  return [
    { path, ...rule },
    { path: `${path}{*rest}`, ...rule },
  ];
}

describe("the requests of the vectors", skipWithout(file), () => {
  // One gateway for each origin and configuration.
  const groups = Map.groupBy(
    rows.filter((row) => row.method),
    ({ url, trusted_origins: trusted = [], bypass_patterns: bypass = [] }) =>
      JSON.stringify({ origin: new URL(url).origin, trusted, bypass }),
  );
  for (const [group, cases] of groups) {
    const { origin, trusted, bypass } = JSON.parse(group);
    const settings = [trusted.length && "trusted origins", bypass.length && "bypasses"].filter(
      Boolean,
    );
    describe(`${origin}${settings.length ? ` with ${settings.join(" and ")}` : ""}`, () => {
      let gateway;
      before(async () => {
        gateway = await openGateway({
          routes: bypass.flatMap(ruleOf),
          variables: {
            ...{ CSRF: "strict", PUBLIC_ORIGINS: [origin], ALLOWED_ORIGINS: trusted },
          },
        });
      });
      after(() => gateway.stop());

      for (const { id, name, method, url, headers, gateway_expect: expected } of cases) {
        test(`${id}: ${name}`, async () => {
          const sent = {
            method,
            headers: { ...headers, cookie: sessionCookies(createSessionToken()) },
          };
          if (expected === 200) {
            const { response, seen } = await gateway.expectForwarded(() =>
              gateway.requestUrl(url, sent),
            );
            assert.equal(response.status, 200);
            assert.equal(seen.method, method);
            return;
          }
          // Sent without URL normalization, dot segments get 400.
          const rawResponse = await gateway.expectNotForwarded(() =>
            gateway.request(url.slice(origin.length), { ...sent, host: new URL(url).host }),
          );
          assert.ok(
            [expected, url.includes("..") && 400].includes(rawResponse.status),
            rawResponse.text,
          );
          if (id === "go-net-http-21") {
            // After normalization, this is the path of the bypass, and is forwarded as such.
            const { seen } = await gateway.expectForwarded(() => gateway.requestUrl(url, sent));
            assert.equal(seen.url, "/bypass/bar");
            return;
          }
          const response = await gateway.expectNotForwarded(() => gateway.requestUrl(url, sent));
          // Navigations get a page.
          if (/^text\/html/.test(response.headers["content-type"])) {
            assert.equal(response.status, expected);
            assert.match(response.text, /This came from another site/);
            return;
          }
          assertProblem(response, expected, "forbidden_origin");
        });
      }
    });
  }
});

describe("the allowed origins of the vectors", skipWithout(file), () => {
  for (const { id, trusted_origin_config: origin, upstream_config_error: bad } of rows) {
    if (origin === undefined) continue;
    test(`${id}: ${JSON.stringify(origin)} is ${bad ? "refused" : "accepted"}`, async (t) => {
      const gateway = await openGateway({ variables: { ALLOWED_ORIGINS: [origin] } });
      t.after(() => gateway.stop());
      if (bad) {
        await gateway.expectRejected(
          "/",
          { headers: { cookie: sessionCookies(createSessionToken()) } },
          503,
          "misconfigured",
        );
        return;
      }
      const headers = { origin, cookie: sessionCookies(createSessionToken()) };
      await gateway.expectForwarded(() => gateway.request("/", { method: "POST", headers }));
    });
  }
});

const RULES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/user/{*rest}", access: "user" },
  { path: "/strict/{*rest}", access: "user", csrf: "strict" },
  { path: "/skipped/{*rest}", access: "user", insecure_skip_csrf: true },
];
const EVIL = { origin: "https://evil.example" };

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(`the CSRF check in ${environment.toLowerCase()}`, () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({
        routes: RULES,
        variables: { ...variables, ALLOWED_ORIGINS: ["https://partner.example:8443"] },
      });
    });
    after(() => gateway.stop());

    const signedIn = () => ({ cookie: sessionCookies(createSessionToken()) });
    for (const [name, method, path, headers, allowed] of [
      ["the canonical origin", "POST", "/user/x", { origin: PUBLIC }, true],
      ["an allowed origin", "POST", "/user/x", { origin: "https://partner.example:8443" }, true],
      [
        "an allowed origin with another port",
        "POST",
        "/user/x",
        { origin: "https://partner.example" },
        false,
      ],
      ["a subdomain", "POST", "/user/x", { origin: "https://x.app.example" }, false],
      [
        "the canonical origin with a longer host",
        "POST",
        "/user/x",
        { origin: `${PUBLIC}.evil.example` },
        false,
      ],
      [
        "the canonical origin in upper case",
        "POST",
        "/user/x",
        { origin: "https://APP.example" },
        false,
      ],
      ["the canonical origin with a slash", "POST", "/user/x", { origin: `${PUBLIC}/` }, false],
      ["two origins", "POST", "/user/x", { origin: `${PUBLIC} https://evil.example` }, false],
      [
        "the request's own origin, which is a public origin's host over plain http",
        "POST",
        "/user/x",
        { origin: "http://app.example" },
        false,
      ],
      ["the null origin", "POST", "/user/x", { origin: "null" }, false],
      ["a foreign origin on a public rule", "POST", "/public/x", EVIL, false],
      ["a foreign origin's PUT", "PUT", "/user/x", EVIL, false],
      ["a foreign origin's DELETE", "DELETE", "/user/x", EVIL, false],
      ["a foreign origin's PROPFIND", "PROPFIND", "/user/x", EVIL, false],
      ["a foreign origin's GET", "GET", "/user/x", EVIL, true],
      ["a foreign origin's OPTIONS", "OPTIONS", "/user/x", EVIL, true],
      [
        "JSON from a foreign origin",
        "POST",
        "/user/x",
        { ...EVIL, "content-type": "application/json" },
        false,
      ],
      [
        "same-origin by fetch metadata, despite a foreign origin",
        "POST",
        "/user/x",
        { "sec-fetch-site": "same-origin", ...EVIL },
        true,
      ],
      ["same-site by fetch metadata", "POST", "/user/x", { "sec-fetch-site": "same-site" }, false],
      [
        "cross-site by fetch metadata, with the canonical origin",
        "POST",
        "/user/x",
        { "sec-fetch-site": "cross-site", origin: PUBLIC },
        true,
      ],
      ["no origin and no fetch metadata", "POST", "/user/x", {}, true],
      ["no origin and no fetch metadata on a strict rule", "POST", "/strict/x", {}, false],
      ["only a referer on a strict rule", "POST", "/strict/x", { referer: `${PUBLIC}/a` }, false],
      ["the canonical origin on a strict rule", "POST", "/strict/x", { origin: PUBLIC }, true],
      ["a foreign origin on a rule that skips the check", "POST", "/skipped/x", EVIL, true],
      [
        "a GET with X-HTTP-Method-Override",
        "GET",
        "/user/x",
        { "x-http-method-override": "DELETE", ...EVIL },
        true,
      ],
    ]) {
      test(`${allowed ? "allows" : "refuses"} ${name}`, async () => {
        const sent = { method, headers: { ...headers, ...signedIn() } };
        if (!allowed) {
          await gateway.expectRejected(path, sent, 403, "forbidden_origin");
          return;
        }
        const { response, seen } = await gateway.expectForwarded(() => gateway.request(path, sent));
        assert.equal(response.status, 200);
        assert.equal(seen.method, method);
      });
    }

    test("allows a bearer token from a foreign origin, but not beside a session cookie", async () => {
      const authorization = `Bearer ${trackSecret("mul_an-agent-of-some-kind")}`;
      const { seen } = await gateway.expectForwarded(() =>
        gateway.request("/public/x", { method: "POST", headers: { ...EVIL, authorization } }),
      );
      assert.equal(seen.headers.authorization, authorization);
      for (const cookies of [
        sessionCookies(createSessionToken()),
        `${COOKIE}=junk`,
        `a=1; ${COOKIE}=`,
      ]) {
        const headers = { ...EVIL, authorization, cookie: cookies };
        await gateway.expectRejected(
          "/public/x",
          { method: "POST", headers },
          403,
          "forbidden_origin",
        );
      }
      const other = { ...EVIL, authorization, cookie: "other=1" };
      await gateway.expectForwarded(() =>
        gateway.request("/public/x", { method: "POST", headers: other }),
      );
    });

    test("refuses WebSockets from a foreign origin, on public rules, too", async () => {
      for (const path of ["/user/socket", "/public/socket"]) {
        for (const origin of ["https://evil.example", "null", `${PUBLIC}.evil.example`]) {
          await gateway.expectNotForwarded(async () => {
            const socket = new WebSocket(`${gateway.direct.replace("http", "ws")}${path}`, {
              headers: signedIn(),
              origin,
            });
            const [, response] = await once(socket, "unexpected-response");
            assert.equal(response.statusCode, 403);
            response.resume();
            await once(response, "end");
          });
        }
      }
    });

    test("refuses logout from a foreign origin", async () => {
      const headers = { ...EVIL, ...signedIn() };
      const refusal = await gateway.expectRejected(
        "/api/auth/logout",
        { method: "POST", headers },
        403,
        "forbidden_origin",
      );
      assert.deepEqual(refusal.cookies, [], "the session cookie was changed");
    });

    for (const [origin, isTunnel] of [
      ["https://a-b.trycloudflare.com", true],
      ["https://x.ngrok.io", true],
      ["https://x.ngrok-free.app", true],
      ["http://x.ngrok.io", false],
      ["https://evilngrok.io", false],
      ["https://ngrok.io", false],
      ["https://x.ngrok.io.evil.example", false],
      ["https://x.ngrok.io:8443", false],
    ]) {
      const allowed = isTunnel && environment === "DEVELOPMENT";
      test(`${allowed ? "allows" : "refuses"} ${origin}`, async () => {
        const sent = { method: "POST", headers: { origin, ...signedIn() } };
        if (allowed) await gateway.expectForwarded(() => gateway.request("/user/x", sent));
        else await gateway.expectRejected("/user/x", sent, 403, "forbidden_origin");
      });
    }
  });
}

test('CSRF = "strict" applies to every rule', async (t) => {
  const gateway = await openGateway({ routes: RULES, variables: { CSRF: "strict" } });
  t.after(() => gateway.stop());
  const sent = { method: "POST", headers: { cookie: sessionCookies(createSessionToken()) } };
  await gateway.expectRejected("/user/x", sent, 403, "forbidden_origin");
  await gateway.expectRejected("/public/x", sent, 403, "forbidden_origin");
  await gateway.expectForwarded(() => gateway.request("/skipped/x", sent));
  await gateway.expectForwarded(() => gateway.request("/public/x", { method: "POST" }));
});
