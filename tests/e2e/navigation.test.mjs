// Redirects of browsers: to the login page and back, never to another site, and never in an endless loop.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CookieJar } from "tough-cookie";
import {
  assertProblem,
  DEVELOPMENT,
  openGateway,
  PRODUCTION,
  PUBLIC,
} from "../support/gateway.mjs";
import { breakSignature, createSessionToken, sessionCookies } from "../support/tokens.mjs";
import { readVectors, skipWithout } from "../support/vectors.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/user/{*rest}", access: "user" },
  { path: "/strict/{*rest}", access: "public", redirects: "strict" },
];

const NAVIGATE = { "sec-fetch-mode": "navigate" };
const HTML = { accept: "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8" };
const VARY = "Cookie, Authorization, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept";

const hostile = readVectors("redirects/open_redirect_cases.json");
const harmless = readVectors("redirects/safe_return_paths.json");

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());
    const signedIn = () => ({ cookie: sessionCookies(createSessionToken()) });

    describe("without a session", () => {
      for (const [what, method, headers, isRedirected] of [
        ["a navigation", "GET", NAVIGATE, true],
        ["a navigation that asks for HTML", "GET", { ...NAVIGATE, ...HTML }, true],
        ["a navigation by HEAD", "HEAD", NAVIGATE, true],
        ["an old browser", "GET", HTML, true],
        ["an old browser's HEAD", "HEAD", HTML, true],
        ["a script that would take HTML", "GET", { "sec-fetch-mode": "cors", ...HTML }, false],
        ["an image", "GET", { "sec-fetch-mode": "no-cors", accept: "image/*" }, false],
        ["a same-origin fetch", "GET", { "sec-fetch-mode": "same-origin", ...HTML }, false],
        ["curl", "GET", { accept: "*/*" }, false],
        ["a client that asks for JSON", "GET", { accept: "application/json" }, false],
        ["a client without Accept", "GET", {}, false],
        ["a script's POST", "POST", { "sec-fetch-mode": "cors", origin: PUBLIC }, false],
        ["a DELETE", "DELETE", { accept: "*/*", origin: PUBLIC }, false],
        ["a WebSocket", "GET", { ...HTML, upgrade: "websocket", origin: PUBLIC }, false],
      ]) {
        test(`${what}: ${isRedirected ? "redirected to the login page" : "401"}`, async () => {
          const path = "/user/a%20b?c=d&e=%2F#";
          const response = await gateway.expectNotForwarded(() =>
            gateway.request(path, { method, headers }),
          );
          assert.equal(response.headers.vary, VARY);
          if (isRedirected) {
            assert.equal(response.status, 302);
            const location = new URL(response.headers.location, PUBLIC);
            assert.equal(location.pathname, "/login");
            assert.deepEqual([...location.searchParams], [["next", "/user/a%20b?c=d&e=%2F"]]);
            assert.match(response.headers["cache-control"], /no-store/);
            assert.equal(response.body.length, 0);
          } else {
            assertProblem(response, 401, "unauthorized", "no_credential");
            assert.equal(response.headers.location, undefined);
          }
        });
      }

      test("Vestibule's own endpoints never redirect to the login page", async () => {
        const headers = { ...NAVIGATE, ...HTML };
        const response = await gateway.expectNotForwarded(() =>
          gateway.request("/api/auth/me", { headers }),
        );
        assert.equal(response.status, 401);
        assert.equal(response.headers.location, undefined);
        assert.match(response.headers["content-type"], /^text\/html/);
      });

      test("the return path is canonical and safe", async () => {
        for (const [path, next] of [
          // As a redirect, it would name a host, so it is not a return path.
          ["//user/x", "/"],
          ["/user//x", "/user//x"],
          ["/user/%61", "/user/a"],
          ["/", "/"],
          ["/?q=//evil.example", "/?q=//evil.example"],
          [`/user/${"x".repeat(5000)}`, "/"],
        ]) {
          const response = await gateway.expectNotForwarded(() =>
            gateway.request(path, { headers: NAVIGATE }),
          );
          assert.equal(response.status, 302);
          const location = new URL(response.headers.location, PUBLIC);
          assert.equal(location.searchParams.get("next"), next);
        }
      });
    });

    describe("at the login page", () => {
      const page = { ...NAVIGATE, ...HTML };
      for (const [query, expected] of [
        ["", "/"],
        ["?next=", "/"],
        ["?next=/a", "/a"],
        ["?next=%2Fa%3Fb%3Dc%26d%23e", "/a?b=c&d#e"],
        ["?return_to=/b", "/b"],
        ["?redirect=/c", "/c"],
        ["?callbackUrl=/d", "/d"],
        ["?callbackUrl=/d&redirect=/c&return_to=/b&next=/a", "/a"],
        ["?callbackUrl=/d&redirect=/c&return_to=/b", "/b"],
        ["?next=//evil.example&return_to=/b", "/"],
        ["?next=/a&next=/b", "/a"],
        ["?next=/login", "/"],
        ["?next=/login?next=/a", "/"],
        ["?next=/api/auth/logout", "/"],
        ["?next=/%6Cogin", "/"],
        ["?next=/loginx", "/loginx"],
        ["?NEXT=/a", "/"],
      ]) {
        test(`with a live session, ${query || "no query"} redirects to ${expected}`, async () => {
          const headers = { ...page, ...signedIn() };
          const response = await gateway.expectNotForwarded(() =>
            gateway.request(`/login${query}`, { headers }),
          );
          assert.equal(response.status, 302);
          assert.equal(response.headers.location, expected);
          assert.match(response.headers["cache-control"], /no-store/);
          assert.equal(response.headers.vary, VARY);
        });
      }

      for (const [what, headers, isHealed] of [
        [
          "an invalid session",
          { ...page, cookie: sessionCookies(breakSignature(createSessionToken())) },
          true,
        ],
        ["no session", page, false],
        ["a live session, in a request of a script", { accept: "*/*", ...signedIn() }, false],
      ]) {
        test(`with ${what}, upstream's page is returned`, async () => {
          const { response, seen } = await gateway.expectForwarded(() =>
            gateway.request("/login?next=/a", { headers }),
          );
          assert.equal(response.status, 200);
          assert.equal(seen.url, "/login?next=/a");
          assert.deepEqual(response.cookies, isHealed ? ["mk_session=; Path=/; Max-Age=0"] : []);
        });
      }
    });

    describe("the return paths of the test vectors", skipWithout(hostile, harmless), () => {
      const redirectFor = async (value) => {
        const next = encodeURIComponent(value);
        const headers = { ...NAVIGATE, ...signedIn() };
        const response = await gateway.expectNotForwarded(() =>
          gateway.request(`/login?next=${next}`, { headers }),
        );
        assert.equal(response.status, 302, response.text);
        return response.headers.location;
      };

      test(`none of ${hostile?.count ?? 0} hostile cases leads to another site`, async () => {
        assert.equal(hostile.cases.length, hostile.count);
        for (const { input, expect_path_only_sanitizer: expected } of hostile.cases) {
          const location = await redirectFor(input.toWellFormed());
          const { origin } = new URL(location, `${PUBLIC}/login`);
          assert.equal(origin, PUBLIC, `${JSON.stringify(input)} redirects to ${location}`);
          assert.match(location, /^\/(?!\/)[!-~]*$/, JSON.stringify(input));
          if (expected !== "fallback") continue;
          // A lenient parser may read such a location as another site. It must still stay on this one.
          assert.equal(new URL(location, `${PUBLIC}/login`).origin, PUBLIC);
        }
      });

      test(`${harmless?.preserve.length} harmless cases are kept unchanged`, async () => {
        for (const path of harmless.preserve) assert.equal(await redirectFor(path), path);
        for (const path of [...harmless.relative_ambiguous, ...harmless.same_origin_absolute]) {
          assert.equal(await redirectFor(path), "/", path);
        }
      });
    });

    describe("upstream's Location", () => {
      for (const [location, expected] of [
        ["/a", "/a"],
        ["a", "a"],
        ["?x", "?x"],
        ["UPSTREAM/a?b#c", "PUBLIC/a?b#c"],
        ["UPSTREAM", "PUBLIC/"],
        ["//HOST/a", "PUBLIC/a"],
        ["https://elsewhere.example/a", "https://elsewhere.example/a"],
        ["UPSTREAM.evil.example/a", "UPSTREAM.evil.example/a"],
      ]) {
        test(`${location || "(empty)"} becomes ${expected || "(empty)"}`, async () => {
          const { origin } = gateway.upstream;
          for (const [requested, publicOrigin] of [
            ["https://app.example", "https://app.example"],
            ["https://unknown.example", "https://app.example"],
            ...(environment === "DEVELOPMENT"
              ? [["http://localhost:8787", "http://localhost:8787"]]
              : []),
          ]) {
            const sent = location.replace("UPSTREAM", origin).replace("HOST", new URL(origin).host);
            const wanted = expected.replace("UPSTREAM", origin).replace("PUBLIC", publicOrigin);
            gateway.upstream.answers["/public/go"] = {
              status: 302,
              headers: ["Location", sent],
              body: "",
            };
            const response = await gateway.requestUrl(`${requested}/public/go`);
            assert.equal(response.status, 302);
            assert.equal(response.headers.location, wanted);
          }
        });
      }

      test("is rewritten in a 201, too", async () => {
        const headers = ["Location", `${gateway.upstream.origin}/thing/1`];
        gateway.upstream.answers["/public/made"] = { status: 201, headers };
        const response = await gateway.requestUrl(`${PUBLIC}/public/made`, { method: "POST" });
        assert.equal(response.headers.location, `${PUBLIC}/thing/1`);
      });
    });
  });
}

describe("upstream's Location under a rule with redirects = strict", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: ROUTES,
      variables: { REDIRECT_ORIGINS: ["https://pay.example"] },
    });
  });
  after(() => gateway.stop());

  const locationFor = async (location) => {
    const text = Buffer.from(location).toString("latin1");
    gateway.upstream.answers["/strict/go"] = { status: 303, headers: ["Location", text], body: "" };
    const response = await gateway.requestUrl(`${PUBLIC}/strict/go`);
    assert.equal(response.status, 303);
    return response.headers.location;
  };

  for (const [location, expected] of [
    ["/a?b#c", "/a?b#c"],
    ["/login?error=1", "/login?error=1"],
    ["https://pay.example/x?y", "https://pay.example/x?y"],
    [`${PUBLIC}/a`, `${PUBLIC}/a`],
    ["UPSTREAM/a", `${PUBLIC}/a`],
    ["https://pay.example:8443/x", "/"],
    ["http://pay.example/x", "/"],
    ["https://pay.example.evil.example/", "/"],
    ["https://user@pay.example/", "/"],
    ["https://evil.example/", "/"],
    ["//evil.example", "/"],
    ["/\\evil.example", "/"],
    ["javascript:alert(1)", "/"],
    ["a", "/"],
    ["/api/auth/logout", "/"],
    ["/\u2044evil.example", "/%E2%81%84evil.example"],
  ]) {
    test(`${location || "(empty)"} becomes ${expected}`, async () => {
      assert.equal(
        await locationFor(location.replace("UPSTREAM", gateway.upstream.origin)),
        expected,
      );
    });
  }

  test(
    `none of ${hostile?.count ?? 0} hostile cases of the test vectors leads to another site`,
    skipWithout(hostile),
    async () => {
      for (const { input } of hostile.cases) {
        // A header value cannot contain these characters.
        const value = input.toWellFormed().replaceAll(/[\0\r\n]/g, "");
        if ([...value].some((c) => c < " " || c === "\x7f")) continue;
        const location = await locationFor(value);
        const { origin } = new URL(location, `${PUBLIC}/strict/go`);
        assert.equal(origin, PUBLIC, `${JSON.stringify(value)} redirects to ${location}`);
      }
    },
  );
});

describe("the loop breaker", () => {
  const NOW = 1_800_000_000;
  let gateways;
  before(async () => {
    const at = (now) =>
      openGateway({
        routes: ROUTES,
        variables: { DANGER_FIXED_NOW: now, SESSION: { check: "token", login_path: "/login" } },
      });
    gateways = { now: await at(NOW), soon: await at(NOW + 9), later: await at(NOW + 11) };
  });
  after(() => Promise.all(Object.values(gateways).map((gateway) => gateway.stop())));

  async function navigate(jar, gateway, path, headers = NAVIGATE) {
    const url = `${PUBLIC}${path}`;
    const sent = await jar.getCookieString(url);
    const options = { headers: { ...headers, ...(sent && { cookie: sent }) } };
    const response = await gateway.expectNotForwarded(() => gateway.requestUrl(url, options));
    for (const line of response.cookies) await jar.setCookie(line, url);
    return response;
  }

  const assertBreakerPage = (response) => {
    assert.equal(response.status, 200);
    assert.equal(response.headers.location, undefined);
    assert.match(response.headers["cache-control"], /no-store/);
    assert.match(response.headers["content-type"], /^text\/html; charset=utf-8$/i);
    assert.match(response.headers["content-security-policy"], /default-src 'none'/);
    assert.match(
      response.text,
      /<form[^>]*method="post"[^>]*action="\/api\/auth\/logout\?cookies=all"|<form[^>]*action="\/api\/auth\/logout\?cookies=all"[^>]*method="post"/i,
    );
    assert.doesNotMatch(response.text, /\{[a-z]+\}/, "the page has an unfilled placeholder");
    assert.doesNotMatch(response.text, /<script/i);
  };

  test("returns a page in place of the fourth redirect to the login page", async () => {
    const jar = new CookieJar();
    for (let time = 1; time <= 3; time += 1) {
      assert.equal((await navigate(jar, gateways.now, "/user/x")).status, 302, `time ${time}`);
    }
    assertBreakerPage(await navigate(jar, gateways.now, "/user/x"));
    // The page resets the count, so the user can try again.
    assert.equal((await navigate(jar, gateways.now, "/user/x")).status, 302);
  });

  test("counts redirects to and from the login page together", async () => {
    const token = sessionCookies(createSessionToken({ iat: NOW - 10, exp: NOW + 100 }));
    const jar = new CookieJar();
    for (const path of ["/user/x", "/login?next=/user/x", "/user/x"]) {
      if (path.startsWith("/login"))
        await jar.setCookie(`${token}; Path=/login`, `${PUBLIC}/login`);
      assert.equal((await navigate(jar, gateways.now, path)).status, 302, path);
    }
    assertBreakerPage(await navigate(jar, gateways.now, "/login?next=/user/x"));
  });

  test("counts redirects of the last ten seconds", async () => {
    for (const [gateway, isStopped] of [
      [gateways.soon, true],
      [gateways.later, false],
    ]) {
      const jar = new CookieJar();
      for (let time = 1; time <= 3; time += 1) await navigate(jar, gateways.now, "/user/x");
      const response = await navigate(jar, gateway, "/user/x");
      if (isStopped) assertBreakerPage(response);
      else assert.equal(response.status, 302);
    }
  });

  test("does not count responses to scripts", async () => {
    const jar = new CookieJar();
    for (let time = 1; time <= 6; time += 1) {
      const response = await navigate(jar, gateways.now, "/user/x", { "sec-fetch-mode": "cors" });
      assert.equal(response.status, 401);
    }
    assert.equal((await navigate(jar, gateways.now, "/user/x")).status, 302);
  });

  test("a forged count can only make it stop sooner", async () => {
    for (const value of [
      "",
      "junk",
      "1",
      "-1.0",
      "99.99",
      `3.${NOW + 5}`,
      `4294967296.${NOW}`,
      "3.",
    ]) {
      const headers = { ...NAVIGATE, cookie: `mk_session_hops=${value}` };
      const response = await gateways.now.expectNotForwarded(() =>
        gateways.now.request("/user/x", { headers }),
      );
      assert.equal(response.status, 302, value);
    }
    const { cookies } = await gateways.now.request("/user/x", { headers: NAVIGATE });
    const [, pageHash] = /^mk_session_hops=1\.\d+\.([0-9a-f]{8});/.exec(cookies[0]);
    for (const value of [`3.${NOW}.${pageHash}`, `4294967295.${NOW}.${pageHash}`]) {
      const headers = { ...NAVIGATE, cookie: `mk_session_hops=${value}` };
      assertBreakerPage(
        await gateways.now.expectNotForwarded(() => gateways.now.request("/user/x", { headers })),
      );
    }
  });

  describe("with sign-ins in between", () => {
    // Upstream signs in a client that posts to `/public/in`.
    let signingIn;
    before(async () => {
      signingIn = await openGateway({
        routes: [
          ...ROUTES,
          { path: "/public/in", methods: ["POST"], access: "public", login: true },
        ],
        variables: { DANGER_FIXED_NOW: NOW, SESSION: { login: "upstream" } },
        answers: {
          "/public/in": {
            status: 303,
            headers: ["X-Vestibule-Login", "usr_ada", "Location", "/user/x"],
          },
        },
      });
    });
    after(() => signingIn.stop());

    // A browser that keeps only the count cookie, so its sessions are lost. Returns how often it could sign in.
    async function signInRepeatedly(rounds) {
      const url = `${PUBLIC}/public/in`;
      const jar = new CookieJar();
      for (let round = 0; round < rounds; round += 1) {
        const response = await navigate(jar, signingIn, "/user/x");
        if (response.status !== 302) {
          assertBreakerPage(response);
          return round;
        }
        const sent = await jar.getCookieString(url);
        const headers = { ...NAVIGATE, origin: PUBLIC, cookie: sent };
        const signedIn = await signingIn.requestUrl(url, { method: "POST", headers });
        assert.equal(signedIn.status, 303, signedIn.text);
        for (const line of signedIn.cookies) {
          if (line.startsWith("mk_session_hops=")) await jar.setCookie(line, url);
          else assert.match(line, /^mk_session=ey/);
        }
      }
      return rounds;
    }

    test("does not stop six sign-ins for one page", async () => {
      assert.equal(await signInRepeatedly(6), 6);
    });

    test("stops an upstream that keeps starting sessions", async () => {
      assert.equal(await signInRepeatedly(50), 8);
    });
  });

  test("does not take several tabs for a loop", async () => {
    const jar = new CookieJar();
    for (let tab = 1; tab <= 6; tab += 1) {
      assert.equal((await navigate(jar, gateways.now, `/user/${tab}`)).status, 302, `tab ${tab}`);
    }
  });
});

test("uses login_path and home_path of the configuration", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: { SESSION: { check: "token", login_path: "/account/enter", home_path: "/desk" } },
  });
  t.after(() => gateway.stop());
  const redirect = await gateway.expectNotForwarded(() =>
    gateway.request("/user/x", { headers: NAVIGATE }),
  );
  assert.equal(redirect.headers.location, "/account/enter?next=%2Fuser%2Fx");
  const headers = { ...NAVIGATE, cookie: sessionCookies(createSessionToken()) };
  for (const [query, expected] of [
    ["", "/desk"],
    ["?next=/account/enter", "/desk"],
    ["?next=/login", "/login"],
  ]) {
    const back = await gateway.expectNotForwarded(() =>
      gateway.request(`/account/enter${query}`, { headers }),
    );
    assert.equal(back.headers.location, expected);
  }
  const { response } = await gateway.expectForwarded(() => gateway.request("/login", { headers }));
  assert.equal(response.status, 200, "/login is an ordinary page");
});
