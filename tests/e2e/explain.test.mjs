// What an admin is told would happen to a request is what happens to it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { consentOf, madeUpId } from "../support/consent.mjs";
import { openExplained } from "../support/explained.mjs";

const STEPS = [
  ...["path", "rule", "address_limit", "csrf", "identity", "access", "principal_limit"],
  "return_field",
  ...["bot_check", "feature", "hooks", "policy", "confirmation", "audit", "claim", "dispatch"],
];
const OUTCOMES = ["passed", "refused", "skipped", "assumed", "not_reached"];

let scene;
let gateway;
let people;
let root;
let headersOf;
let turnstile;
before(async () => {
  scene = await openExplained();
  ({ gateway, people, root, headersOf, turnstile } = scene);
});
after(() => scene.stop());

// What happens, as its line in the log has it.
const isOurs = (line) => line.includes("vestibule.explain") || line.includes("well_known");
async function happens(method, path, headers) {
  // What came before it has then been written.
  const marks = gateway.log.filter((line) => line.includes("well_known")).length;
  await gateway.ask("/.well-known/vestibule");
  await gateway.logged(
    () => gateway.log.filter((line) => line.includes("well_known")).length > marks,
  );
  const from = gateway.log.length;
  const response = await gateway.ask(path, { method, headers });
  const line = await gateway.logged(
    (line, at) => at >= from && line.includes('"event":"request"') && !isOurs(line),
  );
  return { response, ...JSON.parse(line) };
}
const outcomesOf = ({ steps }) =>
  Object.fromEntries(steps.map(({ step, outcome }) => [step, outcome]));

const PAGE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };
const FOREIGN = { Origin: "https://evil.example" };
const LISTS = [
  ...["nobody", "an admin", "a user", "a personal token", "a task", "a session and a task"],
  ...["an agent", "a dead cookie", "an ended session", "no token of ours", "a token that is none"],
];
const CASES = [
  ...["/open/x", "/optional", "/authenticated", "/user", "/human", "/agent", "/admin"].flatMap(
    (path) => LISTS.map((who) => [who, "GET", path]),
  ),
  ["nobody", "GET", "/open/%2fx"],
  ["nobody", "GET", "/open/x%00"],
  ["a user", "GET", "/nowhere?x=1"],
  ["nobody", "GET", "/nowhere"],
  ["nobody", "GET", "/only"],
  ["nobody", "PUT", "//%6fnly"],
  ["a user", "PROPFIND", "/user"],
  ["a user", "HEAD", "/user"],
  ["a user", "OPTIONS", "/user"],
  ["nobody", "GET", "/user", PAGE],
  ["a dead cookie", "GET", "/user", PAGE],
  ["a user", "GET", "/login?next=/user", PAGE],
  ["a dead cookie", "GET", "/login", PAGE],
  ["a user", "POST", "/user", FOREIGN],
  ["a user", "POST", "/user", { ...FOREIGN, "Sec-Fetch-Site": "same-origin" }],
  ["a user", "POST", "/user", { Origin: "null" }],
  ["a personal token", "POST", "/user", FOREIGN],
  ["a user", "POST", "/strict"],
  ["a personal token", "POST", "/strict"],
  ["a user", "POST", "/skipped", FOREIGN],
  ["nobody", "POST", "/open/x", { "Sec-Fetch-Site": "cross-site" }],
  ["nobody", "GET", "/bots", {}, () => ({ "CF-Turnstile-Response": turnstile.issue() })],
  ["a user", "GET", "/on"],
  ["a user", "GET", "/off"],
  ["a task", "GET", "/off"],
  ["nobody", "GET", "/off"],
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
  ["nobody", "GET", "/open/x/"],
  ["a user", "GET", "/user/"],
  ["a user", "GET", "/USER"],
  ["a user", "GET", "/confirmed;v=1"],
  ["a personal token", "GET", "/confirmed"],
  ["a user", "GET", "/audited"],
  ["a user", "POST", "/keyed", { "Idempotency-Key": "explained" }],
  ["a user", "POST", "/keyed"],
  ["a user", "POST", "/keyed", { "Idempotency-Key": "a, b" }],
  ["nobody", "POST", "/keyed"],
  ["nobody", "GET", "/api/users"],
  ["a user", "GET", "/api/users"],
  ["an admin", "GET", "/api/users"],
  ["a user", "DELETE", "/api/auth/me"],
  ["nobody", "GET", "/.well-known/agent-operations"],
];

describe("what is told is what happens", () => {
  for (const [who, method, path, more = {}, really = () => ({})] of CASES) {
    test(`${method} ${path} ${Object.keys(more).join()}: ${who}`, async () => {
      const headers = { ...headersOf[who], ...more };
      const told = await scene.explained(method, path, headers);
      const is = await happens(method, path, { ...headers, ...really() });
      assert.deepEqual([told.decision, told.reason], [is.decision, is.reason]);
      if (told.decision !== "allow") assert.equal(told.status, is.response.status);
      assert.equal(told.rule?.path, is.rule);
      assert.equal(told.rule?.operation ?? undefined, is.operation);
      if (is.principal) assert.equal(told.principal.kind, is.principal);
      assertSteps(told);
    });
  }

  test("all that was taken to pass at once does pass", async () => {
    const machine = await people.token(root, "mat_");
    const consent = consentOf(gateway, people);
    const body = Buffer.alloc(100_000, 7);
    const act = (id) => {
      const token = turnstile.issue();
      const headers = { "CF-Turnstile-Response": token, "Idempotency-Key": "all" };
      return people.call("POST", "/all", machine, body, {
        headers: { ...headers, "Confirmation-ID": id },
      });
    };
    const { confirmationId } = await consent.asked(() => act(undefined));
    await consent.decided(confirmationId, "approve", root);
    const told = await scene.explained("POST", "/all", {
      ...machine.headers,
      ...{ "Idempotency-Key": "all", "Confirmation-ID": confirmationId },
    });
    assert.equal(told.decision, "allow");
    const { response, seen } = await gateway.passed(() => act(confirmationId));
    assert.equal(response.text, "ok");
    assert.ok((await seen.body).equals(body));
    const again = await gateway.untouched(() => act(confirmationId));
    assert.equal(again.headers["idempotent-replayed"], "true", again.text);
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

describe("the steps", () => {
  const CONSENT = { "Confirmation-ID": "one of theirs" };
  const PASSES = { path: "passed", rule: "passed", hooks: "passed", dispatch: "passed" };
  for (const [who, method, path, headers, wanted] of [
    ["nobody", "GET", "/open/x", {}, { identity: "skipped", policy: "skipped", claim: "skipped" }],
    ["a user", "GET", "/user", {}, { csrf: "skipped", identity: "passed", access: "passed" }],
    ["a user", "POST", "/user", { Origin: "https://app.example" }, { csrf: "passed" }],
    ["nobody", "GET", "/limited", {}, { address_limit: "passed", principal_limit: "skipped" }],
    ["a user", "GET", "/mine", {}, { address_limit: "skipped", principal_limit: "passed" }],
    ["nobody", "GET", "/bots", {}, { bot_check: "assumed" }],
    ["a user", "GET", "/on", {}, { feature: "passed" }],
    ["a user", "GET", "/owned/7", {}, { access: "assumed" }],
    ["an admin", "GET", "/owned/7", {}, { access: "passed" }],
    ["a user", "GET", "/policy", {}, { policy: "assumed" }],
    ["a task", "GET", "/confirmed", CONSENT, { confirmation: "assumed" }],
    ["a user", "GET", "/audited", {}, { audit: "assumed" }],
    ["an admin", "GET", "/api/users", {}, { dispatch: "assumed" }],
    ["a user", "POST", "/api/agent-tokens", {}, { dispatch: "assumed", claim: "assumed" }],
    ["nobody", "POST", "/api/auth/login", {}, { dispatch: "assumed" }],
    ["a user", "POST", "/keyed", { "Idempotency-Key": "k" }, { claim: "assumed" }],
    [
      ...["a task", "POST", "/all", { "Idempotency-Key": "k", ...CONSENT }],
      {
        ...{ principal_limit: "passed", bot_check: "assumed", feature: "passed" },
        ...{ policy: "assumed", confirmation: "assumed", audit: "assumed", claim: "assumed" },
      },
    ],
  ]) {
    test(`${method} ${path}: ${who}`, async () => {
      const sent = { ...headersOf[who], ...headers };
      if (headers["Confirmation-ID"]) {
        const { principal } = await scene.explained("GET", "/user", headersOf[who]);
        sent["Confirmation-ID"] = madeUpId(principal.id);
      }
      const told = await scene.explained(method, path, sent);
      assert.equal(told.decision, "allow");
      const outcomes = outcomesOf(told);
      for (const [step, outcome] of Object.entries({ ...PASSES, ...wanted }))
        assert.equal(outcomes[step], outcome, step);
    });
  }

  test("say that it is nobody, and name nobody who was not asked for", async () => {
    const detailOf = ({ steps }) => steps.find(({ step }) => step === "identity").detail;
    for (const [who, path] of [
      ["nobody", "/optional"],
      ["nobody", "/open/x"],
      ["a user", "/open/x"],
      ["a dead cookie", "/optional"],
    ]) {
      const told = await scene.explained("GET", path, headersOf[who]);
      assert.deepEqual([told.principal, detailOf(told)], [null, "nobody"], who);
    }
    const known = await scene.explained("GET", "/optional", headersOf["a user"]);
    assert.match(detailOf(known), /^user usr_\S+ by a session$/);
  });

  test("say who it is, under which rule", async () => {
    const task = await scene.explained("GET", "/user", headersOf["a task"]);
    const { id, ...principal } = task.principal;
    assert.match(id, /^usr_/);
    assert.deepEqual(principal, { kind: "user", role: "user", actorSource: "task_token" });
    const agent = await scene.explained("GET", "/user", headersOf["an agent"]);
    assert.deepEqual([agent.decision, agent.status], ["forbidden_kind", 403]);
    const only = await scene.explained("PUT", "/only", {});
    const wanted = {
      path: "/only",
      methods: ["POST", "PUT"],
      operation: "only.write",
      access: "public",
    };
    assert.deepEqual([only.rule, only.principal], [wanted, null]);
  });

  test("warns of a host that is in no public origin", async () => {
    const warnings = async (url) => {
      const response = await gateway.untouched(() =>
        people.call("POST", "/api/explain", root, { method: "GET", url }),
      );
      return response.json().warnings;
    };
    assert.equal(await warnings("https://app.example/open/x"), undefined);
    for (const host of ["app.workers.dev", "app.example:8443", "app.example."]) {
      const [warning, ...more] = await warnings(`https://${host}/open/x`);
      assert.match(warning, /PUBLIC_ORIGINS/);
      assert.ok(warning.includes(host), warning);
      assert.deepEqual(more, []);
    }
  });
});
