// A Worker that is built on the crate: its hooks decide in workerd, and everything else is unchanged.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const SAME_SITE = { "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json" };

let gateway;
before(async () => {
  gateway = await openGateway({
    buildFolder: "examples/custom-policy/build",
    routes: [
      { path: "/api/tasks/{*rest}", access: "user", operation: "tasks" },
      { path: "/api/plan", access: "user", operation: "plan.read" },
      { path: "/api/planned", access: "user", operation: "planned" },
      { path: "/api/{*rest}", access: "user" },
    ],
    // No external policy: hooks need none.
    variables: { SESSION: { login: "accounts" }, SETUP_TOKEN },
  });
});
after(() => gateway.stop());

test("a machine can use its own task only, and hooks can require a plan", async () => {
  const setup = await post("/api/auth/setup", {
    setupToken: SETUP_TOKEN,
    email: "root@example.com",
    password: "correct horse battery",
  });
  const [session] = setup.cookies[0].split(";");
  const created = await post(
    "/api/agent-tokens",
    { name: "t", prefix: "mat_", taskId: "7" },
    { Cookie: session },
  );
  const headers = { Authorization: `Bearer ${created.json().plaintext}` };
  await gateway.expectForwarded(() => gateway.request("/api/tasks/7/notes", { headers }));
  const OTHER_TASKS = ["/api/tasks/8", "/api/tasks/78", "/api/tasks/8/7", "/api//tasks/./8"];
  // Some server reads each of these spellings as `/api/tasks/8`.
  const SPELLINGS = [
    "/api/Tasks/8",
    "/API/TASKS/8",
    "/api/tasks;x/8",
    "/api/tasks;x=7/8;y",
    "/api/t%61sks/8",
  ];
  for (const path of [...OTHER_TASKS, ...SPELLINGS]) {
    const response = await gateway.expectNotForwarded(() => gateway.request(path, { headers }));
    if (response.status === 400) assertProblem(response, 400, "ambiguous_path");
    else assertProblem(response, 403, "forbidden_policy", "hooks");
  }
  await gateway.expectForwarded(() =>
    gateway.request("/api/tasks/8", { headers: { Cookie: session } }),
  );

  const plan = await gateway.expectNotForwarded(() =>
    gateway.request("/api/plan", { headers: { Cookie: session } }),
  );
  assert.equal(plan.status, 402);
  assert.equal(plan.json().error, "plan_needed");
  await gateway.expectForwarded(() =>
    gateway.request("/api/planned", { headers: { Cookie: session } }),
  );
  const explained = await post(
    "/api/explain",
    { method: "GET", url: "https://app.example/api/tasks/8", headers },
    { Cookie: session },
  );
  const hooks = explained.json().steps.find(({ step }) => step === "hooks");
  assert.equal(hooks.outcome, "refused");
});

test("a session that the registry does not know is rejected here too", async () => {
  const headers = { Cookie: sessionCookies(createSessionToken({ userId: "usr_nobody" })) };
  const response = await gateway.expectNotForwarded(() =>
    gateway.request("/api/plan", { headers }),
  );
  assertProblem(response, 401, "unauthorized", "session_revoked");
});

const post = (path, body, headers) =>
  gateway.request(path, {
    method: "POST",
    headers: { ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });
