// Accounts: setup, signing in, users and invites, with the error cases of each.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { read, responseOf, startRequest } from "../support/client.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";
const ROOT = { email: "root@example.com", password: PASSWORD };
const VARIABLES = { SESSION: { login: "accounts", check_ttl: "60s" }, SETUP_TOKEN };
const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/admin/{*rest}", access: "admin" },
];

// Each request comes from a new address, so that only the tests of rate limits reach one.
let count = 0;
const newAddress = () => {
  count += 1;
  return `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}`;
};

// Sends requests as a browser does, and keeps the session cookie.
class Browser {
  constructor(gateway) {
    this.gateway = gateway;
    this.headers = { "Sec-Fetch-Site": "same-origin" };
  }

  async request(method, path, body, headers = {}) {
    const json = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await this.gateway.expectNotForwarded(() =>
      this.gateway.request(path, {
        method,
        headers: { "CF-Connecting-IP": newAddress(), ...json, ...this.headers, ...headers },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      }),
    );
    for (const line of response.headers["set-cookie"] ?? []) {
      if (line.startsWith("mk_session=")) this.headers.Cookie = line.split(";")[0];
    }
    return response;
  }

  get = (path) => this.request("GET", path);
  post = (path, body, headers) => this.request("POST", path, body ?? {}, headers);

  async invite(body) {
    const response = await this.post("/api/invites", { role: "user", ...body });
    assert.equal(response.status, 201, response.text);
    return response.json();
  }
}

const redeem = (browser, token, email, more = {}) =>
  browser.post(`/api/invites/${token}/redeem`, { email, password: PASSWORD, ...more });

let gateway;
let root;
const newBrowser = () => new Browser(gateway);

before(async () => {
  gateway = await openGateway({ routes: ROUTES, variables: VARIABLES });
  root = newBrowser();
});
after(() => gateway.stop());

const setupState = async () => (await newBrowser().get("/api/auth/setup")).json();

describe("setup", () => {
  test("is open before the first account exists", async () => {
    assert.deepEqual(await setupState(), { open: true });
  });

  test("rejects a wrong setup token with 401", async () => {
    for (const setupToken of ["", "x", `${SETUP_TOKEN}x`, SETUP_TOKEN.slice(1)]) {
      const response = await newBrowser().post("/api/auth/setup", { setupToken, ...ROOT });
      assertProblem(response, 401, "invalid_credentials");
      assert.equal(response.headers["set-cookie"], undefined);
    }
  });

  test("lets one of twenty concurrent requests create the admin and signs it in", async () => {
    const responses = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const browser = newBrowser();
        const body = { setupToken: SETUP_TOKEN, email: `r${i}@example.com`, password: PASSWORD };
        return {
          person: browser,
          email: body.email,
          response: await browser.post("/api/auth/setup", body),
        };
      }),
    );
    const [created, ...rejected] = responses.sort((a, b) => a.response.status - b.response.status);
    assert.equal(created.response.status, 201, created.response.text);
    assert.match(created.response.json().userId, /^usr_[\w-]{27}$/);
    for (const { response } of rejected) assertProblem(response, 409, "already_set_up");
    root = created.person;
    ROOT.email = created.email;
    const me = (await root.get("/api/auth/me")).json();
    assert.deepEqual(
      [me.kind, me.role, me.user],
      ["user", "admin", { email: ROOT.email, name: null }],
    );
    const { items } = (await root.get("/api/users")).json();
    assert.deepEqual(
      items.map(({ email }) => email),
      [ROOT.email],
    );
  });

  test("returns 409 once an account exists", async () => {
    const body = { setupToken: SETUP_TOKEN, email: "second@example.com", password: PASSWORD };
    assertProblem(await newBrowser().post("/api/auth/setup", body), 409, "already_set_up");
    assert.deepEqual(await setupState(), { open: false });
    const response = await newBrowser().request("HEAD", "/api/auth/setup");
    assert.deepEqual([response.status, response.text], [200, ""]);
  });
});

test("setup is closed if no setup token is configured", async (t) => {
  const closed = await openGateway({ routes: ROUTES, variables: { SESSION: VARIABLES.SESSION } });
  t.after(() => closed.stop());
  const response = await new Browser(closed).get("/api/auth/setup");
  assert.deepEqual([response.status, response.json()], [200, { open: false }]);
});

describe("login", () => {
  test("accepts the e-mail in any case, and logout revokes the session", async () => {
    const browser = newBrowser();
    const response = await browser.post("/api/auth/login", {
      ...ROOT,
      email: ROOT.email.toUpperCase(),
    });
    assert.equal(response.status, 200, response.text);
    assert.equal(response.headers["cache-control"], "private, no-store");
    assert.equal((await browser.get("/api/auth/me")).json().role, "admin");
    const { Cookie } = browser.headers;
    assert.equal((await browser.post("/api/auth/logout")).status, 204);
    const revoked = await gateway.request("/api/auth/me", { headers: { Cookie } });
    assertProblem(revoked, 401, "unauthorized", "session_revoked");
  });

  test("returns the same answer for a wrong password and for an unknown e-mail", async () => {
    const responses = [];
    for (const body of [
      { ...ROOT, password: "wrong horse battery" },
      { email: "nobody@example.com", password: PASSWORD },
    ]) {
      const response = await newBrowser().post("/api/auth/login", body);
      const problem = assertProblem(response, 401, "invalid_credentials");
      responses.push({ ...problem, requestId: "" });
      assert.equal(response.headers["set-cookie"], undefined);
    }
    assert.deepEqual(responses[0], responses[1]);
  });

  test("rejects cross-site requests before checking the password", async () => {
    const response = await newBrowser().post("/api/auth/login", ROOT, {
      "Sec-Fetch-Site": "cross-site",
      Origin: "https://evil.example",
    });
    assertProblem(response, 403, "forbidden_origin");
  });

  test("limits attempts for one account from one address, and sends rate limit headers", async () => {
    const sameAddress = { "CF-Connecting-IP": newAddress() };
    const attempts = await Promise.all(
      Array.from({ length: 15 }, () =>
        newBrowser().post(
          "/api/auth/login",
          { email: "target@example.com", password: "x" },
          sameAddress,
        ),
      ),
    );
    const limited = attempts.filter(({ status }) => status === 429);
    assert.equal(limited.length, 5);
    const { headers } = limited[0];
    assert.ok(Number(headers["retry-after"]) > 0);
    assert.equal(headers["ratelimit-policy"], '"login-account";q=10;w=300');
    assert.match(headers.ratelimit, /^"login-account";r=0;t=\d+$/);
    assertProblem(limited[0], 429, "rate_limited");
  });

  test("allows attempts for that account from other addresses, up to a higher limit", async () => {
    const attempts = await Promise.all(
      Array.from({ length: 55 }, () =>
        newBrowser().post("/api/auth/login", { email: "target@example.com", password: "x" }),
      ),
    );
    // The test above made ten attempts.
    const limited = attempts.filter(({ status }) => status === 429);
    assert.equal(limited.length, 15);
    assert.equal(limited[0].headers["ratelimit-policy"], '"login-anywhere";q=50;w=300');
  });

  test("limits attempts by address for all accounts together, IPv6 by its /64", async () => {
    const attempts = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        newBrowser().post(
          "/api/auth/login",
          { email: `u${i}@example.com`, password: "x" },
          {
            "CF-Connecting-IP": `2001:db8:7:7::${i.toString(16)}`,
            "X-Forwarded-For": newAddress(),
          },
        ),
      ),
    );
    assert.equal(attempts.filter(({ status }) => status === 429).length, 10);
  });
});

describe("a login request with an invalid body", () => {
  const validBody = JSON.stringify({ email: "a@example.com", password: PASSWORD });
  for (const [name, body, field] of [
    ["an empty body", "", "(body)"],
    ["a body that is not JSON", "email=a", "(body)"],
    ["an array", "[]", "(body)"],
    ["null", "null", "(body)"],
    ["truncated JSON", validBody.slice(0, -1), "(body)"],
    ["two objects", validBody + validBody, "(body)"],
    ["a duplicate member", validBody.replace("{", '{"email":"b@example.com",'), "(body)"],
    ["deep nesting", `{"email":${"[".repeat(5_000)}${"]".repeat(5_000)}}`, "(body)"],
    ["an unknown member", validBody.replace("{", '{"admin":"yes",'), "(unknown)"],
    ["a number as e-mail", validBody.replace('"a@example.com"', "1"), "email"],
    ["null as e-mail", validBody.replace('"a@example.com"', "null"), "email"],
    ["no e-mail", JSON.stringify({ password: PASSWORD }), "email"],
    ["an e-mail with two @", validBody.replace("a@", "a@b@"), "email"],
    ["an e-mail with a Cyrillic letter", validBody.replace("a@", "\u0430@"), "email"],
    ["an e-mail with a control character", validBody.replace("a@", "a\\u0000@"), "email"],
    ["an e-mail with a line feed", validBody.replace("a@", "a\\n@"), "email"],
    ["invalid UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), "(body)"],
  ]) {
    test(`returns 400 and names the field: ${name}`, async () => {
      const options = { method: "POST", body };
      const headers = { "Content-Type": "application/json", "CF-Connecting-IP": newAddress() };
      const response = await gateway.expectNotForwarded(() =>
        gateway.request("/api/auth/login", { ...options, headers }),
      );
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }

  test("returns 413 for ten megabytes, with and without Content-Length", async () => {
    for (const headers of [{}, { "Transfer-Encoding": "chunked" }]) {
      const response = await gateway.request("/api/auth/login", {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "CF-Connecting-IP": newAddress(),
          ...headers,
        },
        body: Buffer.alloc(10_000_000, " "),
      });
      assertProblem(response, 413, "body_too_large");
    }
  });

  test("returns 415 for other media types", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", ""]) {
      const response = await newBrowser().request("POST", "/api/auth/login", validBody, {
        "Content-Type": type,
      });
      assertProblem(response, 415, "unsupported_media_type");
    }
  });
});

describe("invites", () => {
  test("create one account each, for the invited e-mail only", async () => {
    const { token, ...invite } = await root.invite({ email: "Ada@Example.com", expiresIn: "24h" });
    assert.match(token, /^mki_[\w-]{27}$/);
    assert.deepEqual(
      [invite.email, invite.status, invite.usedBy],
      ["ada@example.com", "unused", null],
    );
    const ada = newBrowser();
    assertProblem(await redeem(ada, token, "eve@example.com"), 401, "email_mismatch");
    const response = await redeem(ada, token, "ada@example.com", { name: "Ada" });
    assert.equal(response.status, 201, response.text);
    const me = (await ada.get("/api/auth/me")).json();
    assert.deepEqual([me.role, me.user], ["user", { email: "ada@example.com", name: "Ada" }]);
    assertProblem(await redeem(newBrowser(), token, "ada@example.com"), 410, "invite_unusable");
    const { items } = (await root.get("/api/invites")).json();
    const used = items.find(({ id }) => id === invite.id);
    assert.deepEqual([used.status, used.usedBy], ["used", me.userId]);
    assert.ok(!JSON.stringify(items).includes(token), "the list contains the token");
  });

  test("are not created for an e-mail that has an account", async () => {
    const response = await root.post("/api/invites", { role: "user", email: ROOT.email });
    assertProblem(response, 409, "email_taken");
  });

  test("create one user when redeemed 200 times at once (ten rounds)", async () => {
    for (let round = 0; round < 10; round += 1) {
      const { token } = await root.invite();
      const before = await listUsers();
      const responses = await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          redeem(newBrowser(), token, `r${round}u${i}@example.com`),
        ),
      );
      const tally = Object.groupBy(responses, ({ status }) => status);
      assert.equal(tally[201]?.length, 1);
      assert.equal(tally[410]?.length, 199);
      assert.equal((await listUsers()).length, before.length + 1);
    }
  });

  for (const [name, token] of [
    ["no prefix", "x"],
    ["the prefix of another token", `mul_${"a".repeat(27)}`],
    ["too few characters", `mki_${"a".repeat(26)}`],
    ["an invalid character", `mki_${"a".repeat(26)}.`],
  ]) {
    test(`return 400 for a token with ${name}`, async () => {
      assertProblem(await redeem(newBrowser(), token, "x@example.com"), 400, "invalid_token");
    });
  }

  test("return 410 when disabled, revoked, deleted or unknown", async () => {
    for (const status of ["disabled", "revoked"]) {
      const { token, id } = await root.invite();
      const changed = await root.request("PATCH", `/api/invites/${id}`, { status });
      assert.equal(changed.json().status, status);
      assertProblem(
        await redeem(newBrowser(), token, `${status}@example.com`),
        410,
        "invite_unusable",
      );
    }
    const { token, id } = await root.invite();
    assert.equal((await root.request("DELETE", `/api/invites/${id}`)).status, 204);
    assertProblem(await redeem(newBrowser(), token, "gone@example.com"), 410, "invite_unusable");
    assertProblem(await root.request("DELETE", `/api/invites/${id}`), 404, "not_found");
    assertProblem(
      await redeem(newBrowser(), `mki_${"a".repeat(27)}`, "never@example.com"),
      410,
      "invite_unusable",
    );
  });

  test("do not reveal that an e-mail already has an account", async () => {
    const { token } = await root.invite();
    assertProblem(await redeem(newBrowser(), token, ROOT.email), 401, "email_mismatch");
    assert.equal((await redeem(newBrowser(), token, "free@example.com")).status, 201);
  });

  test("and users are managed by admins only", async () => {
    const eve = await createUser("eve@example.com");
    for (const [method, path, body] of [
      ["POST", "/api/invites", { role: "admin" }],
      ["GET", "/api/invites"],
      ["GET", "/api/users"],
      ["PATCH", "/api/users/x", { role: "admin" }],
      ["DELETE", "/api/users/x"],
    ]) {
      assertProblem(await eve.request(method, path, body), 403, "forbidden_role");
      const anonymous = await newBrowser().request(method, path, body);
      assertProblem(anonymous, 401, "unauthorized", "no_credential");
    }
  });
});

describe("users", () => {
  test("lose their sessions and cannot sign in while disabled", async () => {
    const ada = await createUser("off@example.com");
    const { userId } = (await ada.get("/api/auth/me")).json();
    const response = await root.request("PATCH", `/api/users/${userId}`, { status: "disabled" });
    assert.equal(response.json().status, "disabled");
    assertProblem(await ada.get("/api/auth/me"), 401, "unauthorized", "session_revoked");
    const login = { email: "off@example.com", password: PASSWORD };
    assertProblem(await newBrowser().post("/api/auth/login", login), 401, "invalid_credentials");
    await root.request("PATCH", `/api/users/${userId}`, { status: "active" });
    assert.equal((await newBrowser().post("/api/auth/login", login)).status, 200);
  });

  test("gain and lose access to admin routes when their role changes", async () => {
    const ada = await createUser("up@example.com");
    const { userId } = (await ada.get("/api/auth/me")).json();
    assertProblem(await ada.get("/admin/x"), 403, "forbidden_role");
    await root.request("PATCH", `/api/users/${userId}`, { role: "admin" });
    assert.equal((await gateway.request("/admin/x", { headers: ada.headers })).text, "ok");
    await root.request("PATCH", `/api/users/${userId}`, { role: "user" });
    assertProblem(await ada.get("/admin/x"), 403, "forbidden_role");
  });

  test("lose their sessions when deleted, and their e-mail can be used again", async () => {
    const ada = await createUser("del@example.com");
    const { userId } = (await ada.get("/api/auth/me")).json();
    assert.equal((await root.request("DELETE", `/api/users/${userId}`)).status, 204);
    assertProblem(await ada.get("/api/auth/me"), 401, "unauthorized", "session_revoked");
    assertProblem(await root.get(`/api/users/${userId}`), 404, "not_found");
    await createUser("del@example.com");
  });

  test("lose their unused and disabled invites when demoted, disabled or deleted", async () => {
    const removals = {
      demoted: (id) => root.request("PATCH", `/api/users/${id}`, { role: "user" }),
      disabled: (id) => root.request("PATCH", `/api/users/${id}`, { status: "disabled" }),
      deleted: (id) => root.request("DELETE", `/api/users/${id}`),
    };
    for (const [name, remove] of Object.entries(removals)) {
      const mallory = await createUser(`${name}@example.com`, "admin");
      const { userId } = (await mallory.get("/api/auth/me")).json();
      const { token } = await mallory.invite({ role: "admin" });
      const disabled = await mallory.invite({ role: "admin" });
      await root.request("PATCH", `/api/invites/${disabled.id}`, { status: "disabled" });
      assert.ok((await remove(userId)).status < 300);
      assertProblem(
        await redeem(newBrowser(), token, `back-${name}@example.com`),
        410,
        "invite_unusable",
      );
      const reenabled = await root.request("PATCH", `/api/invites/${disabled.id}`, {
        status: "unused",
      });
      assertProblem(reenabled, 410, "invite_unusable");
    }
  });

  test("are checked again after the body of their request has arrived", async () => {
    const mallory = await createUser("late@example.com", "admin");
    const { userId } = (await mallory.get("/api/auth/me")).json();
    const body = JSON.stringify({ role: "admin" });
    const request = startRequest(gateway.direct, "/api/invites", {
      method: "POST",
      host: "app.example",
      headers: {
        ...mallory.headers,
        "Content-Type": "application/json",
        "Content-Length": String(body.length),
      },
    });
    const response = responseOf(request);
    await new Promise((resolve) => request.write(body.slice(0, 1), resolve));
    assert.equal((await mallory.get("/api/auth/me")).status, 200);
    assert.equal((await root.request("DELETE", `/api/users/${userId}`)).status, 204);
    request.end(body.slice(1));
    assertProblem(await read(await response), 401, "unauthorized", "session_revoked");
  });

  test("include at least one active admin: the last one cannot be removed", async () => {
    const { userId } = (await root.get("/api/auth/me")).json();
    for (const [method, body] of [
      ["PATCH", { role: "user" }],
      ["PATCH", { status: "disabled" }],
      ["DELETE", undefined],
    ]) {
      assertProblem(
        await root.request(method, `/api/users/${userId}`, body),
        403,
        "forbidden_policy",
        "last_admin",
      );
    }
    assert.equal((await root.get("/api/users")).status, 200);
  });
});

async function listUsers() {
  const users = [];
  let cursor = "";
  do {
    const page = (await root.get(`/api/users?limit=100${cursor}`)).json();
    users.push(...page.items);
    cursor = page.next && `&cursor=${page.next}`;
  } while (cursor);
  return users;
}

async function createUser(email, role = "user") {
  const browser = newBrowser();
  const { token } = await root.invite({ role });
  assert.equal((await redeem(browser, token, email)).status, 201);
  return browser;
}
