// Header filter: which headers a client cannot send to upstream, and upstream cannot send to a client. Also the
// canonical path.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sendRaw, statusesOf } from "../support/client.mjs";
import { assertProblem, DEVELOPMENT, openGateway, PRODUCTION } from "../support/gateway.mjs";
import {
  breakSignature,
  COOKIE,
  createSessionToken,
  sessionCookies,
  trackSecret,
} from "../support/tokens.mjs";
import { valuesOf } from "../support/upstream.mjs";
import { readVectors, skipWithout } from "../support/vectors.mjs";

const IDENTITY_HEADERS = [
  "x-user-id",
  "x-user-role",
  "x-session-id",
  "x-author-id",
  "x-author-type",
  "x-agent-id",
  "x-task-id",
  "x-agent-token-id",
  "x-actor-source",
  "x-operation",
  "x-confirmed-by",
  "x-webhook-event-id",
];

const ROUTES = [
  { path: "/public/{*rest}", access: "public", operation: "demo.public" },
  { path: "/optional/{*rest}", access: "optional" },
  { path: "/user/{*rest}", access: "user", operation: "demo.user" },
  { path: "/authenticated/{*rest}", access: "authenticated" },
];

const file = readVectors("headers/smuggling_cases.json");

// The vectors use another gateway's header names. These are the corresponding ones here.
const RENAMED = [
  [/^X-User-Email$/i, "X-Author-ID"],
  [/^X-Auth-Scopes$/i, "X-Operation"],
  [/^X-Tenant-Id$/i, "X-Task-ID"],
  [/^X-Gateway-/i, "X-Vestibule-"],
];
const ownName = (name) => RENAMED.reduce((text, [theirs, own]) => text.replace(theirs, own), name);

const normalized = (name) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
const identityHeadersOf = ({ rawHeaders }) =>
  Object.fromEntries(
    IDENTITY_HEADERS.map((name) => [
      name,
      rawHeaders.filter((_, i) => i % 2 && normalized(rawHeaders[i - 1]) === normalized(name)),
    ]).filter(([, values]) => values.length > 0),
  );

const ADA = {
  "x-user-id": ["usr_ada"],
  "x-session-id": ["ses_1"],
  "x-author-id": ["usr_ada"],
  "x-author-type": ["user"],
};

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    describe("identity headers", () => {
      const operation = (name) => ({ "x-operation": [name] });
      for (const [path, token, expected] of [
        ["/public/x", undefined, operation("demo.public")],
        ["/public/x", createSessionToken(), operation("demo.public")],
        ["/public/x", breakSignature(createSessionToken()), operation("demo.public")],
        ["/optional/x", undefined, {}],
        ["/optional/x", createSessionToken(), ADA],
        ["/optional/x", breakSignature(createSessionToken()), {}],
        ["/user/x", createSessionToken(), { ...ADA, ...operation("demo.user") }],
        ["/authenticated/x", createSessionToken(), ADA],
        ["/no/rule", createSessionToken(), ADA],
      ]) {
        test(`${path} with ${token ? "a" : "no"} session${expected["x-user-id"] ? "" : ": no user"}`, async () => {
          const headers = token ? { cookie: sessionCookies(token) } : {};
          const { seen } = await gateway.expectForwarded(() => gateway.request(path, { headers }));
          assert.deepEqual(identityHeadersOf(seen), expected);
          assert.match(seen.headers["x-request-id"], /^req_[0-9a-f]{32}$/);
          assert.equal(valuesOf(seen, "x-request-id").length, 1);
          assert.equal(valuesOf(seen, "x-vestibule-assertion").length, 1);
        });
      }

      for (const path of ["/user/x", "/authenticated/x", "/no/rule"]) {
        test(`${path} without a session is refused`, async () => {
          await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
          const headers = { "x-user-id": "usr_ada", "x-vestibule-assertion": "a.b.c" };
          await gateway.expectRejected(path, { headers }, 401, "unauthorized", "no_credential");
        });
      }

      test("every request has its own id, whatever the client sends", async () => {
        const ids = new Set();
        for (let time = 0; time < 5; time += 1) {
          const headers = { "x-request-id": "req_00000000000000000000000000000000" };
          const { seen } = await gateway.expectForwarded(() =>
            gateway.request("/public/x", { headers }),
          );
          ids.add(seen.headers["x-request-id"]);
        }
        assert.equal(ids.size, 5);
        assert.ok(!ids.has("req_00000000000000000000000000000000"));
      });
    });

    describe("a client's forged header never reaches upstream", () => {
      const spellings = (name) => {
        const titled = name.replaceAll(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
        return [
          ...[
            name,
            titled,
            name.toUpperCase(),
            name.replaceAll("-", "_"),
            name.replaceAll("-", "."),
          ],
          ...[titled.replaceAll("-", "_"), name.replace("-", "--"), `${name}-`, `_${name}`],
          name.replace("-", "_"),
        ];
      };
      for (const name of [...IDENTITY_HEADERS, "x-request-id", "x-vestibule-assertion"]) {
        test(name, async () => {
          const headers = spellings(name).map((spelling) => [spelling, "forged"]);
          for (const [path, session] of [
            ["/public/x", {}],
            ["/optional/x", {}],
            ["/user/x", { cookie: sessionCookies(createSessionToken()) }],
          ]) {
            const sent = [...headers, ...Object.entries(session)];
            const { seen } = await gateway.expectForwarded(() =>
              gateway.request(path, { headers: sent }),
            );
            assert.ok(!seen.rawHeaders.includes("forged"), seen.rawHeaders.join("\n"));
          }
        });
      }

      test("if Connection names an identity header, which is not removed either", async () => {
        for (const nominated of [
          "close, X-User-Id",
          "X-User-Id, X-Vestibule-Assertion",
          "cookie",
        ]) {
          const text = await sendRaw(
            gateway.direct,
            `GET /user/x HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\nConnection: ${nominated}\r\nX-User-Id: forged\r\nCookie: ${sessionCookies(createSessionToken())}\r\n\r\n`,
          );
          assert.deepEqual(statusesOf(text), [200], text);
          assert.deepEqual(valuesOf(gateway.upstream.last(), "x-user-id"), ["usr_ada"]);
          assert.equal(valuesOf(gateway.upstream.last(), "x-vestibule-assertion").length, 1);
        }
      });

      test("forwarding headers are removed or replaced", async () => {
        const forged = Object.fromEntries(
          [
            ...["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"],
            ...[
              "X-Forwarded-Prefix",
              "X_Forwarded_For",
              "Forwarded",
              "X-Real-IP",
              "True-Client-IP",
            ],
            ...["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Method-Override"],
          ].map((name) => [name, "192.0.2.66"]),
        );
        const headers = { ...forged, "cf-connecting-ip": "203.0.113.9" };
        const { seen } = await gateway.expectForwarded(() =>
          gateway.request("/public/x", { headers }),
        );
        const received = Object.fromEntries(
          ["for", "host", "proto"].map((name) => [name, valuesOf(seen, `x-forwarded-${name}`)]),
        );
        assert.deepEqual(received, {
          for: ["203.0.113.9"],
          host: ["app.example"],
          proto: ["http"],
        });
        assert.ok(!seen.rawHeaders.includes("192.0.2.66"), seen.rawHeaders.join("\n"));
      });

      test("other spellings of reserved names are removed, and custom names are kept", async () => {
        const names = [
          ...["Content_Length", "Transfer_Encoding", "content.type", "Content--Encoding", "Host_"],
          ...["CF_Connecting_IP", "cf.ray", "CF_Anything_New", "Sec_Fetch_Site", "sec.fetch.mode"],
          ...["X_CSRF_Token", "User_Agent", "Idempotency_Key", "Confirmation.ID", "X_GitHub_Event"],
          ...["X-Override-Method", "X_Override_Method", "Authorization_", "_Cookie", "if_match"],
        ];
        const headers = names.map((name) => [name, "forged"]);
        const { seen } = await gateway.expectForwarded(() =>
          gateway.request("/public/x", { headers }),
        );
        assert.ok(!seen.rawHeaders.includes("forged"), seen.rawHeaders.join("\n"));
        const custom = [
          "X_Custom",
          "session_id",
          "api.version",
          "X-User-Timezone",
          "second_opinion",
        ];
        const kept = Object.fromEntries(custom.map((name) => [name, "kept"]));
        const passed = await gateway.expectForwarded(() =>
          gateway.request("/public/x", { headers: kept }),
        );
        for (const name of custom) {
          assert.deepEqual(valuesOf(passed.seen, name.toLowerCase()), ["kept"], name);
        }
      });

      test("TRACE, TRACK and CONNECT, which make upstream echo the request, are refused", async () => {
        for (const method of ["TRACE", "TRACK", "CONNECT"]) {
          const text = await gateway.expectNotForwarded(() =>
            sendRaw(
              gateway.direct,
              `${method} /public/x HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n`,
            ),
          );
          // The platform refuses some of them itself, with its own response.
          const [status] = statusesOf(text);
          assert.ok(status >= 400, `${method}: ${text}`);
        }
      });

      test("an invalid client address is not forwarded", async () => {
        const headers = { "cf-connecting-ip": "a, b", "x-forwarded-for": "a" };
        const { seen } = await gateway.expectForwarded(() =>
          gateway.request("/public/x", { headers }),
        );
        assert.deepEqual(valuesOf(seen, "x-forwarded-for"), []);
      });

      test("X-Forwarded-Proto is https for a request over https", async () => {
        const { seen } = await gateway.expectForwarded(() =>
          gateway.requestUrl("https://app.example/public/x?y=1"),
        );
        assert.equal(seen.headers["x-forwarded-proto"], "https");
        assert.equal(seen.headers["x-forwarded-host"], "app.example");
        assert.equal(seen.headers["x-forwarded-for"], "127.0.0.1");
        assert.equal(seen.url, "/public/x?y=1");
      });
    });

    test("other request headers are forwarded unchanged", async () => {
      const sent = {
        accept: "text/plain",
        authorization: "Bearer somebody-elses",
        "x-csrf-token": "t",
        "x-user-timezone": "UTC",
        "if-none-match": '"e"',
        "accept-encoding": "gzip, br",
        "content-type": "application/json; charset=utf-8",
        referer: "https://app.example/a",
        "user-agent": "agent/1.0",
      };
      const headers = { ...sent, cookie: "a=1; b=2; a=3" };
      const { seen } = await gateway.expectForwarded(() =>
        gateway.request("/public/x", { headers }),
      );
      for (const [name, value] of Object.entries(sent)) assert.equal(seen.headers[name], value);
      assert.equal(seen.headers.cookie, "a=1; b=2; a=3");
    });

    test("personal requests bypass caches and can still be validated", async () => {
      for (const [path, sent, received] of [
        ["/user/x", undefined, "max-age=0"],
        ["/optional/x", undefined, "max-age=0"],
        ["/user/x", "no-cache", "no-cache"],
        ["/public/x", undefined, undefined],
        ["/public/x", "max-age=5", "max-age=5"],
      ]) {
        const headers = {
          cookie: sessionCookies(createSessionToken()),
          "if-none-match": '"e"',
          "cache-control": sent,
        };
        const { seen } = await gateway.expectForwarded(() => gateway.request(path, { headers }));
        assert.equal(seen.headers["cache-control"], received, path);
        assert.equal(seen.headers["if-none-match"], '"e"');
      }
    });

    test("upstream's copies of reserved headers never reach the client", async () => {
      gateway.upstream.answers["/public/leak"] = {
        headers: [
          ...IDENTITY_HEADERS.flatMap((name) => [
            name,
            "leaked",
            name.replaceAll("-", "_"),
            "leaked",
          ]),
          ...["X-Vestibule-Assertion", "leaked", "X-Vestibule-Login", "leaked", "X-Fine", "kept"],
          ...["X-Request-Id", "leaked", "X-User-Id", "leaked"],
        ],
      };
      const { response } = await gateway.expectForwarded(() => gateway.request("/public/leak"));
      assert.equal(response.status, 200);
      assert.ok(!response.rawHeaders.includes("leaked"), response.rawHeaders.join("\n"));
      assert.equal(response.headers["x-fine"], "kept");
    });

    describe("the path", () => {
      for (const path of [
        ...["/public/%2fx", "/public/%2Fx", "/public/%5cx", "/public/%5Cx", "/public/%00", "/%00"],
        ...["/public/%252e", "/public/%252e%252e/user/x", "/public/%25%32%66", "/public/%zz"],
        ...["/public/%", "/public/%2", "/public/%0a", "/public/%0d%0aX-User-Id:a", "/public/%7f"],
        ...["/public/..%2fuser/x", "/public/%09", "/public/%1f", "/public/%C2%85%00"],
      ]) {
        test(`${path} is refused`, () => gateway.expectRejected(path, {}, 400, "ambiguous_path"));
      }

      for (const path of [
        "/public/../user/x",
        "/public/./x",
        "/public/%2e%2e/user/x",
        "/..",
        "/%2E",
      ]) {
        test(`${path} is refused if it arrives unresolved`, () =>
          gateway.expectRejected(
            path,
            { headers: { cookie: sessionCookies(createSessionToken()) } },
            400,
            "ambiguous_path",
          ));
      }

      for (const [path, expected] of [
        ["/%61dmin", "/admin"],
        ["/%61%64%6D%69%6E?a=%61", "/admin?a=%61"],
        ["//admin", "//admin"],
        ["///admin//x", "///admin//x"],
        ["/%7Euser", "/~user"],
        ["/a%20b%3a", "/a%20b%3A"],
        ["/%e2%82%ac", "/%E2%82%AC"],
        ["/100%25", "/100%25"],
        ["/a;b=c,d", "/a;b=c,d"],
        ["/a?q=%2f..%5c%00//", "/a?q=%2f..%5c%00//"],
        ["/a?", "/a?"],
        ["/a?next=/b?c", "/a?next=/b?c"],
      ]) {
        test(`${path} is checked and forwarded as ${expected}`, async () => {
          await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
          const headers = { cookie: sessionCookies(createSessionToken()) };
          const { seen } = await gateway.expectForwarded(() => gateway.request(path, { headers }));
          assert.equal(seen.url, expected);
        });
      }

      test("raw bytes above ASCII give the same path as their percent-encoding", async () => {
        const text = await sendRaw(
          gateway.direct,
          "GET /public/caf\xc3\xa9 HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n",
        );
        assert.deepEqual(statusesOf(text), [200], text);
        assert.equal(gateway.upstream.last().url, "/public/caf%C3%A9");
      });

      test("dot segments that the platform resolves are checked as resolved", async () => {
        for (const path of ["/public/../user/x", "/public/%2e%2E/user/x", "/public\\..\\user\\x"]) {
          const url = `https://app.example${path}`;
          const response = await gateway.expectNotForwarded(() => gateway.requestUrl(url));
          assertProblem(response, 401, "unauthorized", "no_credential");
        }
      });
    });

    describe("the header cases of the test vectors", skipWithout(file), () => {
      for (const row of file?.header_cases ?? []) {
        if (row.level !== "http") continue;
        test(row.id, () => assertHeaderCase(row));
      }

      async function assertHeaderCase({ id, request_headers: fields, expect }) {
        const valid = createSessionToken();
        const other = createSessionToken({ userId: "usr_bob" });
        const filled = fields.flatMap(([name, value]) => {
          if (name === "X-1..X-500")
            return Array.from({ length: 500 }, (_, i) => [`X-${i}`, value]);
          const text = value
            .replace("__Host-session=<VALID>", sessionCookies(valid))
            .replace("<VALID>", valid)
            .replace("<OTHER>", other);
          return [[ownName(name), text]];
        });
        const hasCookie = filled.some(([name]) => name.toLowerCase() === "cookie");
        const hasHost = filled.some(([name]) => name.toLowerCase() === "host");
        // To a public rule without a session, and to a user rule with and without one.
        for (const [path, session] of [
          ["/public/x", false],
          ["/user/x", false],
          ["/user/x", true],
        ]) {
          const cookies = session && !hasCookie ? [["Cookie", sessionCookies(valid)]] : [];
          const lines = [...(hasHost ? [] : [["Host", "app.example"]]), ...filled, ...cookies];
          const before = gateway.upstreamRequests.length;
          const text = await sendRaw(
            gateway.direct,
            `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}${
              filled.some(([name]) => name === "Connection") ? "" : "Connection: close\r\n"
            }\r\n`,
          );
          const [status] = statusesOf(text);
          const passed = gateway.upstreamRequests.slice(before);
          const isAllowed = path === "/public/x" || session || hasCookie;
          if (!isAllowed) assert.ok([400, 401].includes(status), `${status}: ${expect}`);
          if (status !== 200) {
            assert.ok([400, 401, 431].includes(status), `${status}: ${expect}`);
            assert.equal(passed.length, 0);
            continue;
          }
          assert.ok(isAllowed, expect);
          assert.equal(passed.length, 1);
          const isSignedIn = session || (hasCookie && path === "/user/x");
          const received = identityHeadersOf(passed[0]);
          assert.deepEqual(received["x-user-id"], isSignedIn ? ["usr_ada"] : undefined, expect);
          const forged = filled.filter(
            ([name]) =>
              !/^(cookie|connection|authorization|host|cf-connecting-ip|x-\d+)$/i.test(name),
          );
          for (const [name] of forged) {
            for (const value of valuesOf(passed[0], name.trim().toLowerCase())) {
              assert.ok(
                !forged.some(([, text]) => text === value),
                `${name}: ${value} reached upstream`,
              );
            }
          }
          if (id === "host-mismatch") {
            assert.equal(passed[0].headers["x-forwarded-host"], "evil.example");
            assert.notEqual(passed[0].headers.host, "evil.example");
          }
        }
      }
    });

    describe("the path cases of the test vectors", skipWithout(file), () => {
      for (const { id, path, expect } of file?.path_cases ?? []) {
        test(`${id} ${JSON.stringify(path)}`, async () => {
          const target = Buffer.from(path.replace(" (U+FF0E)", "")).toString("latin1");
          for (const origin of [gateway.direct, gateway.origin]) {
            const before = gateway.upstreamRequests.length;
            const text = await sendRaw(
              origin,
              `GET ${target} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n`,
            );
            const [status] = statusesOf(text);
            if (id === "path-23") {
              // Full-width dots are not dots: this is an ordinary public path.
              assert.equal(status, 200, expect);
              assert.equal(gateway.upstream.last().url, "/public/%EF%BC%8E%EF%BC%8E/admin");
              continue;
            }
            assert.ok([400, 401].includes(status), `${status}: ${expect}`);
            assert.equal(gateway.upstreamRequests.length, before, "upstream received a request");
          }
        });
      }
    });
  });
}

describe("SESSION.forward = false", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: ROUTES,
      variables: { SESSION: { check: "token", forward: false } },
    });
  });
  after(() => gateway.stop());

  const token = createSessionToken();
  for (const [path, cookies, expected] of [
    ["/user/x", `a=1; ${sessionCookies(token)}; b=2`, "a=1; b=2"],
    ["/user/x", sessionCookies(token), undefined],
    [
      "/user/x",
      `${sessionCookies(token)}; ${COOKIE}2=kept; x${COOKIE}=kept`,
      `${COOKIE}2=kept; x${COOKIE}=kept`,
    ],
    ["/user/x", `${sessionCookies(token, token)}; a="1;2"`, 'a="1; 2"'],
    ["/public/x", `${sessionCookies(token)}; a=1`, "a=1"],
    ["/public/x", `${COOKIE}=junk; a=1`, "a=1"],
    ["/public/x", `${COOKIE} = junk ;a=1`, "a=1"],
    ["/public/x", "a=1", "a=1"],
  ]) {
    test(`${path} ${cookies.replaceAll(token, "<token>")}`, async () => {
      const headers = {
        cookie: cookies,
        authorization: `Bearer ${trackSecret("secret-of-somebody")}`,
      };
      const { seen } = await gateway.expectForwarded(() => gateway.request(path, { headers }));
      assert.equal(seen.headers.cookie, expected);
      assert.equal(seen.headers.authorization, undefined);
    });
  }
});
