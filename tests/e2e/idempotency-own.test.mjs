// Idempotency keys at built-in routes that create something and return a secret once. Also the operator's list of
// unknown outcomes.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { kindOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { now, trackSecret } from "../support/tokens.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";

// The two endpoints that create something, with valid and invalid bodies. `secret` is the member that has the secret.
const ENDPOINTS = [
  {
    path: "/api/invites",
    operation: "vestibule.invites.create",
    secret: "token",
    body: { role: "user" },
    other: { role: "admin" },
    broken: { role: "king" },
  },
  {
    path: "/api/agent-tokens",
    operation: "vestibule.tokens.create",
    secret: "plaintext",
    body: { name: "a token", prefix: "mul_" },
    other: { name: "another", prefix: "mul_" },
    broken: { name: "a token", prefix: "none_" },
  },
];

let gateway;
let folder;
let root; // an admin
let eve; // another admin
let ada; // a user
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  gateway = await openGateway({
    routes: [
      { path: "/user", access: "user" },
      { path: "/orders", access: "authenticated", idempotency: "required" },
    ],
    variables: { SESSION: { login: "accounts", check_ttl: "0s" }, SETUP_TOKEN },
    folder,
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
  root = userOf(await send("/api/auth/setup", first));
  eve = await createUser("admin", "eve@example.com");
  ada = await createUser("user", "ada@example.com");
});
after(async () => {
  await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
let key;
beforeEach(() => {
  count += 1;
  key = `key-${count}`;
});

const send = (path, body, headers = {}) =>
  gateway.expectNotForwarded(() =>
    gateway.request(path, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "Sec-Fetch-Site": "same-origin",
        ...headers,
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
const create = ({ path }, caller, body, more) =>
  send(path, body, { ...caller.headers, "Idempotency-Key": key, ...more });
const userOf = (response) => {
  assert.equal(response.status, 201, response.text);
  const headers = { Cookie: response.cookies[0].split(";")[0] };
  return { headers, id: response.json().userId };
};
const createUser = async (role, email) => {
  const { token } = (await send("/api/invites", { role }, root.headers)).json();
  return userOf(await send(`/api/invites/${token}/redeem`, { email, password: PASSWORD }));
};
const get = (path, headers) => gateway.expectNotForwarded(() => gateway.request(path, { headers }));
const listed = async ({ path }, { headers } = root) => {
  const response = await get(`${path}?limit=100`, headers);
  assert.equal(response.status, 200, response.text);
  return response.json().items.map(({ id }) => id);
};
// Runs `run` and returns the ids of the items that it created.
const createdBy = async (endpoint, run) => {
  const before = await listed(endpoint);
  await run();
  return (await listed(endpoint)).filter((id) => !before.includes(id));
};
const assertCreated = (response, { secret }) => {
  assert.equal(response.status, 201, response.text);
  assert.match(response.headers["cache-control"], /no-store/);
  assert.equal(response.headers["idempotent-replayed"], undefined);
  trackSecret(response.json()[secret]);
  return response.json();
};
const assertReplay = (again, first) => {
  assert.equal(again.headers["idempotent-replayed"], "true", again.text);
  assert.equal(again.status, 201);
  assert.match(again.headers["cache-control"], /no-store/);
  assert.equal(again.headers["content-type"], first.headers["content-type"]);
  assert.equal(again.text, first.text);
};

for (const endpoint of ENDPOINTS) {
  describe(`POST ${endpoint.path}`, () => {
    test("sent twice with one key creates one item and returns the same secret again", async () => {
      const created = await createdBy(endpoint, async () => {
        const first = await create(endpoint, root, endpoint.body);
        assertCreated(first, endpoint);
        assertReplay(await create(endpoint, root, endpoint.body), first);
        assertReplay(
          await create(endpoint, root, endpoint.body, { "Idempotency-Key": `"${key}"` }),
          first,
        );
      });
      assert.equal(created.length, 1);
    });

    test("without a key creates an item each time", async () => {
      const created = await createdBy(endpoint, async () => {
        for (const _ of [1, 2]) {
          const response = await create(endpoint, root, endpoint.body, {
            "Idempotency-Key": undefined,
          });
          assertCreated(response, endpoint);
        }
      });
      assert.equal(created.length, 2);
    });

    test("with an invalid key creates nothing", async () => {
      const created = await createdBy(endpoint, async () => {
        for (const value of ["a, b", "k".repeat(256)]) {
          const response = await create(endpoint, root, endpoint.body, {
            "Idempotency-Key": value,
          });
          assertProblem(response, 400, "idempotency_key_invalid");
        }
      });
      assert.deepEqual(created, []);
    });

    test("returns 422 for another request under the same key", async () => {
      const created = await createdBy(endpoint, async () => {
        const first = await create(endpoint, root, endpoint.body);
        assertCreated(first, endpoint);
        const elsewhere = ENDPOINTS.find((other) => other !== endpoint);
        for (const again of [
          create(endpoint, root, endpoint.other),
          create(endpoint, root, `${JSON.stringify(endpoint.body)} `),
          create(endpoint, root, endpoint.body, {
            "Content-Type": "application/json; charset=utf-8",
          }),
          create({ path: `${endpoint.path}?x` }, root, endpoint.body),
          create(elsewhere, root, elsewhere.body),
        ]) {
          assertProblem(await again, 422, "idempotency_key_reused");
        }
        assertReplay(await create(endpoint, root, endpoint.body), first);
      });
      assert.equal(created.length, 1);
    });

    test("creates another item for another admin with the same key", async () => {
      const created = await createdBy(endpoint, async () => {
        const [one, other] = [
          await create(endpoint, root, endpoint.body),
          await create(endpoint, eve, endpoint.body),
        ];
        assert.notEqual(
          assertCreated(one, endpoint)[endpoint.secret],
          assertCreated(other, endpoint)[endpoint.secret],
        );
        assertReplay(await create(endpoint, eve, endpoint.body), other);
      });
      assert.equal(created.length, 2);
    });

    test("leaves the key free if the request was refused", async () => {
      const created = await createdBy(endpoint, async () => {
        for (const body of [
          endpoint.broken,
          "{",
          { ...endpoint.body, unknown: 1 },
          endpoint.broken,
        ]) {
          assertProblem(await create(endpoint, root, body), 400, "invalid_body");
        }
        const wrongType = await create(endpoint, root, endpoint.body, {
          "Content-Type": "text/plain",
        });
        assertProblem(wrongType, 415, "unsupported_media_type");
        const first = await create(endpoint, root, endpoint.body);
        assertCreated(first, endpoint);
        assertReplay(await create(endpoint, root, endpoint.body), first);
      });
      assert.equal(created.length, 1);
    });

    test("sent fifty times at once creates one item", async () => {
      const created = await createdBy(endpoint, async () => {
        const all = await Promise.all(
          Array.from({ length: 50 }, () => create(endpoint, root, endpoint.body)),
        );
        const [first, ...more] = all.filter(
          ({ status, headers }) => status === 201 && !headers["idempotent-replayed"],
        );
        assertCreated(first, endpoint);
        assert.equal(more.length, 0);
        for (const other of all.filter((one) => one !== first)) {
          if (other.status === 409) assertProblem(other, 409, "idempotency_in_flight");
          else assertReplay(other, first);
        }
        assertReplay(await create(endpoint, root, endpoint.body), first);
      });
      assert.equal(created.length, 1);
    });

    test("is not replayed to a caller who would be refused", async () => {
      const first = await create(endpoint, root, endpoint.body);
      assertCreated(first, endpoint);
      for (const [more, status, error, reason] of [
        [{ Cookie: undefined }, 401, "unauthorized", "no_credential"],
        [{ Cookie: "mk_session=x" }, 401, "unauthorized", "session_malformed"],
        [
          { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" },
          403,
          "forbidden_origin",
        ],
      ]) {
        assertProblem(await create(endpoint, root, endpoint.body, more), status, error, reason);
      }
      assertReplay(await create(endpoint, root, endpoint.body), first);
    });

    test("stores neither the secret nor the key in plain text", async () => {
      key = `kept-to-oneself-${endpoint.secret}`;
      const secret = assertCreated(await create(endpoint, root, endpoint.body), endpoint)[
        endpoint.secret
      ];
      const texts = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"));
      assert.ok(
        texts.some((text) => text.includes(endpoint.operation)),
        "the record is stored",
      );
      for (const text of texts) assert.ok(!text.includes(secret) && !text.includes(key));
    });
  });
}

test("an invite that is replayed can be redeemed once", async () => {
  const [invites] = ENDPOINTS;
  await create(invites, root, invites.body);
  const { token } = (await create(invites, root, invites.body)).json();
  const body = { email: "late@example.com", password: PASSWORD };
  assert.equal((await send(`/api/invites/${token}/redeem`, body)).status, 201);
  // The replay is the stored response, from before the invite was redeemed.
  const again = await create(invites, root, invites.body);
  assert.deepEqual([again.status, again.json().status], [201, "unused"]);
  const second = await send(`/api/invites/${token}/redeem`, { ...body, email: "b@example.com" });
  assertProblem(second, 410, "invite_unusable");
});

test("a token that is replayed is valid until it is revoked", async () => {
  const [, tokens] = ENDPOINTS;
  await create(tokens, ada, tokens.body);
  const { id, plaintext } = (await create(tokens, ada, tokens.body)).json();
  const headers = { Authorization: `Bearer ${plaintext}` };
  assert.equal((await gateway.request("/user", { headers })).text, "ok");
  await gateway.request(`/api/agent-tokens/${id}`, {
    method: "DELETE",
    headers: { ...ada.headers, "Sec-Fetch-Site": "same-origin" },
  });
  assert.equal((await create(tokens, ada, tokens.body)).json().plaintext, plaintext);
  assertProblem(await get("/user", headers), 401, "unauthorized", "token_revoked");
});

describe("a key belongs to a principal, not to a credential", () => {
  const order = (headers) =>
    gateway.request("/orders", {
      method: "POST",
      headers: { "Sec-Fetch-Site": "same-origin", "Idempotency-Key": key, ...headers },
      body: "one",
    });
  const token = async (caller, more) => {
    const body = { name: "a token", prefix: "mul_", ...more };
    const created = (await send("/api/agent-tokens", body, caller.headers)).json();
    return { id: created.id, headers: { Authorization: `Bearer ${created.plaintext}` } };
  };
  const runs = (before) => gateway.upstreamRequests.length - before;

  test("one user with a session and two tokens: run once", async () => {
    const before = gateway.upstreamRequests.length;
    const [one, two] = [await token(ada), await token(ada, { prefix: "mat_" })];
    const answers = [];
    for (const caller of [ada, one, two]) answers.push(await order(caller.headers));
    assert.equal(runs(before), 1);
    assert.deepEqual(
      answers.map(({ headers }) => headers["idempotent-replayed"]),
      [undefined, "true", "true"],
    );
    const other = await order(eve.headers);
    assert.equal(other.headers["idempotent-replayed"], undefined);
    assert.equal(runs(before), 2, "another user's request runs");
  });

  test("an agent whose token was replaced: run once", async () => {
    const before = gateway.upstreamRequests.length;
    const old = await token(root, { prefix: "mk_", agentId: "agent_7" });
    assert.equal((await order(old.headers)).text, "ok");
    const headers = { ...root.headers, "Sec-Fetch-Site": "same-origin" };
    await gateway.request(`/api/agent-tokens/${old.id}`, { method: "DELETE", headers });
    const next = await token(root, { prefix: "mk_", agentId: "agent_7" });
    const again = await order(next.headers);
    assert.equal(again.headers["idempotent-replayed"], "true");
    assertProblem(await order(old.headers), 401, "unauthorized", "token_revoked");
    assert.equal(runs(before), 1);
  });
});

describe("no replay for a caller without the permission to create", () => {
  const [invites, tokens] = ENDPOINTS;
  const agents = { ...tokens, body: { name: "an agent", prefix: "mk_" } };

  test("a token, at an endpoint that needs a session", async () => {
    const { plaintext } = assertCreated(await create(tokens, root, tokens.body), tokens);
    const bearer = { headers: { Authorization: `Bearer ${plaintext}` } };
    assertProblem(await create(tokens, bearer, tokens.body), 403, "forbidden_human_only");
  });

  for (const endpoint of [invites, agents]) {
    test(`an admin who was demoted: POST ${endpoint.path}`, async () => {
      const mallory = await createUser("admin", `mallory-${key}@example.com`);
      assertCreated(await create(endpoint, mallory, endpoint.body), endpoint);
      const demoted = await gateway.request(`/api/users/${mallory.id}`, {
        method: "PATCH",
        headers: {
          "Content-Type": "application/json",
          "Sec-Fetch-Site": "same-origin",
          ...root.headers,
        },
        body: JSON.stringify({ role: "user" }),
      });
      assert.equal(demoted.status, 200, demoted.text);
      assertProblem(await create(endpoint, mallory, endpoint.body), 403, "forbidden_role");
    });
  }
});

describe("/api/idempotency", () => {
  const RESOLVE = "/api/idempotency/req_0123456789abcdef0123456789abcdef/resolve";
  const resolve = ({ headers }, body, more) => send(RESOLVE, body, { ...headers, ...more });

  test("is only for admins", async () => {
    const value = async (caller, prefix) => {
      const { plaintext } = (
        await send(ENDPOINTS[1].path, { name: "a", prefix }, caller.headers)
      ).json();
      return { headers: { Authorization: `Bearer ${trackSecret(plaintext)}` } };
    };
    for (const [caller, status, error, reason] of [
      [{ headers: {} }, 401, "unauthorized", "no_credential"],
      [{ headers: { Cookie: "mk_session=x" } }, 401, "unauthorized", "session_malformed"],
      [{ headers: { Authorization: "Bearer mk_x" } }, 401, "unauthorized", "token_unknown"],
      [ada, 403, "forbidden_role"],
      [await value(ada, "mul_"), 403, "forbidden_role"],
      [await value(ada, "mat_"), 403, "forbidden_role"],
      [await value(root, "mk_"), 403, "forbidden_kind"],
    ]) {
      assertProblem(await get("/api/idempotency", caller.headers), status, error, reason);
      assertProblem(await resolve(caller, { outcome: "ran" }), status, error, reason);
    }
    for (const caller of [root, await value(root, "mat_")]) {
      for (const path of ["/api/idempotency", "/api/idempotency?state=unknown&limit=100"]) {
        const response = await get(path, caller.headers);
        assert.deepEqual([response.status, response.json()], [200, { items: [], next: null }]);
        assert.match(response.headers["cache-control"], /no-store/);
      }
      assertProblem(await resolve(caller, { outcome: "ran" }), 404, "not_found");
    }
    assertProblem(
      await resolve(root, { outcome: "ran" }, { "Sec-Fetch-Site": "cross-site" }),
      403,
      "forbidden_origin",
    );
  });

  test("rejects unknown queries, members and values", async () => {
    for (const query of ["state=settled", "state=", "limit=0", "limit=101", "limit=x"]) {
      const response = await get(`/api/idempotency?${query}`, root.headers);
      const { field } = assertProblem(response, 400, "invalid_body");
      assert.equal(field, query.split("=")[0]);
    }
    for (const [body, field] of [
      [{}, "outcome"],
      [{ outcome: "maybe" }, "outcome"],
      [{ outcome: true }, "outcome"],
      [{ outcome: "ran", note: "x" }, "(unknown)"],
      ["{", "(body)"],
      ["", "(body)"],
      ["[]", "(body)"],
    ]) {
      const problem = assertProblem(await resolve(root, body), 400, "invalid_body");
      assert.equal(problem.field, field, JSON.stringify(body));
    }
    const typed = await resolve(root, { outcome: "ran" }, { "Content-Type": "text/plain" });
    assertProblem(typed, 415, "unsupported_media_type");
    for (const outcome of ["ran", "did_not_run"]) {
      assertProblem(await resolve(root, { outcome }), 404, "not_found");
    }
  });

  test("returns 405 for other methods", async () => {
    for (const [path, method, allowed] of [
      ["/api/idempotency", "POST", "GET, HEAD"],
      ["/api/idempotency", "DELETE", "GET, HEAD"],
      [RESOLVE, "GET", "POST"],
    ]) {
      const headers = { "Sec-Fetch-Site": "same-origin", ...root.headers };
      const response = await gateway.expectNotForwarded(() =>
        gateway.request(path, { method, headers }),
      );
      assertProblem(response, 405, "method_not_allowed");
      assert.equal(response.headers.allow, allowed);
    }
  });
});

test("an outcome that becomes known again is removed from the list, even if the list failed at first", async (t) => {
  // The list's object fails for the first two reports.
  const ENTRY = `
    import worker, { Ledger as BuiltLedger } from "./index.js";
    export * from "./index.js";
    const kindOf = ${kindOf("Ledger")};
    let failures = 2;
    export class Ledger extends BuiltLedger {
      command(command, ...rest) {
        const kind = kindOf(command);
        if (kind === "Note" && failures-- > 0) {
          console.log("list failed");
          throw new Error("list failed");
        }
        const reply = super.command(command, ...rest);
        if (kind === "Note" || kind === "Forget") console.log("the list took a " + kind);
        return reply;
      }
    }
    export default worker;`;
  // The lease (5 and 45 seconds) of a request ends one second from now.
  const rule = {
    path: "/ask",
    access: "public",
    idempotency: "required",
    hold: "ask",
    timeout: "5s",
  };
  const other = await openGateway({
    routes: [rule],
    variables: { SESSION: { login: "accounts" }, SETUP_TOKEN, DANGER_FIXED_NOW: now() - 49 },
    secondIsolate: { DANGER_FIXED_NOW: now() + 2 },
    wrapperModules: { "entry.mjs": ENTRY },
  });
  t.after(() => other.stop());
  const post = (request, path, headers, body) =>
    request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
  const { headers } = userOf(await post(other.request, "/api/auth/setup", {}, first));
  other.upstream.answers["/ask"] = (request) => request.socket.destroy();
  const pay = (request) => post(request, "/ask", { "Idempotency-Key": key }, {});
  assertProblem(await pay(other.request), 502, "upstream_failed");
  await other.waitForLog((line) => line === "list failed");
  other.upstream.answers["/ask"] = { status: 201, body: "it ran" };
  assert.equal((await pay(other.requestSecondIsolate)).text, "it ran");
  await other.waitForLog((line) => line === "the list took a Forget");
  assert.ok(other.log.includes("the list took a Note"), "the outcome was on the list");
  const list = await other.request("/api/idempotency", { headers });
  assert.deepEqual(list.json(), { items: [], next: null });
});
