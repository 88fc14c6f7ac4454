// A configuration that is wrong lets nothing through and tells nobody but the log why.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask } from "../support/client.mjs";
import {
  assertDiscreet,
  assertProblem,
  openGateway,
  PRODUCTION,
  PUBLIC,
} from "../support/gateway.mjs";
import { cookie, mint, remember } from "../support/tokens.mjs";
import { AUTH_SECRET, startWorker } from "../support/worker.mjs";

const session = (rest) => ({ SESSION: { check: "token", ...rest } });
const route = (rest) => ({ ROUTES: [{ path: "/a", access: "public", ...rest }] });
const short = remember("a-short.secret-of-31-characters");
const placeholder = "changeme-changeme-changeme-changeme-1";

const WRONG = [
  ["no secret", { AUTH_SECRET: null }, "AUTH_SECRET"],
  ["an empty secret", { AUTH_SECRET: "" }, "AUTH_SECRET"],
  ["a short secret", { AUTH_SECRET: short }, "AUTH_SECRET"],
  ["a placeholder", { AUTH_SECRET: placeholder }, "AUTH_SECRET"],
  ["bad hex", { AUTH_SECRET: `hex:${"zz".repeat(32)}` }, "AUTH_SECRET"],
  ["bad base64", { AUTH_SECRET: "base64:***" }, "AUTH_SECRET"],
  ["a short previous secret", { AUTH_SECRET_PREVIOUS: short }, "AUTH_SECRET_PREVIOUS"],
  ["an empty previous secret", { AUTH_SECRET_PREVIOUS: "" }, "AUTH_SECRET_PREVIOUS"],
  ["a short upstream secret", { UPSTREAM_SECRET: short }, "UPSTREAM_SECRET"],
  ["one secret for both", { UPSTREAM_SECRET: AUTH_SECRET }, "UPSTREAM_SECRET"],
  ["an unknown environment", { ENVIRONMENT: "staging" }, "ENVIRONMENT"],
  ["no public origin", { PUBLIC_ORIGINS: null }, "PUBLIC_ORIGINS"],
  ["an empty list of them", { PUBLIC_ORIGINS: [] }, "PUBLIC_ORIGINS"],
  [
    "a public origin with a path",
    { PUBLIC_ORIGINS: ["https://app.example/x"] },
    "PUBLIC_ORIGINS[0]",
  ],
  ["one in upper case", { PUBLIC_ORIGINS: ["https://APP.example"] }, "PUBLIC_ORIGINS[0]"],
  [
    "one with the scheme's port",
    { PUBLIC_ORIGINS: ["https://app.example:443"] },
    "PUBLIC_ORIGINS[0]",
  ],
  ["plain http in production", { ENVIRONMENT: "production" }, "PUBLIC_ORIGINS"],
  ["no upstream", { UPSTREAM: null }, "UPSTREAM"],
  ["an upstream that is no URL", { UPSTREAM: "not a url" }, "UPSTREAM"],
  ["an upstream with a path", { UPSTREAM: "https://origin.example/app" }, "UPSTREAM"],
  ["an upstream of another scheme", { UPSTREAM: "ftp://origin.example" }, "UPSTREAM"],
  ["an upstream that is us", { UPSTREAM: PUBLIC }, "UPSTREAM"],
  ["a token that tells no role", session({ check: "token", login: "accounts" }), "SESSION.login"],
  ["an unknown check", session({ check: "maybe" }), "SESSION.check"],
  ["no table", { SESSION: "token" }, "SESSION"],
  ["an unknown member", session({ cokie: "s" }), "SESSION.cokie"],
  ["a cookie name that is none", session({ cookie: "a b" }), "SESSION.cookie"],
  ["a lifetime of nothing", session({ lifetime: "0s" }), "SESSION.lifetime"],
  ["a lifetime in words", session({ lifetime: "long" }), "SESSION.lifetime"],
  [
    "a refresh beyond it",
    session({ lifetime: "1d", refresh_after: "2d" }),
    "SESSION.refresh_after",
  ],
  ["much leeway", session({ leeway: "61s" }), "SESSION.leeway"],
  [
    "one claim for both",
    session({ user_claim: "id", session_claim: "id" }),
    "SESSION.session_claim",
  ],
  ["a foreign domain", session({ domain: "evil.example" }), "SESSION.domain"],
  [
    "a domain for __Host-",
    session({ cookie: "__Host-s", domain: "app.example" }),
    "SESSION.domain",
  ],
  ["a login page with a query", session({ login_path: "/login?x" }), "SESSION.login_path"],
  ["a home elsewhere", session({ home_path: "//evil.example" }), "SESSION.home_path"],
  ["an allowed origin that is none", { ALLOWED_ORIGINS: ["evil.example"] }, "ALLOWED_ORIGINS[0]"],
  ["a wildcard", { ALLOWED_ORIGINS: ["https://*.app.example"] }, "ALLOWED_ORIGINS[0]"],
  ["no list", { ALLOWED_ORIGINS: { a: "https://a.example" } }, "ALLOWED_ORIGINS"],
  [
    "a list in one text, with a gap",
    { ALLOWED_ORIGINS: "https://a.example,,https://b.example" },
    "ALLOWED_ORIGINS[1]",
  ],
  ["a redirect origin that is none", { REDIRECT_ORIGINS: ["null"] }, "REDIRECT_ORIGINS[0]"],
  ["an unknown CSRF mode", { CSRF: "off" }, "CSRF"],
  ["a clock in words", { DANGER_FIXED_NOW: "soon" }, "DANGER_FIXED_NOW"],
  ["a fixed clock in production", { ...PRODUCTION, DANGER_FIXED_NOW: 1 }, "DANGER_FIXED_NOW"],
  ["routes that are no list", { ROUTES: { path: "/a" } }, "ROUTES"],
  ["routes that are no JSON", { ROUTES: "[{" }, "ROUTES"],
  ["a rule that is no table", { ROUTES: ["/a"] }, "ROUTES[0]"],
  ["a rule without a path", { ROUTES: [{ access: "public" }] }, "ROUTES[0].path"],
  ["a rule without access", { ROUTES: [{ path: "/a" }] }, "ROUTES[0].access"],
  ["an unknown access", route({ access: "admn" }), "ROUTES[0].access"],
  ["an unknown method", route({ methods: ["get"] }), "ROUTES[0].methods[0]"],
  ["no method", route({ methods: [] }), "ROUTES[0].methods"],
  ["an operation that is none", route({ operation: "Not One" }), "ROUTES[0].operation"],
  ["a timeout of nothing", route({ timeout: "0s" }), "ROUTES[0].timeout"],
  ["an endless timeout", route({ timeout: "1d" }), "ROUTES[0].timeout"],
  ["strict and skipped", route({ csrf: "strict", insecure_skip_csrf: true }), "ROUTES[0]"],
  ["skipping in words", route({ insecure_skip_csrf: "yes" }), "ROUTES[0].insecure_skip_csrf"],
  ["a path without its slash", route({ path: "a" }), "ROUTES[0].path"],
  ["a path that never comes", route({ path: "/a/../b" }), "ROUTES[0].path"],
  ["a rest in the middle", route({ path: "/{*a}/b" }), "ROUTES[0].path"],
  ["half a parameter", route({ path: "/a{b}" }), "ROUTES[0].path"],
  ["an endpoint of ours", route({ path: "/api/auth/logout", methods: ["POST"] }), "ROUTES[0].path"],
  ["a guarded login page", route({ path: "/login", access: "user" }), "ROUTES[0].access"],
  ["a tie", { ROUTES: [route().ROUTES[0], { path: "/a", access: "user" }] }, "ROUTES[1].path"],
  [
    "a tie across variables",
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

describe("a mistake closes the door", { concurrency: 4 }, () => {
  for (const [what, variables, at] of WRONG) {
    test(`${what}: ${at}`, async (t) => {
      const gateway = await openGateway({ variables });
      t.after(() => gateway.stop());
      const secrets = [short, placeholder, AUTH_SECRET];
      const before = gateway.seen.length;
      for (const [path, method] of [
        ["/", "GET"],
        ["/a", "POST"],
        ["/login", "GET"],
        ["/api/auth/me", "GET"],
        ["/.well-known/vestibule", "HEAD"],
      ]) {
        const headers = { cookie: cookie(mint()), accept: "*/*" };
        const response = await gateway.ask(path, { method, headers });
        assert.equal(response.status, 503);
        assert.deepEqual(response.cookies, [], "a good session survives a bad deployment");
        assert.equal(response.headers["retry-after"], "30");
        if (method === "HEAD") continue;
        const problem = assertProblem(response, 503, "misconfigured");
        assert.ok(!response.text.includes(at), "the client is told what is wrong");
        assert.equal(problem.detail, undefined);
      }
      assert.equal(gateway.seen.length, before);
      const line = await gateway.logged((text) => text.startsWith(`misconfigured: ${at}`));
      assert.match(line, /^misconfigured: [A-Z_]+(\[\d+\])?(\.[a-z_]+)?(\[\d+\])?: /);
      for (const text of gateway.log) {
        for (const secret of secrets) assert.ok(!text.includes(secret), text);
      }
    });
  }

  test("all mistakes are told at once", async (t) => {
    const gateway = await openGateway({
      variables: {
        ...{ AUTH_SECRET: short, CSRF: "off", PUBLIC_ORIGINS: [], UPSTREAM: "x" },
        ...{ SESSION: { check: "no", lifetime: "x" }, ROUTES: [{ path: "a", access: "b" }] },
      },
    });
    t.after(() => gateway.stop());
    await gateway.refused("/", {}, 503, "misconfigured");
    for (const at of [
      ...["AUTH_SECRET", "CSRF", "PUBLIC_ORIGINS", "UPSTREAM", "SESSION.check", "SESSION.lifetime"],
      "ROUTES[0].access",
    ]) {
      await gateway.logged((text) => text.startsWith(`misconfigured: ${at}: `));
    }
  });
});

describe("what is right opens it", { concurrency: 4 }, () => {
  for (const [what, variables] of [
    ["nothing but what must be", {}],
    ["the middle of a rotation, one secret twice", { AUTH_SECRET_PREVIOUS: AUTH_SECRET }],
    [
      "tables as JSON in texts",
      { SESSION: '{"check":"token"}', ROUTES: '[{"path":"/a","access":"public"}]' },
    ],
    ["a secret in hex", { AUTH_SECRET: `hex:${Buffer.from(AUTH_SECRET).toString("hex")}` }],
    [
      "a secret in base64",
      { AUTH_SECRET: `base64:${Buffer.from(AUTH_SECRET).toString("base64")}` },
    ],
    ["a variable of the operator's own", { THEIR_OWN_THING: "x", LOG_LEVEL: { a: 1 } }],
    ["a slash after upstream", undefined],
  ]) {
    test(what, async (t) => {
      const gateway = await openGateway({ variables: variables ?? {} });
      const slashed =
        variables ??
        (await startWorker({ upstream: `${gateway.upstream.origin}/`, variables: { ROUTES: [] } }));
      t.after(() => Promise.all([gateway.stop(), slashed.stop?.()]));
      const through = slashed.direct ?? gateway.direct;
      const headers = { cookie: cookie(mint()) };
      const { response } = await gateway.passed(() => ask(through, "/x", { headers }));
      assert.equal(response.status, 200);
    });
  }

  test("routes in several variables are one table", async (t) => {
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
      await gateway.passed(() => gateway.ask(path));
    // It covers what is between the slash and nothing.
    await gateway.passed(() => gateway.ask("/c/"));
    // A slash more may be the same to upstream, and that asks for a user.
    for (const path of ["/d", "/c", "/c/d", "/c/d/", "/a/"]) {
      await gateway.refused(path, {}, 401, "unauthorized", "no_credential");
    }
  });

  test("the most specific rule decides, whatever the order", async (t) => {
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
      const { seen } = await gateway.passed(() => gateway.ask(path, { method }));
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
    // Nobody listens on port 1.
    broken = await start({ UPSTREAM: { external: { address: "127.0.0.1:1", http: {} } } });
  });
  after(async () => {
    await Promise.all([service, assets, broken].map((worker) => worker.stop()));
    for (const { log } of [service, assets, broken]) assertDiscreet(log);
  });

  for (const name of ["UPSTREAM", "ASSETS"]) {
    test(`${name} is asked by the public URL`, async () => {
      const worker = name === "UPSTREAM" ? service : assets;
      const at = seen.length;
      const response = await ask(worker.direct, "/public/a?b=%2F", {
        method: "POST",
        host: "app.example",
        headers: { "x-user-id": "forged", cookie: cookie(mint()) },
        body: "sent",
      });
      assert.equal(response.status, 203);
      assert.equal(response.text, "bound");
      assert.deepEqual(response.cookies, ["a=1", "b=2"]);
      assert.equal(response.headers["x-user-id"], undefined);
      assert.equal(response.headers.location, "/there");
      assert.equal(seen.length, at + 1);
      const { method, url, headers, body } = seen[at];
      assert.deepEqual([method, url, body], ["POST", "http://app.example/public/a?b=%2F", "sent"]);
      assert.equal(headers.get("x-user-id"), null);
      assert.match(headers.get("x-request-id"), /^req_/);
      assert.equal(headers.get("x-vestibule-assertion").split(".").length, 3);
    });

    test(`${name} is not asked about what is refused`, async () => {
      const worker = name === "UPSTREAM" ? service : assets;
      const at = seen.length;
      assertProblem(await ask(worker.direct, "/x"), 401, "unauthorized", "no_credential");
      assertProblem(await ask(worker.direct, "/public/%2f"), 400, "ambiguous_path");
      assert.equal(seen.length, at);
    });
  }

  test("a binding that fails is a 502, and what needs it not is answered", async () => {
    for (let time = 0; time < 2; time += 1) {
      assertProblem(await ask(broken.direct, "/public/x"), 502, "upstream_failed");
    }
    assert.equal((await ask(broken.direct, "/.well-known/vestibule")).status, 200);
  });
});
