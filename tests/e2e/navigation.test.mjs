// Where a browser is sent: to the login page, back from it, nowhere else, and not for ever.

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
import { cookie, forge, mint } from "../support/tokens.mjs";
import { needing, vectors } from "../support/vectors.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/user/{*rest}", access: "user" },
  { path: "/strict/{*rest}", access: "public", redirects: "strict" },
];

const NAVIGATE = { "sec-fetch-mode": "navigate" };
const HTML = { accept: "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8" };
const VARY = "Cookie, Authorization, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept";

const hostile = vectors("redirects/open_redirect_cases.json");
const harmless = vectors("redirects/safe_return_paths.json");

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());
    const signedIn = () => ({ cookie: cookie(mint()) });

    describe("answering nobody", () => {
      for (const [what, method, headers, page] of [
        ["a navigation", "GET", NAVIGATE, true],
        ["a navigation that asks for HTML", "GET", { ...NAVIGATE, ...HTML }, true],
        ["a navigation by HEAD", "HEAD", NAVIGATE, true],
        ["an old browser", "GET", HTML, true],
        ["an old browser's HEAD", "HEAD", HTML, true],
        ["a script that would take HTML", "GET", { "sec-fetch-mode": "cors", ...HTML }, false],
        ["an image", "GET", { "sec-fetch-mode": "no-cors", accept: "image/*" }, false],
        ["a same-origin fetch", "GET", { "sec-fetch-mode": "same-origin", ...HTML }, false],
        ["curl", "GET", { accept: "*/*" }, false],
        ["one that asks for JSON", "GET", { accept: "application/json" }, false],
        ["one that asks for nothing", "GET", {}, false],
        ["a script's POST", "POST", { "sec-fetch-mode": "cors", origin: PUBLIC }, false],
        ["a DELETE", "DELETE", { accept: "*/*", origin: PUBLIC }, false],
        ["a WebSocket", "GET", { ...HTML, upgrade: "websocket", origin: PUBLIC }, false],
      ]) {
        test(`${what}: ${page ? "to the login page" : "401"}`, async () => {
          const path = "/user/a%20b?c=d&e=%2F#";
          const response = await gateway.untouched(() => gateway.ask(path, { method, headers }));
          assert.equal(response.headers.vary, VARY);
          if (page) {
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
        const response = await gateway.untouched(() => gateway.ask("/api/auth/me", { headers }));
        assert.equal(response.status, 401);
        assert.equal(response.headers.location, undefined);
        assert.match(response.headers["content-type"], /^text\/html/);
      });

      test("the path is the canonical one, and fit to come back to", async () => {
        for (const [path, next] of [
          // It would be a host: nobody is led back there.
          ["//user/x", "/"],
          ["/user//x", "/user//x"],
          ["/user/%61", "/user/a"],
          ["/", "/"],
          ["/?q=//evil.example", "/?q=//evil.example"],
          [`/user/${"x".repeat(5000)}`, "/"],
        ]) {
          const response = await gateway.untouched(() => gateway.ask(path, { headers: NAVIGATE }));
          assert.equal(response.status, 302);
          const location = new URL(response.headers.location, PUBLIC);
          assert.equal(location.searchParams.get("next"), next);
        }
      });
    });

    describe("at the login page", () => {
      const page = { ...NAVIGATE, ...HTML };
      for (const [query, want] of [
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
        test(`with a live session, ${query || "asking for nothing"} leads to ${want}`, async () => {
          const headers = { ...page, ...signedIn() };
          const response = await gateway.untouched(() =>
            gateway.ask(`/login${query}`, { headers }),
          );
          assert.equal(response.status, 302);
          assert.equal(response.headers.location, want);
          assert.match(response.headers["cache-control"], /no-store/);
          assert.equal(response.headers.vary, VARY);
        });
      }

      for (const [what, headers, healed] of [
        ["a dead session", { ...page, cookie: cookie(forge(mint())) }, true],
        ["no session", page, false],
        ["a live session, asked by a script", { accept: "*/*", ...signedIn() }, false],
      ]) {
        test(`with ${what}, it is upstream's page`, async () => {
          const { response, seen } = await gateway.passed(() =>
            gateway.ask("/login?next=/a", { headers }),
          );
          assert.equal(response.status, 200);
          assert.equal(seen.url, "/login?next=/a");
          assert.deepEqual(response.cookies, healed ? ["mk_session=; Path=/; Max-Age=0"] : []);
        });
      }
    });

    describe("the vectors' return paths", needing(hostile, harmless), () => {
      const answer = async (value) => {
        const next = encodeURIComponent(value);
        const headers = { ...NAVIGATE, ...signedIn() };
        const response = await gateway.untouched(() =>
          gateway.ask(`/login?next=${next}`, { headers }),
        );
        assert.equal(response.status, 302, response.text);
        return response.headers.location;
      };

      test(`no escape in ${hostile?.count ?? 0} cases`, async () => {
        assert.equal(hostile.cases.length, hostile.count);
        for (const { input, expect_path_only_sanitizer: expected } of hostile.cases) {
          const location = await answer(input.toWellFormed());
          const { origin } = new URL(location, `${PUBLIC}/login`);
          assert.equal(origin, PUBLIC, `${JSON.stringify(input)} leads to ${location}`);
          assert.match(location, /^\/(?!\/)[!-~]*$/, JSON.stringify(input));
          if (expected !== "fallback") continue;
          // Decoded by a careless reader it may be a foreign place: even then it has to stay here.
          assert.equal(new URL(location, `${PUBLIC}/login`).origin, PUBLIC);
        }
      });

      test(`${harmless?.preserve.length} harmless ones are kept as they are`, async () => {
        for (const path of harmless.preserve) assert.equal(await answer(path), path);
        for (const path of [...harmless.relative_ambiguous, ...harmless.same_origin_absolute]) {
          assert.equal(await answer(path), "/", path);
        }
      });
    });

    describe("upstream's Location", () => {
      for (const [location, want] of [
        ["/a", "/a"],
        ["a", "a"],
        ["?x", "?x"],
        ["UPSTREAM/a?b#c", "PUBLIC/a?b#c"],
        ["UPSTREAM", "PUBLIC/"],
        ["//HOST/a", "PUBLIC/a"],
        ["https://elsewhere.example/a", "https://elsewhere.example/a"],
        ["UPSTREAM.evil.example/a", "UPSTREAM.evil.example/a"],
      ]) {
        test(`${location || "(empty)"} becomes ${want || "(empty)"}`, async () => {
          const { origin } = gateway.upstream;
          for (const [asked, through] of [
            ["https://app.example", "https://app.example"],
            ["https://unknown.example", "https://app.example"],
            ...(environment === "DEVELOPMENT"
              ? [["http://localhost:8787", "http://localhost:8787"]]
              : []),
          ]) {
            const given = location
              .replace("UPSTREAM", origin)
              .replace("HOST", new URL(origin).host);
            const expected = want.replace("UPSTREAM", origin).replace("PUBLIC", through);
            gateway.upstream.answers["/public/go"] = {
              status: 302,
              headers: ["Location", given],
              body: "",
            };
            const response = await gateway.visit(`${asked}/public/go`);
            assert.equal(response.status, 302);
            assert.equal(response.headers.location, expected);
          }
        });
      }

      test("a 201's too", async () => {
        const headers = ["Location", `${gateway.upstream.origin}/thing/1`];
        gateway.upstream.answers["/public/made"] = { status: 201, headers };
        const response = await gateway.visit(`${PUBLIC}/public/made`, { method: "POST" });
        assert.equal(response.headers.location, `${PUBLIC}/thing/1`);
      });
    });
  });
}

describe("a strict rule's Location", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: ROUTES,
      variables: { REDIRECT_ORIGINS: ["https://pay.example"] },
    });
  });
  after(() => gateway.stop());

  const leadsTo = async (location) => {
    const text = Buffer.from(location).toString("latin1");
    gateway.upstream.answers["/strict/go"] = { status: 303, headers: ["Location", text], body: "" };
    const response = await gateway.visit(`${PUBLIC}/strict/go`);
    assert.equal(response.status, 303);
    return response.headers.location;
  };

  for (const [location, want] of [
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
    test(`${location || "(empty)"} becomes ${want}`, async () => {
      assert.equal(await leadsTo(location.replace("UPSTREAM", gateway.upstream.origin)), want);
    });
  }

  test(`no escape in the vectors' ${hostile?.count ?? 0} cases`, needing(hostile), async () => {
    for (const { input } of hostile.cases) {
      // A header can hold neither of these, whoever writes it.
      const value = input.toWellFormed().replaceAll(/[\0\r\n]/g, "");
      if ([...value].some((c) => c < " " || c === "\x7f")) continue;
      const location = await leadsTo(value);
      const { origin } = new URL(location, `${PUBLIC}/strict/go`);
      assert.equal(origin, PUBLIC, `${JSON.stringify(value)} leads to ${location}`);
    }
  });
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
    const response = await gateway.untouched(() => gateway.visit(url, options));
    for (const line of response.cookies) await jar.setCookie(line, url);
    return response;
  }

  const isPage = (response) => {
    assert.equal(response.status, 200);
    assert.equal(response.headers.location, undefined);
    assert.match(response.headers["cache-control"], /no-store/);
    assert.match(response.headers["content-type"], /^text\/html; charset=utf-8$/i);
    assert.match(response.headers["content-security-policy"], /default-src 'none'/);
    assert.match(
      response.text,
      /<form[^>]*method="post"[^>]*action="\/api\/auth\/logout\?cookies=all"|<form[^>]*action="\/api\/auth\/logout\?cookies=all"[^>]*method="post"/i,
    );
    assert.doesNotMatch(response.text, /\{[a-z]+\}/, "a placeholder was left in the page");
    assert.doesNotMatch(response.text, /<script/i);
  };

  test("the fourth redirect to the login page is a page", async () => {
    const jar = new CookieJar();
    for (let time = 1; time <= 3; time += 1) {
      assert.equal((await navigate(jar, gateways.now, "/user/x")).status, 302, `time ${time}`);
    }
    isPage(await navigate(jar, gateways.now, "/user/x"));
    // The page forgets the count, so that trying again is possible.
    assert.equal((await navigate(jar, gateways.now, "/user/x")).status, 302);
  });

  test("redirects to and from the login page count together", async () => {
    const token = cookie(mint({ iat: NOW - 10, exp: NOW + 100 }));
    const jar = new CookieJar();
    for (const path of ["/user/x", "/login?next=/user/x", "/user/x"]) {
      if (path.startsWith("/login"))
        await jar.setCookie(`${token}; Path=/login`, `${PUBLIC}/login`);
      assert.equal((await navigate(jar, gateways.now, path)).status, 302, path);
    }
    isPage(await navigate(jar, gateways.now, "/login?next=/user/x"));
  });

  test("nine seconds on they still count, eleven seconds on no more", async () => {
    for (const [gateway, ends] of [
      [gateways.soon, true],
      [gateways.later, false],
    ]) {
      const jar = new CookieJar();
      for (let time = 1; time <= 3; time += 1) await navigate(jar, gateways.now, "/user/x");
      const response = await navigate(jar, gateway, "/user/x");
      if (ends) isPage(response);
      else assert.equal(response.status, 302);
    }
  });

  test("what a script is told is not counted", async () => {
    const jar = new CookieJar();
    for (let time = 1; time <= 6; time += 1) {
      const response = await navigate(jar, gateways.now, "/user/x", { "sec-fetch-mode": "cors" });
      assert.equal(response.status, 401);
    }
    assert.equal((await navigate(jar, gateways.now, "/user/x")).status, 302);
  });

  test("a forged count does no more than end sooner", async () => {
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
      const response = await gateways.now.untouched(() => gateways.now.ask("/user/x", { headers }));
      assert.equal(response.status, 302, value);
    }
    const { cookies } = await gateways.now.ask("/user/x", { headers: NAVIGATE });
    const [, place] = /^mk_session_hops=1\.\d+\.([0-9a-f]{8});/.exec(cookies[0]);
    for (const value of [`3.${NOW}.${place}`, `4294967295.${NOW}.${place}`]) {
      const headers = { ...NAVIGATE, cookie: `mk_session_hops=${value}` };
      isPage(await gateways.now.untouched(() => gateways.now.ask("/user/x", { headers })));
    }
  });

  describe("with sessions that begin", () => {
    // It signs in the client that posts to `/public/in`.
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

    // A browser that keeps only the count: whatever session begins does not hold. Gives how often it got to sign in.
    async function goRound(rounds) {
      const url = `${PUBLIC}/public/in`;
      const jar = new CookieJar();
      for (let round = 0; round < rounds; round += 1) {
        const response = await navigate(jar, signingIn, "/user/x");
        if (response.status !== 302) {
          isPage(response);
          return round;
        }
        const sent = await jar.getCookieString(url);
        const headers = { ...NAVIGATE, origin: PUBLIC, cookie: sent };
        const begun = await signingIn.visit(url, { method: "POST", headers });
        assert.equal(begun.status, 303, begun.text);
        for (const line of begun.cookies) {
          if (line.startsWith("mk_session_hops=")) await jar.setCookie(line, url);
          else assert.match(line, /^mk_session=ey/);
        }
      }
      return rounds;
    }

    test("five sign-ins for one page are no loop", async () => {
      assert.equal(await goRound(6), 6);
    });

    test("an upstream that begins sessions for ever is stopped", async () => {
      assert.equal(await goRound(50), 8);
    });
  });

  test("several tabs at once are no loop", async () => {
    const jar = new CookieJar();
    for (let tab = 1; tab <= 6; tab += 1) {
      assert.equal((await navigate(jar, gateways.now, `/user/${tab}`)).status, 302, `tab ${tab}`);
    }
  });
});

test("login and home are where the configuration puts them", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: { SESSION: { check: "token", login_path: "/account/enter", home_path: "/desk" } },
  });
  t.after(() => gateway.stop());
  const sent = await gateway.untouched(() => gateway.ask("/user/x", { headers: NAVIGATE }));
  assert.equal(sent.headers.location, "/account/enter?next=%2Fuser%2Fx");
  const headers = { ...NAVIGATE, cookie: cookie(mint()) };
  for (const [query, want] of [
    ["", "/desk"],
    ["?next=/account/enter", "/desk"],
    ["?next=/login", "/login"],
  ]) {
    const back = await gateway.untouched(() => gateway.ask(`/account/enter${query}`, { headers }));
    assert.equal(back.headers.location, want);
  }
  const { response } = await gateway.passed(() => gateway.ask("/login", { headers }));
  assert.equal(response.status, 200, "an ordinary page now");
});
