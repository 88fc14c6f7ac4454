// The whole story of an approval: an agent acts for somebody by a token of theirs, and waits for them. The
// agent is the sample one, a program of its own; the person is at the account's pages, or at Vestibule's own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { remember } from "../support/tokens.mjs";
import {
  ADA,
  BOB,
  fetchIn,
  openSite,
  picture,
  plantSession,
  shows,
  signIn,
  submitLogin,
} from "./support.mjs";

let site;
before(async () => {
  site = await openSite();
});
after(() => site.stop());

const AGENT = fileURLToPath(new URL("../../examples/agent/agent.mjs", import.meta.url));
const MADE = "POST /api/transfers";

// Starts the agent. `asked` is where a person may approve, once it waits; `ended` what came of it.
function start(t, token, to, amount) {
  const agent = spawn(process.execPath, [AGENT, to, String(amount)], {
    env: { VESTIBULE_URL: site.origin, VESTIBULE_TOKEN: token },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => agent.kill());
  const asked = new Promise((resolve) => {
    agent.stderr.on("data", (chunk) => {
      const url = /http\S+\/api\/confirmations\/\S+/.exec(chunk);
      if (url) resolve(url[0]);
    });
  });
  const ended = Promise.all([once(agent, "close"), text(agent.stdout), text(agent.stderr)]).then(
    ([[code], stdout, stderr]) => ({ code, stdout, stderr }),
  );
  return { asked, ended };
}

// Makes a token on the page, as its reader would.
async function makeToken(page, name, prefix, { agent, task } = {}) {
  await page.goto("/account#tokens");
  await page.getByTestId("token-new-name").fill(name);
  await page.getByTestId("token-new-prefix").selectOption(prefix);
  if (agent) await page.getByTestId("token-new-agentId").fill(agent);
  if (task) await page.getByTestId("token-new-taskId").fill(task);
  await page.getByTestId("token-new-submit").click();
  return remember(await page.getByTestId("token-value").inputValue());
}

const approvalOf = (page, to) => page.getByTestId("approval").filter({ hasText: `"${to}"` });

// One picture as on a desk, one as on a phone.
async function pictures(page, name) {
  await picture(page, name);
  await page.setViewportSize({ width: 390, height: 800 });
  await picture(page, `${name}-phone`);
  const width = await page.evaluate("document.documentElement.scrollWidth");
  await page.setViewportSize({ width: 1280, height: 800 });
  assert.ok(width <= 390, `${name} is ${width} wide on a phone`);
}

test("an agent asks, is seen, approved, and does it once", async (t) => {
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
  const { ended } = start(t, token, "carol", 250);
  const approval = approvalOf(page, "carol");
  await approval.waitFor();
  await shows(approval, "approval-operation", "transfers.create");
  await shows(approval, "approval-request", "POST /api/transfers");
  await shows(approval, "approval-agent", "agt_7");
  await shows(approval, "approval-task", "tsk_1");
  await shows(approval, "approval-token-name", "Bookkeeper");
  await shows(approval, "approval-type", "application/json");
  await shows(approval, "approval-preview", '{"to":"carol","amount":250}');
  assert.equal((await site.seen())[MADE], undefined);
  await pictures(page, "approvals");

  await approval.getByTestId("approval-approve").click();
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr);
  const { number, actorSource, confirmedBy } = JSON.parse(stdout);
  assert.deepEqual([number, actorSource, confirmedBy], [1, "task_token", ADA.userId]);
  assert.equal((await site.seen())[MADE], 1);
  await shows(page, "approval-state", "used");
  assert.equal(await page.getByTestId("approval-approve").count(), 0);
  const { body } = await fetchIn(page, "/api/transfers");
  assert.deepEqual(body.transfers, [JSON.parse(stdout)]);

  await page.goto("/account#tokens");
  await page.getByTestId("token-revoke").click();
  await page.getByTestId("question-yes").click();
  await page.getByTestId("tokens-empty").waitFor();
  const late = await start(t, token, "carol", 250).ended;
  assert.equal(late.code, 1);
  assert.match(late.stderr, /401/);
});

test("rejected, the agent says so and nothing was done", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await plantSession(visitor);
  const token = await makeToken(page, "Spender", "mat_");
  const before = (await site.seen())[MADE];
  await page.getByTestId("tab-approvals").click();
  const { ended } = start(t, token, "mallory", 9_999);
  const approval = approvalOf(page, "mallory");
  await approval.getByTestId("approval-reject").click();
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout], [3, ""]);
  assert.match(stderr, /rejected/);
  assert.equal((await site.seen())[MADE], before);
  await page
    .getByTestId("approvals-said")
    .filter({ hasText: "Rejected: transfers.create." })
    .waitFor();
});

test("what is too long to be shown says so, and what turns text around is spelt out", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await plantSession(visitor);
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

test("the page that the agent points at is Vestibule's own, and asks who is there", async (t) => {
  const maker = await site.visit(t);
  await plantSession(maker);
  const token = await makeToken(maker.page, "Pointer", "mat_", { agent: "agt_7", task: "tsk_1" });
  const { asked, ended } = start(t, token, "dan", 10);
  const url = await asked;

  const visitor = await site.visit(t);
  const { page } = visitor;
  await page.goto(url);
  await page.waitForURL(/\/login\?next=/);
  await submitLogin(page, ADA);
  await page.waitForURL(url);
  assert.equal(await page.locator("#app").count(), 0, "it is not the app's");
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
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).confirmedBy, ADA.userId);

  const other = await site.visit(t);
  await plantSession(other, BOB);
  assert.equal((await other.page.goto(url)).status(), 404);
});

test("on that page a person says no, too", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await plantSession(visitor);
  const token = await makeToken(page, "Pointer", "mat_");
  const { asked, ended } = start(t, token, "erin", 10);
  await page.goto(await asked);
  await page.getByRole("button", { name: "Reject" }).click();
  await page
    .getByText(/rejected/i)
    .first()
    .waitFor();
  assert.equal((await ended).code, 3);
});

test("who acts by a token of their own is not asked", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await plantSession(visitor);
  const token = await makeToken(page, "laptop", "mul_");
  const { code, stdout } = await start(t, token, "frank", 1).ended;
  assert.equal(code, 0);
  const { actorSource, confirmedBy } = JSON.parse(stdout);
  assert.deepEqual([actorSource, confirmedBy], [null, null]);
});

test("who is no admin makes no agent's token", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await plantSession(visitor, BOB);
  await page.goto("/account#tokens");
  await page.getByTestId("token-new").waitFor();
  const kinds = await page.getByTestId("token-new-prefix").locator("option").allTextContents();
  assert.deepEqual(
    kinds.map((kind) => /\((.+)\)/.exec(kind)[1]),
    ["mat_", "mul_", "mcn_"],
  );
});
