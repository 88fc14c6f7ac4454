// The admin runner: a rule under which every run has a key, by one header or the other, and none runs twice.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";
import { trailOf } from "../support/trail.mjs";

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
  people = await settle(gateway);
  root = people.root;
  ada = await people.invited("ada");
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

const run = (headers, { who = root, to = path, body = "job" } = {}) =>
  people.call("POST", to, who, body, { headers: { "Content-Type": "text/plain", ...headers } });
const byKey = (key) => ({ "Idempotency-Key": key });
const byInvocation = (value) => ({ "Invocation-ID": value });
const hits = () => gateway.seen.filter(({ url }) => url === path).length;
const replayed = (again, first) => {
  assert.deepEqual([again.text, again.headers["idempotent-replayed"]], [first.text, "true"]);
  assert.equal(again.status, first.status);
};

test("without a key of either kind nothing is run", async () => {
  for (const headers of [{}, { "Invocation-Id-": id }, { "X-Invocation-ID": id }]) {
    const response = await gateway.untouched(() => run(headers));
    assertProblem(response, 400, "idempotency_key_missing");
    assert.match(response.headers.link, /rel="describedby"/);
  }
});

for (const [what, header] of [
  ["Idempotency-Key", byKey],
  ["Invocation-ID", byInvocation],
]) {
  test(`by ${what} it is run once, and answered as often as it is asked for`, async () => {
    gateway.upstream.answers[path] = (_request, response) =>
      response.writeHead(201).end(`run ${Math.random()}`);
    const { response: first, seen } = await gateway.passed(() => run(header(id)));
    assert.equal(seen.headers["x-operation"], "admin.run");
    assert.equal(seen.headers["x-user-id"], root.id);
    replayed(await run(header(id)), first);
    const other = await gateway.untouched(() => run(header(id), { body: "another" }));
    assertProblem(other, 422, "idempotency_key_reused");
    assert.equal(hits(), 1);
  });

  test(`by ${what}, of fifty at once, it is run once`, async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => run(header(id))));
    assert.equal(hits(), 1);
    for (const one of all) if (one.status !== 200) assertProblem(one, 409, "idempotency_in_flight");
  });

  for (const value of ["k".repeat(256), "a b", "", "a, b"]) {
    test(`by ${what} it is not run where that is none: ${value.slice(0, 9)}`, async () => {
      const response = await gateway.untouched(() => run(header(value)));
      assertProblem(response, 400, "idempotency_key_invalid");
    });
  }
}

test("the key goes before the invocation, whichever came first", async () => {
  const both = (key, invocation) => ({ ...byKey(key), ...byInvocation(invocation) });
  const first = await run(both(id, "one"));
  replayed(await run(both(id, "two")), first);
  replayed(await run(byKey(id)), first);
  assert.equal(hits(), 1);
  // Of the two, the invocation was none.
  const other = await run(byInvocation("one"));
  assert.equal(other.headers["idempotent-replayed"], undefined);
  assert.equal(hits(), 2);
  // A key that is none is not made up for by an invocation.
  const broken = await gateway.untouched(() => run(both("a b", id)));
  assertProblem(broken, 400, "idempotency_key_invalid");
});

test("one name under either header is one run", async () => {
  const first = await run(byInvocation(id));
  replayed(await run(byKey(id)), first);
  assert.equal(hits(), 1);
});

test("it is for admins, and each has runs of their own", async () => {
  const eve = await people.invited("eve", "admin");
  const agent = await people.token(root, "mk_");
  for (const [who, status, error, reason] of [
    [NOBODY, 401, "unauthorized", "no_credential"],
    [ada, 403, "forbidden_role"],
    [await people.token(ada, "mat_"), 403, "forbidden_role"],
    [agent, 403, "forbidden_kind"],
  ]) {
    for (const headers of [{}, byInvocation(id)]) {
      const response = await gateway.untouched(() => run(headers, { who }));
      assertProblem(response, status, error, reason);
    }
  }
  const first = await run(byInvocation(id));
  const hers = await run(byInvocation(id), { who: eve });
  assert.equal(hers.headers["idempotent-replayed"], undefined);
  replayed(await run(byInvocation(id), { who: await people.token(root, "mat_") }), first);
  assert.equal(hits(), 2);
});

test("what failed before it ran may be run again, under the same name", async () => {
  gateway.upstream.answers[path] = { status: 503 };
  assert.equal((await run(byInvocation(id))).status, 503);
  gateway.upstream.answers[path] = { status: 200, body: "done" };
  const first = await run(byInvocation(id));
  assert.deepEqual([first.text, first.headers["idempotent-replayed"]], ["done", undefined]);
  replayed(await run(byInvocation(id)), first);
});

test("with consent and a trail, a machine's run is done once and written down", async () => {
  const machine = await people.token(root, "mat_", { agentId: "agent_7", taskId: "task_9" });
  const consent = consentOf(gateway, people);
  const trail = trailOf(people);
  path = "/careful";
  const careful = (confirmation) =>
    run({ ...byInvocation(id), "Confirmation-ID": confirmation }, { who: machine });
  const { confirmationId } = await consent.asked(() => careful(undefined));
  await consent.decided(confirmationId, "approve", root);
  const filter = "operation=admin.careful";
  const rows = await trail.left(
    2 * 10,
    async () => {
      const all = await Promise.all(Array.from({ length: 10 }, () => careful(confirmationId)));
      for (const one of all)
        if (one.status !== 200) assertProblem(one, 409, "idempotency_in_flight");
    },
    filter,
  );
  assert.equal(hits(), 1);
  assert.equal(gateway.seen.at(-1).headers["x-confirmed-by"], root.id);
  for (const row of rows) {
    assert.equal(row.confirmedBy, root.id);
    assert.deepEqual([row.actor.agentId, row.actor.taskId], ["agent_7", "task_9"]);
  }
  const settled = rows.filter(({ idempotency }) => idempotency === "settled");
  assert.equal(settled.length, 1);
  const again = await careful(confirmationId);
  assert.equal(again.headers["idempotent-replayed"], "true");
});
