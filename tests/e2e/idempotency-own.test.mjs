// Idempotency keys at our own endpoints that make something, whose answers hold a secret that is shown once; and
// the operators' list of what is unknown.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { kindOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { now, remember } from "../support/tokens.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";

// The two that make something: what is asked of them, and where the secret is.
const MAKERS = [
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
let eve; // another
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
  root = personOf(await send("/api/auth/setup", first));
  eve = await invited("admin", "eve@example.com");
  ada = await invited("user", "ada@example.com");
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
  gateway.untouched(() =>
    gateway.ask(path, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "Sec-Fetch-Site": "same-origin",
        ...headers,
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
const make = ({ path }, who, body, more) =>
  send(path, body, { ...who.headers, "Idempotency-Key": key, ...more });
const personOf = (response) => {
  assert.equal(response.status, 201, response.text);
  const headers = { Cookie: response.cookies[0].split(";")[0] };
  return { headers, id: response.json().userId };
};
const invited = async (role, email) => {
  const { token } = (await send("/api/invites", { role }, root.headers)).json();
  return personOf(await send(`/api/invites/${token}/redeem`, { email, password: PASSWORD }));
};
const get = (path, headers) => gateway.untouched(() => gateway.ask(path, { headers }));
const listed = async ({ path }, { headers } = root) => {
  const response = await get(`${path}?limit=100`, headers);
  assert.equal(response.status, 200, response.text);
  return response.json().items.map(({ id }) => id);
};
// Runs something, and gives the ids of what it has made.
const madeBy = async (maker, run) => {
  const before = await listed(maker);
  await run();
  return (await listed(maker)).filter((id) => !before.includes(id));
};
const assertMade = (response, { secret }) => {
  assert.equal(response.status, 201, response.text);
  assert.match(response.headers["cache-control"], /no-store/);
  assert.equal(response.headers["idempotent-replayed"], undefined);
  remember(response.json()[secret]);
  return response.json();
};
const assertReplay = (again, first) => {
  assert.equal(again.headers["idempotent-replayed"], "true", again.text);
  assert.equal(again.status, 201);
  assert.match(again.headers["cache-control"], /no-store/);
  assert.equal(again.headers["content-type"], first.headers["content-type"]);
  assert.equal(again.text, first.text);
};

for (const maker of MAKERS) {
  describe(`POST ${maker.path}`, () => {
    test("sent twice makes one, whose secret is shown again", async () => {
      const made = await madeBy(maker, async () => {
        const first = await make(maker, root, maker.body);
        assertMade(first, maker);
        assertReplay(await make(maker, root, maker.body), first);
        assertReplay(await make(maker, root, maker.body, { "Idempotency-Key": `"${key}"` }), first);
      });
      assert.equal(made.length, 1);
    });

    test("without a key makes one each time", async () => {
      const made = await madeBy(maker, async () => {
        for (const _ of [1, 2]) {
          const response = await make(maker, root, maker.body, { "Idempotency-Key": undefined });
          assertMade(response, maker);
        }
      });
      assert.equal(made.length, 2);
    });

    test("with what is no key makes none", async () => {
      const made = await madeBy(maker, async () => {
        for (const value of ["a, b", "k".repeat(256)]) {
          const response = await make(maker, root, maker.body, { "Idempotency-Key": value });
          assertProblem(response, 400, "idempotency_key_invalid");
        }
      });
      assert.deepEqual(made, []);
    });

    test("as anything else under the key is refused", async () => {
      const made = await madeBy(maker, async () => {
        const first = await make(maker, root, maker.body);
        assertMade(first, maker);
        const elsewhere = MAKERS.find((other) => other !== maker);
        for (const again of [
          make(maker, root, maker.other),
          make(maker, root, `${JSON.stringify(maker.body)} `),
          make(maker, root, maker.body, { "Content-Type": "application/json; charset=utf-8" }),
          make({ path: `${maker.path}?x` }, root, maker.body),
          make(elsewhere, root, elsewhere.body),
        ]) {
          assertProblem(await again, 422, "idempotency_key_reused");
        }
        assertReplay(await make(maker, root, maker.body), first);
      });
      assert.equal(made.length, 1);
    });

    test("of another admin, under the same key, makes another", async () => {
      const made = await madeBy(maker, async () => {
        const [one, other] = [
          await make(maker, root, maker.body),
          await make(maker, eve, maker.body),
        ];
        assert.notEqual(
          assertMade(one, maker)[maker.secret],
          assertMade(other, maker)[maker.secret],
        );
        assertReplay(await make(maker, eve, maker.body), other);
      });
      assert.equal(made.length, 2);
    });

    test("that was refused leaves the key free", async () => {
      const made = await madeBy(maker, async () => {
        for (const body of [maker.broken, "{", { ...maker.body, unknown: 1 }, maker.broken]) {
          assertProblem(await make(maker, root, body), 400, "invalid_body");
        }
        const wrongType = await make(maker, root, maker.body, { "Content-Type": "text/plain" });
        assertProblem(wrongType, 415, "unsupported_media_type");
        const first = await make(maker, root, maker.body);
        assertMade(first, maker);
        assertReplay(await make(maker, root, maker.body), first);
      });
      assert.equal(made.length, 1);
    });

    test("of fifty at once makes one", async () => {
      const made = await madeBy(maker, async () => {
        const all = await Promise.all(
          Array.from({ length: 50 }, () => make(maker, root, maker.body)),
        );
        const [first, ...more] = all.filter(
          ({ status, headers }) => status === 201 && !headers["idempotent-replayed"],
        );
        assertMade(first, maker);
        assert.equal(more.length, 0);
        for (const other of all.filter((one) => one !== first)) {
          if (other.status === 409) assertProblem(other, 409, "idempotency_in_flight");
          else assertReplay(other, first);
        }
        assertReplay(await make(maker, root, maker.body), first);
      });
      assert.equal(made.length, 1);
    });

    test("is not answered again to who may not ask", async () => {
      const first = await make(maker, root, maker.body);
      assertMade(first, maker);
      for (const [more, status, error, reason] of [
        [{ Cookie: undefined }, 401, "unauthorized", "no_credential"],
        [{ Cookie: "mk_session=x" }, 401, "unauthorized", "session_malformed"],
        [
          { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" },
          403,
          "forbidden_origin",
        ],
      ]) {
        assertProblem(await make(maker, root, maker.body, more), status, error, reason);
      }
      assertReplay(await make(maker, root, maker.body), first);
    });

    test("leaves neither the secret nor the key lying about", async () => {
      key = `kept-to-oneself-${maker.secret}`;
      const secret = assertMade(await make(maker, root, maker.body), maker)[maker.secret];
      const texts = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"));
      assert.ok(
        texts.some((text) => text.includes(maker.operation)),
        "the record is there",
      );
      for (const text of texts) assert.ok(!text.includes(secret) && !text.includes(key));
    });
  });
}

test("an invite that is shown again is the one that lets in, once", async () => {
  const [invites] = MAKERS;
  await make(invites, root, invites.body);
  const { token } = (await make(invites, root, invites.body)).json();
  const body = { email: "late@example.com", password: PASSWORD };
  assert.equal((await send(`/api/invites/${token}/redeem`, body)).status, 201);
  // What is answered is what was answered then.
  const again = await make(invites, root, invites.body);
  assert.deepEqual([again.status, again.json().status], [201, "unused"]);
  const second = await send(`/api/invites/${token}/redeem`, { ...body, email: "b@example.com" });
  assertProblem(second, 410, "invite_unusable");
});

test("a token that is shown again is the one that counts, until it is taken back", async () => {
  const [, tokens] = MAKERS;
  await make(tokens, ada, tokens.body);
  const { id, plaintext } = (await make(tokens, ada, tokens.body)).json();
  const headers = { Authorization: `Bearer ${plaintext}` };
  assert.equal((await gateway.ask("/user", { headers })).text, "ok");
  await gateway.ask(`/api/agent-tokens/${id}`, {
    method: "DELETE",
    headers: { ...ada.headers, "Sec-Fetch-Site": "same-origin" },
  });
  assert.equal((await make(tokens, ada, tokens.body)).json().plaintext, plaintext);
  assertProblem(await get("/user", headers), 401, "unauthorized", "token_revoked");
});

describe("a key is a principal's, by whatever credential", () => {
  const order = (headers) =>
    gateway.ask("/orders", {
      method: "POST",
      headers: { "Sec-Fetch-Site": "same-origin", "Idempotency-Key": key, ...headers },
      body: "one",
    });
  const token = async (who, more) => {
    const body = { name: "a token", prefix: "mul_", ...more };
    const made = (await send("/api/agent-tokens", body, who.headers)).json();
    return { id: made.id, headers: { Authorization: `Bearer ${made.plaintext}` } };
  };
  const runs = (before) => gateway.seen.length - before;

  test("one user, in person and by two tokens: run once", async () => {
    const before = gateway.seen.length;
    const [one, two] = [await token(ada), await token(ada, { prefix: "mat_" })];
    const answers = [];
    for (const who of [ada, one, two]) answers.push(await order(who.headers));
    assert.equal(runs(before), 1);
    assert.deepEqual(
      answers.map(({ headers }) => headers["idempotent-replayed"]),
      [undefined, "true", "true"],
    );
    const other = await order(eve.headers);
    assert.equal(other.headers["idempotent-replayed"], undefined);
    assert.equal(runs(before), 2, "another user's is another one");
  });

  test("an agent whose token was exchanged: run once", async () => {
    const before = gateway.seen.length;
    const old = await token(root, { prefix: "mk_", agentId: "agent_7" });
    assert.equal((await order(old.headers)).text, "ok");
    const headers = { ...root.headers, "Sec-Fetch-Site": "same-origin" };
    await gateway.ask(`/api/agent-tokens/${old.id}`, { method: "DELETE", headers });
    const next = await token(root, { prefix: "mk_", agentId: "agent_7" });
    const again = await order(next.headers);
    assert.equal(again.headers["idempotent-replayed"], "true");
    assertProblem(await order(old.headers), 401, "unauthorized", "token_revoked");
    assert.equal(runs(before), 1);
  });
});

describe("who may not make one any more is refused, not answered again", () => {
  const [invites, tokens] = MAKERS;
  const agents = { ...tokens, body: { name: "an agent", prefix: "mk_" } };

  test("by a token, where only a session makes them", async () => {
    const { plaintext } = assertMade(await make(tokens, root, tokens.body), tokens);
    const bearer = { headers: { Authorization: `Bearer ${plaintext}` } };
    assertProblem(await make(tokens, bearer, tokens.body), 403, "forbidden_human_only");
  });

  for (const maker of [invites, agents]) {
    test(`once no admin: POST ${maker.path}`, async () => {
      const mallory = await invited("admin", `mallory-${key}@example.com`);
      assertMade(await make(maker, mallory, maker.body), maker);
      const demoted = await gateway.ask(`/api/users/${mallory.id}`, {
        method: "PATCH",
        headers: {
          "Content-Type": "application/json",
          "Sec-Fetch-Site": "same-origin",
          ...root.headers,
        },
        body: JSON.stringify({ role: "user" }),
      });
      assert.equal(demoted.status, 200, demoted.text);
      assertProblem(await make(maker, mallory, maker.body), 403, "forbidden_role");
    });
  }
});

describe("/api/idempotency", () => {
  const RESOLVE = "/api/idempotency/req_0123456789abcdef0123456789abcdef/resolve";
  const resolve = ({ headers }, body, more) => send(RESOLVE, body, { ...headers, ...more });

  test("is an admin's", async () => {
    const value = async (who, prefix) => {
      const { plaintext } = (await send(MAKERS[1].path, { name: "a", prefix }, who.headers)).json();
      return { headers: { Authorization: `Bearer ${remember(plaintext)}` } };
    };
    for (const [who, status, error, reason] of [
      [{ headers: {} }, 401, "unauthorized", "no_credential"],
      [{ headers: { Cookie: "mk_session=x" } }, 401, "unauthorized", "session_malformed"],
      [{ headers: { Authorization: "Bearer mk_x" } }, 401, "unauthorized", "token_unknown"],
      [ada, 403, "forbidden_role"],
      [await value(ada, "mul_"), 403, "forbidden_role"],
      [await value(ada, "mat_"), 403, "forbidden_role"],
      [await value(root, "mk_"), 403, "forbidden_kind"],
    ]) {
      assertProblem(await get("/api/idempotency", who.headers), status, error, reason);
      assertProblem(await resolve(who, { outcome: "ran" }), status, error, reason);
    }
    for (const who of [root, await value(root, "mat_")]) {
      for (const path of ["/api/idempotency", "/api/idempotency?state=unknown&limit=100"]) {
        const response = await get(path, who.headers);
        assert.deepEqual([response.status, response.json()], [200, { items: [], next: null }]);
        assert.match(response.headers["cache-control"], /no-store/);
      }
      assertProblem(await resolve(who, { outcome: "ran" }), 404, "not_found");
    }
    assertProblem(
      await resolve(root, { outcome: "ran" }, { "Sec-Fetch-Site": "cross-site" }),
      403,
      "forbidden_origin",
    );
  });

  test("takes nothing that it does not know", async () => {
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

  test("has no other methods", async () => {
    for (const [path, method, allowed] of [
      ["/api/idempotency", "POST", "GET, HEAD"],
      ["/api/idempotency", "DELETE", "GET, HEAD"],
      [RESOLVE, "GET", "POST"],
    ]) {
      const headers = { "Sec-Fetch-Site": "same-origin", ...root.headers };
      const response = await gateway.untouched(() => gateway.ask(path, { method, headers }));
      assertProblem(response, 405, "method_not_allowed");
      assert.equal(response.headers.allow, allowed);
    }
  });
});

test("what is known again is taken off the list, though the list could not be reached at first", async (t) => {
  // The list is out of order for the first two that come to report something.
  const ENTRY = `
    import worker, { Ledger as Kept } from "./index.js";
    export * from "./index.js";
    const kindOf = ${kindOf("Ledger")};
    let failures = 2;
    export class Ledger extends Kept {
      command(command, ...rest) {
        const kind = kindOf(command);
        if (kind === "Note" && failures-- > 0) {
          console.log("out of order");
          throw new Error("out of order");
        }
        const reply = super.command(command, ...rest);
        if (kind === "Note" || kind === "Forget") console.log("the list took a " + kind);
        return reply;
      }
    }
    export default worker;`;
  // A second from now the lease of a request is over: 5 seconds, and 45 more.
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
    twin: { DANGER_FIXED_NOW: now() + 2 },
    around: { "entry.mjs": ENTRY },
  });
  t.after(() => other.stop());
  const post = (ask, path, headers, body) =>
    ask(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
  const { headers } = personOf(await post(other.ask, "/api/auth/setup", {}, first));
  other.upstream.answers["/ask"] = (request) => request.socket.destroy();
  const paying = (ask) => post(ask, "/ask", { "Idempotency-Key": key }, {});
  assertProblem(await paying(other.ask), 502, "upstream_failed");
  await other.logged((line) => line === "out of order");
  other.upstream.answers["/ask"] = { status: 201, body: "it ran" };
  assert.equal((await paying(other.askTwin)).text, "it ran");
  await other.logged((line) => line === "the list took a Forget");
  assert.ok(other.log.includes("the list took a Note"), "it was on the list");
  const list = await other.ask("/api/idempotency", { headers });
  assert.deepEqual(list.json(), { items: [], next: null });
});
