// Tokens, and what each kind of credential may do: every cell of the table, with the identity headers for upstream.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { pollUntil } from "../support/poll.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";
const ACCESS = ["public", "optional", "authenticated", "user", "human", "agent", "admin"];
const KINDS = [
  { prefix: "mul_", kind: "user", machine: false },
  { prefix: "mat_", kind: "user", source: "task_token", machine: true },
  { prefix: "mcn_", kind: "user", source: "cloud_pat", machine: true },
  { prefix: "mk_", kind: "agent", source: "agent_token", machine: true },
  { prefix: "bot_", kind: "user", source: "build_bot", machine: true },
];

let gateway;
let root; // an admin's cookie
let ada; // a user's cookie
let adaId;
before(async () => {
  gateway = await openGateway({
    routes: ACCESS.map((access) => ({ path: `/${access}/{*rest}`, access })),
    variables: {
      SESSION: { login: "accounts", check_ttl: "0s" },
      SETUP_TOKEN,
      CREDENTIALS: KINDS,
    },
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
  root = cookieOf(await post("/api/auth/setup", first));
  const { token } = (await post("/api/invites", { role: "user" }, { Cookie: root })).json();
  const body = { email: "ada@example.com", password: PASSWORD };
  const redeemed = await post(`/api/invites/${token}/redeem`, body);
  ada = cookieOf(redeemed);
  adaId = redeemed.json().userId;
});
after(() => gateway.stop());

const cookieOf = ({ headers }) => headers["set-cookie"][0].split(";")[0];
const post = (path, body, headers = {}) =>
  gateway.request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin", ...headers },
    body: JSON.stringify(body),
  });
const make = async (Cookie, body) => {
  const response = await post("/api/agent-tokens", { name: "a token", ...body }, { Cookie });
  assert.equal(response.status, 201, response.text);
  return response.json();
};
const bearer = (value) => ({ Authorization: `Bearer ${value}` });
const get = (path, headers) => gateway.request(path, { headers });
const remove = (path, Cookie) =>
  gateway.request(path, { method: "DELETE", headers: { Cookie, "Sec-Fetch-Site": "same-origin" } });

// Identity headers that a client might forge.
const FORGED = {
  "X-Actor-Source": "none",
  "X-User-ID": "usr_mallory",
  X_User_ID: "usr_mallory",
  "X-User-Role": "admin",
  "X-Agent-Token-ID": "tok_mallory",
  "x.author.id": "usr_mallory",
};

describe("access by credential", () => {
  const EXPECTED = {
    //          public optional authenticated user human agent admin
    nobody: [
      "ok",
      "ok",
      "unauthorized",
      "unauthorized",
      "unauthorized",
      "unauthorized",
      "unauthorized",
    ],
    session: ["ok", "ok", "ok", "ok", "ok", "forbidden_kind", "forbidden_role"],
    admin: ["ok", "ok", "ok", "ok", "ok", "forbidden_kind", "ok"],
    mul_: ["ok", "ok", "ok", "ok", "ok", "forbidden_kind", "forbidden_role"],
    mat_: ["ok", "ok", "ok", "ok", "forbidden_human_only", "forbidden_kind", "forbidden_role"],
    mcn_: ["ok", "ok", "ok", "ok", "forbidden_human_only", "forbidden_kind", "forbidden_role"],
    bot_: ["ok", "ok", "ok", "ok", "forbidden_human_only", "forbidden_kind", "forbidden_role"],
    "admin's mat_": ["ok", "ok", "ok", "ok", "forbidden_human_only", "forbidden_kind", "ok"],
    mk_: ["ok", "ok", "ok", "forbidden_kind", "forbidden_human_only", "ok", "forbidden_kind"],
    "session beside mat_": [
      "ok",
      "ok",
      "ok",
      "ok",
      "forbidden_human_only",
      "forbidden_kind",
      "forbidden_role",
    ],
    "session beside mul_": ["ok", "ok", "ok", "ok", "ok", "forbidden_kind", "forbidden_role"],
    "invalid cookie beside mul_": [
      "ok",
      "ok",
      "ok",
      "ok",
      "ok",
      "forbidden_kind",
      "forbidden_role",
    ],
  };

  const credentials = {
    nobody: async () => ({}),
    session: async () => ({ Cookie: ada }),
    admin: async () => ({ Cookie: root }),
    mul_: () => token(ada, "mul_"),
    mat_: () => token(ada, "mat_", { agentId: "agent_7", taskId: "task_9" }),
    mcn_: () => token(ada, "mcn_"),
    bot_: () => token(ada, "bot_"),
    "admin's mat_": () => token(root, "mat_"),
    mk_: () => token(root, "mk_", { agentId: "agent_7" }),
    "session beside mat_": async () => ({ Cookie: ada, ...(await token(ada, "mat_")) }),
    "session beside mul_": async () => ({ Cookie: ada, ...(await token(ada, "mul_")) }),
    "invalid cookie beside mul_": async () => ({
      Cookie: "mk_session=x",
      ...(await token(ada, "mul_")),
    }),
  };
  const token = async (Cookie, prefix, more) =>
    bearer((await make(Cookie, { prefix, ...more })).plaintext);

  for (const [caller, expected] of Object.entries(EXPECTED)) {
    test(`the table holds for: ${caller}`, async () => {
      const headers = { ...FORGED, ...(await credentials[caller]()) };
      for (const [index, access] of ACCESS.entries()) {
        const path = `/${access}/x`;
        if (expected[index] === "ok") {
          const { response, seen } = await gateway.expectForwarded(() => get(path, headers));
          assert.equal(response.text, "ok", `${caller} ${access}`);
          assertIdentityHeaders(seen.headers, access === "public" ? "nobody" : caller);
        } else {
          const response = await gateway.expectNotForwarded(() => get(path, headers));
          assert.equal(response.json().error, expected[index], `${caller} ${access}`);
        }
      }
    });
  }

  function assertIdentityHeaders(headers, caller) {
    assert.doesNotMatch(JSON.stringify(headers), /mallory/);
    const source = {
      mat_: "task_token",
      "admin's mat_": "task_token",
      mcn_: "cloud_pat",
      bot_: "build_bot",
      mk_: "agent_token",
    }[caller];
    assert.equal(headers["x-actor-source"], source, caller);
    const claims = JSON.parse(
      Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString(),
    );
    assert.equal(claims.actorSource, source);
    if (caller === "nobody") {
      assert.equal(headers["x-author-id"], undefined);
      assert.equal(claims.kind, undefined);
    } else if (caller === "mk_") {
      assert.equal(headers["x-user-id"], undefined);
      assert.match(headers["x-agent-token-id"], /^tok_/);
      assert.deepEqual([headers["x-author-id"], headers["x-author-type"]], ["agent_7", "agent"]);
      assert.deepEqual(
        [claims.kind, claims.sub, claims.tokenId],
        ["agent", "agent_7", headers["x-agent-token-id"]],
      );
    } else {
      assert.deepEqual(
        [headers["x-author-id"], headers["x-author-type"]],
        [headers["x-user-id"], "user"],
      );
      assert.equal(claims.userId, headers["x-user-id"]);
      if (!caller.includes("admin")) assert.equal(headers["x-user-id"], adaId);
    }
    if (caller === "mat_") {
      assert.deepEqual([headers["x-agent-id"], headers["x-task-id"]], ["agent_7", "task_9"]);
      assert.deepEqual([claims.agentId, claims.taskId], ["agent_7", "task_9"]);
    }
  }
});

describe("a token", () => {
  test("is shown once and is valid until it is revoked", async () => {
    const { plaintext, id } = await make(ada, { prefix: "mul_" });
    assert.match(plaintext, /^mul_[\w-]{27}$/);
    const me = (await get("/api/auth/me", bearer(plaintext))).json();
    assert.deepEqual([me.kind, me.userId, me.tokenId], ["user", adaId, id]);
    const list = (await get("/api/agent-tokens", { Cookie: ada })).text;
    assert.ok(list.includes(id) && !list.includes(plaintext));
    assert.equal((await remove(`/api/agent-tokens/${id}`, ada)).status, 204);
    const rejected = await gateway.expectNotForwarded(() => get("/user/x", bearer(plaintext)));
    assertProblem(rejected, 401, "unauthorized", "token_revoked");
    assertProblem(await remove(`/api/agent-tokens/${id}`, ada), 404, "not_found");
  });

  test("has the time of its last use", async () => {
    const { plaintext, id } = await make(ada, { prefix: "mul_", name: "used" });
    assert.equal((await get("/user/x", bearer(plaintext))).text, "ok");
    const readLastUse = async () => {
      const { items } = (await get("/api/agent-tokens?limit=100", { Cookie: ada })).json();
      return items.find((item) => item.id === id).lastUsedAt;
    };
    // It is written after the response.
    const lastUsedAt = await pollUntil(readLastUse, Boolean, "the time of the last use");
    assert.ok(Math.abs(Date.parse(lastUsedAt) - Date.now()) < 60_000);
  });

  test("is rejected after it has expired", async () => {
    const { plaintext } = await make(ada, { prefix: "mul_", expiresIn: "1s" });
    const response = await pollUntil(
      () => get("/user/x", bearer(plaintext)),
      ({ status }) => status !== 200,
      "the token to expire",
    );
    assertProblem(response, 401, "unauthorized", "token_expired");
  });

  test("is rejected while its user is disabled", async () => {
    const { token: invite } = (
      await post("/api/invites", { role: "user" }, { Cookie: root })
    ).json();
    const body = { email: "off@example.com", password: PASSWORD };
    const redeemed = await post(`/api/invites/${invite}/redeem`, body);
    const { plaintext } = await make(cookieOf(redeemed), { prefix: "mcn_" });
    const { userId } = redeemed.json();
    const setStatus = (status) =>
      gateway.request(`/api/users/${userId}`, {
        method: "PATCH",
        headers: {
          "Content-Type": "application/json",
          "Sec-Fetch-Site": "same-origin",
          Cookie: root,
        },
        body: JSON.stringify({ status }),
      });
    assert.equal((await get("/user/x", bearer(plaintext))).text, "ok");
    assert.equal((await setStatus("disabled")).status, 200);
    const rejected = await gateway.expectNotForwarded(() => get("/user/x", bearer(plaintext)));
    assertProblem(rejected, 401, "unauthorized", "token_revoked");
    await setStatus("active");
    assert.equal((await get("/user/x", bearer(plaintext))).text, "ok");
  });

  for (const value of [
    "mul_",
    "mul_x",
    `mul_${"a".repeat(27)}`,
    "xyz",
    "a".repeat(4_000),
    "mk_\u00e9",
  ]) {
    test(`is rejected if it is unknown: ${value.slice(0, 12)}`, async () => {
      const response = await gateway.expectNotForwarded(() => get("/user/x", bearer(value)));
      assertProblem(response, 401, "unauthorized", "token_unknown");
      assert.equal(response.headers["www-authenticate"], "Bearer");
    });
  }

  test("is made only by a person, an agent's only by an admin, and is visible only to its maker", async () => {
    const body = { name: "x", prefix: "mk_" };
    assertProblem(await post("/api/agent-tokens", body, { Cookie: ada }), 403, "forbidden_role");
    const { plaintext } = await make(ada, { prefix: "mat_" });
    const byMachine = await post(
      "/api/agent-tokens",
      { ...body, prefix: "mul_" },
      bearer(plaintext),
    );
    assertProblem(byMachine, 403, "forbidden_human_only");
    const { id } = await make(root, { prefix: "mk_" });
    assertProblem(await remove(`/api/agent-tokens/${id}`, ada), 404, "not_found");
    assert.ok(!(await get("/api/agent-tokens", { Cookie: ada })).text.includes(id));
    assert.ok((await get("/api/agent-tokens?limit=100", { Cookie: root })).text.includes(id));
  });

  for (const [body, field] of [
    [{ name: "x", prefix: "zzz_" }, "prefix"],
    [{ prefix: "mul_" }, "name"],
    [{ name: "", prefix: "mul_" }, "name"],
    [{ name: "x", prefix: "mul_", agentId: "a b" }, "agentId"],
    [{ name: "x", prefix: "mul_", expiresIn: "soon" }, "expiresIn"],
    [{ name: "x", prefix: "mul_", owner: "usr_other" }, "(unknown)"],
  ]) {
    test(`is not made with an invalid ${field}, which the error names: ${JSON.stringify(body)}`, async () => {
      const response = await post("/api/agent-tokens", body, { Cookie: ada });
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }
});

describe("limits of machines and tokens", () => {
  test("an admin's task token can neither invite, list nor change users", async () => {
    const machine = bearer((await make(root, { prefix: "mat_" })).plaintext);
    for (const headers of [machine, { Cookie: root, ...machine }]) {
      const invite = await post("/api/invites", { role: "admin" }, headers);
      assertProblem(invite, 403, "forbidden_human_only");
      assertProblem(await get("/api/users", headers), 403, "forbidden_human_only");
      const change = await gateway.request(`/api/users/${adaId}`, {
        method: "PATCH",
        headers: {
          "Content-Type": "application/json",
          "Sec-Fetch-Site": "same-origin",
          ...headers,
        },
        body: JSON.stringify({ role: "admin" }),
      });
      assertProblem(change, 403, "forbidden_human_only");
    }
    assert.equal((await get(`/api/users/${adaId}`, { Cookie: root })).json().role, "user");
  });

  test("a person's token cannot make another person's token", async () => {
    const { plaintext } = await make(ada, { prefix: "mul_", expiresIn: "1h" });
    const response = await post(
      "/api/agent-tokens",
      { name: "x", prefix: "mul_" },
      bearer(plaintext),
    );
    assertProblem(response, 403, "forbidden_human_only");
  });

  test("a person's token takes no agent or task, and an agent's id is never that of a user", async () => {
    for (const [prefix, member, value] of [
      ["mul_", "agentId", "agent_7"],
      ["mul_", "taskId", "task_9"],
      ["mat_", "agentId", adaId],
    ]) {
      const body = { name: "x", prefix, [member]: value };
      const response = await post("/api/agent-tokens", body, { Cookie: ada });
      assert.equal(assertProblem(response, 400, "invalid_body").field, member);
    }
  });

  test("one machine's credential among several makes it a machine's request", async () => {
    const machine = (await make(ada, { prefix: "mat_" })).plaintext;
    const headers = { Cookie: ada, Authorization: `Bearer x, Bearer ${machine}` };
    const response = await gateway.expectNotForwarded(() => get("/human/x", headers));
    assertProblem(response, 403, "forbidden_human_only");
  });

  test("a user has at most 100 tokens", async () => {
    const { token } = (await post("/api/invites", { role: "user" }, { Cookie: root })).json();
    const body = { email: "many@example.com", password: PASSWORD };
    const Cookie = cookieOf(await post(`/api/invites/${token}/redeem`, body));
    const make = () => post("/api/agent-tokens", { name: "x", prefix: "mul_" }, { Cookie });
    const responses = [];
    // A few at a time: on a busy machine a store may not reply within two seconds, which counts as unavailable.
    while (responses.length < 90)
      responses.push(...(await Promise.all([1, 2, 3, 4, 5, 6].map(make))));
    // The last ones concurrently.
    responses.push(...(await Promise.all(Array.from({ length: 13 }, make))));
    assert.equal(responses.filter(({ status }) => status === 201).length, 100);
    assertProblem(
      responses.find(({ status }) => status !== 201),
      403,
      "forbidden_policy",
      "token_limit",
    );
  });
});
