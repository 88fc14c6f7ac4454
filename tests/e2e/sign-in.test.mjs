// Responses to an expired session: for navigations, forms, frames, soft navigations, and under `unauthenticated`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CookieJar } from "tough-cookie";
import { assertProblem, openGateway, PUBLIC } from "../support/gateway.mjs";
import { createSessionToken, now, sessionCookies } from "../support/tokens.mjs";

const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/user/{*rest}", access: "user" },
  { path: "/in/{*rest}", access: "user", unauthenticated: "redirect" },
  { path: "/401/{*rest}", access: "user", unauthenticated: "401" },
  { path: "/m/{id}", methods: ["GET"], access: "authenticated" },
  { path: "/m/{id}/{*path}", methods: ["GET"], access: "authenticated" },
];

const HTML = { accept: "text/html,*/*;q=0.8" };
const NAVIGATE = { ...HTML, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
const FORM = { ...NAVIGATE, "sec-fetch-site": "same-origin", origin: PUBLIC };
const SOFT = {
  accept: "text/x-component, text/html, */*",
  "sec-fetch-mode": "cors",
  "sec-fetch-dest": "empty",
  "sec-fetch-site": "same-origin",
};
const within = (dest) => ({ ...NAVIGATE, "sec-fetch-dest": dest });
const from = (page, headers = FORM) => ({ ...headers, referer: `${PUBLIC}${page}` });
const login = (next) => `/login?next=${encodeURIComponent(next)}`;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    answers: {
      "/public/lies": {
        headers: ["X-Vestibule-Login-URL", "https://evil.example/", "X_Vestibule_Login_URL", "x"],
      },
    },
  });
});
after(() => gateway.stop());

// Spellings that some server reads as `path`.
const spellings = (path) => [
  ...["", "/", "//", ";", ";v=1/", ".", "%20", "%3F", "%23a", ".html", "?a=b", "#a"].map(
    (end) => path + end,
  ),
  path.toUpperCase(),
  path.replace("l", "L"),
  path.replaceAll("o", "%6f"),
  path.replace(/[^/]+$/, "/$&"),
  path.replace(/[^/]+$/, ";x/$&"),
];
test("no spelling of the login page or of an endpoint is a return path", async () => {
  const headers = { ...NAVIGATE, cookie: sessionCookies(createSessionToken()) };
  const next = async (path) => {
    const response = await gateway.expectNotForwarded(() =>
      gateway.request(login(path), { headers }),
    );
    return [response.status, response.headers.location];
  };
  for (const path of ["/login", "/api/auth/logout", "/api/auth/me"])
    for (const spelling of spellings(path))
      assert.deepEqual(await next(spelling), [302, "/"], spelling);
  for (const path of ["/login2", "/a/login", "/api/auth/logout/x"])
    assert.deepEqual(await next(path), [302, path], path);
});

const expired = () => ({
  cookie: sessionCookies(createSessionToken({ iat: now() - 7_200, exp: now() - 3_600 })),
});

// Each row: a label, the request, what it gets (302, 303, or a 401 with a `page` or a `problem`), and the return path
// of the login URL.
const TABLE = [
  ["a navigation", "GET", "/user/a?b=c", NAVIGATE, 302, "/user/a?b=c"],
  ["a form", "POST", "/user/save", from("/user/edit?id=7"), 303, "/user/edit?id=7"],
  ["a form without a Referer", "POST", "/user/save", FORM, 303, "/"],
  [
    "a form with a foreign Referer",
    "POST",
    "/user/save",
    { ...FORM, referer: "https://evil.example/x" },
    303,
    "/",
  ],
  ["a form from the login page", "POST", "/user/save", from("/login?next=/x"), 303, "/"],
  [
    "an old browser's form",
    "POST",
    "/user/save",
    from("/a", { ...HTML, origin: PUBLIC }),
    303,
    "/a",
  ],
  ["an older browser's form, without Origin", "POST", "/user/save", from("/a", HTML), 303, "/a"],
  ["a program that accepts HTML", "POST", "/user/save", HTML, "page", "/"],
  [
    "a program with a token",
    "POST",
    "/user/save",
    { ...HTML, authorization: "Bearer x" },
    "problem",
    null,
  ],
  ["a form with PUT", "PUT", "/user/save", from("/a"), "page", "/a"],
  [
    "a form in a frame",
    "POST",
    "/user/save",
    from("/a", { ...FORM, "sec-fetch-dest": "iframe" }),
    "page",
    "/a",
  ],
  [
    "a form in a frame where the rule says redirect",
    "POST",
    "/in/save",
    from("/a", { ...FORM, "sec-fetch-dest": "iframe" }),
    303,
    "/a",
  ],
  ["a form where the rule says 401", "POST", "/401/save", from("/a"), "page", "/a"],
  ["a navigation where the rule says 401", "GET", "/401/a", from("/b", NAVIGATE), "page", "/401/a"],
  ["a script where the rule says redirect", "GET", "/in/a", SOFT, "problem", "/"],
  ["a soft navigation", "GET", "/user/a?_rsc=1", from("/user/here", SOFT), "problem", "/user/here"],
  ["a soft form", "POST", "/user/save", from("/user/here", SOFT), "problem", "/user/here"],
  ["curl", "GET", "/user/a", { accept: "*/*" }, "problem", "/"],
  ["an endpoint", "GET", "/api/auth/me", from("/here", SOFT), "problem", "/here"],
  ...["iframe", "frame", "object", "embed"].flatMap((dest) => [
    [`a navigation in ${dest}`, "GET", "/m/7", from("/here", within(dest)), "page", "/here"],
    [
      `a navigation in ${dest}, without a Referer`,
      "GET",
      "/m/7/css/a.css",
      within(dest),
      "page",
      "/",
    ],
    [
      `a navigation in ${dest}, where the rule says redirect`,
      "GET",
      "/in/a",
      within(dest),
      302,
      "/in/a",
    ],
  ]),
];

describe("an expired session", () => {
  for (const [label, method, path, headers, expected, next] of TABLE) {
    test(`of ${label}: ${expected}`, async () => {
      const sent = { ...headers, ...expired() };
      const response = await gateway.expectNotForwarded(() =>
        gateway.requestUrl(`${PUBLIC}${path}`, { method, headers: sent }),
      );
      const loginUrl = next === null ? undefined : login(next);
      // Every response clears the cookie.
      assert.ok(
        response.cookies.includes("mk_session=; Path=/; Max-Age=0"),
        response.cookies.join(),
      );
      if (typeof expected === "number") {
        assert.equal(response.status, expected);
        assert.equal(response.headers.location, loginUrl);
        assert.equal(response.body.length, 0);
      } else if (expected === "page") {
        assert.equal(response.status, 401);
        assert.match(response.headers["content-type"], /^text\/html/);
        assert.equal(response.headers["x-vestibule-login-url"], loginUrl);
        assert.ok(response.text.includes(`href="${loginUrl}"`), response.text);
        assert.equal(response.headers.location, undefined);
      } else {
        const problem = assertProblem(response, 401, "unauthorized", response.json().reason);
        assert.equal(response.headers["x-vestibule-login-url"], loginUrl);
        assert.equal(problem.loginUrl, loginUrl);
      }
    });
  }
});

test("a cross-site form returns 403 without a redirect", async () => {
  for (const headers of [
    { ...NAVIGATE, origin: "https://evil.example" },
    { ...NAVIGATE, "sec-fetch-site": "cross-site" },
    { ...HTML, origin: "null" },
  ]) {
    const response = await gateway.expectNotForwarded(() =>
      gateway.request("/user/save", { method: "POST", headers: { ...headers, ...expired() } }),
    );
    assert.equal(response.status, 403);
    assert.equal(response.headers.location, undefined);
  }
});

test("a signed-in user is admitted, in a frame and by a form", async () => {
  for (const [method, path, headers] of [
    ["GET", "/m/7", within("iframe")],
    ["GET", "/m/7/css/a.css", within("iframe")],
    ["POST", "/user/save", FORM],
  ]) {
    const sent = { ...headers, cookie: sessionCookies(createSessionToken()) };
    const { response } = await gateway.expectForwarded(() =>
      gateway.request(path, { method, headers: sent }),
    );
    assert.equal(response.status, 200);
  }
});

test("X-Vestibule-Login-URL from upstream is removed", async () => {
  const { response } = await gateway.expectForwarded(() => gateway.request("/public/lies"));
  assert.equal(response.headers["x-vestibule-login-url"], undefined);
  assert.equal(response.headers.x_vestibule_login_url, undefined);
});

test("X-Vestibule-Login-URL from a client does not reach upstream", async () => {
  const headers = { "X-Vestibule-Login-URL": "/x" };
  const { seen } = await gateway.expectForwarded(() => gateway.request("/public/x", { headers }));
  assert.equal(seen.headers["x-vestibule-login-url"], undefined);
});

test("a form that submits itself again and again ends at the loop page, as a link does", async () => {
  const jar = new CookieJar();
  const go = async (method, path, headers) => {
    const url = `${PUBLIC}${path}`;
    const sent = await jar.getCookieString(url);
    const response = await gateway.expectNotForwarded(() =>
      gateway.requestUrl(url, { method, headers: { ...headers, ...(sent && { cookie: sent }) } }),
    );
    for (const line of response.cookies) await jar.setCookie(line, url);
    return response.status;
  };
  const statuses = [];
  for (let time = 1; time <= 4; time += 1) {
    statuses.push(await go("POST", "/user/save", from("/user/edit")));
  }
  assert.deepEqual(statuses, [303, 303, 303, 200]);
});
