// The session cookie: which tokens are valid, and what happens to the cookie of a valid or an invalid one.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { jwtVerify, SignJWT } from "jose";
import jsonwebtoken from "jsonwebtoken";
import { Cookie, CookieJar } from "tough-cookie";
import {
  assertProblem,
  DEVELOPMENT,
  openGateway,
  PRODUCTION,
  PUBLIC,
  sessionCookieOf,
} from "../support/gateway.mjs";
import {
  breakSignature,
  createSessionToken,
  headerOf,
  now,
  payloadOf,
  sessionCookies,
  sign,
  trackSecret,
} from "../support/tokens.mjs";
import { AUTH_SECRET, PREVIOUS_SECRET } from "../support/worker.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/login", access: "public" },
  { path: "/optional/{*rest}", access: "optional" },
  { path: "/user/{*rest}", access: "user" },
];

const HEALED = "mk_session=; Path=/; Max-Age=0";
const DAY = 24 * 3600;
const session = (rest) => ({ SESSION: { check: "token", ...rest } });
const withCookie = (...tokens) => ({ headers: { cookie: sessionCookies(...tokens) } });
const kid = (secret) => createHash("sha256").update(secret).digest("hex").slice(0, 8);

// Returns the version of PyJWT, as installed or as downloaded into target/. Returns null if it is not available.
const target = fileURLToPath(new URL("../../target/pyjwt", import.meta.url));
const env = { ...process.env, PYTHONPATH: target };
const python = (code, ...args) =>
  execFileSync("python3", ["-c", code, ...args], { env, encoding: "utf8", stdio: "pipe" }).trim();
function pyjwt() {
  const version = () => python("import jwt; print(jwt.__version__)");
  try {
    return version();
  } catch {}
  try {
    if (!existsSync(target)) {
      const args = ["-m", "pip", "install", "--quiet", "--target", target, "PyJWT"];
      execFileSync("python3", args, { stdio: "pipe" });
    }
    return version();
  } catch {
    return null;
  }
}

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    const good = createSessionToken();
    const [header, payload, tag] = good.split(".");
    const claims = (rest) => JSON.stringify({ userId: "u", sessionId: "s", ...rest });
    const later = now() + 600;
    describe("an invalid token", () => {
      for (const [label, token, reason] of [
        ["is empty", "", "session_malformed"],
        ["is garbage", "garbage", "session_malformed"],
        ["has two parts", `${header}.${payload}`, "session_malformed"],
        ["has four parts", `${good}.${tag}`, "session_malformed"],
        ["is padded", `${good}=`, "session_malformed"],
        ["is quoted", `"${good}"`, "session_malformed"],
        ["is not base64url", good.replace(".", "+."), "session_malformed"],
        [
          "is unsigned",
          sign('{"alg":"none"}', claims({ iat: 1, exp: later })),
          "session_malformed",
        ],
        ["has an empty signature", `${header}.${payload}.`, "session_bad_signature"],
        [
          "has half a signature",
          `${header}.${payload}.${tag.slice(0, 24)}`,
          "session_bad_signature",
        ],
        [
          "is signed with HS384",
          sign('{"alg":"HS384"}', claims({ iat: 1, exp: later })),
          "session_malformed",
        ],
        [
          "is signed with HS512",
          sign('{"alg":"HS512"}', claims({ iat: 1, exp: later })),
          "session_malformed",
        ],
        ["has crit", createSessionToken({}, { header: { crit: ["exp"] } }), "session_malformed"],
        [
          "has another type",
          createSessionToken({}, { header: { typ: "at+jwt" } }),
          "session_malformed",
        ],
        [
          "has two algorithms",
          sign('{"alg":"HS256","alg":"HS256"}', claims()),
          "session_malformed",
        ],
        [
          "is longer than 4,096 bytes",
          createSessionToken({ fat: "f".repeat(3000) }),
          "session_malformed",
        ],
        ["has a wrong signature", breakSignature(good), "session_bad_signature"],
        [
          "is signed under another secret",
          createSessionToken({}, { secret: PREVIOUS_SECRET }),
          "session_bad_signature",
        ],
        [
          "names an unknown key",
          createSessionToken({}, { header: { kid: "nope" } }),
          "session_bad_signature",
        ],
        [
          "is expired",
          createSessionToken({ iat: now() - 100, exp: now() - 50 }),
          "session_expired",
        ],
        ["never expires", createSessionToken({ exp: undefined }), "session_malformed"],
        ["has no iat", sign('{"alg":"HS256"}', claims({ exp: later })), "session_malformed"],
        ["has a text as exp", createSessionToken({ exp: "tomorrow" }), "session_malformed"],
        ["has a fraction as exp", createSessionToken({ exp: later + 0.5 }), "session_malformed"],
        [
          "is from the future",
          createSessionToken({ iat: later, exp: later + 60 }),
          "session_malformed",
        ],
        ["is not valid yet", createSessionToken({ nbf: later }), "session_malformed"],
        ["has no user id", createSessionToken({ userId: undefined }), "session_malformed"],
        ["has a number as user id", createSessionToken({ userId: 7 }), "session_malformed"],
        ["has a space in the user id", createSessionToken({ userId: "a b" }), "session_malformed"],
        [
          "has a user id of 129 characters",
          createSessionToken({ userId: "u".repeat(129) }),
          "session_malformed",
        ],
        ["has an empty session id", createSessionToken({ sessionId: "" }), "session_malformed"],
        [
          "has two user ids",
          sign('{"alg":"HS256"}', `{"userId":"a",${claims({ iat: 1, exp: later }).slice(1)}`),
          "session_malformed",
        ],
        ["has a list as claims", sign('{"alg":"HS256"}', "[]"), "session_malformed"],
      ]) {
        test(`that ${label}: returns 401 ${reason} and clears the cookie`, async () => {
          const response = await gateway.expectRejected(
            "/user/x",
            withCookie(token),
            401,
            "unauthorized",
            reason,
          );
          assert.deepEqual(response.cookies, [HEALED]);
          assert.equal(response.headers["www-authenticate"], "Bearer");
          assert.equal(response.headers["cache-control"], "private, no-store");
        });
      }

      test("a missing credential or an unknown bearer token: returns 401", async () => {
        const anonymous = await gateway.expectRejected(
          "/user/x",
          {},
          401,
          "unauthorized",
          "no_credential",
        );
        assert.deepEqual(anonymous.cookies, []);
        for (const scheme of ["Bearer", "bearer", "BEARER"]) {
          const headers = {
            authorization: `${scheme} ${trackSecret("mul_unknown-token-of-somebody")}`,
          };
          await gateway.expectRejected(
            "/user/x",
            { headers },
            401,
            "unauthorized",
            "token_unknown",
          );
        }
        for (const authorization of ["Basic dTpw", "Bearer", "Bearer "]) {
          const headers = { authorization };
          await gateway.expectRejected(
            "/user/x",
            { headers },
            401,
            "unauthorized",
            "no_credential",
          );
        }
        const headers = { authorization: `Bearer ${good}` };
        await gateway.expectRejected("/user/x", { headers }, 401, "unauthorized", "token_unknown");
      });
    });

    describe("an invalid cookie is cleared by every response", () => {
      const invalid = breakSignature(createSessionToken());
      const page = { accept: "text/html", "sec-fetch-mode": "navigate" };
      const origin = "https://evil.example";
      before(() => {
        const answers = gateway.upstream.answers;
        answers["/public/404"] = { status: 404, body: "none" };
        answers["/public/304"] = { status: 304, body: "" };
        answers["/public/moved"] = { status: 302, headers: ["Location", "/a"], body: "" };
        answers["/public/500"] = { status: 500, body: "oh" };
        answers["/public/cookie"] = { headers: ["Set-Cookie", "other=1; Path=/"] };
        answers["/public/reset"] = (request) => request.socket.resetAndDestroy();
        answers["/public/stream"] = (_request, response) => {
          response.writeHead(200, { "Content-Type": "text/event-stream" });
          response.write("data: 1\n\n");
          response.end("data: 2\n\n");
        };
      });
      for (const [label, method, path, headers, status] of [
        ["a rejected script", "GET", "/user/x", {}, 401],
        ["a redirect to the login page", "GET", "/user/x", page, 302],
        ["the login page", "GET", "/login", page, 200],
        ["a public page", "GET", "/public/x", {}, 200],
        ["an optional page", "GET", "/optional/x", {}, 200],
        ["HEAD", "HEAD", "/public/x", {}, 200],
        ["upstream's 404", "GET", "/public/404", {}, 404],
        ["upstream's 304", "GET", "/public/304", {}, 304],
        ["upstream's redirect", "GET", "/public/moved", {}, 302],
        ["upstream's 500", "GET", "/public/500", {}, 500],
        ["an upstream that is down", "GET", "/public/reset", {}, 502],
        ["a stream", "GET", "/public/stream", {}, 200],
        ["/api/auth/me", "GET", "/api/auth/me", {}, 401],
        ["/.well-known/vestibule", "GET", "/.well-known/vestibule", {}, 200],
        ["a wrong method", "DELETE", "/api/auth/me", {}, 405],
        ["logout", "POST", "/api/auth/logout", {}, 204],
        ["a cross-site post", "POST", "/public/x", { origin }, 403],
        ["an ambiguous path", "GET", "/public/%2f", {}, 400],
      ]) {
        test(`${label}: ${status}`, async () => {
          const sent = { method, headers: { ...headers, cookie: sessionCookies(invalid) } };
          const response = await gateway.request(path, sent);
          assert.equal(response.status, status, response.text);
          const cleared = response.cookies.filter((line) => line.startsWith("mk_session="));
          assert.deepEqual(cleared, [HEALED]);
          // `no-store` on a 304 would make the browser drop its cached file.
          const expected = status === 304 ? "private" : "private, no-store";
          assert.equal(response.headers["cache-control"], expected);
        });
      }

      test("next to a cookie that upstream sets", async () => {
        const response = await gateway.request("/public/cookie", withCookie(invalid));
        assert.deepEqual(response.cookies, ["other=1; Path=/", HEALED]);
      });
    });

    test("a valid cookie that is not due for renewal stays unchanged", async () => {
      for (const [path, status] of [
        ["/user/x", 200],
        ["/public/x", 200],
        ["/public/404", 404],
        ["/api/auth/me", 200],
      ]) {
        const response = await gateway.request(
          path,
          withCookie(createSessionToken({ exp: now() + 30 * DAY })),
        );
        assert.equal(response.status, status);
        assert.deepEqual(response.cookies, []);
      }
    });

    test("a response that sets a cookie is not stored by shared caches", async () => {
      gateway.upstream.answers["/public/shared"] = {
        headers: [
          ...["Cache-Control", "public, max-age=600", "CDN-Cache-Control", "max-age=600"],
          ...["Cloudflare-CDN-Cache-Control", "max-age=600", "Surrogate-Control", "max-age=600"],
          ...["Expires", "Wed, 01 Jan 2070 00:00:00 GMT", "Pragma", "cache", "ETag", '"e"'],
          ...["Set-Cookie", "theirs=1"],
        ],
      };
      const response = await gateway.request("/public/shared");
      assert.equal(response.headers["cache-control"], "private, max-age=600");
      const shared = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];
      for (const name of shared) {
        assert.equal(response.headers[name], undefined, name);
      }
      assert.equal(response.headers.etag, '"e"');
      assert.deepEqual(response.cookies, ["theirs=1"]);
    });
  });
}

describe("tokens are exchanged with other libraries in both directions", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: ROUTES, variables: session({ refresh_after: "0s" }) });
  });
  after(() => gateway.stop());

  const exchange = async (token) => {
    const { response, seen } = await gateway.expectForwarded(() =>
      gateway.request("/user/x", withCookie(token)),
    );
    assert.equal(seen.headers["x-user-id"], "usr_ada");
    return sessionCookieOf(response).value;
  };

  test("jose", async () => {
    const secret = new TextEncoder().encode(AUTH_SECRET);
    const token = await new SignJWT({ userId: "usr_ada", sessionId: "ses_1", role: "x" })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(secret);
    const renewed = await exchange(trackSecret(token));
    const { payload } = await jwtVerify(renewed, secret, { algorithms: ["HS256"] });
    assert.equal(payload.userId, "usr_ada");
    assert.equal(payload.role, "x");
  });

  test("jsonwebtoken", async () => {
    const token = jsonwebtoken.sign(
      { userId: "usr_ada", sessionId: "ses_1", deep: { a: [1] } },
      AUTH_SECRET,
      {
        expiresIn: "1h",
      },
    );
    const renewed = await exchange(trackSecret(token));
    const payload = jsonwebtoken.verify(renewed, AUTH_SECRET, { algorithms: ["HS256"] });
    assert.equal(payload.sessionId, "ses_1");
    assert.deepEqual(payload.deep, { a: [1] });
  });

  const version = pyjwt();
  test("PyJWT", { skip: version === null && "PyJWT is not available" }, async () => {
    const token = python(
      "import jwt,sys,time; n=int(time.time()); print(jwt.encode({'userId':'usr_ada','sessionId':'ses_1','iat':n,'exp':n+3600},sys.argv[1],algorithm='HS256'))",
      AUTH_SECRET,
    );
    const renewed = await exchange(trackSecret(token));
    const user = python(
      "import jwt,sys; print(jwt.decode(sys.argv[1],sys.argv[2],algorithms=['HS256'])['userId'])",
      renewed,
      AUTH_SECRET,
    );
    assert.equal(user, "usr_ada");
  });
});

describe("times are compared to the second", () => {
  const NOW = 1_800_000_000;
  for (const [leeway, offset, iat, expected] of [
    ["0s", 0, NOW - 60, "session_expired"],
    ["0s", 1, NOW - 60, undefined],
    ["0s", 60, NOW, undefined],
    ["0s", 60, NOW + 1, "session_malformed"],
    ["60s", -59, NOW - 90, undefined],
    ["60s", -60, NOW - 90, "session_expired"],
    ["60s", 90, NOW + 60, undefined],
    ["60s", 90, NOW + 61, "session_malformed"],
  ]) {
    test(`leeway ${leeway}: exp = now ${offset}, iat = now ${iat - NOW}: ${expected ?? "valid"}`, async (t) => {
      const gateway = await openGateway({
        routes: ROUTES,
        variables: { DANGER_FIXED_NOW: NOW, ...session({ leeway }) },
      });
      t.after(() => gateway.stop());
      const sent = withCookie(createSessionToken({ iat, exp: NOW + offset }));
      if (expected) await gateway.expectRejected("/user/x", sent, 401, "unauthorized", expected);
      else
        assert.equal(
          (await gateway.expectForwarded(() => gateway.request("/user/x", sent))).response.status,
          200,
        );
    });
  }
});

describe("renewal and key rotation", () => {
  const NOW = 1_800_000_000;
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: ROUTES,
      variables: {
        DANGER_FIXED_NOW: NOW,
        AUTH_SECRET_PREVIOUS: PREVIOUS_SECRET,
        ...session({ lifetime: "30d", refresh_after: "1d" }),
      },
    });
    Object.assign(gateway.upstream.answers, {
      "/user/404": { status: 404 },
      "/user/500": { status: 500 },
      "/user/302": { status: 302, headers: ["Location", "/a"], body: "" },
      "/user/reset": (request) => request.socket.resetAndDestroy(),
      "/user/sets": { headers: ["Set-Cookie", "mk_session=upstreams; Path=/; HttpOnly"] },
      "/user/clears": { headers: ["Set-Cookie", "mk_session=; Path=/; Max-Age=0"] },
      "/user/spaced": { headers: ["set-cookie", " mk_session = upstreams ; Path=/"] },
      "/user/other": { headers: ["Set-Cookie", "mk_session2=upstreams; Path=/"] },
    });
  });
  after(() => gateway.stop());

  const due = (rest = {}) =>
    createSessionToken({ iat: NOW - DAY, exp: NOW + 5 * DAY, extra: { a: [1] }, ...rest });
  const recent = () => due({ iat: NOW - DAY + 1 });
  const rotated = (rest = {}) =>
    createSessionToken(
      { iat: NOW - 60, exp: NOW + 77, extra: "kept", ...rest },
      { secret: PREVIOUS_SECRET },
    );

  for (const [path, status] of [
    ["/user/x", 200],
    ["/user/302", 302],
    ["/optional/x", 200],
    ["/user/other", 200],
    ["/api/auth/me", 200],
  ]) {
    test(`${path}: a session that is due is renewed by a successful response`, async () => {
      const response = await gateway.request(path, withCookie(due()));
      assert.equal(response.status, status);
      const { value, attributes } = sessionCookieOf(response);
      assert.deepEqual(payloadOf(value), {
        userId: "usr_ada",
        sessionId: "ses_1",
        iat: NOW,
        exp: NOW + 30 * DAY,
        extra: { a: [1] },
      });
      assert.deepEqual(headerOf(value), { alg: "HS256", typ: "JWT", kid: kid(AUTH_SECRET) });
      assert.deepEqual(attributes.sort(), [
        "HttpOnly",
        `Max-Age=${30 * DAY}`,
        "Path=/",
        "SameSite=Lax",
        "Secure",
      ]);
      assert.equal(response.headers["cache-control"], "private, no-store");
    });
  }

  for (const [label, path, token, status] of [
    ["not due", "/user/x", recent(), 200],
    ["upstream returns 404", "/user/404", due(), 404],
    ["upstream returns 500", "/user/500", due(), 500],
    ["upstream is down", "/user/reset", due(), 502],
    ["the rule is public", "/public/x", due(), 200],
  ]) {
    test(`${label}: the cookie stays unchanged`, async () => {
      const response = await gateway.request(path, withCookie(token));
      assert.equal(response.status, status);
      assert.deepEqual(response.cookies, []);
    });
  }

  for (const path of ["/user/x", "/user/404", "/user/reset", "/public/x", "/api/auth/me"]) {
    test(`${path}: a session under the previous key is signed again with the same expiry`, async () => {
      const response = await gateway.request(path, withCookie(rotated()));
      const { value, attributes } = sessionCookieOf(response);
      assert.deepEqual(payloadOf(value), payloadOf(rotated()));
      assert.equal(headerOf(value).kid, kid(AUTH_SECRET));
      assert.ok(attributes.includes("Max-Age=77"));
      await gateway
        .request(path, withCookie(value))
        .then(({ cookies }) => assert.deepEqual(cookies, []));
    });
  }

  test("a session under the previous key that is due is renewed", async () => {
    const token = rotated({ iat: NOW - DAY });
    const { value } = sessionCookieOf(await gateway.request("/user/x", withCookie(token)));
    assert.equal(payloadOf(value).exp, NOW + 30 * DAY);
  });

  test("`kid` selects the key", async () => {
    const under = (secret, id) =>
      createSessionToken({ iat: NOW - 60, exp: NOW + 60 }, { secret, header: { kid: id } });
    const matching = under(PREVIOUS_SECRET, kid(PREVIOUS_SECRET));
    assert.equal((await gateway.request("/user/x", withCookie(matching))).status, 200);
    for (const swapped of [
      under(PREVIOUS_SECRET, kid(AUTH_SECRET)),
      under(AUTH_SECRET, kid(PREVIOUS_SECRET)),
    ]) {
      const sent = withCookie(swapped);
      await gateway.expectRejected("/user/x", sent, 401, "unauthorized", "session_bad_signature");
    }
  });

  for (const [path, line] of [
    ["/user/sets", "mk_session=upstreams; Path=/; HttpOnly"],
    ["/user/clears", "mk_session=; Path=/; Max-Age=0"],
    ["/user/spaced", "mk_session = upstreams ; Path=/"],
  ]) {
    test(`${path}: a session cookie that upstream sets is not overridden`, async () => {
      for (const token of [due(), rotated(), recent()]) {
        const response = await gateway.request(path, withCookie(token));
        assert.deepEqual(
          response.cookies.map((text) => text.trim()),
          [line],
        );
        assert.equal(response.headers["cache-control"], "private, no-store");
      }
      const response = await gateway.request(path, withCookie(recent(), breakSignature(recent())));
      assert.deepEqual(
        response.cookies.map((text) => text.trim()),
        [line],
      );
    });
  }
});

describe("several copies of the cookie", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: ROUTES });
  });
  after(() => gateway.stop());

  const PAGE_URL = `${PUBLIC}/user/deep/page`;

  // Returns a cookie jar with `copies`: [value, Domain, Path].
  async function jarWith(copies, url = PAGE_URL, name = "mk_session") {
    const jar = new CookieJar(undefined, { rejectPublicSuffixes: false });
    for (const [value, domain, path] of copies) {
      const scope = `${domain ? `; Domain=${domain}` : ""}; Path=${path}`;
      await jar.setCookie(`${name}=${value}${scope}; Max-Age=1000`, url);
    }
    return jar;
  }

  async function visit(jar, url = PAGE_URL, through = gateway) {
    const sent = await jar.getCookieString(url);
    const before = through.upstreamRequests.length;
    const response = await through.requestUrl(url, { headers: { cookie: sent } });
    for (const line of response.cookies) await jar.setCookie(Cookie.parse(line), url);
    const held = await jar.getCookies(url, { allPaths: true });
    return { response, sent, held, forwarded: through.upstreamRequests.length - before };
  }

  const good = () => createSessionToken();
  for (const [label, others] of [
    ["garbage at a path", [["garbage", undefined, "/user"]]],
    [
      "a forged copy at the path of the page",
      [[breakSignature(createSessionToken()), undefined, "/user/deep/page"]],
    ],
    [
      "an older session of the same user",
      [[createSessionToken({ iat: now() - 50, sessionId: "older" }), undefined, "/user/"]],
    ],
    [
      "an expired copy at the domain",
      [[createSessionToken({ iat: 1, exp: 2 }), "app.example", "/user"]],
    ],
    [
      "several invalid copies",
      [
        ["garbage", undefined, "/user/deep"],
        ["junk", "app.example", "/user"],
        [breakSignature(createSessionToken()), undefined, "/user/deep/page"],
        ["", "app.example", "/user/deep/"],
      ],
    ],
  ]) {
    test(`next to ${label}: the valid copy is used, and all others are cleared`, async () => {
      const token = good();
      const jar = await jarWith([...others, [token, undefined, "/"]]);
      const { response, sent, held, forwarded } = await visit(jar);
      assert.equal(sent.split("; ").length, others.length + 1);
      assert.equal(response.status, 200, response.text);
      assert.equal(forwarded, 1);
      assert.deepEqual(
        held.map(({ key, value, path, hostOnly, httpOnly, secure }) => ({
          ...{ key, value, path, hostOnly, httpOnly, secure },
        })),
        [
          {
            ...{ key: "mk_session", value: token, path: "/", hostOnly: true },
            ...{ httpOnly: true, secure: true },
          },
        ],
      );
    });
  }

  test("of two sessions of one user, the newest is used, in any order", async () => {
    const older = createSessionToken({ iat: now() - 50, sessionId: "older" });
    const newer = createSessionToken({ iat: now() - 10, sessionId: "newer" });
    for (const order of [
      [older, newer],
      [newer, older],
    ]) {
      const { seen, response } = await gateway.expectForwarded(() =>
        gateway.request("/user/x", withCookie(...order)),
      );
      assert.equal(seen.headers["x-session-id"], "newer");
      const last = response.cookies.at(-1);
      assert.ok(last.startsWith(`mk_session=${newer}; Path=/;`), last);
    }
  });

  test("sessions of two users: returns 401 and clears all copies", async () => {
    const jar = await jarWith([
      [createSessionToken(), undefined, "/"],
      [createSessionToken({ userId: "usr_bob" }), undefined, "/user"],
      [createSessionToken({ userId: "usr_bob" }), "app.example", "/user/deep"],
    ]);
    const { response, held, forwarded } = await visit(jar);
    assertProblem(response, 401, "unauthorized", "session_ambiguous");
    assert.equal(forwarded, 0);
    assert.deepEqual(held, []);
  });

  test("no valid copy: returns 401 and clears all copies", async () => {
    const jar = await jarWith([
      [breakSignature(createSessionToken()), undefined, "/"],
      ["garbage", undefined, "/user"],
      ["", "app.example", "/user/deep"],
    ]);
    const { response, held } = await visit(jar);
    assertProblem(response, 401, "unauthorized", "session_bad_signature");
    assert.deepEqual(held, []);
  });

  test("only the first eight copies are tried", async () => {
    const junk = Array.from({ length: 8 }, (_, i) => `junk${i}`);
    const sent = withCookie(...junk, createSessionToken());
    await gateway.expectRejected("/user/x", sent, 401, "unauthorized", "session_malformed");
    const eighth = withCookie(
      ...junk.slice(1),
      createSessionToken(),
      createSessionToken({ userId: "usr_bob" }),
    );
    const { seen } = await gateway.expectForwarded(() => gateway.request("/user/x", eighth));
    assert.equal(seen.headers["x-user-id"], "usr_ada");
  });

  test("nine copies: two responses clear all invalid ones", async () => {
    const paths = ["/user", "/user/", "/user/deep", "/user/deep/", "/user/deep/page"];
    const jar = await jarWith([
      ...paths.map((path) => ["junk", undefined, path]),
      ...["/", "/user", "/user/deep"].map((path) => ["junk", "app.example", path]),
      [createSessionToken(), undefined, "/"],
    ]);
    await visit(jar);
    const { held } = await visit(jar);
    assert.ok(held.length <= 1, held.map(({ domain, path }) => `${domain}${path}`).join(" "));
    assert.ok(held.every(({ value }) => value !== "junk"));
  });

  test("copies at parent domains are cleared too", async (t) => {
    const deep = await openGateway({
      routes: ROUTES,
      variables: { PUBLIC_ORIGINS: ["https://a.b.app.example"] },
    });
    t.after(() => deep.stop());
    const url = "https://a.b.app.example/user/x";
    const token = createSessionToken();
    const jar = await jarWith(
      [
        ["junk", "app.example", "/"],
        ["junk", "b.app.example", "/user"],
        ["junk", "a.b.app.example", "/user/x"],
        [token, undefined, "/"],
      ],
      url,
    );
    const { response, held } = await visit(jar, url, deep);
    assert.equal(response.status, 200);
    assert.deepEqual(
      held.map(({ value, domain }) => [value, domain]),
      [[token, "a.b.app.example"]],
    );
    const domains = response.cookies.map((line) => /; Domain=([^;]*)/.exec(line)?.[1]);
    assert.ok(!domains.includes("example"), "a public suffix is not a cookie domain");
  });

  test("with SESSION.domain, only the copy at that domain stays", async (t) => {
    const wide = await openGateway({
      routes: ROUTES,
      variables: {
        PUBLIC_ORIGINS: ["https://www.app.example"],
        ...session({ domain: "app.example", refresh_after: "0s" }),
      },
    });
    t.after(() => wide.stop());
    const url = "https://www.app.example/user/x";
    const token = createSessionToken();
    const jar = await jarWith(
      [
        ["junk", undefined, "/"],
        ["junk", "www.app.example", "/user"],
        [token, "app.example", "/"],
      ],
      url,
    );
    const { response, held } = await visit(jar, url, wide);
    assert.equal(response.status, 200);
    assert.deepEqual(
      held.map(({ domain, path, hostOnly }) => [domain, path, hostOnly]),
      [["app.example", "/", false]],
    );
    assert.notEqual(held[0].value, "junk");
    const healed = await wide.requestUrl(url, withCookie(breakSignature(token)));
    assert.deepEqual(healed.cookies, ["mk_session=; Path=/; Domain=app.example; Max-Age=0"]);
  });

  test("a __Host- cookie has one scope, and is always Secure", async (t) => {
    const host = await openGateway({
      routes: ROUTES,
      variables: session({ cookie: "__Host-s", refresh_after: "0s" }),
    });
    t.after(() => host.stop());
    const sent = (...values) => ({
      headers: { cookie: values.map((value) => `__Host-s=${value}`).join("; ") },
    });
    const healed = await host.requestUrl(PAGE_URL, sent("junk"));
    assert.deepEqual(healed.cookies, ["__Host-s=; Path=/; Max-Age=0; Secure"]);
    const twice = await host.requestUrl(PAGE_URL, sent("junk", createSessionToken()));
    assert.equal(twice.status, 200);
    const { attributes } = sessionCookieOf(twice, "__Host-s");
    assert.deepEqual(attributes.map((text) => text.replace(/=\d+$/, "")).sort(), [
      ...["HttpOnly", "Max-Age", "Path=/", "SameSite=Lax", "Secure"],
    ]);
    const jar = new CookieJar();
    await jar.setCookie(twice.cookies[0], PUBLIC);
    assert.equal((await jar.getCookies(PUBLIC)).length, 1);
  });
});

test("Secure is omitted only for http://localhost in development", async (t) => {
  const variables = session({ refresh_after: "0s" });
  const developer = await openGateway({ routes: ROUTES, variables });
  const deployed = await openGateway({
    routes: ROUTES,
    variables: { ...PRODUCTION, ...variables },
  });
  t.after(() => Promise.all([developer.stop(), deployed.stop()]));
  for (const [gateway, url, secure] of [
    [developer, "http://localhost:8787/user/x", false],
    [developer, "http://app.example/user/x", true],
    [developer, "https://localhost:8787/user/x", true],
    [developer, "https://app.example/user/x", true],
    [developer, "http://localhost.evil.example/user/x", true],
    [deployed, "http://localhost:8787/user/x", true],
    [deployed, "https://app.example/user/x", true],
  ]) {
    const { attributes } = sessionCookieOf(
      await gateway.requestUrl(url, withCookie(createSessionToken())),
    );
    assert.equal(attributes.includes("Secure"), secure, url);
  }
});

test("configured claim names, issuer and audience are required", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: session({
      ...{ user_claim: "sub", session_claim: "sid", issuer: "https://idp.example" },
      ...{ audience: "app", refresh_after: "0s" },
    }),
  });
  t.after(() => gateway.stop());
  const claims = { sub: "usr_eve", sid: "ses_9", iss: "https://idp.example", aud: ["x", "app"] };
  const { seen, response } = await gateway.expectForwarded(() =>
    gateway.request("/user/x", withCookie(createSessionToken(claims))),
  );
  assert.equal(seen.headers["x-user-id"], "usr_eve");
  assert.equal(seen.headers["x-session-id"], "ses_9");
  const { iss, aud } = payloadOf(sessionCookieOf(response).value);
  assert.deepEqual([iss, aud], ["https://idp.example", ["x", "app"]]);
  for (const wrong of [
    ...[{ aud: "other" }, { aud: undefined }, { aud: [] }, { iss: "https://idp.example/" }],
    ...[{ iss: undefined }, { sub: undefined }, { sid: undefined }],
  ]) {
    const sent = withCookie(createSessionToken({ ...claims, ...wrong }));
    await gateway.expectRejected("/user/x", sent, 401, "unauthorized", "session_malformed");
  }
});

test("cookie_previous moves a session to the present name, and signing out ends both", async (t) => {
  const NEW = "__Host-session";
  const gateway = await openGateway({
    routes: [
      { path: "/in", methods: ["POST"], access: "public", login: true },
      { path: "/strict", methods: ["POST"], access: "user", csrf: "strict" },
    ],
    answers: { "/in": { headers: ["X-Vestibule-Login", "usr_ada"] } },
    variables: {
      ...PRODUCTION,
      SESSION: { login: "upstream", cookie: NEW, cookie_previous: "mk_session" },
    },
    // The deployment before.
    secondIsolate: { SESSION: { login: "upstream" } },
  });
  t.after(() => gateway.stop());
  const headers = { "Sec-Fetch-Site": "same-origin" };
  const before = await gateway.requestSecondIsolate("/in", { method: "POST", headers });
  const { value } = sessionCookieOf(before);
  const sendOld = (path, rest) =>
    gateway.requestUrl(PUBLIC + path, {
      ...rest,
      headers: { Cookie: `mk_session=${value}; a=1`, ...rest?.headers },
    });
  const { response, seen } = await gateway.expectForwarded(() => sendOld("/x"));
  assert.equal(seen.headers.cookie, `a=1; ${NEW}=${value}`);
  const moved = sessionCookieOf(response, NEW);
  assert.equal(moved.value, value);
  assert.deepEqual(moved.attributes.slice(-3), ["HttpOnly", "SameSite=Lax", "Secure"]);
  assert.ok(response.cookies.includes("mk_session=; Path=/; Max-Age=0"), response.cookies);
  // The strict CSRF check knows both names.
  const forged = await gateway.expectNotForwarded(() => sendOld("/strict", { method: "POST" }));
  assertProblem(forged, 403, "forbidden_origin");
  // A former cookie beside the present one is ignored, and not forwarded.
  const Cookie = `mk_session=planted; ${NEW}=${value}`;
  const both = await gateway.expectForwarded(() =>
    gateway.requestUrl(`${PUBLIC}/x`, { headers: { Cookie } }),
  );
  assert.equal(both.seen.headers.cookie, `${NEW}=${value}`);
  const out = await gateway.requestUrl(`${PUBLIC}/api/auth/logout`, {
    method: "POST",
    headers: { ...headers, Cookie },
  });
  assert.ok(out.cookies.includes(`${NEW}=; Path=/; Max-Age=0; Secure`), out.cookies);
  assert.ok(out.cookies.includes("mk_session=; Path=/; Max-Age=0"), out.cookies);
  const gone = await gateway.expectNotForwarded(() => sendOld("/x"));
  assertProblem(gone, 401, "unauthorized", "session_revoked");
});
