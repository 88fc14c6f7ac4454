// Approvals in the browser: an agent acts with a user's token and waits for the user's approval. The agent is the
// program in examples/agent. The user decides on the account page of the demo, or on Vestibule's own page.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { trackSecret } from "../support/tokens.mjs";
import {
  ADA,
  addSession,
  assertText,
  BOB,
  fetchInPage,
  openSite,
  screenshot,
  signIn,
  submitLogin,
} from "./support.mjs";

let site;
before(async () => {
  site = await openSite();
});
after(() => site.stop());

const AGENT = fileURLToPath(new URL("../../examples/agent/agent.mjs", import.meta.url));
const TRANSFER = "POST /api/transfers";

// Starts the agent. `approvalUrl` resolves to the URL of the approval page, `result` to the exit code and the output.
function start(t, token, to, amount) {
  const agent = spawn(process.execPath, [AGENT, to, String(amount)], {
    env: { VESTIBULE_URL: site.origin, VESTIBULE_TOKEN: token },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => agent.kill());
  const approvalUrl = new Promise((resolve) => {
    agent.stderr.on("data", (chunk) => {
      const url = /http\S+\/api\/confirmations\/\S+/.exec(chunk);
      if (url) resolve(url[0]);
    });
  });
  const result = Promise.all([once(agent, "close"), text(agent.stdout), text(agent.stderr)]).then(
    ([[code], stdout, stderr]) => ({ code, stdout, stderr }),
  );
  return { approvalUrl, result };
}

// Makes a token on the account page.
async function makeToken(page, name, prefix, { agent, task } = {}) {
  await page.goto("/account#tokens");
  await page.getByTestId("token-new-name").fill(name);
  await page.getByTestId("token-new-prefix").selectOption(prefix);
  if (agent) await page.getByTestId("token-new-agentId").fill(agent);
  if (task) await page.getByTestId("token-new-taskId").fill(task);
  await page.getByTestId("token-new-submit").click();
  return trackSecret(await page.getByTestId("token-value").inputValue());
}

const approvalOf = (page, to) => page.getByTestId("approval").filter({ hasText: `"${to}"` });

// Saves a screenshot in the width of a desktop and one in that of a phone.
async function pictures(page, name) {
  await screenshot(page, name);
  await page.setViewportSize({ width: 390, height: 800 });
  await screenshot(page, `${name}-phone`);
  const width = await page.evaluate("document.documentElement.scrollWidth");
  await page.setViewportSize({ width: 1280, height: 800 });
  assert.ok(width <= 390, `${name} is ${width} wide on a phone`);
}

test("an agent's request is shown, approved and executed once", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await signIn(visitor, "/account");
  await page.getByTestId("tab-tokens").click();
  const token = await makeToken(page, "Bookkeeper", "mat_", { agent: "agt_7", task: "tsk_1" });
  assert.match(token, /^mat_[\w-]{27}$/);
  await pictures(page, "tokens");
  await page.getByTestId("token-made-done").click();
  assert.equal(await page.getByTestId("token-value").count(), 0);

  await page.getByTestId("tab-approvals").click();
  await page.getByTestId("approvals-empty").waitFor();
  const { result } = start(t, token, "carol", 250);
  const approval = approvalOf(page, "carol");
  await approval.waitFor();
  await assertText(approval, "approval-operation", "transfers.create");
  await assertText(approval, "approval-request", "POST /api/transfers");
  await assertText(approval, "approval-agent", "agt_7");
  await assertText(approval, "approval-task", "tsk_1");
  await assertText(approval, "approval-token-name", "Bookkeeper");
  await assertText(approval, "approval-type", "application/json");
  await assertText(approval, "approval-preview", '{"to":"carol","amount":250}');
  assert.equal((await site.seen())[TRANSFER], undefined);
  await pictures(page, "approvals");

  await approval.getByTestId("approval-approve").click();
  const { code, stdout, stderr } = await result;
  assert.equal(code, 0, stderr);
  const { number, actorSource, confirmedBy } = JSON.parse(stdout);
  assert.deepEqual([number, actorSource, confirmedBy], [1, "task_token", ADA.userId]);
  assert.equal((await site.seen())[TRANSFER], 1);
  await assertText(page, "approval-state", "used");
  assert.equal(await page.getByTestId("approval-approve").count(), 0);
  const { body } = await fetchInPage(page, "/api/transfers");
  assert.deepEqual(body.transfers, [JSON.parse(stdout)]);

  await page.goto("/account#tokens");
  await page.getByTestId("token-revoke").click();
  await page.getByTestId("question-yes").click();
  await page.getByTestId("tokens-empty").waitFor();
  const late = await start(t, token, "carol", 250).result;
  assert.equal(late.code, 1);
  assert.match(late.stderr, /401/);
});

test("a rejected request is not executed, and the agent says so", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSession(visitor);
  const token = await makeToken(page, "Spender", "mat_");
  const before = (await site.seen())[TRANSFER];
  await page.getByTestId("tab-approvals").click();
  const { result } = start(t, token, "mallory", 9_999);
  const approval = approvalOf(page, "mallory");
  await approval.getByTestId("approval-reject").click();
  const { code, stdout, stderr } = await result;
  assert.deepEqual([code, stdout], [3, ""]);
  assert.match(stderr, /rejected/);
  assert.equal((await site.seen())[TRANSFER], before);
  await page
    .getByTestId("approvals-said")
    .filter({ hasText: "Rejected: transfers.create." })
    .waitFor();
});

test("a long body is marked as cut, and invisible characters are spelled out", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSession(visitor);
  const token = await makeToken(page, "Long", "mat_");
  const answer = await fetch(`${site.origin}/api/transfers`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${token}`,
      "Content-Type": "text/plain",
      "Idempotency-Key": "long",
    },
    body: `pay "eve" \u202e now <b>\n${"and so on ".repeat(500)}`,
  });
  assert.equal(answer.status, 403);
  const { approveUrl } = await answer.json();
  await page.getByTestId("tab-approvals").click();
  const approval = approvalOf(page, "eve");
  await approval.getByTestId("approval-cut").waitFor();
  const shown = await approval.getByTestId("approval-preview").textContent();
  assert.ok(shown.startsWith('pay "eve" \\u{202e} now <b>\nand so on'), shown.slice(0, 60));
  await pictures(page, "approvals-cut");

  await page.goto(approveUrl);
  await page.getByRole("button", { name: "Reject" }).waitFor();
  assert.equal(await page.locator("b").count(), 0);
  await pictures(page, "confirmation-cut");
});

test("the approval URL leads to Vestibule's own page, after a sign-in", async (t) => {
  const maker = await site.visit(t);
  await addSession(maker);
  const token = await makeToken(maker.page, "Pointer", "mat_", { agent: "agt_7", task: "tsk_1" });
  const { approvalUrl, result } = start(t, token, "dan", 10);
  const url = await approvalUrl;

  const visitor = await site.visit(t);
  const { page } = visitor;
  await page.goto(url);
  await page.waitForURL(/\/login\?next=/);
  await submitLogin(page, ADA);
  await page.waitForURL(url);
  assert.equal(await page.locator("#app").count(), 0, "the page is not the demo's");
  assert.match(await page.locator("body").textContent(), /\{"to":"dan","amount":10\}/);
  await pictures(page, "confirmation");
  await page.getByRole("button", { name: "Approve" }).click();
  await page
    .getByText(/approved/i)
    .first()
    .waitFor();
  assert.equal(page.url(), url);
  assert.equal(await page.getByRole("button", { name: "Approve" }).count(), 0);
  await pictures(page, "confirmation-approved");
  const { code, stdout, stderr } = await result;
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).confirmedBy, ADA.userId);

  const other = await site.visit(t);
  await addSession(other, BOB);
  assert.equal((await other.page.goto(url)).status(), 404);
});

test("Vestibule's own page can reject a request", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSession(visitor);
  const token = await makeToken(page, "Pointer", "mat_");
  const { approvalUrl, result } = start(t, token, "erin", 10);
  await page.goto(await approvalUrl);
  await page.getByRole("button", { name: "Reject" }).click();
  await page
    .getByText(/rejected/i)
    .first()
    .waitFor();
  assert.equal((await result).code, 3);
});

test("a request with a person's own token needs no approval", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSession(visitor);
  const token = await makeToken(page, "laptop", "mul_");
  const { code, stdout } = await start(t, token, "frank", 1).result;
  assert.equal(code, 0);
  const { actorSource, confirmedBy } = JSON.parse(stdout);
  assert.deepEqual([actorSource, confirmedBy], [null, null]);
});

test("only admins are offered an agent's token", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSession(visitor, BOB);
  await page.goto("/account#tokens");
  await page.getByTestId("token-new").waitFor();
  const kinds = await page.getByTestId("token-new-prefix").locator("option").allTextContents();
  assert.deepEqual(
    kinds.map((kind) => /\((.+)\)/.exec(kind)[1]),
    ["mat_", "mul_", "mcn_"],
  );
});
