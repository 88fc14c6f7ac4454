// Explain (dry run) returns what really happens to a request.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { approvalsOf, unknownId } from "../support/approvals.mjs";
import { openExplainGateway } from "../support/explained.mjs";

const STEPS = [
  ...["path", "rule", "address_limit", "csrf", "identity", "scope", "access"],
  ...["principal_limit", "return_field"],
  ...["bot_check", "feature", "hooks", "policy", "confirmation", "audit", "claim", "dispatch"],
];
const OUTCOMES = ["passed", "refused", "skipped", "assumed", "not_reached"];

let setup;
let gateway;
let people;
let root;
let headersOf;
let turnstile;
before(async () => {
  setup = await openExplainGateway();
  ({ gateway, people, root, headersOf, turnstile } = setup);
});
after(() => setup.stop());

// Sends a request, and returns its response and its log line.
const isHelperLine = (line) => line.includes("vestibule.explain") || line.includes("well_known");
async function sendAndReadLog(method, path, headers) {
  // Once the marker is logged, all earlier lines are, too.
  const markers = gateway.log.filter((line) => line.includes("well_known")).length;
  await gateway.request("/.well-known/vestibule");
  await gateway.waitForLog(
    () => gateway.log.filter((line) => line.includes("well_known")).length > markers,
  );
  const start = gateway.log.length;
  const response = await gateway.request(path, { method, headers });
  const line = await gateway.waitForLog(
    (line, at) => at >= start && line.includes('"event":"request"') && !isHelperLine(line),
  );
  return { response, ...JSON.parse(line) };
}
const outcomesOf = ({ steps }) =>
  Object.fromEntries(steps.map(({ step, outcome }) => [step, outcome]));

const PAGE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };
const FOREIGN = { Origin: "https://evil.example" };
const CALLERS = [
  ...["no credential", "an admin", "a user", "a personal token", "a task", "a session and a task"],
  ...[
    "an agent",
    "an invalid session",
    "an ended session",
    "an unknown token",
    "a malformed token",
  ],
];
const CASES = [
  ...["/open/x", "/optional", "/authenticated", "/user", "/human", "/agent", "/admin"].flatMap(
    (path) => CALLERS.map((name) => [name, "GET", path]),
  ),
  ["no credential", "GET", "/open/%2fx"],
  ["no credential", "GET", "/open/x%00"],
  ["a user", "GET", "/nowhere?x=1"],
  ["no credential", "GET", "/nowhere"],
  ["no credential", "GET", "/only"],
  ["no credential", "PUT", "//%6fnly"],
  ["a user", "PROPFIND", "/user"],
  ["a user", "HEAD", "/user"],
  ["a user", "OPTIONS", "/user"],
  ["no credential", "GET", "/user", PAGE],
  ["an invalid session", "GET", "/user", PAGE],
  ["a user", "GET", "/login?next=/user", PAGE],
  ["an invalid session", "GET", "/login", PAGE],
  ["a user", "POST", "/user", FOREIGN],
  ["a user", "POST", "/user", { ...FOREIGN, "Sec-Fetch-Site": "same-origin" }],
  ["a user", "POST", "/user", { Origin: "null" }],
  ["a personal token", "POST", "/user", FOREIGN],
  ["a user", "POST", "/strict"],
  ["a personal token", "POST", "/strict"],
  ["a user", "POST", "/skipped", FOREIGN],
  ["no credential", "POST", "/open/x", { "Sec-Fetch-Site": "cross-site" }],
  ["no credential", "GET", "/bots", {}, () => ({ "CF-Turnstile-Response": turnstile.issue() })],
  ["a user", "GET", "/on"],
  ["a user", "GET", "/off"],
  ["a task", "GET", "/off"],
  ["no credential", "GET", "/off"],
  ["a user", "GET", "/policy"],
  ["a user", "GET", "/confirmed"],
  ["a task", "GET", "/confirmed"],
  ["a task", "POST", "/confirmed"],
  ["an admin's task", "POST", "/confirmed"],
  ["a session and a task", "POST", "/confirmed"],
  ["a task", "GET", "/confirmed", { Connection: "Upgrade", Upgrade: "websocket" }],
  ["a task", "POST", "/confirmed", { "Confirmation-ID": "x" }],
  ["a task", "POST", "/asked"],
  ["a task", "POST", "/asked", { "Idempotency-Key": "a, b" }],
  ["a task", "POST", "/asked", { "Idempotency-Key": "explained" }],
  ["a task", "GET", "/asked"],
  ["a session and a task", "POST", "/asked"],
  ["no credential", "GET", "/open/x/"],
  ["a user", "GET", "/user/"],
  ["a user", "GET", "/USER"],
  ["a user", "GET", "/confirmed;v=1"],
  ["a personal token", "GET", "/confirmed"],
  ["a user", "GET", "/audited"],
  ["a user", "POST", "/keyed", { "Idempotency-Key": "explained" }],
  ["a user", "POST", "/keyed"],
  ["a user", "POST", "/keyed", { "Idempotency-Key": "a, b" }],
  ["no credential", "POST", "/keyed"],
  ["no credential", "GET", "/api/users"],
  ["a user", "GET", "/api/users"],
  ["an admin", "GET", "/api/users"],
  ["a user", "DELETE", "/api/auth/me"],
  ["no credential", "GET", "/.well-known/agent-operations"],
];

describe("an explanation equals what really happens", () => {
  for (const [name, method, path, extraHeaders = {}, oneTimeHeaders = () => ({})] of CASES) {
    test(`to ${method} ${path} ${Object.keys(extraHeaders).join()}: ${name}`, async () => {
      const headers = { ...headersOf[name], ...extraHeaders };
      const explanation = await setup.explained(method, path, headers);
      const actual = await sendAndReadLog(method, path, { ...headers, ...oneTimeHeaders() });
      assert.deepEqual(
        [explanation.decision, explanation.reason],
        [actual.decision, actual.reason],
      );
      if (explanation.decision !== "allow")
        assert.equal(explanation.status, actual.response.status);
      assert.equal(explanation.rule?.path, actual.rule);
      assert.equal(explanation.rule?.operation ?? undefined, actual.operation);
      if (actual.principal) assert.equal(explanation.principal.kind, actual.principal);
      assertSteps(explanation);
    });
  }

  test("to a request that passes every assumed step", async () => {
    const taskToken = await people.createToken(root, "mat_");
    const approvals = approvalsOf(gateway, people);
    const body = Buffer.alloc(100_000, 7);
    const send = (id) => {
      const token = turnstile.issue();
      const headers = { "CF-Turnstile-Response": token, "Idempotency-Key": "all" };
      return people.call("POST", "/all", taskToken, body, {
        headers: { ...headers, "Confirmation-ID": id },
      });
    };
    const { confirmationId } = await approvals.expectRequired(() => send(undefined));
    await approvals.expectDecided(confirmationId, "approve", root);
    const explanation = await setup.explained("POST", "/all", {
      ...taskToken.headers,
      ...{ "Idempotency-Key": "all", "Confirmation-ID": confirmationId },
    });
    assert.equal(explanation.decision, "allow");
    const { response, seen } = await gateway.expectForwarded(() => send(confirmationId));
    assert.equal(response.text, "ok");
    assert.ok((await seen.body).equals(body));
    const replay = await gateway.expectNotForwarded(() => send(confirmationId));
    assert.equal(replay.headers["idempotent-replayed"], "true", replay.text);
  });

  function assertSteps({ decision, steps, principal }) {
    assert.deepEqual(
      steps.map(({ step }) => step),
      STEPS,
    );
    for (const { step, outcome } of steps)
      assert.ok(OUTCOMES.includes(outcome), `${step}: ${outcome}`);
    const outcomes = steps.map(({ outcome }) => outcome);
    const end = outcomes.indexOf("refused");
    assert.equal(end === -1, decision === "allow", decision);
    if (decision === "allow") assert.ok(!outcomes.includes("not_reached"), outcomes.join());
    else {
      assert.deepEqual(
        [...new Set(outcomes.slice(end + 1))],
        end + 1 < STEPS.length ? ["not_reached"] : [],
      );
      assert.ok(!outcomes.slice(0, end).includes("not_reached"));
    }
    if (principal) assert.ok(["user", "agent"].includes(principal.kind));
  }
});

describe("the steps of an explanation", () => {
  const APPROVAL = { "Confirmation-ID": "one of theirs" };
  const PASSES = { path: "passed", rule: "passed", hooks: "passed", dispatch: "passed" };
  for (const [name, method, path, headers, expected] of [
    [
      "no credential",
      "GET",
      "/open/x",
      {},
      { identity: "skipped", policy: "skipped", claim: "skipped" },
    ],
    ["a user", "GET", "/user", {}, { csrf: "skipped", identity: "passed", access: "passed" }],
    ["a user", "POST", "/user", { Origin: "https://app.example" }, { csrf: "passed" }],
    [
      "no credential",
      "GET",
      "/limited",
      {},
      { address_limit: "passed", principal_limit: "skipped" },
    ],
    ["a user", "GET", "/mine", {}, { address_limit: "skipped", principal_limit: "passed" }],
    ["no credential", "GET", "/bots", {}, { bot_check: "assumed" }],
    ["a user", "GET", "/on", {}, { feature: "passed" }],
    ["a user", "GET", "/owned/7", {}, { access: "assumed" }],
    ["an admin", "GET", "/owned/7", {}, { access: "passed" }],
    ["a user", "GET", "/policy", {}, { policy: "assumed" }],
    ["a task", "GET", "/confirmed", APPROVAL, { confirmation: "assumed" }],
    ["a user", "GET", "/audited", {}, { audit: "assumed" }],
    ["an admin", "GET", "/api/users", {}, { dispatch: "assumed" }],
    ["a user", "POST", "/api/agent-tokens", {}, { dispatch: "assumed", claim: "assumed" }],
    ["no credential", "POST", "/api/auth/login", {}, { dispatch: "assumed" }],
    ["a user", "POST", "/keyed", { "Idempotency-Key": "k" }, { claim: "assumed" }],
    [
      ...["a task", "POST", "/all", { "Idempotency-Key": "k", ...APPROVAL }],
      {
        ...{ principal_limit: "passed", bot_check: "assumed", feature: "passed" },
        ...{ policy: "assumed", confirmation: "assumed", audit: "assumed", claim: "assumed" },
      },
    ],
  ]) {
    test(`have the expected outcomes: ${method} ${path}: ${name}`, async () => {
      const sent = { ...headersOf[name], ...headers };
      if (headers["Confirmation-ID"]) {
        const { principal } = await setup.explained("GET", "/user", headersOf[name]);
        sent["Confirmation-ID"] = unknownId(principal.id);
      }
      const explanation = await setup.explained(method, path, sent);
      assert.equal(explanation.decision, "allow");
      const outcomes = outcomesOf(explanation);
      for (const [step, outcome] of Object.entries({ ...PASSES, ...expected }))
        assert.equal(outcomes[step], outcome, step);
    });
  }

  test("name no principal without an identity, nor under a public rule", async () => {
    const detailOf = ({ steps }) => steps.find(({ step }) => step === "identity").detail;
    for (const [name, path] of [
      ["no credential", "/optional"],
      ["no credential", "/open/x"],
      ["a user", "/open/x"],
      ["an invalid session", "/optional"],
    ]) {
      const explanation = await setup.explained("GET", path, headersOf[name]);
      assert.deepEqual([explanation.principal, detailOf(explanation)], [null, "nobody"], name);
    }
    const identified = await setup.explained("GET", "/optional", headersOf["a user"]);
    assert.match(detailOf(identified), /^user usr_\S+ by a session$/);
  });

  test("name the principal and the rule", async () => {
    const task = await setup.explained("GET", "/user", headersOf["a task"]);
    const { id, ...principal } = task.principal;
    assert.match(id, /^usr_/);
    assert.deepEqual(principal, { kind: "user", role: "user", actorSource: "task_token" });
    const agent = await setup.explained("GET", "/user", headersOf["an agent"]);
    assert.deepEqual([agent.decision, agent.status], ["forbidden_kind", 403]);
    const only = await setup.explained("PUT", "/only", {});
    const expected = {
      path: "/only",
      methods: ["POST", "PUT"],
      operation: "only.write",
      access: "public",
    };
    assert.deepEqual([only.rule, only.principal], [expected, null]);
  });

  test("come with a warning about a host that is in no public origin", async () => {
    const warnings = async (url) => {
      const response = await gateway.expectNotForwarded(() =>
        people.call("POST", "/api/explain", root, { method: "GET", url }),
      );
      return response.json().warnings;
    };
    assert.equal(await warnings("https://app.example/open/x"), undefined);
    for (const host of ["app.workers.dev", "app.example:8443", "app.example."]) {
      const [warning, ...others] = await warnings(`https://${host}/open/x`);
      assert.match(warning, /PUBLIC_ORIGINS/);
      assert.ok(warning.includes(host), warning);
      assert.deepEqual(others, []);
    }
  });
});
