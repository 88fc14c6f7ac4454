// The session cookie: which tokens hold, what becomes of those that do not, and what of those that do.

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
  sessionSet,
} from "../support/gateway.mjs";
import {
  cookie,
  forge,
  headerOf,
  mint,
  now,
  payloadOf,
  remember,
  sign,
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
const withCookie = (...tokens) => ({ headers: { cookie: cookie(...tokens) } });
const kid = (secret) => createHash("sha256").update(secret).digest("hex").slice(0, 8);

// PyJWT, from wherever it is, or fetched into target/ once; null where neither can be had.
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

    const good = mint();
    const [header, payload, tag] = good.split(".");
    const claims = (rest) => JSON.stringify({ userId: "u", sessionId: "s", ...rest });
    const later = now() + 600;
    describe("a token that does not hold", () => {
      for (const [why, token, reason] of [
        ["is empty", "", "session_malformed"],
        ["is junk", "garbage", "session_malformed"],
        ["is two parts", `${header}.${payload}`, "session_malformed"],
        ["is four parts", `${good}.${tag}`, "session_malformed"],
        ["is padded", `${good}=`, "session_malformed"],
        ["is quoted", `"${good}"`, "session_malformed"],
        ["is plain base64", good.replace(".", "+."), "session_malformed"],
        [
          "is unsigned",
          sign('{"alg":"none"}', claims({ iat: 1, exp: later })),
          "session_malformed",
        ],
        ["has an empty tag", `${header}.${payload}.`, "session_bad_signature"],
        ["has half a tag", `${header}.${payload}.${tag.slice(0, 24)}`, "session_bad_signature"],
        ["is HS384", sign('{"alg":"HS384"}', claims({ iat: 1, exp: later })), "session_malformed"],
        ["is HS512", sign('{"alg":"HS512"}', claims({ iat: 1, exp: later })), "session_malformed"],
        ["has crit", mint({}, { header: { crit: ["exp"] } }), "session_malformed"],
        ["is another type", mint({}, { header: { typ: "at+jwt" } }), "session_malformed"],
        [
          "has two algorithms",
          sign('{"alg":"HS256","alg":"HS256"}', claims()),
          "session_malformed",
        ],
        ["is beyond 4,096 bytes", mint({ fat: "f".repeat(3000) }), "session_malformed"],
        ["has its signature spoilt", forge(good), "session_bad_signature"],
        ["is another secret's", mint({}, { secret: PREVIOUS_SECRET }), "session_bad_signature"],
        ["names an unknown key", mint({}, { header: { kid: "nope" } }), "session_bad_signature"],
        ["is expired", mint({ iat: now() - 100, exp: now() - 50 }), "session_expired"],
        ["never expires", mint({ exp: undefined }), "session_malformed"],
        ["has no iat", sign('{"alg":"HS256"}', claims({ exp: later })), "session_malformed"],
        ["expires in words", mint({ exp: "tomorrow" }), "session_malformed"],
        ["expires in fractions", mint({ exp: later + 0.5 }), "session_malformed"],
        ["is from the future", mint({ iat: later, exp: later + 60 }), "session_malformed"],
        ["is not valid yet", mint({ nbf: later }), "session_malformed"],
        ["names nobody", mint({ userId: undefined }), "session_malformed"],
        ["names a number", mint({ userId: 7 }), "session_malformed"],
        ["names a space", mint({ userId: "a b" }), "session_malformed"],
        ["has a long name", mint({ userId: "u".repeat(129) }), "session_malformed"],
        ["has no session", mint({ sessionId: "" }), "session_malformed"],
        [
          "names two users",
          sign('{"alg":"HS256"}', `{"userId":"a",${claims({ iat: 1, exp: later }).slice(1)}`),
          "session_malformed",
        ],
        ["is a list", sign('{"alg":"HS256"}', "[]"), "session_malformed"],
      ]) {
        test(`${why}: 401 ${reason}, healed`, async () => {
          const response = await gateway.refused(
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

      test("no credential, an unknown bearer token: 401, nothing to heal", async () => {
        const nobody = await gateway.refused("/user/x", {}, 401, "unauthorized", "no_credential");
        assert.deepEqual(nobody.cookies, []);
        for (const scheme of ["Bearer", "bearer", "BEARER"]) {
          const headers = {
            authorization: `${scheme} ${remember("mul_unknown-token-of-somebody")}`,
          };
          await gateway.refused("/user/x", { headers }, 401, "unauthorized", "token_unknown");
        }
        for (const authorization of ["Basic dTpw", "Bearer", "Bearer "]) {
          const headers = { authorization };
          await gateway.refused("/user/x", { headers }, 401, "unauthorized", "no_credential");
        }
        const headers = { authorization: `Bearer ${good}` };
        await gateway.refused("/user/x", { headers }, 401, "unauthorized", "token_unknown");
      });
    });

    describe("a dead cookie is healed whatever the answer is", () => {
      const dead = forge(mint());
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
      for (const [what, method, path, headers, status] of [
        ["a refusal to a script", "GET", "/user/x", {}, 401],
        ["a redirect of ours", "GET", "/user/x", page, 302],
        ["the login page", "GET", "/login", page, 200],
        ["a public page", "GET", "/public/x", {}, 200],
        ["an optional page", "GET", "/optional/x", {}, 200],
        ["HEAD", "HEAD", "/public/x", {}, 200],
        ["upstream's 404", "GET", "/public/404", {}, 404],
        ["upstream's 304", "GET", "/public/304", {}, 304],
        ["upstream's redirect", "GET", "/public/moved", {}, 302],
        ["upstream's 500", "GET", "/public/500", {}, 500],
        ["upstream down", "GET", "/public/reset", {}, 502],
        ["a stream", "GET", "/public/stream", {}, 200],
        ["who am I", "GET", "/api/auth/me", {}, 401],
        ["our version", "GET", "/.well-known/vestibule", {}, 200],
        ["a wrong method", "DELETE", "/api/auth/me", {}, 405],
        ["logout", "POST", "/api/auth/logout", {}, 204],
        ["a cross-site post", "POST", "/public/x", { origin }, 403],
        ["an ambiguous path", "GET", "/public/%2f", {}, 400],
      ]) {
        test(`${what}: ${status}`, async () => {
          const sent = { method, headers: { ...headers, cookie: cookie(dead) } };
          const response = await gateway.ask(path, sent);
          assert.equal(response.status, status, response.text);
          const healed = response.cookies.filter((line) => line.startsWith("mk_session="));
          assert.deepEqual(healed, [HEALED]);
          // `no-store` on a 304 would throw away the file that the browser has.
          const kept = status === 304 ? "private" : "private, no-store";
          assert.equal(response.headers["cache-control"], kept);
        });
      }

      test("beside a cookie of upstream's own", async () => {
        const response = await gateway.ask("/public/cookie", withCookie(dead));
        assert.deepEqual(response.cookies, ["other=1; Path=/", HEALED]);
      });
    });

    test("a live cookie that is not due is left alone everywhere", async () => {
      for (const [path, status] of [
        ["/user/x", 200],
        ["/public/x", 200],
        ["/public/404", 404],
        ["/api/auth/me", 200],
      ]) {
        const response = await gateway.ask(path, withCookie(mint({ exp: now() + 30 * DAY })));
        assert.equal(response.status, status);
        assert.deepEqual(response.cookies, []);
      }
    });

    test("an answer that sets a cookie is nobody else's to keep", async () => {
      gateway.upstream.answers["/public/shared"] = {
        headers: [
          ...["Cache-Control", "public, max-age=600", "CDN-Cache-Control", "max-age=600"],
          ...["Cloudflare-CDN-Cache-Control", "max-age=600", "Surrogate-Control", "max-age=600"],
          ...["Expires", "Wed, 01 Jan 2070 00:00:00 GMT", "Pragma", "cache", "ETag", '"e"'],
          ...["Set-Cookie", "theirs=1"],
        ],
      };
      const response = await gateway.ask("/public/shared");
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

describe("tokens of other libraries, and ours for them", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: ROUTES, variables: session({ refresh_after: "0s" }) });
  });
  after(() => gateway.stop());

  const exchange = async (token) => {
    const { response, seen } = await gateway.passed(() =>
      gateway.ask("/user/x", withCookie(token)),
    );
    assert.equal(seen.headers["x-user-id"], "usr_ada");
    return sessionSet(response).value;
  };

  test("jose", async () => {
    const secret = new TextEncoder().encode(AUTH_SECRET);
    const token = await new SignJWT({ userId: "usr_ada", sessionId: "ses_1", role: "x" })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(secret);
    const reminted = await exchange(remember(token));
    const { payload } = await jwtVerify(reminted, secret, { algorithms: ["HS256"] });
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
    const reminted = await exchange(remember(token));
    const payload = jsonwebtoken.verify(reminted, AUTH_SECRET, { algorithms: ["HS256"] });
    assert.equal(payload.sessionId, "ses_1");
    assert.deepEqual(payload.deep, { a: [1] });
  });

  const version = pyjwt();
  test("PyJWT", { skip: version === null && "PyJWT cannot be had here" }, async () => {
    const token = python(
      "import jwt,sys,time; n=int(time.time()); print(jwt.encode({'userId':'usr_ada','sessionId':'ses_1','iat':n,'exp':n+3600},sys.argv[1],algorithm='HS256'))",
      AUTH_SECRET,
    );
    const reminted = await exchange(remember(token));
    const user = python(
      "import jwt,sys; print(jwt.decode(sys.argv[1],sys.argv[2],algorithms=['HS256'])['userId'])",
      reminted,
      AUTH_SECRET,
    );
    assert.equal(user, "usr_ada");
  });
});

describe("at the second", () => {
  const NOW = 1_800_000_000;
  for (const [leeway, offset, iat, want] of [
    ["0s", 0, NOW - 60, "session_expired"],
    ["0s", 1, NOW - 60, undefined],
    ["0s", 60, NOW, undefined],
    ["0s", 60, NOW + 1, "session_malformed"],
    ["60s", -59, NOW - 90, undefined],
    ["60s", -60, NOW - 90, "session_expired"],
    ["60s", 90, NOW + 60, undefined],
    ["60s", 90, NOW + 61, "session_malformed"],
  ]) {
    test(`leeway ${leeway}: exp = now ${offset}, iat = now ${iat - NOW}: ${want ?? "holds"}`, async (t) => {
      const gateway = await openGateway({
        routes: ROUTES,
        variables: { DANGER_FIXED_NOW: NOW, ...session({ leeway }) },
      });
      t.after(() => gateway.stop());
      const sent = withCookie(mint({ iat, exp: NOW + offset }));
      if (want) await gateway.refused("/user/x", sent, 401, "unauthorized", want);
      else
        assert.equal(
          (await gateway.passed(() => gateway.ask("/user/x", sent))).response.status,
          200,
        );
    });
  }
});

describe("refresh and rotation, by a fixed clock", () => {
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

  const old = (rest = {}) =>
    mint({ iat: NOW - DAY, exp: NOW + 5 * DAY, extra: { a: [1] }, ...rest });
  const young = () => old({ iat: NOW - DAY + 1 });
  const rotated = (rest = {}) =>
    mint({ iat: NOW - 60, exp: NOW + 77, extra: "kept", ...rest }, { secret: PREVIOUS_SECRET });

  for (const [path, status] of [
    ["/user/x", 200],
    ["/user/302", 302],
    ["/optional/x", 200],
    ["/user/other", 200],
    ["/api/auth/me", 200],
  ]) {
    test(`${path}: due and well answered, so minted anew`, async () => {
      const response = await gateway.ask(path, withCookie(old()));
      assert.equal(response.status, status);
      const { value, attributes } = sessionSet(response);
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

  for (const [why, path, token, status] of [
    ["not due", "/user/x", young(), 200],
    ["upstream says 404", "/user/404", old(), 404],
    ["upstream says 500", "/user/500", old(), 500],
    ["upstream is down", "/user/reset", old(), 502],
    ["nobody was asked for", "/public/x", old(), 200],
  ]) {
    test(`${why}: left alone`, async () => {
      const response = await gateway.ask(path, withCookie(token));
      assert.equal(response.status, status);
      assert.deepEqual(response.cookies, []);
    });
  }

  for (const path of ["/user/x", "/user/404", "/user/reset", "/public/x", "/api/auth/me"]) {
    test(`${path}: an old key's session is minted again with the same expiry`, async () => {
      const response = await gateway.ask(path, withCookie(rotated()));
      const { value, attributes } = sessionSet(response);
      assert.deepEqual(payloadOf(value), payloadOf(rotated()));
      assert.equal(headerOf(value).kid, kid(AUTH_SECRET));
      assert.ok(attributes.includes("Max-Age=77"));
      await gateway
        .ask(path, withCookie(value))
        .then(({ cookies }) => assert.deepEqual(cookies, []));
    });
  }

  test("an old key's session that is due is refreshed as well", async () => {
    const token = rotated({ iat: NOW - DAY });
    const { value } = sessionSet(await gateway.ask("/user/x", withCookie(token)));
    assert.equal(payloadOf(value).exp, NOW + 30 * DAY);
  });

  test("a key id chooses the key", async () => {
    const under = (secret, id) =>
      mint({ iat: NOW - 60, exp: NOW + 60 }, { secret, header: { kid: id } });
    const well = under(PREVIOUS_SECRET, kid(PREVIOUS_SECRET));
    assert.equal((await gateway.ask("/user/x", withCookie(well))).status, 200);
    for (const crossed of [
      under(PREVIOUS_SECRET, kid(AUTH_SECRET)),
      under(AUTH_SECRET, kid(PREVIOUS_SECRET)),
    ]) {
      const sent = withCookie(crossed);
      await gateway.refused("/user/x", sent, 401, "unauthorized", "session_bad_signature");
    }
  });

  for (const [path, line] of [
    ["/user/sets", "mk_session=upstreams; Path=/; HttpOnly"],
    ["/user/clears", "mk_session=; Path=/; Max-Age=0"],
    ["/user/spaced", "mk_session = upstreams ; Path=/"],
  ]) {
    test(`${path}: upstream's word on the cookie stands`, async () => {
      for (const token of [old(), rotated(), young()]) {
        const response = await gateway.ask(path, withCookie(token));
        assert.deepEqual(
          response.cookies.map((text) => text.trim()),
          [line],
        );
        assert.equal(response.headers["cache-control"], "private, no-store");
      }
      const response = await gateway.ask(path, withCookie(young(), forge(young())));
      assert.deepEqual(
        response.cookies.map((text) => text.trim()),
        [line],
      );
    });
  }
});

describe("several copies", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: ROUTES });
  });
  after(() => gateway.stop());

  const URL_ASKED = `${PUBLIC}/user/deep/page`;

  // A browser that holds `copies` of [value, Domain, Path].
  async function browser(copies, asked = URL_ASKED, name = "mk_session") {
    const jar = new CookieJar(undefined, { rejectPublicSuffixes: false });
    for (const [value, domain, path] of copies) {
      const scope = `${domain ? `; Domain=${domain}` : ""}; Path=${path}`;
      await jar.setCookie(`${name}=${value}${scope}; Max-Age=1000`, asked);
    }
    return jar;
  }

  async function visit(jar, asked = URL_ASKED, through = gateway) {
    const sent = await jar.getCookieString(asked);
    const before = through.seen.length;
    const response = await through.visit(asked, { headers: { cookie: sent } });
    for (const line of response.cookies) await jar.setCookie(Cookie.parse(line), asked);
    const held = await jar.getCookies(asked, { allPaths: true });
    return { response, sent, held, asked: through.seen.length - before };
  }

  const good = () => mint();
  for (const [what, others] of [
    ["garbage at a path", [["garbage", undefined, "/user"]]],
    ["a forged one at the page itself", [[forge(mint()), undefined, "/user/deep/page"]]],
    [
      "another of the same user",
      [[mint({ iat: now() - 50, sessionId: "older" }), undefined, "/user/"]],
    ],
    ["an expired one at the domain", [[mint({ iat: 1, exp: 2 }), "app.example", "/user"]]],
    [
      "several, everywhere",
      [
        ["garbage", undefined, "/user/deep"],
        ["junk", "app.example", "/user"],
        [forge(mint()), undefined, "/user/deep/page"],
        ["", "app.example", "/user/deep/"],
      ],
    ],
  ]) {
    test(`beside ${what}: the right one is used, and the only one left`, async () => {
      const token = good();
      const jar = await browser([...others, [token, undefined, "/"]]);
      const { response, sent, held, asked } = await visit(jar);
      assert.equal(sent.split("; ").length, others.length + 1);
      assert.equal(response.status, 200, response.text);
      assert.equal(asked, 1);
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

  test("of two of one user, the one issued last is used, wherever it stands", async () => {
    const older = mint({ iat: now() - 50, sessionId: "older" });
    const newer = mint({ iat: now() - 10, sessionId: "newer" });
    for (const order of [
      [older, newer],
      [newer, older],
    ]) {
      const { seen, response } = await gateway.passed(() =>
        gateway.ask("/user/x", withCookie(...order)),
      );
      assert.equal(seen.headers["x-session-id"], "newer");
      const last = response.cookies.at(-1);
      assert.ok(last.startsWith(`mk_session=${newer}; Path=/;`), last);
    }
  });

  test("two users: nobody, and no copy is left", async () => {
    const jar = await browser([
      [mint(), undefined, "/"],
      [mint({ userId: "usr_bob" }), undefined, "/user"],
      [mint({ userId: "usr_bob" }), "app.example", "/user/deep"],
    ]);
    const { response, held, asked } = await visit(jar);
    assertProblem(response, 401, "unauthorized", "session_ambiguous");
    assert.equal(asked, 0);
    assert.deepEqual(held, []);
  });

  test("none that holds: nobody, and no copy is left", async () => {
    const jar = await browser([
      [forge(mint()), undefined, "/"],
      ["garbage", undefined, "/user"],
      ["", "app.example", "/user/deep"],
    ]);
    const { response, held } = await visit(jar);
    assertProblem(response, 401, "unauthorized", "session_bad_signature");
    assert.deepEqual(held, []);
  });

  test("what comes ninth is not looked at", async () => {
    const junk = Array.from({ length: 8 }, (_, i) => `junk${i}`);
    const sent = withCookie(...junk, mint());
    await gateway.refused("/user/x", sent, 401, "unauthorized", "session_malformed");
    const eighth = withCookie(...junk.slice(1), mint(), mint({ userId: "usr_bob" }));
    const { seen } = await gateway.passed(() => gateway.ask("/user/x", eighth));
    assert.equal(seen.headers["x-user-id"], "usr_ada");
  });

  test("nine copies: a browser gets rid of them all", async () => {
    const paths = ["/user", "/user/", "/user/deep", "/user/deep/", "/user/deep/page"];
    const jar = await browser([
      ...paths.map((path) => ["junk", undefined, path]),
      ...["/", "/user", "/user/deep"].map((path) => ["junk", "app.example", path]),
      [mint(), undefined, "/"],
    ]);
    await visit(jar);
    const { held } = await visit(jar);
    assert.ok(held.length <= 1, held.map(({ domain, path }) => `${domain}${path}`).join(" "));
    assert.ok(held.every(({ value }) => value !== "junk"));
  });

  test("the parents' domains are cleared too", async (t) => {
    const deep = await openGateway({
      routes: ROUTES,
      variables: { PUBLIC_ORIGINS: ["https://a.b.app.example"] },
    });
    t.after(() => deep.stop());
    const asked = "https://a.b.app.example/user/x";
    const token = mint();
    const jar = await browser(
      [
        ["junk", "app.example", "/"],
        ["junk", "b.app.example", "/user"],
        ["junk", "a.b.app.example", "/user/x"],
        [token, undefined, "/"],
      ],
      asked,
    );
    const { response, held } = await visit(jar, asked, deep);
    assert.equal(response.status, 200);
    assert.deepEqual(
      held.map(({ value, domain }) => [value, domain]),
      [[token, "a.b.app.example"]],
    );
    const domains = response.cookies.map((line) => /; Domain=([^;]*)/.exec(line)?.[1]);
    assert.ok(!domains.includes("example"), "a public suffix is no scope");
  });

  test("with SESSION.domain, the domain's copy is the one that stays", async (t) => {
    const wide = await openGateway({
      routes: ROUTES,
      variables: {
        PUBLIC_ORIGINS: ["https://www.app.example"],
        ...session({ domain: "app.example", refresh_after: "0s" }),
      },
    });
    t.after(() => wide.stop());
    const asked = "https://www.app.example/user/x";
    const token = mint();
    const jar = await browser(
      [
        ["junk", undefined, "/"],
        ["junk", "www.app.example", "/user"],
        [token, "app.example", "/"],
      ],
      asked,
    );
    const { response, held } = await visit(jar, asked, wide);
    assert.equal(response.status, 200);
    assert.deepEqual(
      held.map(({ domain, path, hostOnly }) => [domain, path, hostOnly]),
      [["app.example", "/", false]],
    );
    assert.notEqual(held[0].value, "junk");
    const healed = await wide.visit(asked, withCookie(forge(token)));
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
    const healed = await host.visit(URL_ASKED, sent("junk"));
    assert.deepEqual(healed.cookies, ["__Host-s=; Path=/; Max-Age=0; Secure"]);
    const twice = await host.visit(URL_ASKED, sent("junk", mint()));
    assert.equal(twice.status, 200);
    const { attributes } = sessionSet(twice, "__Host-s");
    assert.deepEqual(attributes.map((text) => text.replace(/=\d+$/, "")).sort(), [
      ...["HttpOnly", "Max-Age", "Path=/", "SameSite=Lax", "Secure"],
    ]);
    const jar = new CookieJar();
    await jar.setCookie(twice.cookies[0], PUBLIC);
    assert.equal((await jar.getCookies(PUBLIC)).length, 1);
  });
});

test("Secure is left out on the developer's own machine alone", async (t) => {
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
    const { attributes } = sessionSet(await gateway.visit(url, withCookie(mint())));
    assert.equal(attributes.includes("Secure"), secure, url);
  }
});

test("claims under other names, issuer and audience where configured", async (t) => {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: session({
      ...{ user_claim: "sub", session_claim: "sid", issuer: "https://idp.example" },
      ...{ audience: "app", refresh_after: "0s" },
    }),
  });
  t.after(() => gateway.stop());
  const claims = { sub: "usr_eve", sid: "ses_9", iss: "https://idp.example", aud: ["x", "app"] };
  const { seen, response } = await gateway.passed(() =>
    gateway.ask("/user/x", withCookie(mint(claims))),
  );
  assert.equal(seen.headers["x-user-id"], "usr_eve");
  assert.equal(seen.headers["x-session-id"], "ses_9");
  const { iss, aud } = payloadOf(sessionSet(response).value);
  assert.deepEqual([iss, aud], ["https://idp.example", ["x", "app"]]);
  for (const wrong of [
    ...[{ aud: "other" }, { aud: undefined }, { aud: [] }, { iss: "https://idp.example/" }],
    ...[{ iss: undefined }, { sub: undefined }, { sid: undefined }],
  ]) {
    const sent = withCookie(mint({ ...claims, ...wrong }));
    await gateway.refused("/user/x", sent, 401, "unauthorized", "session_malformed");
  }
});
