// The audit trail: what is written of whom, what is not, and what happens where it cannot be written.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { textOf } from "../support/commands.mjs";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";
import { now, remember } from "../support/tokens.mjs";
import { trailOf } from "../support/trail.mjs";

const NOW = now();
const at = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");

// An AUDIT that does as `X-Audit` says: fails, never answers, answers what is none; or hears what begins and
// fails at what is done.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const fail = () => Promise.reject(new Error("the trail is down"));
const textOf = ${textOf};
export default {
  fetch(request, env, context) {
    const how = request.headers.get("x-audit");
    if (!how) return worker.fetch(request, env, context);
    const answers = {
      failing: fail,
      silent: () => new Promise(() => {}),
      lying: async () => '"yes"',
    };
    const AUDIT = {
      idFromName: (name) => env.AUDIT.idFromName(name),
      get: (id) => ({
        command(command, ...rest) {
          if (how !== "forgetful") return answers[how]();
          return textOf(command).includes("done") ? fail() : env.AUDIT.get(id).command(command, ...rest);
        },
      }),
    };
    return worker.fetch(request, { ...env, AUDIT }, context);
  },
};`;

const rule = (path, more) => ({ path, access: "user", audit: "best_effort", ...more });
const ROUTES = [
  rule("/pay", { audit: "required", operation: "orders.pay", idempotency: "optional" }),
  rule("/note/{id}", { operation: "notes.write" }),
  rule("/plain"),
  rule("/open", { access: "public" }),
  rule("/shut", { access: "public", feature: "closed" }),
  rule("/join/{*rest}"),
  rule("/api/{*rest}"),
  rule("/maybe", { access: "optional" }),
  rule("/admins", { access: "admin" }),
  rule("/agents", { access: "agent", audit: "required" }),
  rule("/closed", { feature: "closed", audit: "required" }),
  rule("/one", { limit: "one" }),
  rule("/confirmed", { confirm: "human", audit: "required" }),
  { path: "/silent", access: "user" },
];

let gateway;
let people;
let trail;
let consent;
let root;
let ada;
let task;
let agent;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      DANGER_FIXED_NOW: NOW,
      RATE_LIMITS: [{ name: "one", limit: 1, period: "1h", by: "principal" }],
    },
    bindings: { kvNamespaces: ["KV"] },
    around: { "entry.mjs": ENTRY },
  });
  people = await settle(gateway);
  trail = trailOf(people);
  consent = consentOf(gateway, people);
  root = people.root;
  ada = await people.invited("ada");
  task = await people.token(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  agent = await people.token(root, "mk_", { agentId: "agent_7" });
  // Setting up, inviting, redeeming, two tokens.
  await trail.has(5);
});
after(() => gateway.stop());

let count = 0;
let address;
beforeEach(() => {
  count += 1;
  address = `192.0.2.${count}`;
});
const call = (method, path, who, body, headers) =>
  people.call(method, path, who, body, { headers: { "CF-Connecting-IP": address, ...headers } });
const succeeds = async (...given) => {
  const response = await call(...given);
  assert.ok(response.status < 400, response.text);
  return response;
};

describe("a rule with audit", () => {
  const user = () => ({ kind: "user", id: ada.id, role: "user" });

  const NOBODYS = { principal: null, actor: null };

  // What is asked by whom, and the rows: each as what differs from the first.
  for (const [what, who, method, path, ...rows] of [
    ["a user's", () => ada, "POST", "/note/7?token=query-secret", { operation: "notes.write" }],
    ["one without an operation", () => ada, "GET", "/plain", { operation: "/plain" }],
    [
      "nobody's, where everybody may",
      () => NOBODY,
      "GET",
      "/open",
      { ...NOBODYS, operation: "/open" },
    ],
    [
      "somebody's, where nobody is asked who it is",
      () => ada,
      "GET",
      "/open",
      { ...NOBODYS, operation: "/open" },
    ],
    [
      "a machine's, where nobody is asked who it is",
      () => task,
      "GET",
      "/open",
      { ...NOBODYS, operation: "/open" },
    ],
    ["somebody's, where anybody may", () => ada, "GET", "/maybe", { operation: "/maybe" }],
    [
      "nobody's, where anybody may",
      () => NOBODY,
      "GET",
      "/maybe",
      { ...NOBODYS, operation: "/maybe" },
    ],
    [
      "one that is written before, too",
      () => ada,
      "POST",
      "/pay",
      { operation: "orders.pay", phase: "begun", status: 0 },
      { operation: "orders.pay" },
    ],
    [
      "a refused one's",
      () => ada,
      "GET",
      "/admins",
      { decision: "forbidden_role", status: 403, operation: "/admins" },
    ],
    [
      "a refused one's, of which nothing began",
      () => ada,
      "POST",
      "/closed",
      { decision: "feature_disabled", status: 403, operation: "/closed" },
    ],
  ]) {
    test(`${what}: ${rows.length}`, async () => {
      const asked = who();
      const sent = () => call(method, path, asked);
      const found = await trail.left(rows.length, sent);
      for (const [index, row] of rows.entries()) {
        const { id, at: when, requestId, actor, ...rest } = found[index];
        const { actor: wantedActor, ...wanted } = row;
        assert.match(id, /^aud_\d{4}-\d\d-\d\d\.[0-3]\.\d+$/);
        assert.equal(id.slice(4, 14), when.slice(0, 10));
        // When it was over; a clock that stands still goes on by what it took.
        assert.ok(when >= at(NOW) && when <= at(NOW + 30), when);
        assert.match(requestId, /^req_[0-9a-f]{32}$/);
        assert.equal(requestId, found[0].requestId);
        assert.deepEqual(rest, {
          phase: "done",
          rule: path.startsWith("/note") ? "/note/{id}" : path,
          method,
          path: path.split("?")[0],
          decision: "allow",
          status: 200,
          principal: user(),
          address,
          ...wanted,
        });
        if (wantedActor === null) assert.equal(actor, null);
        else assert.match(actor.sessionId, /^ses_/);
      }
    });
  }

  test("tells upstream's request by its id, and what a machine acted for", async () => {
    const [begun, done] = await trail.left(2, () => succeeds("POST", "/pay", task));
    assert.equal(done.requestId, gateway.seen.at(-1).headers["x-request-id"]);
    assert.deepEqual(done.principal, user());
    const wanted = {
      source: "task_token",
      tokenId: task.id,
      agentId: "agent_7",
      taskId: "task_9",
    };
    assert.deepEqual(done.actor, wanted);
    assert.deepEqual([begun.phase, done.phase], ["begun", "done"]);
    const [, ran] = await trail.left(2, () => succeeds("POST", "/agents", agent));
    assert.deepEqual(ran.principal, { kind: "agent", id: "agent_7" });
    assert.deepEqual([ran.actor.source, ran.actor.tokenId], ["agent_token", agent.id]);
  });

  test("tells what upstream answered, and that it did not", async () => {
    gateway.upstream.answers["/plain"] = { status: 418 };
    const [odd] = await trail.left(1, () => call("GET", "/plain", ada));
    assert.deepEqual([odd.decision, odd.status], ["allow", 418]);
    gateway.upstream.answers["/plain"] = (request) => request.socket.destroy();
    const [down] = await trail.left(1, () => call("GET", "/plain", ada));
    assert.deepEqual([down.decision, down.status], ["upstream_failed", 502]);
  });

  test("tells what became of a key, and that an answer was given again", async () => {
    const keyed = { "Idempotency-Key": `key-${count}` };
    const [, first] = await trail.left(2, () => succeeds("POST", "/pay", ada, "x", keyed));
    const again = await trail.left(2, () => succeeds("POST", "/pay", ada, "x", keyed));
    assert.deepEqual([first.idempotency, again.at(-1).idempotency], ["settled", "replayed"]);
  });

  test("tells who has consented, and that somebody had to", async () => {
    const act = (id) => call("POST", "/confirmed", task, "x", { "Confirmation-ID": id });
    let id;
    const [refused] = await trail.left(1, async () => {
      id = (await consent.asked(() => act(undefined))).confirmationId;
    });
    assert.deepEqual([refused.decision, refused.phase], ["confirmation_required", "done"]);
    const [decided] = await trail.left(1, () => consent.decided(id, "approve", ada));
    assert.equal(decided.operation, "vestibule.confirmations.approve");
    const [begun, done] = await trail.left(2, () =>
      succeeds("POST", "/confirmed", task, "x", { "Confirmation-ID": id }),
    );
    for (const row of [begun, done])
      assert.deepEqual([row.confirmedBy, row.confirmationId], [ada.id, id]);
  });

  test("tells nothing of who is nobody and was refused, nor of other rules", async () => {
    const [only] = await trail.left(1, async () => {
      for (const path of ["/plain", "/pay", "/closed"])
        assertProblem(await call("POST", path), 401, "unauthorized", "no_credential");
      // Nor of who says who they are where nobody asks.
      for (const who of [ada, task, NOBODY])
        assertProblem(await call("GET", "/shut", who), 403, "feature_disabled");
      await succeeds("POST", "/silent", ada);
      await succeeds("GET", "/one", ada);
    });
    assert.equal(only.rule, "/one");
    const [limited] = await trail.left(1, () => call("GET", "/one", ada));
    assert.deepEqual([limited.decision, limited.status], ["rate_limited", 429]);
  });
});

test("no path tells an invite's token, wherever it was put", async () => {
  const token = remember(`mki_${"a-secret-of-an-invite".repeat(2)}`);
  for (const [path, wanted] of [
    [`/join/${token}`, "/join/(invite)"],
    [`/join/x/${token}/y`, "/join/x/(invite)/y"],
    [`/join/x${token}y/${token}`, "/join/(invite)/(invite)"],
    [`/join/%6D${token.slice(1)}`, "/join/(invite)"],
    [`/api/invites/${token}/redeem/x`, "/api/invites/(invite)/redeem/x"],
    [`/api/invites/x/${token}`, "/api/invites/x/(invite)"],
  ]) {
    const [row] = await trail.left(1, () => call("GET", path, ada));
    assert.equal(row.path, wanted);
    assert.ok(!JSON.stringify(row).includes(token));
  }
});

for (const how of ["failing", "silent", "lying"]) {
  describe(`a trail that is ${how}`, () => {
    const broken = { "X-Audit": how };
    const logged = async () => {
      const isIt = (line) => line.includes('"later_failed"');
      const before = gateway.log.filter(isIt).length;
      return {
        async comes() {
          await gateway.logged(() => gateway.log.filter(isIt).length > before);
          const line = JSON.parse(gateway.log.filter(isIt).at(-1));
          assert.equal(line.binding, "AUDIT");
          assert.ok(line.count >= 1);
          return line.count;
        },
      };
    };

    test("lets nothing run that has to be written", async () => {
      for (const headers of [{}, { "Idempotency-Key": `key-${count}` }]) {
        const response = await gateway.untouched(() =>
          call("POST", "/pay", ada, "x", { ...broken, ...headers }),
        );
        assertProblem(response, 503, "store_unavailable");
        assert.equal(response.headers["retry-after"], "1");
      }
      // No key was claimed for it.
      const keyed = { "Idempotency-Key": `key-${count}` };
      const { response } = await gateway.passed(() => call("POST", "/pay", ada, "x", keyed));
      assert.equal(response.headers["idempotent-replayed"], undefined);
    });

    if (how !== "lying") {
      test("is no matter where it need not be, and is logged", async () => {
        const line = await logged();
        await gateway.passed(() => call("POST", "/note/7", ada, "x", broken));
        const first = await line.comes();
        const next = await logged();
        const made = await call("PUT", "/api/features/x", root, { state: "on" }, broken);
        assert.equal(made.status, 200);
        assert.equal(await next.comes(), first + 1);
      });
    }

    test("is not shown as empty or as whole", async () => {
      for (const path of ["/api/audit", "/api/audit/verify"])
        assertProblem(await call("GET", path, root, undefined, broken), 503, "store_unavailable");
    });
  });
}

test("what ran and could not be written is answered all the same, and has begun", async () => {
  const run = () =>
    gateway.passed(() => call("POST", "/agents", agent, "x", { "X-Audit": "forgetful" }));
  const [begun] = await trail.left(1, run, `operation=${encodeURIComponent("/agents")}`);
  assert.equal(begun.phase, "begun");
});
