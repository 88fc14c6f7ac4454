// Who may decide about which acts of machines, once, and what becomes of it when the store that keeps them
// fails.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";

// Objects that do as `CF-Confirmations` says: fail, never answer, answer what is none, or do it and fail
// to say so. No act has it to say: names that begin so are not the client's.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const fail = () => Promise.reject(new Error("the store is down"));
export default {
  fetch(request, env, context) {
    const how = request.headers.get("cf-confirmations");
    if (!how) return worker.fetch(request, env, context);
    const answers = {
      failing: fail,
      silent: () => new Promise(() => {}),
      lying: async () => '{"Ours":true}',
      muttering: async () => "",
    };
    const CONFIRMATIONS = {
      idFromName: (name) => env.CONFIRMATIONS.idFromName(name),
      get: (id) => ({
        async command(...given) {
          if (how !== "unheard") return answers[how](...given);
          await env.CONFIRMATIONS.get(id).command(...given);
          return fail();
        },
      }),
    };
    return worker.fetch(request, { ...env, CONFIRMATIONS }, context);
  },
};`;

let gateway;
let people;
let consent;
let root;
let ada;
let bob;
let task;
let agent;
before(async () => {
  gateway = await openGateway({
    routes: [{ path: "/deploys/{*rest}", access: "authenticated", confirm: "human" }],
    variables: ACCOUNTS,
    around: { "entry.mjs": ENTRY },
  });
  people = await settle(gateway);
  consent = consentOf(gateway, people);
  root = people.root;
  ada = await people.invited("ada");
  bob = await people.invited("bob");
});
after(() => gateway.stop());

let count = 0;
let path;
beforeEach(async () => {
  count += 1;
  path = `/deploys/${count}`;
  task = await people.token(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  agent = await people.token(root, "mk_", { agentId: "agent_7" });
});

const send = (who, id, { to = path, ...headers } = {}) =>
  people.call("POST", to, who, "body", { headers: { "Confirmation-ID": id, ...headers } });
const asked = async (who, more) =>
  (await consent.asked(() => send(who, undefined, more))).confirmationId;
const beside = (person, machine) => ({ headers: { ...person.headers, ...machine.headers } });

describe("who decides", () => {
  const PEOPLE = {
    nobody: () => NOBODY,
    "the user": () => ada,
    "another user": () => bob,
    "an admin": () => root,
    "another admin": () => people.invited(`eve-${count}`, "admin"),
    "the user's personal token": () => people.token(ada, "mul_"),
    "an admin's personal token": () => people.token(root, "mul_"),
    "the machine itself": (machine) => machine,
    "another machine of the user's": () => people.token(ada, "mat_"),
    "a session with the machine beside it": (machine) => beside(ada, machine),
    "an admin's machine": () => people.token(root, "mat_"),
    "another agent": () => people.token(root, "mk_", { agentId: "agent_8" }),
  };
  const HUMAN_ONLY = [403, "forbidden_human_only"];
  const UNKNOWN = [404, "not_found"];
  const NEVER = {
    nobody: [401, "unauthorized", "no_credential"],
    "another user": UNKNOWN,
    "the user's personal token": HUMAN_ONLY,
    "an admin's personal token": HUMAN_ONLY,
    "the machine itself": HUMAN_ONLY,
    "another machine of the user's": HUMAN_ONLY,
    "a session with the machine beside it": HUMAN_ONLY,
    "an admin's machine": HUMAN_ONLY,
    "another agent": HUMAN_ONLY,
  };
  const DONE = [200];
  for (const [whose, machine, table] of [
    [
      "a user's machine",
      () => task,
      { ...NEVER, "the user": DONE, "an admin": DONE, "another admin": DONE },
    ],
    [
      "an agent",
      () => agent,
      { ...NEVER, "the user": UNKNOWN, "an admin": DONE, "another admin": DONE },
    ],
  ]) {
    for (const [who, [status, error, reason]] of Object.entries(table)) {
      test(`about ${whose}: ${who}, ${error ?? "yes"}`, async () => {
        const as = await PEOPLE[who](machine());
        for (const verdict of ["approve", "reject"]) {
          const to = `${path}/${verdict}`;
          const id = await asked(machine(), { to });
          const response = await consent.decide(id, verdict, as);
          if (status !== 200) {
            assertProblem(response, status, error, reason);
            // It is as open as before.
            await consent.asked(() => send(machine(), id, { to }));
            await consent.decided(id, "reject", root);
          } else if (verdict === "approve") {
            assert.deepEqual(
              [response.json().state, response.json().decidedBy],
              ["approved", as.id],
            );
            const { seen } = await gateway.passed(() => send(machine(), id, { to }));
            assert.equal(seen.headers["x-confirmed-by"], as.id);
          } else {
            assert.deepEqual(
              [response.json().state, response.json().decidedBy],
              ["rejected", as.id],
            );
            await consent.invalid("rejected", () => send(machine(), id, { to }));
          }
        }
      });
    }
  }

  test("not who is led there from another site", async () => {
    const id = await asked(task);
    for (const verdict of ["approve", "reject"]) {
      const foreign = { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" };
      const sending = () =>
        people.call("POST", `/api/confirmations/${id}/${verdict}`, ada, undefined, {
          headers: foreign,
        });
      assertProblem(await gateway.untouched(sending), 403, "forbidden_origin");
      const read = await consent.decide(id, verdict, ada, (url, options) =>
        gateway.ask(url, { ...options, method: "GET" }),
      );
      assertProblem(read, 405, "method_not_allowed");
    }
    await consent.asked(() => send(task, id));
  });

  test("about what there is", async () => {
    const id = await asked(task);
    for (const none of [
      "x",
      id.split(".")[0],
      `${id}x`,
      `cnf_${"0".repeat(16)}.${"A".repeat(22)}`,
    ]) {
      for (const verdict of ["approve", "reject"])
        assertProblem(await consent.decide(none, verdict, ada), 404, "not_found");
      const shown = await people.call("GET", `/api/confirmations/${none}`, ada);
      assertProblem(shown, 404, "not_found");
    }
  });
});

describe("a decision", () => {
  test("said again is the same one", async () => {
    for (const verdict of ["approve", "reject"]) {
      const id = await asked(task, { to: `${path}/${verdict}` });
      const first = await consent.decided(id, verdict, ada);
      assert.deepEqual(await consent.decided(id, verdict, ada), first);
      // Whoever says it again, it was decided by the first.
      assert.equal((await consent.decided(id, verdict, root)).decidedBy, ada.id);
    }
  });

  test("stays as it is", async () => {
    for (const [verdict, other, reason] of [
      ["approve", "reject", "approved"],
      ["reject", "approve", "rejected"],
    ]) {
      const id = await asked(task, { to: `${path}/${verdict}` });
      await consent.decided(id, verdict, ada);
      const response = await consent.decide(id, other, ada);
      assertProblem(response, 403, "confirmation_invalid", reason);
      assert.equal((await consent.item(id, ada)).state, reason);
    }
  });

  test("about what was done comes too late", async () => {
    const id = await asked(task);
    await consent.decided(id, "approve", ada);
    await gateway.passed(() => send(task, id));
    for (const verdict of ["approve", "reject"]) {
      const response = await consent.decide(id, verdict, ada);
      assertProblem(response, 403, "confirmation_invalid", "used");
    }
    assert.equal((await consent.item(id, ada)).state, "used");
  });

  test("of twenty at once is one", async () => {
    const id = await asked(task);
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => consent.decide(id, i % 2 ? "approve" : "reject", ada)),
    );
    const states = all.filter(({ status }) => status === 200).map((one) => one.json().state);
    assert.equal(states.length, 10);
    assert.equal(new Set(states).size, 1);
    for (const other of all.filter(({ status }) => status !== 200))
      assertProblem(other, 403, "confirmation_invalid", states[0]);
    if (states[0] === "approved") await gateway.passed(() => send(task, id));
    else await consent.invalid("rejected", () => send(task, id));
  });

  test("against it leaves nothing open: what is asked anew is another act", async () => {
    const id = await asked(task);
    await consent.decided(id, "reject", ada);
    const next = await asked(task);
    assert.notEqual(next, id);
    await consent.invalid("rejected", () => send(task, id));
    await consent.decided(next, "approve", ada);
    await gateway.passed(() => send(task, next));
  });
});

describe("a consent counts as long as who gave it may decide", () => {
  const set = async (who, json) => {
    const response = await people.call("PATCH", `/api/users/${who.id}`, root, json);
    assert.equal(response.status, 200, response.text);
  };
  const removed = (who) => people.call("DELETE", `/api/users/${who.id}`, root);
  const eve = () => people.invited(`eve-${count}`, "admin");

  for (const [what, machine, by, undo] of [
    [
      "an admin who was shut out, to an agent",
      () => agent,
      eve,
      (who) => set(who, { status: "disabled" }),
    ],
    [
      "an admin who is none any more, to an agent",
      () => agent,
      eve,
      (who) => set(who, { role: "user" }),
    ],
    ["an admin who was deleted, to a user's machine", () => task, eve, removed],
    [
      "an admin who is none any more, to a user's machine",
      () => task,
      eve,
      (who) => set(who, { role: "user" }),
    ],
  ]) {
    test(`not of ${what}: it is withdrawn, and used up`, async () => {
      const who = await by();
      const id = await asked(machine());
      await consent.decided(id, "approve", who);
      await undo(who);
      await consent.invalid("withdrawn", () => send(machine(), id));
      await consent.invalid("used", () => send(machine(), id));
      assert.equal((await consent.item(id, root)).state, "used");
    });
  }

  test("a user's own, whatever their role", async () => {
    const eve = await people.invited(`eve-${count}`, "admin");
    const machine = await people.token(eve, "mat_");
    const id = await asked(machine);
    await consent.decided(id, "approve", eve);
    await set(eve, { role: "user" });
    const { seen } = await gateway.passed(() => send(machine, id));
    assert.equal(seen.headers["x-confirmed-by"], eve.id);
  });

  test("again, of who was let in again", async () => {
    const eve = await people.invited(`eve-${count}`, "admin");
    const id = await asked(agent);
    await consent.decided(id, "approve", eve);
    await set(eve, { status: "disabled" });
    await set(eve, { status: "active" });
    await gateway.passed(() => send(agent, id));
  });
});

for (const how of ["failing", "silent", "lying", "muttering"]) {
  describe(`a store that is ${how}`, () => {
    const broken = { "CF-Confirmations": how };
    const unavailable = async (sending) => {
      const response = await gateway.untouched(sending);
      assertProblem(response, 503, "store_unavailable");
      assert.equal(response.headers["retry-after"], "1");
    };

    test("lets no machine through, and decides nothing", async () => {
      const [machine, to] = [await people.token(ada, "mat_"), `${path}/${how}`];
      await unavailable(() => send(machine, undefined, { to, ...broken }));
      const id = await asked(machine, { to });
      const own = (method, end) => () =>
        people.call(method, `/api/confirmations${end}`, ada, undefined, { headers: broken });
      await unavailable(own("POST", `/${id}/approve`));
      await unavailable(own("GET", `/${id}`));
      await unavailable(own("GET", ""));
      assert.equal((await consent.item(id, ada)).state, "pending");
      await consent.decided(id, "approve", ada);
      await unavailable(() => send(machine, id, { to, ...broken }));
      await gateway.passed(() => send(machine, id, { to }));
    });

    test("is no matter to people", async () => {
      const { response } = await gateway.passed(() => send(ada, undefined, broken));
      assert.equal(response.text, "ok");
    });
  });
}

test("a store that did it and could not say so: nothing is done, and nothing twice", async () => {
  const id = await asked(task);
  await consent.decided(id, "approve", ada);
  const unheard = { "CF-Confirmations": "unheard" };
  const response = await gateway.untouched(() => send(task, id, unheard));
  assertProblem(response, 503, "store_unavailable");
  await consent.invalid("used", () => send(task, id));
});
