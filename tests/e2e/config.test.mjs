// Configuration errors: every request gets 503, and only the log has the reason.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { request } from "../support/client.mjs";
import {
  assertNoSecretsLogged,
  assertProblem,
  openGateway,
  PRODUCTION,
  PUBLIC,
} from "../support/gateway.mjs";
import { createSessionToken, sessionCookies, trackSecret } from "../support/tokens.mjs";
import { AUTH_SECRET, startWorker } from "../support/worker.mjs";

const sessionWith = (members) => ({ SESSION: { check: "token", ...members } });
const ruleWith = (members) => ({ ROUTES: [{ path: "/a", access: "public", ...members }] });
const shortSecret = trackSecret("a-short.secret-of-31-characters");
const placeholder = "changeme-changeme-changeme-changeme-1";

const INVALID = [
  ["no secret", { AUTH_SECRET: null }, "AUTH_SECRET"],
  ["an empty secret", { AUTH_SECRET: "" }, "AUTH_SECRET"],
  ["a short secret", { AUTH_SECRET: shortSecret }, "AUTH_SECRET"],
  ["a placeholder", { AUTH_SECRET: placeholder }, "AUTH_SECRET"],
  ["bad hex", { AUTH_SECRET: `hex:${"zz".repeat(32)}` }, "AUTH_SECRET"],
  ["bad base64", { AUTH_SECRET: "base64:***" }, "AUTH_SECRET"],
  ["a short previous secret", { AUTH_SECRET_PREVIOUS: shortSecret }, "AUTH_SECRET_PREVIOUS"],
  ["an empty previous secret", { AUTH_SECRET_PREVIOUS: "" }, "AUTH_SECRET_PREVIOUS"],
  ["a short upstream secret", { UPSTREAM_SECRET: shortSecret }, "UPSTREAM_SECRET"],
  [
    "the same secret for sessions and upstream",
    { UPSTREAM_SECRET: AUTH_SECRET },
    "UPSTREAM_SECRET",
  ],
  ["an unknown environment", { ENVIRONMENT: "staging" }, "ENVIRONMENT"],
  ["no public origin", { PUBLIC_ORIGINS: null }, "PUBLIC_ORIGINS"],
  ["an empty list of public origins", { PUBLIC_ORIGINS: [] }, "PUBLIC_ORIGINS"],
  [
    "a public origin with a path",
    { PUBLIC_ORIGINS: ["https://app.example/x"] },
    "PUBLIC_ORIGINS[0]",
  ],
  [
    "a public origin in upper case",
    { PUBLIC_ORIGINS: ["https://APP.example"] },
    "PUBLIC_ORIGINS[0]",
  ],
  [
    "a public origin with the default port",
    { PUBLIC_ORIGINS: ["https://app.example:443"] },
    "PUBLIC_ORIGINS[0]",
  ],
  ["plain http in production", { ENVIRONMENT: "production" }, "PUBLIC_ORIGINS"],
  ["no upstream", { UPSTREAM: null }, "UPSTREAM"],
  ["an upstream that is not a URL", { UPSTREAM: "not a url" }, "UPSTREAM"],
  ["an upstream with a path", { UPSTREAM: "https://origin.example/app" }, "UPSTREAM"],
  ["an upstream of another scheme", { UPSTREAM: "ftp://origin.example" }, "UPSTREAM"],
  ["an upstream that is a public origin", { UPSTREAM: PUBLIC }, "UPSTREAM"],
  [
    "accounts without a registry",
    sessionWith({ check: "token", login: "accounts" }),
    "SESSION.login",
  ],
  ["an unknown check", sessionWith({ check: "maybe" }), "SESSION.check"],
  ["a SESSION that is not an object", { SESSION: "token" }, "SESSION"],
  ["an unknown member", sessionWith({ cokie: "s" }), "SESSION.cokie"],
  ["an invalid cookie name", sessionWith({ cookie: "a b" }), "SESSION.cookie"],
  ["a lifetime of zero", sessionWith({ lifetime: "0s" }), "SESSION.lifetime"],
  ["a lifetime that is not a duration", sessionWith({ lifetime: "long" }), "SESSION.lifetime"],
  [
    "a refresh_after beyond the lifetime",
    sessionWith({ lifetime: "1d", refresh_after: "2d" }),
    "SESSION.refresh_after",
  ],
  ["too much leeway", sessionWith({ leeway: "61s" }), "SESSION.leeway"],
  [
    "the same claim for user and session",
    sessionWith({ user_claim: "id", session_claim: "id" }),
    "SESSION.session_claim",
  ],
  ["a foreign domain", sessionWith({ domain: "evil.example" }), "SESSION.domain"],
  [
    "a domain for __Host-",
    sessionWith({ cookie: "__Host-s", domain: "app.example" }),
    "SESSION.domain",
  ],
  ["a login page with a query", sessionWith({ login_path: "/login?x" }), "SESSION.login_path"],
  [
    "a home path on another host",
    sessionWith({ home_path: "//evil.example" }),
    "SESSION.home_path",
  ],
  [
    "an allowed origin without a scheme",
    { ALLOWED_ORIGINS: ["evil.example"] },
    "ALLOWED_ORIGINS[0]",
  ],
  [
    "an allowed origin with a wildcard",
    { ALLOWED_ORIGINS: ["https://*.app.example"] },
    "ALLOWED_ORIGINS[0]",
  ],
  [
    "allowed origins that are not a list",
    { ALLOWED_ORIGINS: { a: "https://a.example" } },
    "ALLOWED_ORIGINS",
  ],
  [
    "a comma-separated list with an empty entry",
    { ALLOWED_ORIGINS: "https://a.example,,https://b.example" },
    "ALLOWED_ORIGINS[1]",
  ],
  ["an opaque redirect origin", { REDIRECT_ORIGINS: ["null"] }, "REDIRECT_ORIGINS[0]"],
  ["an unknown CSRF mode", { CSRF: "off" }, "CSRF"],
  ["a clock that is not a number", { DANGER_FIXED_NOW: "soon" }, "DANGER_FIXED_NOW"],
  ["a fixed clock in production", { ...PRODUCTION, DANGER_FIXED_NOW: 1 }, "DANGER_FIXED_NOW"],
  ["routes that are not a list", { ROUTES: { path: "/a" } }, "ROUTES"],
  ["routes that are not JSON", { ROUTES: "[{" }, "ROUTES"],
  ["a rule that is not an object", { ROUTES: ["/a"] }, "ROUTES[0]"],
  ["a rule without a path", { ROUTES: [{ access: "public" }] }, "ROUTES[0].path"],
  ["a rule without access", { ROUTES: [{ path: "/a" }] }, "ROUTES[0].access"],
  ["an unknown access", ruleWith({ access: "admn" }), "ROUTES[0].access"],
  ["an unknown method", ruleWith({ methods: ["get"] }), "ROUTES[0].methods[0]"],
  ["an empty list of methods", ruleWith({ methods: [] }), "ROUTES[0].methods"],
  ["an invalid operation", ruleWith({ operation: "Not One" }), "ROUTES[0].operation"],
  ["a timeout of zero", ruleWith({ timeout: "0s" }), "ROUTES[0].timeout"],
  ["a timeout of a day", ruleWith({ timeout: "1d" }), "ROUTES[0].timeout"],
  [
    "a rule with both CSRF members",
    ruleWith({ csrf: "strict", insecure_skip_csrf: true }),
    "ROUTES[0]",
  ],
  [
    "a text for insecure_skip_csrf",
    ruleWith({ insecure_skip_csrf: "yes" }),
    "ROUTES[0].insecure_skip_csrf",
  ],
  ["a path without a leading slash", ruleWith({ path: "a" }), "ROUTES[0].path"],
  ["a path that is not canonical", ruleWith({ path: "/a/../b" }), "ROUTES[0].path"],
  ["a catch-all parameter in the middle", ruleWith({ path: "/{*a}/b" }), "ROUTES[0].path"],
  ["a parameter that is part of a segment", ruleWith({ path: "/a{b}" }), "ROUTES[0].path"],
  [
    "the path of a built-in route",
    ruleWith({ path: "/api/auth/logout", methods: ["POST"] }),
    "ROUTES[0].path",
  ],
  [
    "a login page that needs a session",
    ruleWith({ path: "/login", access: "user" }),
    "ROUTES[0].access",
  ],
  [
    "two rules for one path",
    { ROUTES: [ruleWith().ROUTES[0], { path: "/a", access: "user" }] },
    "ROUTES[1].path",
  ],
  [
    "two rules for the same paths in a further variable",
    {
      ROUTES_MORE: [
        { path: "/x/{b}", access: "user" },
        { path: "/x/{c}", access: "user" },
      ],
    },
    "ROUTES_MORE[1].path",
  ],
  ["a misspelt variable", { PUBLIC_ORIGIN: ["https://a.example"] }, "PUBLIC_ORIGIN"],
  ["a misspelt secret", { AUTH_SECRETS: "x" }, "AUTH_SECRETS"],
];

describe("a configuration error", { concurrency: 4 }, () => {
  for (const [name, variables, pointer] of INVALID) {
    test(`answers every request with 503 and logs ${pointer}: ${name}`, async (t) => {
      const gateway = await openGateway({ variables });
      t.after(() => gateway.stop());
      const secrets = [shortSecret, placeholder, AUTH_SECRET];
      const before = gateway.upstreamRequests.length;
      for (const [path, method] of [
        ["/", "GET"],
        ["/a", "POST"],
        ["/login", "GET"],
        ["/api/auth/me", "GET"],
        ["/.well-known/vestibule", "HEAD"],
      ]) {
        const headers = { cookie: sessionCookies(createSessionToken()), accept: "*/*" };
        const response = await gateway.request(path, { method, headers });
        assert.equal(response.status, 503);
        assert.deepEqual(response.cookies, [], "the session cookie was changed");
        assert.equal(response.headers["retry-after"], "30");
        if (method === "HEAD") continue;
        const problem = assertProblem(response, 503, "misconfigured");
        assert.ok(!response.text.includes(pointer), "the client sees the error");
        assert.equal(problem.detail, undefined);
      }
      assert.equal(gateway.upstreamRequests.length, before);
      const line = await gateway.waitForLog((line) => line.startsWith(`misconfigured: ${pointer}`));
      assert.match(line, /^misconfigured: [A-Z_]+(\[\d+\])?(\.[a-z_]+)?(\[\d+\])?: /);
      for (const text of gateway.log) {
        for (const secret of secrets) assert.ok(!text.includes(secret), text);
      }
    });
  }

  test("is logged together with all others", async (t) => {
    const gateway = await openGateway({
      variables: {
        ...{ AUTH_SECRET: shortSecret, CSRF: "off", PUBLIC_ORIGINS: [], UPSTREAM: "x" },
        ...{ SESSION: { check: "no", lifetime: "x" }, ROUTES: [{ path: "a", access: "b" }] },
      },
    });
    t.after(() => gateway.stop());
    await gateway.expectRejected("/", {}, 503, "misconfigured");
    for (const pointer of [
      ...["AUTH_SECRET", "CSRF", "PUBLIC_ORIGINS", "UPSTREAM", "SESSION.check", "SESSION.lifetime"],
      "ROUTES[0].access",
    ]) {
      await gateway.waitForLog((line) => line.startsWith(`misconfigured: ${pointer}: `));
    }
  });
});

describe("a valid configuration", { concurrency: 4 }, () => {
  for (const [name, variables] of [
    ["only the required variables", {}],
    ["a previous secret equal to the current one", { AUTH_SECRET_PREVIOUS: AUTH_SECRET }],
    [
      "objects and lists as JSON text",
      { SESSION: '{"check":"token"}', ROUTES: '[{"path":"/a","access":"public"}]' },
    ],
    ["a secret in hex", { AUTH_SECRET: `hex:${Buffer.from(AUTH_SECRET).toString("hex")}` }],
    [
      "a secret in base64",
      { AUTH_SECRET: `base64:${Buffer.from(AUTH_SECRET).toString("base64")}` },
    ],
    ["unknown variables of the operator", { THEIR_OWN_THING: "x", LOG_LEVEL: { a: 1 } }],
    ["an upstream with a trailing slash", undefined],
  ]) {
    test(`may have ${name}`, async (t) => {
      const gateway = await openGateway({ variables: variables ?? {} });
      const otherWorker =
        variables ??
        (await startWorker({ upstream: `${gateway.upstream.origin}/`, variables: { ROUTES: [] } }));
      t.after(() => Promise.all([gateway.stop(), otherWorker.stop?.()]));
      const origin = otherWorker.direct ?? gateway.direct;
      const headers = { cookie: sessionCookies(createSessionToken()) };
      const { response } = await gateway.expectForwarded(() => request(origin, "/x", { headers }));
      assert.equal(response.status, 200);
    });
  }

  test("may have its routes in several variables", async (t) => {
    const gateway = await openGateway({
      routes: [{ path: "/a", access: "public" }],
      variables: {
        ROUTES_2: [{ path: "/b", access: "public" }],
        ROUTES_ADMIN: [
          { path: "/c/{*rest}", access: "public" },
          { path: "/c/d", access: "user" },
        ],
      },
    });
    t.after(() => gateway.stop());
    for (const path of ["/a", "/b", "/c/x", "/c/d/x"])
      await gateway.expectForwarded(() => gateway.request(path));
    // A catch-all parameter may be empty.
    await gateway.expectForwarded(() => gateway.request("/c/"));
    // Upstream may ignore a trailing slash, and without it the path needs a user.
    for (const path of ["/d", "/c", "/c/d", "/c/d/", "/a/"]) {
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
    }
  });

  test("applies the most specific rule, in any order", async (t) => {
    const gateway = await openGateway({
      routes: [
        { path: "/{*rest}", access: "public", operation: "rest" },
        { path: "/{one}", access: "public", operation: "one" },
        { path: "/x", access: "public", operation: "literal" },
        { path: "/x", methods: ["POST"], access: "public", operation: "post" },
        { path: "/{one}/y", access: "public", operation: "one.y" },
        { path: "/x/{two}", methods: ["GET"], access: "public", operation: "x.two" },
      ],
    });
    t.after(() => gateway.stop());
    for (const [method, path, operation] of [
      ["GET", "/x", "literal"],
      ["POST", "/x", "post"],
      ["PUT", "/x", "literal"],
      ["GET", "/y", "one"],
      ["GET", "/x/", "rest"],
      ["GET", "/z/y", "one.y"],
      ["GET", "/x/y", "x.two"],
      ["HEAD", "/x/y", "x.two"],
      ["POST", "/x/y", "one.y"],
      ["POST", "/x/z", "rest"],
      ["GET", "/x/y/z", "rest"],
      ["QUERY", "/a/b/c", "rest"],
    ]) {
      const { seen } = await gateway.expectForwarded(() => gateway.request(path, { method }));
      assert.equal(seen.headers["x-operation"], operation, `${method} ${path}`);
    }
  });
});

describe("upstream behind a binding", () => {
  const seen = [];
  let service;
  let assets;
  let broken;
  before(async () => {
    const start = (fetcher) =>
      startWorker({
        variables: { ...PRODUCTION, ROUTES: [{ path: "/public/{*rest}", access: "public" }] },
        bindings: { serviceBindings: fetcher },
      });
    const answer = async (request) => {
      seen.push({
        ...{ method: request.method, url: request.url, headers: new Headers(request.headers) },
        body: await request.text(),
      });
      const headers = [
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["x-user-id", "leaked"],
        ["location", "/there"],
      ];
      return new Response("bound", { status: 203, headers });
    };
    service = await start({ UPSTREAM: answer });
    assets = await start({ ASSETS: answer });
    // No server listens on port 1.
    broken = await start({ UPSTREAM: { external: { address: "127.0.0.1:1", http: {} } } });
  });
  after(async () => {
    await Promise.all([service, assets, broken].map((worker) => worker.stop()));
    for (const { log } of [service, assets, broken]) assertNoSecretsLogged(log);
  });

  for (const name of ["UPSTREAM", "ASSETS"]) {
    test(`gets requests with their public URL: ${name}`, async () => {
      const worker = name === "UPSTREAM" ? service : assets;
      const before = seen.length;
      const response = await request(worker.direct, "/public/a?b=%2F", {
        method: "POST",
        host: "app.example",
        headers: { "x-user-id": "forged", cookie: sessionCookies(createSessionToken()) },
        body: "sent",
      });
      assert.equal(response.status, 203);
      assert.equal(response.text, "bound");
      assert.deepEqual(response.cookies, ["a=1", "b=2"]);
      assert.equal(response.headers["x-user-id"], undefined);
      assert.equal(response.headers.location, "/there");
      assert.equal(seen.length, before + 1);
      const { method, url, headers, body } = seen[before];
      assert.deepEqual([method, url, body], ["POST", "http://app.example/public/a?b=%2F", "sent"]);
      assert.equal(headers.get("x-user-id"), null);
      assert.match(headers.get("x-request-id"), /^req_/);
      assert.equal(headers.get("x-vestibule-assertion").split(".").length, 3);
    });

    test(`does not get refused requests: ${name}`, async () => {
      const worker = name === "UPSTREAM" ? service : assets;
      const before = seen.length;
      assertProblem(await request(worker.direct, "/x"), 401, "unauthorized", "no_credential");
      assertProblem(await request(worker.direct, "/public/%2f"), 400, "ambiguous_path");
      assert.equal(seen.length, before);
    });
  }

  test("causes 502 if it fails, and built-in routes still work", async () => {
    for (let i = 0; i < 2; i += 1) {
      assertProblem(await request(broken.direct, "/public/x"), 502, "upstream_failed");
    }
    assert.equal((await request(broken.direct, "/.well-known/vestibule")).status, 200);
  });
});
