// Spellings that some server reads as the same path are under one rule. Harmless spellings are not rejected.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { request } from "../support/client.mjs";
import { assertNoSecretsLogged, assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";
import { startWorker } from "../support/worker.mjs";

// Paths that become another host if upstream removes its mount point `/p` or parameters, and adds a final slash.
const ECHOED = [
  ...["/p//evil.example/x", "/p///Evil.Example/x", "/;a/evil.example/x", "/p/;/evil.example/x"],
  ...["/%20/evil.example/x", "/p/%2Fevil.example/x", "/p/%252Fevil.example/x"],
];
const EVIL = { status: 302, headers: ["Location", "https://evil.example/"] };
const PAGE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };

describe("in front of an upstream that may read paths in any way", () => {
  let gateway;
  let ada;
  let task;
  let people;
  before(async () => {
    const callbacks = [
      "/auth/callback/",
      "/auth/Callback",
      "/auth/callback;a=1",
      "/auth//callback",
    ];
    gateway = await openGateway({
      answers: {
        ...Object.fromEntries(
          ["/auth/callback", ...callbacks, "/auth/callback%3Bx", "/auth/other"].map((path) => [
            path,
            EVIL,
          ]),
        ),
        "//evil.example": { status: 301, headers: ["Location", "//evil.example/"] },
        "//evil.example/x": { status: 301, headers: ["Location", "/\\evil.example/x/"] },
        ...Object.fromEntries(
          ECHOED.map((path) => [path, { status: 301, headers: ["Location", "//evil.example/x/"] }]),
        ),
        "/p//other/x": { status: 301, headers: ["Location", "//cdn.example/x"] },
        "/moved//x": { status: 301, headers: ["Location", "/moved//x/"] },
      },
      variables: {
        ...ACCOUNTS,
        MAINTENANCE: [{ path: "/internal/tick" }],
      },
      routes: [
        { path: "/{*rest}", access: "public" },
        { path: "/p/{*rest}", access: "public", encoded_slashes: true },
        { path: "/auth/callback", access: "public", redirects: "strict" },
        { path: "/app/Users", access: "authenticated" },
        { path: "/app/users", access: "human" },
        { path: "/Admin", access: "user", methods: ["POST"] },
        { path: "/admin", access: "user", methods: ["GET", "POST"] },
        { path: "/dashboard", access: "user", operation: "pages.dashboard" },
        { path: "/area/{*rest}", access: "user" },
        { path: "/%C3%BCbersicht", access: "user" },
        { path: "/keys", access: "user" },
        { path: "/only/{+rest}", access: "user" },
        { path: "/agents", access: "agent" },
        { path: "/Agents", access: "human" },
      ],
    });
    people = await setUpUsers(gateway);
    ada = await people.createUser("ada");
    task = await people.createToken(ada, "mat_");
  });
  after(() => gateway.stop());

  test("checks redirects of a strict rule for every spelling", async () => {
    for (const path of [
      ...["/auth/callback", "/auth/callback/", "/auth/Callback", "/auth/callback;a=1"],
      ...["/auth/callback%3Bx", "/auth//callback"],
    ]) {
      const { response, seen } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(response.headers.location, "/", path);
      assert.equal(seen.url, path);
    }
    const { response } = await gateway.expectForwarded(() => gateway.request("/auth/other"));
    assert.equal(response.headers.location, "https://evil.example/");
  });

  test("no spelling reaches an internal path", async () => {
    assertProblem(
      await gateway.expectNotForwarded(() => gateway.request("/internal/tick")),
      404,
      "not_found",
    );
    for (const path of [
      ...["/internal/Tick", "/internal/tick/", "/internal/tick;x", "/internal/tick%3Bx"],
      ...["/INTERNAL/TICK", "/internal//tick", "//internal/tick", "/internal;a/tick/"],
    ])
      for (const method of ["GET", "POST"])
        assertProblem(
          await gateway.expectNotForwarded(() =>
            gateway.request(path, { method, headers: ada.headers }),
          ),
          400,
          "ambiguous_path",
        );
  });

  test("a second rule for another spelling weakens neither rule", async () => {
    for (const path of ["/app/Users", "/app/users", "/app/USERS", "/app/Users/", "/app/users;x"]) {
      await gateway.expectRejected(path, { headers: task.headers }, 403, "forbidden_human_only");
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
      assert.equal(
        (await gateway.expectForwarded(() => gateway.request(path, { headers: ada.headers }))).seen
          .url,
        path,
      );
    }
    for (const path of ["/ADMIN", "/admin", "/aDmin/", "/Admin"])
      for (const method of ["GET", "POST"])
        await gateway.expectRejected(path, { method }, 401, "unauthorized", "no_credential");
  });

  test("every spelling is rejected if its rules cannot be ordered", async () => {
    for (const path of ["/agents", "/Agents", "/AGENTS", "/agents/"])
      for (const caller of [ANONYMOUS, ada, task])
        await gateway.expectRejected(path, { headers: caller.headers }, 400, "ambiguous_path");
  });

  test("every spelling admits the same principals", async () => {
    for (const path of ["/dashboard", "/dashboard/", "/Dashboard", "//dashboard", "/dashboard;x"]) {
      const { seen } = await gateway.expectForwarded(() =>
        gateway.request(path, { headers: ada.headers }),
      );
      assert.equal(seen.url, path);
      assert.equal(seen.headers["x-operation"], "pages.dashboard");
      assert.equal(seen.headers["x-user-id"], ada.id);
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
      const redirect = await gateway.expectNotForwarded(() =>
        gateway.request(path, { headers: PAGE }),
      );
      assert.equal(redirect.status, 302, path);
      // `//dashboard` is not a return path: browsers read it as a host.
      const next = path.startsWith("//") ? "/" : path;
      assert.equal(redirect.headers.location, `/login?next=${encodeURIComponent(next)}`);
    }
  });

  test("`{*rest}` covers `/x/` and `/x`, `{+rest}` does not", async () => {
    for (const path of ["/area/", "/area", "/Area", "/area/x", "/only/x", "/area//", "/only//"])
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
    for (const path of ["/only/", "/only", "/other/"])
      await gateway.expectForwarded(() => gateway.request(path));
  });

  test("runs of slashes are forwarded unchanged and never become a host", async () => {
    for (const path of [
      ...["/p/https://example.com/x.png", "//evil.example:81/x?a=//b", "///x", "/a//b//", "//"],
      ...["//user:pass@evil.example/x", "/moved//x"],
    ]) {
      const { response, seen } = await gateway.expectForwarded(() => gateway.request(path));
      assert.ok(response.status < 400, path);
      assert.equal(seen.url, path);
      // The assertion names the forwarded path.
      const [, payload] = seen.headers["x-vestibule-assertion"].split(".");
      assert.equal(JSON.parse(Buffer.from(payload, "base64url")).path, path);
    }
    for (const [path, location] of [
      ["//evil.example", "/"],
      ["//evil.example/x", "/"],
      ["/moved//x", "/moved//x/"],
      ["/p//other/x", "//cdn.example/x"],
      ...ECHOED.map((path) => [path, "/"]),
    ]) {
      const { response } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(response.headers.location, location, path);
    }
    for (const path of ["//dashboard", "/app//users", "//area/x", "/area//x"])
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
  });

  test("letters beyond ASCII match in both cases, and overlong encodings are rejected", async () => {
    for (const path of ["/%C3%9Cbersicht", "/%c3%bcBERSICHT/", "/%E2%84%AAeys", "/key%C5%BF"])
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
    for (const path of ["/open/%c0%ae%c0%ae/keys", "/%c0%afkeys", "/a%e0%80%afb", "/%C1%ABeys"])
      await gateway.expectRejected(path, {}, 400, "ambiguous_path");
    const { seen } = await gateway.expectForwarded(() =>
      gateway.request("/%C3%A4bersicht/%C0%20propos"),
    );
    assert.equal(seen.url, "/%C3%A4bersicht/%C0%20propos");
  });

  test("explain names the rule that decides, and why", async () => {
    const explained = async (url) => {
      const body = { method: "GET", url };
      const response = await people.call("POST", "/api/explain", people.root, body);
      return response.json().steps.find(({ step }) => step === "rule").detail;
    };
    assert.equal(await explained("http://app.example/dashboard"), "/dashboard");
    assert.match(await explained("http://app.example/Dashboard"), /^\/dashboard: .*\/\{\*rest\}/);
  });
});

describe("a rule that ends with a slash", () => {
  let gateway;
  let ada;
  let people;
  before(async () => {
    gateway = await openGateway({
      variables: ACCOUNTS,
      routes: [
        { path: "/", access: "public" },
        { path: "/api/{*rest}", access: "user" },
        { path: "/api/items/{id}", access: "public" },
        { path: "/docs/", access: "user" },
        { path: "/docs/{name}", access: "public" },
      ],
    });
    people = await setUpUsers(gateway);
    ada = await people.createUser("ada");
  });
  after(() => gateway.stop());

  test("changes no other rule", async () => {
    for (const path of ["/", "/api/items/7", "/docs/x"])
      await gateway.expectForwarded(() => gateway.request(path));
    // The endpoint that redeems invites still works: Ada has an account.
    assert.match(ada.id, /^usr_/);
    for (const path of ["/api/items/7/", "/api/", "/docs/", "/docs", "/DOCS"])
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
    await gateway.expectForwarded(() => gateway.request("/docs", { headers: ada.headers }));
  });
});

describe("static assets", () => {
  const FILES = {
    ...{ "index.html": "home", "account.html": "account", "docs/secret.html": "secret" },
    ...{ "admin/index.html": "admin", "other.html": "other", "app.js": "js", "shut.js": "shut" },
  };
  let directory;
  let worker;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "assets-"));
    for (const [path, text] of Object.entries(FILES)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), `the file ${text}`);
    }
    worker = await startWorker({
      variables: {
        ROUTES: [
          { path: "/{*rest}", access: "public" },
          { path: "/account.html", access: "user" },
          { path: "/docs/secret.html", access: "user" },
          { path: "/admin/{*rest}", access: "user" },
          { path: "/shut.js", access: "user" },
        ],
      },
      bindings: {
        assets: {
          directory,
          binding: "ASSETS",
          routerConfig: { has_user_worker: true, invoke_user_worker_ahead_of_assets: true },
        },
      },
    });
  });
  after(async () => {
    await worker.stop();
    rmSync(directory, { recursive: true });
    assertNoSecretsLogged(worker.log);
  });
  const get = (path, headers) => request(worker.direct, path, { host: "app.example", headers });
  const signedIn = () => ({ Cookie: sessionCookies(createSessionToken()) });

  const pathsOf = (page) => [page, `${page}/`, `${page}.html`, `${page}/index.html`];
  for (const page of ["/account", "/docs/secret", "/admin"])
    test(`all paths of the page ${page} are under one rule`, async () => {
      const more = [page.toUpperCase(), `${page}//`, `/${page}`, `${page}/index`, `${page};x`];
      for (const path of [...pathsOf(page), ...more]) {
        const response = await get(path);
        assertProblem(response, 401, "unauthorized", "no_credential");
        assert.doesNotMatch(response.text, /the file/, path);
      }
      const responses = await Promise.all(pathsOf(page).map((path) => get(path, signedIn())));
      const pages = responses.filter(({ status }) => status === 200);
      assert.ok(pages.length > 0, "a signed-in user gets the page by at least one path");
      for (const { text, headers } of pages) {
        assert.match(text, /the file/);
        assert.equal(headers["cache-control"], "private, max-age=0, must-revalidate");
      }
    });

  test("guarded files are private, public files stay public", async () => {
    const cacheControl = async (path) => (await get(path, signedIn())).headers["cache-control"];
    assert.equal(await cacheControl("/shut.js"), "private, max-age=0, must-revalidate");
    assert.equal(await cacheControl("/app.js"), "public, max-age=0, must-revalidate");
  });

  test("public files stay public under all their paths", async () => {
    for (const path of ["/", "/other", "/app.js"]) {
      const response = await get(path);
      assert.equal(response.status, 200, path);
      assert.match(response.text, /the file/);
    }
  });
});
