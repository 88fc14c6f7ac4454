// The audit trail: what is recorded, what is not, and what happens if a row cannot be written.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { textOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { now, trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";

const NOW = now();
const timeOf = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");

// AUDIT behaves as the `X-Audit` header says: it fails, never answers, or answers with an invalid reply. With
// `forgetful`, it stores rows of the phase "begun" and fails for "done".
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
let approvals;
let root;
let ada;
let taskToken;
let agentToken;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      DANGER_FIXED_NOW: NOW,
      RATE_LIMITS: [{ name: "one", limit: 1, period: "1h", by: "principal" }],
    },
    bindings: { kvNamespaces: ["KV"] },
    wrapperModules: { "entry.mjs": ENTRY },
  });
  people = await setUpUsers(gateway);
  trail = auditTrailOf(people);
  approvals = approvalsOf(gateway, people);
  root = people.root;
  ada = await people.createUser("ada");
  taskToken = await people.createToken(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  agentToken = await people.createToken(root, "mk_", { agentId: "agent_7" });
  // Rows of setup, invite, redemption and two tokens.
  await trail.waitForRows(5);
});
after(() => gateway.stop());

let count = 0;
let address;
beforeEach(() => {
  count += 1;
  address = `192.0.2.${count}`;
});
const call = (method, path, caller, body, headers) =>
  people.call(method, path, caller, body, { headers: { "CF-Connecting-IP": address, ...headers } });
const succeeds = async (...args) => {
  const response = await call(...args);
  assert.ok(response.status < 400, response.text);
  return response;
};

describe("a rule with audit", () => {
  const adaPrincipal = () => ({ kind: "user", id: ada.id, role: "user" });

  const NO_PRINCIPAL = { principal: null, actor: null };

  // Caller, method, path, and what each row has that differs from the default below.
  for (const [name, callerOf, method, path, ...rows] of [
    [
      "a request of a user",
      () => ada,
      "POST",
      "/note/7?token=query-secret",
      { operation: "notes.write" },
    ],
    ["a rule without an operation", () => ada, "GET", "/plain", { operation: "/plain" }],
    [
      "a request without a credential to a public rule",
      () => ANONYMOUS,
      "GET",
      "/open",
      { ...NO_PRINCIPAL, operation: "/open" },
    ],
    [
      "a user's request to a public rule, which identifies nobody",
      () => ada,
      "GET",
      "/open",
      { ...NO_PRINCIPAL, operation: "/open" },
    ],
    [
      "a machine's request to a public rule, which identifies nobody",
      () => taskToken,
      "GET",
      "/open",
      { ...NO_PRINCIPAL, operation: "/open" },
    ],
    ["a user's request to an optional rule", () => ada, "GET", "/maybe", { operation: "/maybe" }],
    [
      "a request without a credential to an optional rule",
      () => ANONYMOUS,
      "GET",
      "/maybe",
      { ...NO_PRINCIPAL, operation: "/maybe" },
    ],
    [
      "a rule that also records before the request runs",
      () => ada,
      "POST",
      "/pay",
      { operation: "orders.pay", phase: "begun", status: 0 },
      { operation: "orders.pay" },
    ],
    [
      "a rejected request",
      () => ada,
      "GET",
      "/admins",
      { decision: "forbidden_role", status: 403, operation: "/admins" },
    ],
    [
      "a request rejected before it began",
      () => ada,
      "POST",
      "/closed",
      { decision: "feature_disabled", status: 403, operation: "/closed" },
    ],
  ]) {
    test(`leaves ${rows.length} row(s) for ${name}`, async () => {
      const caller = callerOf();
      const run = () => call(method, path, caller);
      const actualRows = await trail.rowsAddedBy(rows.length, run);
      for (const [index, expectedRow] of rows.entries()) {
        const { id, at: time, requestId, actor, ...rest } = actualRows[index];
        const { actor: expectedActor, ...expectedRest } = expectedRow;
        assert.match(id, /^aud_\d{4}-\d\d-\d\d\.[0-3]\.\d+$/);
        assert.equal(id.slice(4, 14), time.slice(0, 10));
        // The time at which the request ended: the fixed clock plus the request's duration.
        assert.ok(time >= timeOf(NOW) && time <= timeOf(NOW + 30), time);
        assert.match(requestId, /^req_[0-9a-f]{32}$/);
        assert.equal(requestId, actualRows[0].requestId);
        assert.deepEqual(rest, {
          phase: "done",
          rule: path.startsWith("/note") ? "/note/{id}" : path,
          method,
          path: path.split("?")[0],
          decision: "allow",
          status: 200,
          principal: adaPrincipal(),
          address,
          ...expectedRest,
        });
        if (expectedActor === null) assert.equal(actor, null);
        else assert.match(actor.sessionId, /^ses_/);
      }
    });
  }

  test("records the request id that upstream got, and the token and user behind a machine", async () => {
    const [begun, done] = await trail.rowsAddedBy(2, () => succeeds("POST", "/pay", taskToken));
    assert.equal(done.requestId, gateway.upstreamRequests.at(-1).headers["x-request-id"]);
    assert.deepEqual(done.principal, adaPrincipal());
    const expected = {
      source: "task_token",
      tokenId: taskToken.id,
      agentId: "agent_7",
      taskId: "task_9",
    };
    assert.deepEqual(done.actor, expected);
    assert.deepEqual([begun.phase, done.phase], ["begun", "done"]);
    const [, ran] = await trail.rowsAddedBy(2, () => succeeds("POST", "/agents", agentToken));
    assert.deepEqual(ran.principal, { kind: "agent", id: "agent_7" });
    assert.deepEqual([ran.actor.source, ran.actor.tokenId], ["agent_token", agentToken.id]);
  });

  test("records upstream's status, and that upstream failed", async () => {
    gateway.upstream.answers["/plain"] = { status: 418 };
    const [refusedByUpstream] = await trail.rowsAddedBy(1, () => call("GET", "/plain", ada));
    assert.deepEqual([refusedByUpstream.decision, refusedByUpstream.status], ["allow", 418]);
    gateway.upstream.answers["/plain"] = (request) => request.socket.destroy();
    const [down] = await trail.rowsAddedBy(1, () => call("GET", "/plain", ada));
    assert.deepEqual([down.decision, down.status], ["upstream_failed", 502]);
  });

  test("records the state of the idempotency key, and replays", async () => {
    const withKey = { "Idempotency-Key": `key-${count}` };
    const [, first] = await trail.rowsAddedBy(2, () => succeeds("POST", "/pay", ada, "x", withKey));
    const replay = await trail.rowsAddedBy(2, () => succeeds("POST", "/pay", ada, "x", withKey));
    assert.deepEqual([first.idempotency, replay.at(-1).idempotency], ["settled", "replayed"]);
  });

  test("records that an approval was required, and who gave it", async () => {
    const deploy = (id) => call("POST", "/confirmed", taskToken, "x", { "Confirmation-ID": id });
    let id;
    const [refused] = await trail.rowsAddedBy(1, async () => {
      id = (await approvals.expectRequired(() => deploy(undefined))).confirmationId;
    });
    assert.deepEqual([refused.decision, refused.phase], ["confirmation_required", "done"]);
    const [decided] = await trail.rowsAddedBy(1, () => approvals.expectDecided(id, "approve", ada));
    assert.equal(decided.operation, "vestibule.confirmations.approve");
    const [begun, done] = await trail.rowsAddedBy(2, () =>
      succeeds("POST", "/confirmed", taskToken, "x", { "Confirmation-ID": id }),
    );
    for (const row of [begun, done])
      assert.deepEqual([row.confirmedBy, row.confirmationId], [ada.id, id]);
  });

  test("records no rejected request without a principal, and nothing under other rules", async () => {
    const [onlyRow] = await trail.rowsAddedBy(1, async () => {
      for (const path of ["/plain", "/pay", "/closed"])
        assertProblem(await call("POST", path), 401, "unauthorized", "no_credential");
      // Public rules identify nobody, so a credential makes no difference.
      for (const caller of [ada, taskToken, ANONYMOUS])
        assertProblem(await call("GET", "/shut", caller), 403, "feature_disabled");
      await succeeds("POST", "/silent", ada);
      await succeeds("GET", "/one", ada);
    });
    assert.equal(onlyRow.rule, "/one");
    const [limited] = await trail.rowsAddedBy(1, () => call("GET", "/one", ada));
    assert.deepEqual([limited.decision, limited.status], ["rate_limited", 429]);
  });
});

test("recorded paths never contain an invite's token, wherever it is in the path", async () => {
  const token = trackSecret(`mki_${"a-secret-of-an-invite".repeat(2)}`);
  for (const [path, expected] of [
    [`/join/${token}`, "/join/(invite)"],
    [`/join/x/${token}/y`, "/join/x/(invite)/y"],
    [`/join/x${token}y/${token}`, "/join/(invite)/(invite)"],
    [`/join/%6D${token.slice(1)}`, "/join/(invite)"],
    [`/api/invites/${token}/redeem/x`, "/api/invites/(invite)/redeem/x"],
    [`/api/invites/x/${token}`, "/api/invites/x/(invite)"],
  ]) {
    const [row] = await trail.rowsAddedBy(1, () => call("GET", path, ada));
    assert.equal(row.path, expected);
    assert.ok(!JSON.stringify(row).includes(token));
  }
});

for (const fault of ["failing", "silent", "lying"]) {
  describe(`an audit store that is ${fault}`, () => {
    const withFault = { "X-Audit": fault };
    const watchFailures = async () => {
      const isFailure = (line) => line.includes('"later_failed"');
      const before = gateway.log.filter(isFailure).length;
      return {
        async next() {
          await gateway.waitForLog(() => gateway.log.filter(isFailure).length > before);
          const line = JSON.parse(gateway.log.filter(isFailure).at(-1));
          assert.equal(line.binding, "AUDIT");
          assert.ok(line.count >= 1);
          return line.count;
        },
      };
    };

    test('returns 503 under audit = "required" and runs nothing', async () => {
      for (const headers of [{}, { "Idempotency-Key": `key-${count}` }]) {
        const failures = await watchFailures();
        const response = await gateway.expectNotForwarded(() =>
          call("POST", "/pay", ada, "x", { ...withFault, ...headers }),
        );
        assertProblem(response, 503, "store_unavailable");
        assert.equal(response.headers["retry-after"], "1");
        // The row of the refusal fails after the answer. The next test counts failures, so it must not come then.
        if (fault !== "lying") await failures.next();
      }
      // The key was not claimed.
      const withKey = { "Idempotency-Key": `key-${count}` };
      const { response } = await gateway.expectForwarded(() =>
        call("POST", "/pay", ada, "x", withKey),
      );
      assert.equal(response.headers["idempotent-replayed"], undefined);
    });

    if (fault !== "lying") {
      test('does not stop requests under audit = "best_effort", and is logged', async () => {
        const failures = await watchFailures();
        await gateway.expectForwarded(() => call("POST", "/note/7", ada, "x", withFault));
        const first = await failures.next();
        const moreFailures = await watchFailures();
        const response = await call("PUT", "/api/features/x", root, { state: "on" }, withFault);
        assert.equal(response.status, 200);
        assert.equal(await moreFailures.next(), first + 1);
      });
    }

    test("returns 503 to reads and verification, not an empty or intact trail", async () => {
      for (const path of ["/api/audit", "/api/audit/verify"])
        assertProblem(
          await call("GET", path, root, undefined, withFault),
          503,
          "store_unavailable",
        );
    });
  });
}

test("a request that ran is answered even if its second row cannot be written", async () => {
  const run = () =>
    gateway.expectForwarded(() =>
      call("POST", "/agents", agentToken, "x", { "X-Audit": "forgetful" }),
    );
  const [begun] = await trail.rowsAddedBy(1, run, `operation=${encodeURIComponent("/agents")}`);
  assert.equal(begun.phase, "begun");
});
