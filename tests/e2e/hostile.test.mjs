// Requests that no browser would send. Each gets one of the documented errors and never hangs, and the next request is
// served normally.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sendRaw, statusesOf } from "../support/client.mjs";
import { DEVELOPMENT, openGateway, PRODUCTION } from "../support/gateway.mjs";
import {
  COOKIE,
  createSessionToken,
  sessionCookies,
  sign,
  trackSecret,
} from "../support/tokens.mjs";
import { valuesOf } from "../support/upstream.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/optional/{*rest}", access: "optional" },
  { path: "/user/{*rest}", access: "user" },
];

const utf8 = (text) => Buffer.from(text).toString("latin1");
const fields = (...lines) => lines.map((line) => `${line}\r\n`).join("");
const get = (target, ...lines) => request("GET", target, ...lines);
const request = (method, target, ...lines) =>
  `${method} ${target} HTTP/1.1\r\n${fields("Host: app.example", "Connection: close", ...lines)}\r\n`;
const bare = (target, ...lines) => `GET ${target} HTTP/1.1\r\n${fields(...lines)}\r\n`;

// The statuses with which the runtime or the gateway may refuse such a request. Server errors are not among them,
// except for methods that the runtime does not know, and for CONNECT, at which it fails.
const REFUSALS = [400, 401, 403, 404, 405, 411, 413, 414, 431, 501, 505];

const nestedJson = (depth) => `{"alg":"HS256","x":${"[".repeat(depth)}${"]".repeat(depth)}}`;
const claims = JSON.stringify({ userId: "u", sessionId: "s", iat: 1, exp: 4_000_000_000 });
const good = createSessionToken();
const big = createSessionToken({ fat: "f".repeat(2_800) });

// [name, bytes, allowed statuses, whether upstream may receive the request]
const CASES = [
  // Size
  ["100 KB of cookies", get("/user/x", `Cookie: a=${"c".repeat(100_000)}`), [401, 431]],
  ["10,000 cookies", get("/user/x", `Cookie: ${"a=b; ".repeat(10_000)}`), [401, 431]],
  [
    "a session cookie of 100 KB",
    get("/user/x", `Cookie: ${COOKIE}=${"A".repeat(100_000)}`),
    [401, 431],
  ],
  [
    "10,000 session cookies",
    get("/user/x", `Cookie: ${`${COOKIE}=x; `.repeat(5_000)}`),
    [401, 431],
  ],
  ["a Cookie header of semicolons", get("/user/x", `Cookie: ${";".repeat(50_000)}`), [401, 431]],
  ["a URL of 16 KB", get(`/user/${"u".repeat(16_000)}`), [401, 414, 431]],
  ["a query of 60 KB", get(`/user/x?${"q=&".repeat(20_000)}`), [401, 414, 431]],
  ["a path of slashes", get("/".repeat(15_000)), [401, 414, 431]],
  ["a path of 5,000 segments", get("/a".repeat(5_000)), [401, 414, 431]],
  ["a path of escapes", get(`/${"%20".repeat(5_000)}`), [401, 414, 431]],
  [
    "500 headers",
    get("/user/x", ...Array.from({ length: 500 }, (_, i) => `X-${i}: v`)),
    [401, 431],
  ],
  [
    "the same header 500 times",
    get("/user/x", ...Array.from({ length: 500 }, () => "X-User-Id: v")),
    [401, 431],
  ],
  ["a header of 100 KB", get("/user/x", `X-Big: ${"b".repeat(100_000)}`), [401, 431]],
  ["a header name of 10 KB", get("/user/x", `X-${"n".repeat(10_000)}: v`), [401, 431]],
  ["200 KB of headers", get("/user/x", `X-Big: ${"b".repeat(200_000)}`), [400, 401, 431]],
  [
    "8 large session tokens",
    get("/user/x", `Cookie: ${sessionCookies(...Array(8).fill(big))}`),
    [200, 431],
    true,
  ],
  [
    "a next parameter of 15 KB",
    get(`/login?next=/${"n".repeat(15_000)}`, "Accept: text/html"),
    [200, 414],
    true,
  ],

  // Bytes
  ["latin1 in a header value", get("/user/x", "X-Name: caf\xe9"), [401]],
  ["UTF-8 in a header value", get("/user/x", `X-Name: ${utf8("caf\u00e9 \u2615")}`), [401]],
  [
    "all bytes above ASCII in a header value",
    get("/user/x", `X-Name: ${bytesFrom(0x80, 0xff)}`),
    [401],
  ],
  ["latin1 in a cookie", get("/user/x", "Cookie: a=\xe9; b=\xff"), [401]],
  [
    "UTF-8 beside a session",
    get("/user/x", `Cookie: a=${utf8("\u2615")}; ${sessionCookies(good)}`),
    [200],
    true,
  ],
  [
    "bytes above ASCII in a session cookie",
    get("/user/x", `Cookie: ${COOKIE}=\xff\xfe.\xe9.\x80`),
    [401],
  ],
  ["latin1 in a header name", get("/user/x", "X-Us\xe9r: v"), [400, 401]],
  ["UTF-8 in a header name", get("/user/x", `X-Us${utf8("\u0435")}r-Id: admin`), [400, 401]],
  ["NUL in a header value", get("/user/x", "X-Name: a\0b"), [400, 401]],
  ["NUL in a header name", get("/user/x", "X-User-Id\0: admin"), [400, 401]],
  ["NUL in a cookie", get("/user/x", `Cookie: ${COOKIE}=a\0b`), [400, 401]],
  ["NUL in the path", get("/user/\0"), [400]],
  ["a lone CR in a header value", get("/user/x", "X-Name: a\rX-User-Id: admin"), [400, 401]],
  ["a lone LF in a header value", get("/user/x", "X-Name: a\nX-User-Id: admin"), [400, 401]],
  ["a folded header line", get("/user/x", "X-Name: a\r\n X-User-Id: admin"), [400, 401]],
  [
    "control characters in a header value",
    get("/user/x", `X-Name: ${bytesFrom(0x01, 0x08)}`),
    [400, 401],
  ],
  ["bytes above ASCII in the path", get("/user/\xff\xfe"), [400, 401]],
  ["UTF-8 in the query", get(`/user/x?q=${utf8("\u00e9")}`), [400, 401]],
  ["a space in the request target", get("/user/x y"), [400, 401]],
  ["a bearer token that is not ASCII", get("/user/x", "Authorization: Bearer \xff"), [401]],

  // Tokens
  [
    "a token header nested 700 deep",
    get("/user/x", `Cookie: ${sessionCookies(sign(nestedJson(700), claims))}`),
    [200, 401],
    true,
  ],
  [
    "a token payload of 1,000 nested lists",
    get("/user/x", `Cookie: ${sessionCookies(sign('{"alg":"HS256"}', nestedJson(1_000)))}`),
    [401],
  ],
  [
    "a valid token payload with nested lists",
    get("/user/x", `Cookie: ${sessionCookies(nested(120))}`),
    [200, 401],
    true,
  ],
  [
    "a token header that is a number",
    get("/user/x", `Cookie: ${sessionCookies(sign("1e400", claims))}`),
    [401],
  ],
  [
    "a token that is not JSON",
    get("/user/x", `Cookie: ${sessionCookies(sign("\0", "\xff"))}`),
    [401],
  ],
  [
    "a lone surrogate in a token header",
    get("/user/x", `Cookie: ${sessionCookies(sign('{"alg":"HS256","x":"\\ud800"}', claims))}`),
    [200, 401],
    true,
  ],
  ["a token of dots", get("/user/x", `Cookie: ${COOKIE}=${".".repeat(4_000)}`), [401]],
  [
    "an exp with an exponent",
    get(
      "/user/x",
      `Cookie: ${sessionCookies(sign('{"alg":"HS256"}', claims.replace("4000000000", "4e9")))}`,
    ),
    [401],
  ],
  [
    "an exp beyond 64 bits",
    get(
      "/user/x",
      `Cookie: ${sessionCookies(sign('{"alg":"HS256"}', claims.replace("4000000000", "9".repeat(30))))}`,
    ),
    [401],
  ],
  [
    "the largest exp of 64 bits",
    get(
      "/user/x",
      `Cookie: ${sessionCookies(sign('{"alg":"HS256"}', claims.replace("4000000000", "9223372036854775807")))}`,
    ),
    [200],
    true,
  ],

  // Repeated headers
  [
    "two Cookie headers",
    get("/user/x", "Cookie: a=1", `Cookie: ${sessionCookies(good)}`),
    [200, 401],
    true,
  ],
  [
    "two sessions in two Cookie headers",
    get("/user/x", `Cookie: ${sessionCookies(good)}`, `Cookie: ${COOKIE}=x`),
    [200, 401],
    true,
  ],
  [
    "two Authorization headers",
    get("/user/x", "Authorization: Bearer a", "Authorization: Bearer b"),
    [401],
  ],
  [
    "two Origin headers",
    request(
      "POST",
      "/public/x",
      "Content-Length: 0",
      "Origin: https://app.example",
      "Origin: https://evil.example",
    ),
    [400, 403],
  ],
  [
    "two Sec-Fetch-Site headers",
    request(
      "POST",
      "/public/x",
      "Content-Length: 0",
      "Sec-Fetch-Site: same-origin",
      "Sec-Fetch-Site: cross-site",
    ),
    [400, 403],
  ],

  // Methods
  ["a method in lower case", request("get", "/user/x"), [501]],
  ["an unknown method", request("FOO", "/public/x"), [501]],
  ["a method with symbols", request("G!T", "/public/x"), [400, 501]],
  ["a method of 5,000 letters", request("G".repeat(5_000), "/public/x"), [400, 501]],
  ["TRACE", request("TRACE", "/user/x"), [400, 401, 403, 405, 501]],
  ["no method", "/user/x HTTP/1.1\r\n\r\n", [400, 501]],
  ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [undefined, 400, 505]],
  ["HTTP/1.0", "GET /user/x HTTP/1.0\r\nHost: app.example\r\n\r\n", [400, 401, 505]],
  ["HTTP/9.9", "GET /user/x HTTP/9.9\r\nHost: app.example\r\n\r\n", [400, 401, 505]],
  ["a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", [400, 501]],

  // Headers with a meaning to the gateway or the platform
  ["an upgrade to an invalid protocol", get("/user/x", "Upgrade: \xff"), [401, 403]],
  ["an upgrade to HTTP/2", get("/user/x", "Upgrade: h2c", "HTTP2-Settings: AAAA"), [401, 403]],
  ["an invalid Range", get("/user/x", "Range: bytes=-9999999999999999999999"), [401]],
  ["an invalid client address", get("/user/x", "CF-Connecting-IP: 999.1.1.1, ::zz"), [401]],
  ["an empty Cookie", get("/user/x", "Cookie:"), [401]],
  [
    "four empty headers",
    get("/user/x", "Cookie:", "Authorization:", "Origin:", "Sec-Fetch-Mode:"),
    [401],
  ],
  ["a cookie without a name", get("/user/x", `Cookie: =${good}`), [401]],
  ["a cookie name in upper case", get("/user/x", `Cookie: ${COOKIE.toUpperCase()}=${good}`), [401]],
];

// Cloudflare's front end refuses these before they reach a Worker, and Miniflare's entry server fails at them. So the
// test sends them straight to the Worker.
const DIRECT_CASES = [
  ["no Host", bare("/user/x", "Connection: close"), [400, 401]],
  ["an empty Host", bare("/user/x", "Host:", "Connection: close"), [400, 401]],
  [
    "two Hosts",
    bare("/user/x", "Host: a.example", "Host: b.example", "Connection: close"),
    [400, 401],
  ],
  ["a Host with a path", bare("/user/x", "Host: a.example/../", "Connection: close"), [400, 401]],
  ["a Host with a user", bare("/user/x", "Host: u:p@a.example", "Connection: close"), [400, 401]],
  ["a Host that is not a name", bare("/user/x", "Host: [::1", "Connection: close"), [400, 401]],
  [
    "a Host with an invalid port",
    bare("/user/x", "Host: a:99999", "Connection: close"),
    [400, 401],
  ],
  ["a Host that is not ASCII", bare("/user/x", "Host: \xff", "Connection: close"), [400, 401]],
  ["a Host with a query", bare("/user/x", "Host: a?/public/", "Connection: close"), [400, 401]],
  ["a Host with a fragment", bare("/user/x", "Host: a#", "Connection: close"), [400, 401]],
  ["a Host with a space", bare("/user/x", "Host: a b", "Connection: close"), [400, 401]],
  ["an absolute URL as target", get("http://app.example/user/x"), [400, 401]],
  ["an absolute URL of another host as target", get("http://evil.example/user/x"), [400, 401]],
  ["a file URL as target", get("file:///etc/passwd"), [400, 401]],
  ["a target without a leading slash", get("user/x"), [400, 401]],
  ["a target that is only a query", get("?x"), [400, 401]],
  ["an asterisk as target", request("OPTIONS", "*"), [400, 401]],
  ["a CONNECT request", request("CONNECT", "evil.example:443"), [400, 401, 405, 500, 501]],
  ["a target with a fragment", get("/user/x#/public/y"), [400, 401]],
];

function bytesFrom(first, last) {
  return String.fromCharCode(...Array.from({ length: last - first + 1 }, (_, i) => first + i));
}

function nested(depth) {
  return sign(
    '{"alg":"HS256"}',
    `${claims.slice(0, -1)},"x":${"[".repeat(depth)}${"]".repeat(depth)}}`,
  );
}

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    async function assertStillServing() {
      const headers = { cookie: sessionCookies(good) };
      const { response, seen } = await gateway.expectForwarded(() =>
        gateway.request("/user/fine", { headers }),
      );
      assert.equal(response.text, "ok");
      assert.equal(seen.headers["x-user-id"], "usr_ada");
    }

    for (const [name, bytes, allowed, mayPass] of [...CASES, ...DIRECT_CASES]) {
      test(`${name}: ${allowed.map((status) => status ?? "closed").join(" or ")}`, async () => {
        // Straight to the Worker, and through Miniflare's entry server.
        const isDirectOnly = DIRECT_CASES.some((row) => row[0] === name);
        for (const origin of isDirectOnly ? [gateway.direct] : [gateway.direct, gateway.origin]) {
          const before = gateway.upstreamRequests.length;
          const text = await sendRaw(origin, bytes);
          const [status, ...more] = statusesOf(text);
          assert.deepEqual(more, [], "one request gets one response");
          const path = origin === gateway.direct ? "direct" : "through the entry server";
          assert.ok(allowed.includes(status), `${path}: ${text.slice(0, 500)}`);
          const passed = gateway.upstreamRequests.slice(before);
          assert.equal(
            passed.length,
            status === 200 ? 1 : 0,
            `${path}: number of requests to upstream`,
          );
          if (status === 200) assert.ok(mayPass);
          await assertStillServing();
        }
      });
    }

    describe("bytes that some servers read as two requests and others as one", () => {
      const smuggled =
        "GET /user/smuggled HTTP/1.1\r\nHost: app.example\r\nX-User-Id: admin\r\n\r\n";
      const post = (...lines) =>
        `POST /public/x HTTP/1.1\r\n${fields("Host: app.example", ...lines)}\r\n`;
      for (const [what, bytes] of [
        [
          "a length and chunks",
          `${post("Content-Length: 6", "Transfer-Encoding: chunked")}0\r\n\r\n${smuggled}`,
        ],
        [
          "chunks and a length",
          `${post("Transfer-Encoding: chunked", `Content-Length: ${smuggled.length + 5}`)}0\r\n\r\n${smuggled}`,
        ],
        ["two lengths", `${post("Content-Length: 0", "Content-Length: 5")}aaaaa${smuggled}`],
        ["a list of lengths", `${post("Content-Length: 0, 5")}aaaaa${smuggled}`],
        ["a length with a plus sign", `${post("Content-Length: +0")}${smuggled}`],
        ["a negative length", `${post("Content-Length: -1")}${smuggled}`],
        ["a hexadecimal length", `${post("Content-Length: 0x0")}${smuggled}`],
        [
          "an unknown coding that contains chunked",
          `${post("Transfer-Encoding: xchunked")}0\r\n\r\n${smuggled}`,
        ],
        ["chunked twice", `${post("Transfer-Encoding: chunked, chunked")}0\r\n\r\n${smuggled}`],
        [
          "a space before the colon",
          `${post("Transfer-Encoding : chunked", "Content-Length: 0")}${smuggled}`,
        ],
        [
          "a vertical tab before the coding",
          `${post("Transfer-Encoding:\x0bchunked", "Content-Length: 0")}${smuggled}`,
        ],
        ["a chunk size with a sign", `${post("Transfer-Encoding: chunked")}-1\r\n\r\n${smuggled}`],
        [
          "an endless chunk size",
          `${post("Transfer-Encoding: chunked")}${"f".repeat(40)}\r\n${smuggled}`,
        ],
        [
          "a chunk's extension with a bare LF",
          `${post("Transfer-Encoding: chunked")}0;\n\r\n${smuggled}`,
        ],
      ]) {
        test(what, async () => {
          const before = gateway.upstreamRequests.length;
          const text = await sendRaw(gateway.direct, `${bytes}${get("/public/last")}`);
          for (const status of statusesOf(text)) {
            assert.ok(
              status === 200 || status === 502 || REFUSALS.includes(status),
              text.slice(0, 600),
            );
          }
          for (const seen of gateway.upstreamRequests.slice(before)) {
            // If the runtime reads it as a request, the gateway refuses it as unauthenticated. It never forwards its
            // claim.
            assert.notEqual(seen.url, "/user/smuggled");
            assert.deepEqual(valuesOf(seen, "x-user-id"), []);
            assert.ok(
              !(seen.headers["content-length"] && seen.headers["transfer-encoding"]),
              "forwarded with an ambiguous length",
            );
          }
          await assertStillServing();
        });
      }
    });

    test("does not wait for more from a connection that sends garbage after a request", async () => {
      const before = gateway.upstreamRequests.length;
      await sendRaw(gateway.direct, `${get("/user/x")}garbage after the end`);
      assert.equal(gateway.upstreamRequests.length, before);
      await assertStillServing();
    });

    test("answers a hundred concurrent requests, valid and invalid, each as it would alone", async () => {
      const other = createSessionToken({ userId: "usr_bob" });
      const results = await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const [path, token, expected] = [
            [`/user/${i}`, good, 200],
            [`/user/${i}`, "junk", 401],
            [`/user/${i}%2f`, good, 400],
            [`/user/${i}`, other, 200],
          ][i % 4];
          const response = await gateway.request(path, {
            headers: { cookie: sessionCookies(token) },
          });
          return [response.status, expected];
        }),
      );
      for (const [status, expected] of results) assert.equal(status, expected);
      const requestsOf = (user) =>
        gateway.upstreamRequests.filter((seen) => seen.headers["x-user-id"] === user);
      assert.equal(requestsOf("usr_bob").length, 25);
      assert.ok(requestsOf("usr_bob").every(({ headers }) => headers.cookie.includes(other)));
    });
  });
}

test("a bearer token of 50 KB is not in the response or the log", async (t) => {
  const gateway = await openGateway({ routes: ROUTES });
  t.after(() => gateway.stop());
  const token = trackSecret(`mul_${"t".repeat(50_000)}`);
  const headers = { authorization: `Bearer ${token}` };
  const response = await gateway.expectRejected(
    "/user/x",
    { headers },
    401,
    "unauthorized",
    "token_unknown",
  );
  assert.ok(!response.text.includes("ttttt"));
});
