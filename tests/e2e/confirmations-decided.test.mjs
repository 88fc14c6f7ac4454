// Decisions on approvals: who may make them, that each is made once, and what happens if the store fails.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";

// CONFIRMATIONS behaves as the `CF-Confirmations` header says: it fails, never answers, answers with an invalid reply,
// or (`unheard`) runs the command and then fails. Headers that begin with `CF-` are not part of what is approved.
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
let approvals;
let root;
let ada;
let bob;
let taskToken;
let agentToken;
before(async () => {
  gateway = await openGateway({
    routes: [{ path: "/deploys/{*rest}", access: "authenticated", confirm: "human" }],
    variables: ACCOUNTS,
    wrapperModules: { "entry.mjs": ENTRY },
  });
  people = await setUpUsers(gateway);
  approvals = approvalsOf(gateway, people);
  root = people.root;
  ada = await people.createUser("ada");
  bob = await people.createUser("bob");
});
after(() => gateway.stop());

let count = 0;
let path;
beforeEach(async () => {
  count += 1;
  path = `/deploys/${count}`;
  taskToken = await people.createToken(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  agentToken = await people.createToken(root, "mk_", { agentId: "agent_7" });
});

const send = (caller, id, { to = path, ...headers } = {}) =>
  people.call("POST", to, caller, "body", { headers: { "Confirmation-ID": id, ...headers } });
const requestApproval = async (caller, more) =>
  (await approvals.expectRequired(() => send(caller, undefined, more))).confirmationId;
const withMachine = (person, machine) => ({ headers: { ...person.headers, ...machine.headers } });

describe("permission to decide on an approval", () => {
  const CALLERS = {
    "no credential": () => ANONYMOUS,
    "the user": () => ada,
    "another user": () => bob,
    "an admin": () => root,
    "another admin": () => people.createUser(`eve-${count}`, "admin"),
    "the user's personal token": () => people.createToken(ada, "mul_"),
    "an admin's personal token": () => people.createToken(root, "mul_"),
    "the machine itself": (machine) => machine,
    "another machine of the user": () => people.createToken(ada, "mat_"),
    "a session together with the machine": (machine) => withMachine(ada, machine),
    "an admin's machine": () => people.createToken(root, "mat_"),
    "another agent": () => people.createToken(root, "mk_", { agentId: "agent_8" }),
  };
  const HUMAN_ONLY = [403, "forbidden_human_only"];
  const UNKNOWN = [404, "not_found"];
  const ALWAYS_REFUSED = {
    "no credential": [401, "unauthorized", "no_credential"],
    "another user": UNKNOWN,
    "the user's personal token": HUMAN_ONLY,
    "an admin's personal token": HUMAN_ONLY,
    "the machine itself": HUMAN_ONLY,
    "another machine of the user": HUMAN_ONLY,
    "a session together with the machine": HUMAN_ONLY,
    "an admin's machine": HUMAN_ONLY,
    "another agent": HUMAN_ONLY,
  };
  const ALLOWED = [200];
  for (const [owner, machine, outcomes] of [
    [
      "a user's machine",
      () => taskToken,
      { ...ALWAYS_REFUSED, "the user": ALLOWED, "an admin": ALLOWED, "another admin": ALLOWED },
    ],
    [
      "an agent",
      () => agentToken,
      { ...ALWAYS_REFUSED, "the user": UNKNOWN, "an admin": ALLOWED, "another admin": ALLOWED },
    ],
  ]) {
    for (const [name, [status, error, reason]] of Object.entries(outcomes)) {
      test(`for ${owner}: ${name} gets ${error ?? "200"}`, async () => {
        const caller = await CALLERS[name](machine());
        for (const verdict of ["approve", "reject"]) {
          const to = `${path}/${verdict}`;
          const id = await requestApproval(machine(), { to });
          const response = await approvals.decide(id, verdict, caller);
          if (status !== 200) {
            assertProblem(response, status, error, reason);
            // The approval is still pending.
            await approvals.expectRequired(() => send(machine(), id, { to }));
            await approvals.expectDecided(id, "reject", root);
          } else if (verdict === "approve") {
            assert.deepEqual(
              [response.json().state, response.json().decidedBy],
              ["approved", caller.id],
            );
            const { seen } = await gateway.expectForwarded(() => send(machine(), id, { to }));
            assert.equal(seen.headers["x-confirmed-by"], caller.id);
          } else {
            assert.deepEqual(
              [response.json().state, response.json().decidedBy],
              ["rejected", caller.id],
            );
            await approvals.expectInvalid("rejected", () => send(machine(), id, { to }));
          }
        }
      });
    }
  }

  test("is refused to cross-site requests and to GET", async () => {
    const id = await requestApproval(taskToken);
    for (const verdict of ["approve", "reject"]) {
      const crossSite = { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" };
      const run = () =>
        people.call("POST", `/api/confirmations/${id}/${verdict}`, ada, undefined, {
          headers: crossSite,
        });
      assertProblem(await gateway.expectNotForwarded(run), 403, "forbidden_origin");
      const read = await approvals.decide(id, verdict, ada, (url, options) =>
        gateway.request(url, { ...options, method: "GET" }),
      );
      assertProblem(read, 405, "method_not_allowed");
    }
    await approvals.expectRequired(() => send(taskToken, id));
  });

  test("is refused with 404 for an unknown or malformed id", async () => {
    const id = await requestApproval(taskToken);
    for (const invalidId of [
      "x",
      id.split(".")[0],
      `${id}x`,
      `cnf_${"0".repeat(16)}.${"A".repeat(22)}`,
    ]) {
      for (const verdict of ["approve", "reject"])
        assertProblem(await approvals.decide(invalidId, verdict, ada), 404, "not_found");
      const shown = await people.call("GET", `/api/confirmations/${invalidId}`, ada);
      assertProblem(shown, 404, "not_found");
    }
  });
});

describe("a decision", () => {
  test("can be repeated and returns the same result", async () => {
    for (const verdict of ["approve", "reject"]) {
      const id = await requestApproval(taskToken, { to: `${path}/${verdict}` });
      const first = await approvals.expectDecided(id, verdict, ada);
      assert.deepEqual(await approvals.expectDecided(id, verdict, ada), first);
      // `decidedBy` stays the first caller if another one repeats the decision.
      assert.equal((await approvals.expectDecided(id, verdict, root)).decidedBy, ada.id);
    }
  });

  test("cannot be changed", async () => {
    for (const [verdict, other, reason] of [
      ["approve", "reject", "approved"],
      ["reject", "approve", "rejected"],
    ]) {
      const id = await requestApproval(taskToken, { to: `${path}/${verdict}` });
      await approvals.expectDecided(id, verdict, ada);
      const response = await approvals.decide(id, other, ada);
      assertProblem(response, 403, "confirmation_invalid", reason);
      assert.equal((await approvals.item(id, ada)).state, reason);
    }
  });

  test("cannot be made after the approval was used", async () => {
    const id = await requestApproval(taskToken);
    await approvals.expectDecided(id, "approve", ada);
    await gateway.expectForwarded(() => send(taskToken, id));
    for (const verdict of ["approve", "reject"]) {
      const response = await approvals.decide(id, verdict, ada);
      assertProblem(response, 403, "confirmation_invalid", "used");
    }
    assert.equal((await approvals.item(id, ada)).state, "used");
  });

  test("is made once by twenty concurrent requests", async () => {
    const id = await requestApproval(taskToken);
    const responses = await Promise.all(
      Array.from({ length: 20 }, (_, i) => approvals.decide(id, i % 2 ? "approve" : "reject", ada)),
    );
    const states = responses.filter(({ status }) => status === 200).map((one) => one.json().state);
    assert.equal(states.length, 10);
    assert.equal(new Set(states).size, 1);
    for (const rejected of responses.filter(({ status }) => status !== 200))
      assertProblem(rejected, 403, "confirmation_invalid", states[0]);
    if (states[0] === "approved") await gateway.expectForwarded(() => send(taskToken, id));
    else await approvals.expectInvalid("rejected", () => send(taskToken, id));
  });

  test("to reject is final, and the same request then needs a new approval", async () => {
    const id = await requestApproval(taskToken);
    await approvals.expectDecided(id, "reject", ada);
    const newId = await requestApproval(taskToken);
    assert.notEqual(newId, id);
    await approvals.expectInvalid("rejected", () => send(taskToken, id));
    await approvals.expectDecided(newId, "approve", ada);
    await gateway.expectForwarded(() => send(taskToken, newId));
  });
});

describe("an approval whose approver was demoted, disabled or deleted", () => {
  const changeUser = async (user, json) => {
    const response = await people.call("PATCH", `/api/users/${user.id}`, root, json);
    assert.equal(response.status, 200, response.text);
  };
  const deleteUser = (user) => people.call("DELETE", `/api/users/${user.id}`, root);
  const inviteAdmin = () => people.createUser(`eve-${count}`, "admin");

  for (const [name, machine, invite, undo] of [
    [
      "a disabled admin and an agent",
      () => agentToken,
      inviteAdmin,
      (approver) => changeUser(approver, { status: "disabled" }),
    ],
    [
      "a demoted admin and an agent",
      () => agentToken,
      inviteAdmin,
      (approver) => changeUser(approver, { role: "user" }),
    ],
    ["a deleted admin and a user's machine", () => taskToken, inviteAdmin, deleteUser],
    [
      "a demoted admin and a user's machine",
      () => taskToken,
      inviteAdmin,
      (approver) => changeUser(approver, { role: "user" }),
    ],
  ]) {
    test(`is withdrawn and used up for ${name}`, async () => {
      const approver = await invite();
      const id = await requestApproval(machine());
      await approvals.expectDecided(id, "approve", approver);
      await undo(approver);
      await approvals.expectInvalid("withdrawn", () => send(machine(), id));
      await approvals.expectInvalid("used", () => send(machine(), id));
      assert.equal((await approvals.item(id, root)).state, "used");
    });
  }

  test("stays valid for the own machine of a user who was demoted", async () => {
    const eve = await people.createUser(`eve-${count}`, "admin");
    const machine = await people.createToken(eve, "mat_");
    const id = await requestApproval(machine);
    await approvals.expectDecided(id, "approve", eve);
    await changeUser(eve, { role: "user" });
    const { seen } = await gateway.expectForwarded(() => send(machine, id));
    assert.equal(seen.headers["x-confirmed-by"], eve.id);
  });

  test("is valid again once a disabled admin is enabled again", async () => {
    const eve = await people.createUser(`eve-${count}`, "admin");
    const id = await requestApproval(agentToken);
    await approvals.expectDecided(id, "approve", eve);
    await changeUser(eve, { status: "disabled" });
    await changeUser(eve, { status: "active" });
    await gateway.expectForwarded(() => send(agentToken, id));
  });
});

for (const fault of ["failing", "silent", "lying", "muttering"]) {
  describe(`an approvals store that is ${fault}`, () => {
    const withFault = { "CF-Confirmations": fault };
    const assertUnavailable = async (run) => {
      const response = await gateway.expectNotForwarded(run);
      assertProblem(response, 503, "store_unavailable");
      assert.equal(response.headers["retry-after"], "1");
    };

    test("refuses machines and decisions with 503", async () => {
      const [machine, to] = [await people.createToken(ada, "mat_"), `${path}/${fault}`];
      await assertUnavailable(() => send(machine, undefined, { to, ...withFault }));
      const id = await requestApproval(machine, { to });
      const callOwn = (method, suffix) => () =>
        people.call(method, `/api/confirmations${suffix}`, ada, undefined, { headers: withFault });
      await assertUnavailable(callOwn("POST", `/${id}/approve`));
      await assertUnavailable(callOwn("GET", `/${id}`));
      await assertUnavailable(callOwn("GET", ""));
      assert.equal((await approvals.item(id, ada)).state, "pending");
      await approvals.expectDecided(id, "approve", ada);
      await assertUnavailable(() => send(machine, id, { to, ...withFault }));
      await gateway.expectForwarded(() => send(machine, id, { to }));
    });

    test("does not affect requests of people", async () => {
      const { response } = await gateway.expectForwarded(() => send(ada, undefined, withFault));
      assert.equal(response.text, "ok");
    });
  });
}

test("a request is not run if the store used up its approval but failed to answer", async () => {
  const id = await requestApproval(taskToken);
  await approvals.expectDecided(id, "approve", ada);
  const withFault = { "CF-Confirmations": "unheard" };
  const response = await gateway.expectNotForwarded(() => send(taskToken, id, withFault));
  assertProblem(response, 503, "store_unavailable");
  await approvals.expectInvalid("used", () => send(taskToken, id));
});
