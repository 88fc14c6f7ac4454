// Tokens that are made by a token: which ones a personal token may make, and that they are revoked with it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";

const CREDENTIALS = [
  { prefix: "mul_", kind: "user", machine: false, delegate: true },
  { prefix: "pat_", kind: "user", machine: false },
  { prefix: "mat_", kind: "user", source: "task_token", machine: true },
  { prefix: "mk_", kind: "agent", source: "agent_token", machine: true },
];
const TASK = { name: "task", prefix: "mat_", taskId: "task_1", agentId: "agt_1", expiresIn: "1h" };

const openWith = async (variables) => {
  const gateway = await openGateway({
    routes: [{ path: "/user/{*rest}", access: "user" }],
    variables: { ...ACCOUNTS, CREDENTIALS, ...variables },
    secondIsolate: true,
  });
  return { gateway, people: await setUpUsers(gateway) };
};

let gateway;
let people;
let root;
let ada;
before(async () => {
  ({ gateway, people } = await openWith());
  root = people.root;
  ada = await people.createUser("ada");
});
after(() => gateway.stop());

const createToken = (caller, body = TASK) => people.call("POST", "/api/agent-tokens", caller, body);
const createdToken = async (caller, body = TASK) => {
  const response = await createToken(caller, body);
  assert.equal(response.status, 201, response.text);
  const token = response.json();
  return { ...token, headers: { Authorization: `Bearer ${trackSecret(token.plaintext)}` } };
};
const useToken = (caller, request) => people.call("GET", "/user/x", caller, undefined, { request });
const assertRefused = async (caller, reason) => {
  for (const request of [gateway.request, gateway.requestSecondIsolate])
    assertProblem(
      await gateway.expectNotForwarded(() => useToken(caller, request)),
      401,
      "unauthorized",
      reason,
    );
};

describe("a personal token", () => {
  test("makes a token for a task, which acts as the user's machine", async () => {
    let [parent, child] = [];
    const rows = await auditTrailOf(people).rowsAddedBy(
      2,
      async () => {
        parent = await people.createToken(ada, "mul_");
        child = await createdToken(parent);
      },
      "operation=vestibule.tokens.create",
    );
    const details = rows.map(({ detail }) => detail);
    assert.ok(details.includes(`mat_ ${child.id} by ${parent.id}`), JSON.stringify(rows));
    assert.deepEqual([child.owner, child.taskId, child.prefix], [ada.id, "task_1", "mat_"]);
    const { response, seen } = await gateway.expectForwarded(() => useToken(child));
    assert.equal(response.text, "ok");
    const identityHeaders = ["x-user-id", "x-actor-source", "x-task-id", "x-agent-id"];
    assert.deepEqual(
      identityHeaders.map((name) => seen.headers[name]),
      [ada.id, "task_token", "task_1", "agt_1"],
    );
  });

  for (const [name, body, status, error] of [
    ["another kind of personal token", { ...TASK, prefix: "pat_" }, 403, "forbidden_human_only"],
    ["a token like itself", { name: "x", prefix: "mul_" }, 403, "forbidden_human_only"],
    ["an agent's own token", { ...TASK, prefix: "mk_" }, 403, "forbidden_human_only"],
    ["an agent's own token, by default", { name: "x" }, 403, "forbidden_human_only"],
    ["a token for no task", { name: "x", prefix: "mat_" }, 400, "invalid_body"],
    ["a token for another user", { ...TASK, owner: "usr_other" }, 400, "invalid_body"],
  ]) {
    test(`does not make ${name}`, async () => {
      for (const owner of [ada, root]) {
        assertProblem(
          await createToken(await people.createToken(owner, "mul_"), body),
          status,
          error,
        );
      }
    });
  }

  test("makes only tokens that expire no later", async () => {
    const { body } = { body: { ...TASK, expiresIn: "300d" } };
    const parent = await people.createToken(ada, "mul_", { expiresIn: "2h" });
    const tokens = (await people.call("GET", "/api/agent-tokens?limit=100", ada)).json().items;
    const { expiresAt } = tokens.find(({ id }) => id === parent.id);
    assert.equal((await createdToken(parent, body)).expiresAt, expiresAt);
    const { expiresIn: _, ...withoutExpiry } = TASK;
    assert.equal((await createdToken(parent, withoutExpiry)).expiresAt, expiresAt);
    const child = await createdToken(await people.createToken(ada, "mul_"), withoutExpiry);
    const day = Date.parse(child.expiresAt) - Date.parse(child.createdAt);
    assert.equal(day, 86_400_000, "the default is a day");
  });

  test("makes none without delegate = true, or together with a machine's token", async () => {
    assertProblem(
      await createToken(await people.createToken(ada, "pat_")),
      403,
      "forbidden_human_only",
    );
    const child = await createdToken(await people.createToken(ada, "mul_"));
    assertProblem(await createToken(child), 403, "forbidden_human_only");
    const { plaintext } = await people.createToken(ada, "mul_");
    const bothTokens = {
      headers: { Authorization: `Bearer ${plaintext}, Bearer ${child.plaintext}` },
    };
    assertProblem(await createToken(bothTokens), 401, "unauthorized", "token_unknown");
    assertProblem(await createToken({ headers: {} }), 401, "unauthorized", "no_credential");
  });
});

describe("a token that was made by a token", () => {
  test("is revoked with its parent, in every isolate, and no longer listed", async () => {
    const parent = await people.createToken(ada, "mul_");
    const [first, second] = [await createdToken(parent), await createdToken(parent)];
    const unrelated = await createdToken(await people.createToken(ada, "mul_"));
    for (const token of [first, second, unrelated])
      assert.equal((await useToken(token)).text, "ok");
    assert.equal((await useToken(first, gateway.requestSecondIsolate)).text, "ok");
    const response = await people.call("DELETE", `/api/agent-tokens/${parent.id}`, ada);
    assert.equal(response.status, 204);
    await assertRefused(first, "token_revoked");
    await assertRefused(second, "token_revoked");
    assert.equal((await useToken(unrelated)).text, "ok");
    const ids = (await people.call("GET", "/api/agent-tokens?limit=100", ada))
      .json()
      .items.map(({ id }) => id);
    assert.deepEqual(
      [first, second, unrelated].map(({ id }) => ids.includes(id)),
      [false, false, true],
    );
    assertProblem(await createToken(parent), 401, "unauthorized", "token_revoked");
  });

  test("does not survive a race with the revocation", async () => {
    for (let round = 0; round < 5; round += 1) {
      const parent = await people.createToken(ada, "mul_");
      const creations = Array.from({ length: 6 }, (_, i) =>
        people.call("POST", "/api/agent-tokens", parent, TASK, {
          request: i % 2 ? gateway.requestSecondIsolate : gateway.request,
        }),
      );
      const revocation = people.call("DELETE", `/api/agent-tokens/${parent.id}`, ada);
      const responses = await Promise.all(creations);
      assert.equal((await revocation).status, 204);
      for (const response of responses.filter(({ status }) => status === 201)) {
        const value = trackSecret(response.json().plaintext);
        await assertRefused({ headers: { Authorization: `Bearer ${value}` } }, "token_revoked");
      }
    }
  });

  test("is revoked when its user is disabled", async () => {
    const eve = await people.createUser("eve");
    const child = await createdToken(await people.createToken(eve, "mul_"));
    assert.equal((await useToken(child)).text, "ok");
    await people.call("PATCH", `/api/users/${eve.id}`, root, { status: "disabled" });
    await assertRefused(child, "token_revoked");
  });
});

describe("TOKEN_MAKERS", () => {
  test("lets only admins make tokens, by a session or by a token", async () => {
    const otherGateway = await openWith({ TOKEN_MAKERS: "admins" });
    try {
      const { call, root, createUser, createToken } = otherGateway.people;
      const bob = await createUser("bob");
      for (const prefix of ["mul_", "mat_", "mk_"]) {
        const response = await call("POST", "/api/agent-tokens", bob, { name: "x", prefix });
        assertProblem(response, 403, "forbidden_role");
        assert.match((await createToken(root, prefix)).id, /^tok_/);
      }
      const parent = await createToken(root, "mul_");
      assert.equal((await call("POST", "/api/agent-tokens", parent, TASK)).status, 201);
      await call("POST", "/api/invites", root, { role: "admin" });
      assert.deepEqual((await call("GET", "/api/agent-tokens", bob)).json().items, []);
    } finally {
      await otherGateway.gateway.stop();
    }
  });
});
