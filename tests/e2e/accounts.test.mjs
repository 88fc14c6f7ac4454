// Accounts: the first run, signing in, users and invites, each with what goes wrong.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { read, responseOf, send } from "../support/client.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";
const ROOT = { email: "root@example.com", password: PASSWORD };
const VARIABLES = { SESSION: { login: "accounts", check_ttl: "60s" }, SETUP_TOKEN };
const ROUTES = [
  { path: "/public/{*rest}", access: "public" },
  { path: "/admin/{*rest}", access: "admin" },
];

// Each request comes from an address of its own, so that the limits are met where they are meant to be.
let count = 0;
const address = () => {
  count += 1;
  return `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}`;
};

// What a browser of somebody would send, and remembers.
class Person {
  constructor(gateway) {
    this.gateway = gateway;
    this.headers = { "Sec-Fetch-Site": "same-origin" };
  }

  async ask(method, path, body, headers = {}) {
    const json = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await this.gateway.untouched(() =>
      this.gateway.ask(path, {
        method,
        headers: { "CF-Connecting-IP": address(), ...json, ...this.headers, ...headers },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      }),
    );
    for (const line of response.headers["set-cookie"] ?? []) {
      if (line.startsWith("mk_session=")) this.headers.Cookie = line.split(";")[0];
    }
    return response;
  }

  get = (path) => this.ask("GET", path);
  post = (path, body, headers) => this.ask("POST", path, body ?? {}, headers);

  async invite(body) {
    const response = await this.post("/api/invites", { role: "user", ...body });
    assert.equal(response.status, 201, response.text);
    return response.json();
  }
}

const redeem = (person, token, email, more = {}) =>
  person.post(`/api/invites/${token}/redeem`, { email, password: PASSWORD, ...more });

let gateway;
let root;
const somebody = () => new Person(gateway);

before(async () => {
  gateway = await openGateway({ routes: ROUTES, variables: VARIABLES });
  root = somebody();
});
after(() => gateway.stop());

const setupState = async () => (await somebody().get("/api/auth/setup")).json();

describe("the first run", () => {
  test("is open", async () => {
    assert.deepEqual(await setupState(), { open: true });
  });

  test("asks for the setup token, and takes no other", async () => {
    for (const setupToken of ["", "x", `${SETUP_TOKEN}x`, SETUP_TOKEN.slice(1)]) {
      const response = await somebody().post("/api/auth/setup", { setupToken, ...ROOT });
      assertProblem(response, 401, "invalid_credentials");
      assert.equal(response.headers["set-cookie"], undefined);
    }
  });

  test("of twenty at once, one makes the account and is signed in as its admin", async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const person = somebody();
        const body = { setupToken: SETUP_TOKEN, email: `r${at}@example.com`, password: PASSWORD };
        return { person, email: body.email, response: await person.post("/api/auth/setup", body) };
      }),
    );
    const [made, ...others] = answers.sort((a, b) => a.response.status - b.response.status);
    assert.equal(made.response.status, 201, made.response.text);
    assert.match(made.response.json().userId, /^usr_[\w-]{27}$/);
    for (const { response } of others) assertProblem(response, 409, "already_set_up");
    root = made.person;
    ROOT.email = made.email;
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

  test("and never again", async () => {
    const body = { setupToken: SETUP_TOKEN, email: "second@example.com", password: PASSWORD };
    assertProblem(await somebody().post("/api/auth/setup", body), 409, "already_set_up");
    assert.deepEqual(await setupState(), { open: false });
    const head = await somebody().ask("HEAD", "/api/auth/setup");
    assert.deepEqual([head.status, head.text], [200, ""]);
  });
});

test("without a setup token the first run is not open", async (t) => {
  const closed = await openGateway({ routes: ROUTES, variables: { SESSION: VARIABLES.SESSION } });
  t.after(() => closed.stop());
  const response = await new Person(closed).get("/api/auth/setup");
  assert.deepEqual([response.status, response.json()], [200, { open: false }]);
});

describe("signing in", () => {
  test("and out again", async () => {
    const person = somebody();
    const response = await person.post("/api/auth/login", {
      ...ROOT,
      email: ROOT.email.toUpperCase(),
    });
    assert.equal(response.status, 200, response.text);
    assert.equal(response.headers["cache-control"], "private, no-store");
    assert.equal((await person.get("/api/auth/me")).json().role, "admin");
    const { Cookie } = person.headers;
    assert.equal((await person.post("/api/auth/logout")).status, 204);
    const back = await gateway.ask("/api/auth/me", { headers: { Cookie } });
    assertProblem(back, 401, "unauthorized", "session_revoked");
  });

  test("says the same of a wrong password and of nobody", async () => {
    const answers = [];
    for (const body of [
      { ...ROOT, password: "wrong horse battery" },
      { email: "nobody@example.com", password: PASSWORD },
    ]) {
      const response = await somebody().post("/api/auth/login", body);
      const problem = assertProblem(response, 401, "invalid_credentials");
      answers.push({ ...problem, requestId: "" });
      assert.equal(response.headers["set-cookie"], undefined);
    }
    assert.deepEqual(answers[0], answers[1]);
  });

  test("from another site is refused before anything is looked at", async () => {
    const response = await somebody().post("/api/auth/login", ROOT, {
      "Sec-Fetch-Site": "cross-site",
      Origin: "https://evil.example",
    });
    assertProblem(response, 403, "forbidden_origin");
  });

  test("is limited by account where it is tried from, and the limit is told", async () => {
    const here = { "CF-Connecting-IP": address() };
    const tries = await Promise.all(
      Array.from({ length: 15 }, () =>
        somebody().post("/api/auth/login", { email: "target@example.com", password: "x" }, here),
      ),
    );
    const limited = tries.filter(({ status }) => status === 429);
    assert.equal(limited.length, 5);
    const { headers } = limited[0];
    assert.ok(Number(headers["retry-after"]) > 0);
    assert.equal(headers["ratelimit-policy"], '"login-account";q=10;w=300');
    assert.match(headers.ratelimit, /^"login-account";r=0;t=\d+$/);
    assertProblem(limited[0], 429, "rate_limited");
  });

  test("is not kept from who tries elsewhere, until that is too often too", async () => {
    const tries = await Promise.all(
      Array.from({ length: 55 }, () =>
        somebody().post("/api/auth/login", { email: "target@example.com", password: "x" }),
      ),
    );
    // Ten were tried above.
    const limited = tries.filter(({ status }) => status === 429);
    assert.equal(limited.length, 15);
    assert.equal(limited[0].headers["ratelimit-policy"], '"login-anywhere";q=50;w=300');
  });

  test("is limited by address, whatever is tried, and IPv6 by its /64", async () => {
    const tries = await Promise.all(
      Array.from({ length: 60 }, (_, at) =>
        somebody().post(
          "/api/auth/login",
          { email: `u${at}@example.com`, password: "x" },
          { "CF-Connecting-IP": `2001:db8:7:7::${at.toString(16)}`, "X-Forwarded-For": address() },
        ),
      ),
    );
    assert.equal(tries.filter(({ status }) => status === 429).length, 10);
  });
});

describe("bodies", () => {
  const good = JSON.stringify({ email: "a@example.com", password: PASSWORD });
  for (const [what, body, field] of [
    ["nothing", "", "(body)"],
    ["no JSON", "email=a", "(body)"],
    ["a list", "[]", "(body)"],
    ["null", "null", "(body)"],
    ["half of it", good.slice(0, -1), "(body)"],
    ["two of it", good + good, "(body)"],
    ["a duplicate", good.replace("{", '{"email":"b@example.com",'), "(body)"],
    ["nesting", `{"email":${"[".repeat(5_000)}${"]".repeat(5_000)}}`, "(body)"],
    ["an unknown member", good.replace("{", '{"admin":"yes",'), "(unknown)"],
    ["a number", good.replace('"a@example.com"', "1"), "email"],
    ["a null", good.replace('"a@example.com"', "null"), "email"],
    ["no e-mail", JSON.stringify({ password: PASSWORD }), "email"],
    ["two @", good.replace("a@", "a@b@"), "email"],
    ["a look-alike", good.replace("a@", "\u0430@"), "email"],
    ["a control character", good.replace("a@", "a\\u0000@"), "email"],
    ["a line feed", good.replace("a@", "a\\n@"), "email"],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), "(body)"],
  ]) {
    test(what, async () => {
      const options = { method: "POST", body };
      const headers = { "Content-Type": "application/json", "CF-Connecting-IP": address() };
      const response = await gateway.untouched(() =>
        gateway.ask("/api/auth/login", { ...options, headers }),
      );
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }

  test("ten megabytes, with a length and without: 413, and nothing is held", async () => {
    for (const headers of [{}, { "Transfer-Encoding": "chunked" }]) {
      const response = await gateway.ask("/api/auth/login", {
        method: "POST",
        headers: { "Content-Type": "application/json", "CF-Connecting-IP": address(), ...headers },
        body: Buffer.alloc(10_000_000, " "),
      });
      assertProblem(response, 413, "body_too_large");
    }
  });

  test("of another type: 415", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", ""]) {
      const response = await somebody().ask("POST", "/api/auth/login", good, {
        "Content-Type": type,
      });
      assertProblem(response, 415, "unsupported_media_type");
    }
  });
});

describe("invites", () => {
  test("let somebody in: once", async () => {
    const { token, ...invite } = await root.invite({ email: "Ada@Example.com", expiresIn: "24h" });
    assert.match(token, /^mki_[\w-]{27}$/);
    assert.deepEqual(
      [invite.email, invite.status, invite.usedBy],
      ["ada@example.com", "unused", null],
    );
    const ada = somebody();
    assertProblem(await redeem(ada, token, "eve@example.com"), 401, "email_mismatch");
    const response = await redeem(ada, token, "ada@example.com", { name: "Ada" });
    assert.equal(response.status, 201, response.text);
    const me = (await ada.get("/api/auth/me")).json();
    assert.deepEqual([me.role, me.user], ["user", { email: "ada@example.com", name: "Ada" }]);
    assertProblem(await redeem(somebody(), token, "ada@example.com"), 410, "invite_unusable");
    const { items } = (await root.get("/api/invites")).json();
    const used = items.find(({ id }) => id === invite.id);
    assert.deepEqual([used.status, used.usedBy], ["used", me.userId]);
    assert.ok(!JSON.stringify(items).includes(token), "the token is shown once");
  });

  test("are not made for an address that has an account", async () => {
    const response = await root.post("/api/invites", { role: "user", email: ROOT.email });
    assertProblem(response, 409, "email_taken");
  });

  test("two hundred at once, ten times: one gets in, and there is one user more", async () => {
    for (let round = 0; round < 10; round += 1) {
      const { token } = await root.invite();
      const before = await everybody();
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, at) =>
          redeem(somebody(), token, `r${round}u${at}@example.com`),
        ),
      );
      const tally = Object.groupBy(answers, ({ status }) => status);
      assert.equal(tally[201]?.length, 1);
      assert.equal(tally[410]?.length, 199);
      assert.equal((await everybody()).length, before.length + 1);
    }
  });

  for (const [what, token] of [
    ["none", "x"],
    ["of another kind", `mul_${"a".repeat(27)}`],
    ["too short", `mki_${"a".repeat(26)}`],
    ["not in the alphabet", `mki_${"a".repeat(26)}.`],
  ]) {
    test(`a token that is ${what} is no token`, async () => {
      assertProblem(await redeem(somebody(), token, "x@example.com"), 400, "invalid_token");
    });
  }

  test("that were taken back, put out of use or have run out let nobody in", async () => {
    for (const status of ["disabled", "revoked"]) {
      const { token, id } = await root.invite();
      const changed = await root.ask("PATCH", `/api/invites/${id}`, { status });
      assert.equal(changed.json().status, status);
      assertProblem(
        await redeem(somebody(), token, `${status}@example.com`),
        410,
        "invite_unusable",
      );
    }
    const { token, id } = await root.invite();
    assert.equal((await root.ask("DELETE", `/api/invites/${id}`)).status, 204);
    assertProblem(await redeem(somebody(), token, "gone@example.com"), 410, "invite_unusable");
    assertProblem(await root.ask("DELETE", `/api/invites/${id}`), 404, "not_found");
    assertProblem(
      await redeem(somebody(), `mki_${"a".repeat(27)}`, "never@example.com"),
      410,
      "invite_unusable",
    );
  });

  test("for an address that has an account are refused as those for another", async () => {
    const { token } = await root.invite();
    assertProblem(await redeem(somebody(), token, ROOT.email), 401, "email_mismatch");
    assert.equal((await redeem(somebody(), token, "free@example.com")).status, 201);
  });

  test("are an admin's to make", async () => {
    const eve = await user("eve@example.com");
    for (const [method, path, body] of [
      ["POST", "/api/invites", { role: "admin" }],
      ["GET", "/api/invites"],
      ["GET", "/api/users"],
      ["PATCH", "/api/users/x", { role: "admin" }],
      ["DELETE", "/api/users/x"],
    ]) {
      assertProblem(await eve.ask(method, path, body), 403, "forbidden_role");
      const nobody = await somebody().ask(method, path, body);
      assertProblem(nobody, 401, "unauthorized", "no_credential");
    }
  });
});

describe("users", () => {
  test("who are disabled are out at once, in every isolate that asks; and back when enabled", async () => {
    const ada = await user("off@example.com");
    const { userId } = (await ada.get("/api/auth/me")).json();
    const off = await root.ask("PATCH", `/api/users/${userId}`, { status: "disabled" });
    assert.equal(off.json().status, "disabled");
    assertProblem(await ada.get("/api/auth/me"), 401, "unauthorized", "session_revoked");
    const login = { email: "off@example.com", password: PASSWORD };
    assertProblem(await somebody().post("/api/auth/login", login), 401, "invalid_credentials");
    await root.ask("PATCH", `/api/users/${userId}`, { status: "active" });
    assert.equal((await somebody().post("/api/auth/login", login)).status, 200);
  });

  test("who become admins, or no longer are", async () => {
    const ada = await user("up@example.com");
    const { userId } = (await ada.get("/api/auth/me")).json();
    assertProblem(await ada.get("/admin/x"), 403, "forbidden_role");
    await root.ask("PATCH", `/api/users/${userId}`, { role: "admin" });
    assert.equal((await gateway.ask("/admin/x", { headers: ada.headers })).text, "ok");
    await root.ask("PATCH", `/api/users/${userId}`, { role: "user" });
    assertProblem(await ada.get("/admin/x"), 403, "forbidden_role");
  });

  test("who are deleted are gone, and their address is free again", async () => {
    const ada = await user("del@example.com");
    const { userId } = (await ada.get("/api/auth/me")).json();
    assert.equal((await root.ask("DELETE", `/api/users/${userId}`)).status, 204);
    assertProblem(await ada.get("/api/auth/me"), 401, "unauthorized", "session_revoked");
    assertProblem(await root.get(`/api/users/${userId}`), 404, "not_found");
    await user("del@example.com");
  });

  test("who invite no more have no invites out, of whatever kind", async () => {
    const end = {
      demoted: (id) => root.ask("PATCH", `/api/users/${id}`, { role: "user" }),
      disabled: (id) => root.ask("PATCH", `/api/users/${id}`, { status: "disabled" }),
      deleted: (id) => root.ask("DELETE", `/api/users/${id}`),
    };
    for (const [what, ended] of Object.entries(end)) {
      const mallory = await user(`${what}@example.com`, "admin");
      const { userId } = (await mallory.get("/api/auth/me")).json();
      const { token } = await mallory.invite({ role: "admin" });
      const disabled = await mallory.invite({ role: "admin" });
      await root.ask("PATCH", `/api/invites/${disabled.id}`, { status: "disabled" });
      assert.ok((await ended(userId)).status < 300);
      assertProblem(
        await redeem(somebody(), token, `back-${what}@example.com`),
        410,
        "invite_unusable",
      );
      const again = await root.ask("PATCH", `/api/invites/${disabled.id}`, { status: "unused" });
      assertProblem(again, 410, "invite_unusable");
    }
  });

  test("who are gone by the time their request is there do nothing by it", async () => {
    const mallory = await user("late@example.com", "admin");
    const { userId } = (await mallory.get("/api/auth/me")).json();
    const body = JSON.stringify({ role: "admin" });
    const sending = send(gateway.direct, "/api/invites", {
      method: "POST",
      host: "app.example",
      headers: {
        ...mallory.headers,
        "Content-Type": "application/json",
        "Content-Length": String(body.length),
      },
    });
    const answer = responseOf(sending);
    await new Promise((resolve) => sending.write(body.slice(0, 1), resolve));
    assert.equal((await mallory.get("/api/auth/me")).status, 200);
    assert.equal((await root.ask("DELETE", `/api/users/${userId}`)).status, 204);
    sending.end(body.slice(1));
    assertProblem(await read(await answer), 401, "unauthorized", "session_revoked");
  });

  test("one of them is always an admin", async () => {
    const { userId } = (await root.get("/api/auth/me")).json();
    for (const [method, body] of [
      ["PATCH", { role: "user" }],
      ["PATCH", { status: "disabled" }],
      ["DELETE", undefined],
    ]) {
      assertProblem(
        await root.ask(method, `/api/users/${userId}`, body),
        403,
        "forbidden_policy",
        "last_admin",
      );
    }
    assert.equal((await root.get("/api/users")).status, 200);
  });
});

async function everybody() {
  const all = [];
  let cursor = "";
  do {
    const page = (await root.get(`/api/users?limit=100${cursor}`)).json();
    all.push(...page.items);
    cursor = page.next && `&cursor=${page.next}`;
  } while (cursor);
  return all;
}

async function user(email, role = "user") {
  const person = somebody();
  const { token } = await root.invite({ role });
  assert.equal((await redeem(person, token, email)).status, 201);
  return person;
}
