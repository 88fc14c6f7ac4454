// On a navigation, a refusal is a page instead of a problem document, with the same status and headers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  assertProblem,
  DEVELOPMENT,
  openGateway,
  PRODUCTION,
  PUBLIC,
} from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";

const NAVIGATE = {
  "sec-fetch-mode": "navigate",
  "sec-fetch-dest": "document",
  accept: "text/html,*/*;q=0.8",
};
const FETCH = { "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", accept: "text/html" };
const VARY = "Cookie, Authorization, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept";
const POLICY =
  /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/;

const ROUTES = [
  { path: "/open/{*rest}", access: "public" },
  { path: "/slow", access: "public", timeout: "1s" },
  { path: "/401/{*rest}", access: "user", unauthenticated: "401" },
  { path: "/human/{*rest}", access: "human" },
  { path: "/few", access: "public", limit: "few" },
  { path: "/checked", access: "public", bot_check: "act" },
  { path: "/limited", access: "public", limit: "lost" },
];

// Each row: a label, the request, and the status and code of the refusal.
const REFUSED = [
  ["401 under a rule with `unauthenticated`", "/401/a", {}, 401, "unauthorized"],
  ["400 for an ambiguous path", "/open/%2e%2e%2fa", {}, 400, "ambiguous_path"],
  [
    "403 for a cross-site form",
    "/open/a",
    { method: "POST", headers: { origin: "https://evil.example" } },
    403,
    "forbidden_origin",
  ],
  ["403 for a failed bot check", "/checked", { method: "POST", headers: { origin: PUBLIC } }, 403],
  ["405 at an endpoint", "/api/auth/logout", {}, 405, "method_not_allowed"],
  ["429", "/few", {}, 429, "rate_limited"],
  ["502", "/open/drop", {}, 502, "upstream_failed"],
  ["504", "/slow", {}, 504, "upstream_timeout"],
];

describe("a refusal", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: ROUTES,
      variables: {
        TURNSTILE_SECRET: "1x0000000000000000000000000000000AA",
        RATE_LIMITS: [
          { name: "few", limit: 1, period: "1d", by: "address" },
          { name: "lost", limit: 1, period: "1d", by: "address" },
        ],
      },
      answers: {
        "/open/drop": (_request, response) => response.socket.destroy(),
        "/slow": () => {},
        "/open/own": { status: 403, headers: ["Content-Type", "text/plain"], body: "mine" },
      },
    });
    await gateway.request("/few");
  });
  after(() => gateway.stop());

  const request = (path, { headers, ...options }, clientHeaders) =>
    gateway.request(path, { ...options, headers: { ...headers, ...clientHeaders } });

  for (const [label, path, options, status, error] of REFUSED) {
    test(`${label}: a page for a navigation, a problem document for a script`, async () => {
      const send = (clientHeaders) => request(path, options, clientHeaders);
      const page = await (status > 500
        ? send(NAVIGATE)
        : gateway.expectNotForwarded(() => send(NAVIGATE)));
      const problem = await send(FETCH);
      assert.equal(page.status, status);
      const { requestId, error: code } = assertProblem(
        problem,
        status,
        error ?? "bot_check_failed",
        problem.json().reason,
      );
      assert.ok(requestId);
      assertPage(page, code);
      for (const [name, value] of Object.entries(problem.headers)) {
        if (
          /^(content-(type|length|security-policy)|date|server-timing|retry-after|ratelimit|x-vestibule-login-url)$/.test(
            name,
          )
        )
          continue;
        assert.equal(page.headers[name], value, name);
      }
      for (const name of ["retry-after", "ratelimit"]) {
        assert.equal(name in page.headers, name in problem.headers, name);
      }
      assert.equal(page.headers.vary, VARY);
    });
  }

  test("HEAD gets the headers of the page and no body", async () => {
    const page = await request("/401/a", { method: "HEAD" }, NAVIGATE);
    assert.equal(page.status, 401);
    assert.match(page.headers["content-type"], /^text\/html/);
    assert.equal(page.body.length, 0);
  });

  test("the page clears an invalid cookie", async () => {
    const page = await request("/401/a", { headers: { cookie: "mk_session=broken" } }, NAVIGATE);
    assertPage(page, "unauthorized");
    assert.deepEqual(page.cookies, ["mk_session=; Path=/; Max-Age=0"]);
  });

  test("upstream's own error passes unchanged", async () => {
    const { response } = await gateway.expectForwarded(() => request("/open/own", {}, NAVIGATE));
    assert.equal(response.status, 403);
    assert.equal(response.text, "mine");
  });

  for (const [label, headers, isPage] of [
    ["a browser", NAVIGATE, true],
    ["an old browser", { accept: "text/html" }, true],
    ["a browser that sends Basic credentials", { ...NAVIGATE, authorization: "Basic eA==" }, true],
    [
      "an HTTP library that accepts HTML and sends a token",
      { accept: "text/html, */*", authorization: "Bearer x" },
    ],
    ["a fetch that accepts HTML", FETCH],
    ["a same-origin fetch", { "sec-fetch-mode": "same-origin", accept: "text/html" }],
    ["an image", { "sec-fetch-mode": "no-cors", accept: "image/*,text/html" }],
    ["curl", { accept: "*/*" }],
    ["a client that accepts JSON", { accept: "application/json" }],
    ["a client without Accept", {}],
  ]) {
    test(`${label} gets a ${isPage ? "page" : "problem document"}`, async () => {
      const response = await gateway.expectNotForwarded(() =>
        gateway.request("/401/a", { headers }),
      );
      if (isPage) assertPage(response, "unauthorized");
      else assertProblem(response, 401, "unauthorized", response.json().reason);
    });
  }

  test("a page repeats no part of the request", async () => {
    const markup = `"><script>alert(1)</script>{}`;
    const headers = { ...NAVIGATE, referer: `${PUBLIC}/"><b>`, "user-agent": markup };
    for (const path of [`/401/a?q=${encodeURIComponent(markup)}`, "/401/%3Cscript%3E"]) {
      const page = await gateway.expectNotForwarded(() => gateway.request(path, { headers }));
      assertPage(page, "unauthorized");
      assert.ok(!page.text.includes("<b>") && !page.text.includes("alert(1)<"), page.text);
    }
  });
});

describe("the `type` of a problem document", () => {
  for (const [base, expected] of [
    [undefined, "urn:vestibule:errors#unauthorized-no_credential"],
    ["https://docs.example/e.md", "https://docs.example/e.md#unauthorized-no_credential"],
    ["about:blank", "about:blank"],
  ]) {
    test(`is ${expected} if PROBLEM_BASE is ${base ?? "not set"}`, async (t) => {
      const variables = base ? { PROBLEM_BASE: base } : {};
      const gateway = await openGateway({ routes: ROUTES.slice(0, 1), variables });
      t.after(() => gateway.stop());
      const response = await gateway.expectRejected("/a", {}, 401, "unauthorized", "no_credential");
      assert.equal(response.json().type, expected);
    });
  }
});

describe("the page for an upstream that does not answer", () => {
  for (const [name, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
    test(`${name === "DEVELOPMENT" ? "names" : "does not name"} the upstream in ${name.toLowerCase()}`, async (t) => {
      const gateway = await openGateway({
        routes: [{ path: "/open/{*rest}", access: "public" }],
        variables,
        answers: { "/open/drop": (_request, response) => response.socket.destroy() },
      });
      t.after(() => gateway.stop());
      const page = await gateway.request("/open/drop", { headers: NAVIGATE });
      assertPage(page, "upstream_failed");
      const hint =
        /<code>UPSTREAM is http:\/\/127\.0\.0\.1:\d+\. Is the application running there\?</;
      assert.equal(hint.test(page.text), name === "DEVELOPMENT", page.text);
      const problem = await gateway.request("/open/drop", { headers: FETCH });
      assert.doesNotMatch(problem.text, /127\.0\.0\.1/);
    });
  }
});

describe("the page for a configuration error", () => {
  const INVALID_ROUTES = [{ path: "/a", access: "<script>alert(1)</script>" }];
  for (const [name, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
    test(`${name === "DEVELOPMENT" ? "lists" : "does not list"} the mistakes in ${name.toLowerCase()}`, async (t) => {
      const gateway = await openGateway({
        routes: INVALID_ROUTES,
        variables: { ...variables, CSRF: "off" },
      });
      t.after(() => gateway.stop());
      const headers = { ...NAVIGATE, cookie: sessionCookies(createSessionToken()) };
      const page = await gateway.expectNotForwarded(() => gateway.request("/x", { headers }));
      assert.equal(page.status, 503);
      assertPage(page, "misconfigured");
      assert.equal(page.headers["retry-after"], "30");
      assert.deepEqual(page.cookies, [], "a misconfigured deployment keeps valid sessions");
      const isDevelopment = name === "DEVELOPMENT";
      for (const text of ["CSRF: expected", "ROUTES[0].access: expected", "listed above"]) {
        assert.equal(page.text.includes(text), isDevelopment, text);
      }
      assert.equal(page.text.includes("the log names each mistake"), !isDevelopment);
      const problem = await gateway.expectRejected("/x", { headers: FETCH }, 503, "misconfigured");
      assert.ok(!problem.text.includes("CSRF"), "the problem document lists no mistakes");
      const head = await gateway.request("/x", { method: "HEAD", headers });
      assert.equal(head.body.length, 0);
    });
  }
});

function assertPage(response, code) {
  assert.match(response.headers["content-type"], /^text\/html; charset=utf-8$/i, response.text);
  assert.match(response.headers["content-security-policy"], POLICY);
  assert.match(response.headers["cache-control"], /no-store/);
  assert.equal(response.headers["x-content-type-options"], "nosniff");
  assert.match(response.text, /^<!doctype html>\n<html lang="en">/);
  assert.match(response.text, /<meta name="robots" content="noindex">/);
  assert.match(response.text, /Request ID <code>req_[0-9a-f]{32}<\/code>/);
  assert.ok(response.text.includes(`<code>${code}</code>`), response.text);
  assert.doesNotMatch(response.text, /<script|\son\w+=|style=/i);
}
