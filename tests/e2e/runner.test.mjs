// The admin runner: every run has a key, in one of two headers, and no run is executed twice.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { auditTrailOf } from "../support/trail.mjs";

const rule = (path, more) => ({
  path,
  methods: ["POST"],
  access: "admin",
  idempotency: "required",
  invocation_id: true,
  ...more,
});

let gateway;
let people;
let root;
let ada;
before(async () => {
  gateway = await openGateway({
    routes: [
      rule("/run/{*job}", { operation: "admin.run" }),
      rule("/careful", { operation: "admin.careful", confirm: "human", audit: "required" }),
    ],
    variables: ACCOUNTS,
    bindings: { kvNamespaces: ["KV"] },
  });
  people = await setUpUsers(gateway);
  root = people.root;
  ada = await people.createUser("ada");
});
after(() => gateway.stop());

let count = 0;
let path;
let id;
beforeEach(() => {
  count += 1;
  path = `/run/${count}`;
  id = `run-${count}`;
});

const run = (headers, { caller = root, to = path, body = "job" } = {}) =>
  people.call("POST", to, caller, body, { headers: { "Content-Type": "text/plain", ...headers } });
const byKey = (key) => ({ "Idempotency-Key": key });
const byInvocation = (value) => ({ "Invocation-ID": value });
const hits = () => gateway.upstreamRequests.filter(({ url }) => url === path).length;
const assertReplayed = (again, first) => {
  assert.deepEqual([again.text, again.headers["idempotent-replayed"]], [first.text, "true"]);
  assert.equal(again.status, first.status);
};

test("returns 400 without a key in either header", async () => {
  for (const headers of [{}, { "Invocation-Id-": id }, { "X-Invocation-ID": id }]) {
    const response = await gateway.expectNotForwarded(() => run(headers));
    assertProblem(response, 400, "idempotency_key_missing");
    assert.match(response.headers.link, /rel="describedby"/);
  }
});

for (const [name, header] of [
  ["Idempotency-Key", byKey],
  ["Invocation-ID", byInvocation],
]) {
  test(`${name}: runs once and replays the response`, async () => {
    gateway.upstream.answers[path] = (_request, response) =>
      response.writeHead(201).end(`run ${Math.random()}`);
    const { response: first, seen } = await gateway.expectForwarded(() => run(header(id)));
    assert.equal(seen.headers["x-operation"], "admin.run");
    assert.equal(seen.headers["x-user-id"], root.id);
    assertReplayed(await run(header(id)), first);
    const other = await gateway.expectNotForwarded(() => run(header(id), { body: "another" }));
    assertProblem(other, 422, "idempotency_key_reused");
    assert.equal(hits(), 1);
  });

  test(`${name}: runs once for 50 concurrent requests`, async () => {
    const responses = await Promise.all(Array.from({ length: 50 }, () => run(header(id))));
    assert.equal(hits(), 1);
    for (const response of responses)
      if (response.status !== 200) assertProblem(response, 409, "idempotency_in_flight");
  });

  for (const value of ["k".repeat(256), "a b", "", "a, b"]) {
    test(`${name}: returns 400 for an invalid key: ${value.slice(0, 9)}`, async () => {
      const response = await gateway.expectNotForwarded(() => run(header(value)));
      assertProblem(response, 400, "idempotency_key_invalid");
    });
  }
}

test("Idempotency-Key takes precedence over Invocation-ID", async () => {
  const both = (key, invocation) => ({ ...byKey(key), ...byInvocation(invocation) });
  const first = await run(both(id, "one"));
  assertReplayed(await run(both(id, "two")), first);
  assertReplayed(await run(byKey(id)), first);
  assert.equal(hits(), 1);
  // The invocation beside the key was not claimed.
  const other = await run(byInvocation("one"));
  assert.equal(other.headers["idempotent-replayed"], undefined);
  assert.equal(hits(), 2);
  // An invocation does not replace an invalid key.
  const broken = await gateway.expectNotForwarded(() => run(both("a b", id)));
  assertProblem(broken, 400, "idempotency_key_invalid");
});

test("the same key in either header is the same run", async () => {
  const first = await run(byInvocation(id));
  assertReplayed(await run(byKey(id)), first);
  assert.equal(hits(), 1);
});

test("only admins may run it, and each admin has separate keys", async () => {
  const eve = await people.createUser("eve", "admin");
  const agent = await people.createToken(root, "mk_");
  for (const [caller, status, error, reason] of [
    [ANONYMOUS, 401, "unauthorized", "no_credential"],
    [ada, 403, "forbidden_role"],
    [await people.createToken(ada, "mat_"), 403, "forbidden_role"],
    [agent, 403, "forbidden_kind"],
  ]) {
    for (const headers of [{}, byInvocation(id)]) {
      const response = await gateway.expectNotForwarded(() => run(headers, { caller }));
      assertProblem(response, status, error, reason);
    }
  }
  const first = await run(byInvocation(id));
  const byEve = await run(byInvocation(id), { caller: eve });
  assert.equal(byEve.headers["idempotent-replayed"], undefined);
  assertReplayed(
    await run(byInvocation(id), { caller: await people.createToken(root, "mat_") }),
    first,
  );
  assert.equal(hits(), 2);
});

test("a run that upstream refused with 503 may be repeated under the same key", async () => {
  gateway.upstream.answers[path] = { status: 503 };
  assert.equal((await run(byInvocation(id))).status, 503);
  gateway.upstream.answers[path] = { status: 200, body: "done" };
  const first = await run(byInvocation(id));
  assert.deepEqual([first.text, first.headers["idempotent-replayed"]], ["done", undefined]);
  assertReplayed(await run(byInvocation(id)), first);
});

test("an approved run of a machine is executed once and recorded in the audit trail", async () => {
  const machine = await people.createToken(root, "mat_", { agentId: "agent_7", taskId: "task_9" });
  const approvals = approvalsOf(gateway, people);
  const trail = auditTrailOf(people);
  path = "/careful";
  const careful = (confirmation) =>
    run({ ...byInvocation(id), "Confirmation-ID": confirmation }, { caller: machine });
  const { confirmationId } = await approvals.expectRequired(() => careful(undefined));
  await approvals.expectDecided(confirmationId, "approve", root);
  const filter = "operation=admin.careful";
  const rows = await trail.rowsAddedBy(
    2 * 10,
    async () => {
      const responses = await Promise.all(
        Array.from({ length: 10 }, () => careful(confirmationId)),
      );
      for (const response of responses)
        if (response.status !== 200) assertProblem(response, 409, "idempotency_in_flight");
    },
    filter,
  );
  assert.equal(hits(), 1);
  assert.equal(gateway.upstreamRequests.at(-1).headers["x-confirmed-by"], root.id);
  for (const row of rows) {
    assert.equal(row.confirmedBy, root.id);
    assert.deepEqual([row.actor.agentId, row.actor.taskId], ["agent_7", "task_9"]);
  }
  const settled = rows.filter(({ idempotency }) => idempotency === "settled");
  assert.equal(settled.length, 1);
  const again = await careful(confirmationId);
  assert.equal(again.headers["idempotent-replayed"], "true");
});
