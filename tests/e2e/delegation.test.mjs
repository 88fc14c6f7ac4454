// Tokens that are made by a token: which ones a person's token may make, and that they end with it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, settle } from "../support/people.mjs";
import { remember } from "../support/tokens.mjs";
import { trailOf } from "../support/trail.mjs";

const CREDENTIALS = [
  { prefix: "mul_", kind: "user", machine: false, delegate: true },
  { prefix: "pat_", kind: "user", machine: false },
  { prefix: "mat_", kind: "user", source: "task_token", machine: true },
  { prefix: "mk_", kind: "agent", source: "agent_token", machine: true },
];
const TASK = { name: "task", prefix: "mat_", taskId: "task_1", agentId: "agt_1", expiresIn: "1h" };

const open = async (variables) => {
  const gateway = await openGateway({
    routes: [{ path: "/user/{*rest}", access: "user" }],
    variables: { ...ACCOUNTS, CREDENTIALS, ...variables },
    twin: true,
  });
  return { gateway, people: await settle(gateway) };
};

let gateway;
let people;
let root;
let ada;
before(async () => {
  ({ gateway, people } = await open());
  root = people.root;
  ada = await people.invited("ada");
});
after(() => gateway.stop());

const make = (who, body = TASK) => people.call("POST", "/api/agent-tokens", who, body);
const made = async (who, body = TASK) => {
  const response = await make(who, body);
  assert.equal(response.status, 201, response.text);
  const token = response.json();
  return { ...token, headers: { Authorization: `Bearer ${remember(token.plaintext)}` } };
};
const use = (who, ask) => people.call("GET", "/user/x", who, undefined, { ask });
const refused = async (who, reason) => {
  for (const ask of [gateway.ask, gateway.askTwin])
    assertProblem(await gateway.untouched(() => use(who, ask)), 401, "unauthorized", reason);
};

describe("a person's token", () => {
  test("makes a token for a task, which acts as the user's machine", async () => {
    let [parent, child] = [];
    const rows = await trailOf(people).left(
      2,
      async () => {
        parent = await people.token(ada, "mul_");
        child = await made(parent);
      },
      "operation=vestibule.tokens.create",
    );
    const details = rows.map(({ detail }) => detail);
    assert.ok(details.includes(`mat_ ${child.id} by ${parent.id}`), JSON.stringify(rows));
    assert.deepEqual([child.owner, child.taskId, child.prefix], [ada.id, "task_1", "mat_"]);
    const { response, seen } = await gateway.passed(() => use(child));
    assert.equal(response.text, "ok");
    const stamps = ["x-user-id", "x-actor-source", "x-task-id", "x-agent-id"];
    assert.deepEqual(
      stamps.map((name) => seen.headers[name]),
      [ada.id, "task_token", "task_1", "agt_1"],
    );
  });

  for (const [what, body, status, error] of [
    ["another person's token", { ...TASK, prefix: "pat_" }, 403, "forbidden_human_only"],
    ["a token like itself", { name: "x", prefix: "mul_" }, 403, "forbidden_human_only"],
    ["an agent's own token", { ...TASK, prefix: "mk_" }, 403, "forbidden_human_only"],
    ["an agent's own token, by default", { name: "x" }, 403, "forbidden_human_only"],
    ["a token for no task", { name: "x", prefix: "mat_" }, 400, "invalid_body"],
    ["a token for somebody else", { ...TASK, owner: "usr_other" }, 400, "invalid_body"],
  ]) {
    test(`does not make ${what}`, async () => {
      for (const who of [ada, root]) {
        assertProblem(await make(await people.token(who, "mul_"), body), status, error);
      }
    });
  }

  test("makes only tokens that end no later", async () => {
    const { body } = { body: { ...TASK, expiresIn: "300d" } };
    const parent = await people.token(ada, "mul_", { expiresIn: "2h" });
    const listed = (await people.call("GET", "/api/agent-tokens?limit=100", ada)).json().items;
    const { expiresAt } = listed.find(({ id }) => id === parent.id);
    assert.equal((await made(parent, body)).expiresAt, expiresAt);
    const { expiresIn: _, ...endless } = TASK;
    assert.equal((await made(parent, endless)).expiresAt, expiresAt);
    const child = await made(await people.token(ada, "mul_"), endless);
    const day = Date.parse(child.expiresAt) - Date.parse(child.createdAt);
    assert.equal(day, 86_400_000, "a day, where nothing says otherwise");
  });

  test("makes none without delegate = true, or beside a machine's token", async () => {
    assertProblem(await make(await people.token(ada, "pat_")), 403, "forbidden_human_only");
    const child = await made(await people.token(ada, "mul_"));
    assertProblem(await make(child), 403, "forbidden_human_only");
    const { plaintext } = await people.token(ada, "mul_");
    const both = { headers: { Authorization: `Bearer ${plaintext}, Bearer ${child.plaintext}` } };
    assertProblem(await make(both), 401, "unauthorized", "token_unknown");
    assertProblem(await make({ headers: {} }), 401, "unauthorized", "no_credential");
  });
});

describe("a token that was made by a token", () => {
  test("ends when its maker is revoked, in every isolate, and is no longer listed", async () => {
    const parent = await people.token(ada, "mul_");
    const [one, other] = [await made(parent), await made(parent)];
    const apart = await made(await people.token(ada, "mul_"));
    for (const token of [one, other, apart]) assert.equal((await use(token)).text, "ok");
    assert.equal((await use(one, gateway.askTwin)).text, "ok");
    const response = await people.call("DELETE", `/api/agent-tokens/${parent.id}`, ada);
    assert.equal(response.status, 204);
    await refused(one, "token_revoked");
    await refused(other, "token_revoked");
    assert.equal((await use(apart)).text, "ok");
    const ids = (await people.call("GET", "/api/agent-tokens?limit=100", ada))
      .json()
      .items.map(({ id }) => id);
    assert.deepEqual(
      [one, other, apart].map(({ id }) => ids.includes(id)),
      [false, false, true],
    );
    assertProblem(await make(parent), 401, "unauthorized", "token_revoked");
  });

  test("does not survive a race with the revocation", async () => {
    for (let round = 0; round < 5; round += 1) {
      const parent = await people.token(ada, "mul_");
      const making = Array.from({ length: 6 }, (_, at) =>
        people.call("POST", "/api/agent-tokens", parent, TASK, {
          ask: at % 2 ? gateway.askTwin : gateway.ask,
        }),
      );
      const revoking = people.call("DELETE", `/api/agent-tokens/${parent.id}`, ada);
      const answers = await Promise.all(making);
      assert.equal((await revoking).status, 204);
      for (const answer of answers.filter(({ status }) => status === 201)) {
        const value = remember(answer.json().plaintext);
        await refused({ headers: { Authorization: `Bearer ${value}` } }, "token_revoked");
      }
    }
  });

  test("ends with its user", async () => {
    const eve = await people.invited("eve");
    const child = await made(await people.token(eve, "mul_"));
    assert.equal((await use(child)).text, "ok");
    await people.call("PATCH", `/api/users/${eve.id}`, root, { status: "disabled" });
    await refused(child, "token_revoked");
  });
});

describe("TOKEN_MAKERS", () => {
  test("lets only admins make tokens, by a session or by a token", async () => {
    const own = await open({ TOKEN_MAKERS: "admins" });
    try {
      const { call, root, invited, token } = own.people;
      const bob = await invited("bob");
      for (const prefix of ["mul_", "mat_", "mk_"]) {
        const response = await call("POST", "/api/agent-tokens", bob, { name: "x", prefix });
        assertProblem(response, 403, "forbidden_role");
        assert.match((await token(root, prefix)).id, /^tok_/);
      }
      const parent = await token(root, "mul_");
      assert.equal((await call("POST", "/api/agent-tokens", parent, TASK)).status, 201);
      await call("POST", "/api/invites", root, { role: "admin" });
      assert.deepEqual((await call("GET", "/api/agent-tokens", bob)).json().items, []);
    } finally {
      await own.gateway.stop();
    }
  });
});
