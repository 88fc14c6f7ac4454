// The lists of the console: their place in the URL, what an admin does with their items, and long work.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { pollUntil } from "../support/poll.mjs";
import { AUTH_SECRET } from "../support/worker.mjs";
import { fillStores, openConsoleSite } from "./console-site.mjs";
import { addSessionCookie, assertText, BOB, fetchInPage } from "./support.mjs";

let site;
let sessions;
before(async () => {
  site = await openConsoleSite();
  sessions = await fillStores(site);
});
after(() => site.stop());

async function open(t, screen, filters) {
  const visitor = await site.visit(t);
  await addSessionCookie(visitor, sessions.ada);
  const query = new URLSearchParams({ screen, ...filters });
  await visitor.page.goto(`${site.origin}/_vestibule/console?${query}`);
  await visitor.page.getByTestId(`screen-${screen}`).waitFor();
  return visitor.page;
}

const rowsAre = (page, count) =>
  page.waitForFunction(
    (count) =>
      document.querySelectorAll('[data-testid="row"]').length === count &&
      !document.querySelector('[data-testid="list"][aria-busy="true"]'),
    count,
  );

const rowOf = (page, text) => page.getByTestId("row").filter({ hasText: text });

test("pages and filters are in the URL, and the browser's buttons lead through them", async (t) => {
  const page = await open(t, "invites");
  await rowsAre(page, 50);
  const first = await page.getByTestId("row").first().getAttribute("data-id");
  await page.getByTestId("page-next").click();
  await rowsAre(page, 6);
  await page.reload();
  await rowsAre(page, 6);
  await page.getByTestId("page-previous").click();
  await rowsAre(page, 50);
  assert.equal(await page.getByTestId("row").first().getAttribute("data-id"), first);
  await page.goBack();
  await rowsAre(page, 6);

  await page.getByTestId("to-users").click();
  await rowsAre(page, 2);
  await page.getByTestId("filter-role").selectOption("user");
  await rowsAre(page, 1);
  await page.getByTestId("filter-status").selectOption("disabled");
  await page.getByTestId("filter-clear").waitFor();
  await rowsAre(page, 0);
  await page.goBack();
  await rowsAre(page, 1);
  assert.equal(await page.getByTestId("filter-status").inputValue(), "");
  await page.getByTestId("filter-clear").click();
  await rowsAre(page, 2);
});

test("a user has sessions and tokens; a destructive act names them, asks, and no means no", async (t) => {
  const page = await open(t, "users", { id: BOB.userId });
  await page.getByTestId("user-tokens").filter({ hasText: "Bookkeeper" }).waitFor();
  await page.getByTestId("session-end").first().waitFor();
  const dialog = page.getByTestId("question");
  await page.getByTestId("token-revoke").click();
  assert.match(await dialog.textContent(), /Bookkeeper/);
  await page.getByTestId("question-no").click();
  await page.getByTestId("user-tokens").filter({ hasText: "Bookkeeper" }).waitFor();
  await page.getByTestId("token-revoke").click();
  await page.getByTestId("question-yes").click();
  await assertText(page, "said", "Revoked: Bookkeeper.");
  await page.getByTestId("token-revoke").waitFor({ state: "detached" });

  await page.getByTestId("user-disable").click();
  await page.getByTestId("user-enable").waitFor();
  await rowOf(page, BOB.email).filter({ hasText: "Disabled" }).waitFor();
  await page.getByTestId("user-enable").click();
  await page.getByTestId("user-disable").waitFor();
});

test("an id is copied by a click, and a time has the exact one as its title", async (t) => {
  const page = await open(t, "users");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const id = rowOf(page, BOB.email).locator("button.id");
  await id.click();
  await assertText(page, "said", `Copied: ${BOB.userId}`);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), BOB.userId);
  assert.equal(await page.getByTestId("detail").count(), 0, "copying opens nothing");
  const time = rowOf(page, BOB.email).locator("time");
  const title = await time.getAttribute("title");
  const exact = new Date(await time.getAttribute("datetime")).toISOString();
  assert.ok(title.includes(exact), title);
});

test("several events are redelivered with progress, and stopping keeps the rest selected", async (t) => {
  const page = await open(t, "webhooks");
  await rowsAre(page, 5);
  await page.getByTestId("filter-state").selectOption("delivered");
  await rowsAre(page, 3);
  const before = site.deliveries.length;
  const [held, release] = [Promise.withResolvers(), Promise.withResolvers()];
  let requests = 0;
  await page.route("**/redeliver", async (route) => {
    requests += 1;
    if (requests === 2) {
      held.resolve();
      await release.promise;
    }
    await route.continue();
  });
  await page.getByTestId("choose-all").check();
  await page.getByTestId("redeliver-many").click();
  assert.match(await page.getByTestId("question").textContent(), /3 events/);
  await page.getByTestId("question-yes").click();
  await held.promise;
  await page.getByTestId("work").filter({ hasText: "1 of 3" }).waitFor();
  await page.getByTestId("work-stop").click();
  release.resolve();
  await assertText(page, "said", "2 events are delivered next, stopped before 1");
  await page.getByTestId("bulk").filter({ hasText: "1 selected" }).waitFor();
  assert.equal(requests, 2);
  await page.getByTestId("redeliver-many").click();
  await page.getByTestId("question-yes").click();
  await assertText(page, "said", "1 event is delivered next");
  await site.arrived(before + 3);
});

test("a feature that could not be saved keeps what was chosen", async (t) => {
  const page = await open(t, "features");
  await rowOf(page, "new-search").filter({ hasText: "20 %" }).locator("a.open").click();
  await page.getByTestId("feature-on").check();
  await page.getByTestId("feature-principals").fill("usr_1 usr_2");
  await page.route("**/api/features/new-search", (route) => route.abort());
  await page.getByTestId("feature-save").click();
  await page.getByTestId("feature-error").waitFor();
  assert.ok(await page.getByTestId("feature-on").isChecked());
  assert.equal(await page.getByTestId("feature-principals").inputValue(), "usr_1 usr_2");
  await page.unroute("**/api/features/new-search");
  await page.getByTestId("feature-save").click();
  await page.getByTestId("said").filter({ hasText: "Saved: new-search" }).waitFor();
  await rowOf(page, "new-search").filter({ hasText: "On" }).waitFor();
  await page.reload();
  await page.getByTestId("feature-on").waitFor();
  assert.ok(await page.getByTestId("feature-on").isChecked());
});

test("a checkout is found by its ref and cancelled", async (t) => {
  const page = await open(t, "checkouts");
  await page.getByTestId("checkout-ref").fill("cs_unknown");
  await page.getByTestId("checkout-show").click();
  await page.getByTestId("checkout-unknown").waitFor();
  await page.getByTestId("checkout-ref").fill("cs_test_1");
  await page.getByTestId("checkout-show").click();
  await page.getByTestId("checkout-cancel").click();
  await page.getByTestId("question-yes").click();
  await page.getByTestId("checkout-status").filter({ hasText: "Cancelled" }).waitFor();
});

test("the audit trail is filtered, checked and exported as it is filtered", async (t) => {
  const page = await open(t, "audit", { operation: "transfers.create" });
  await rowsAre(page, 2);
  await page.getByTestId("audit-days").selectOption("7");
  await page.getByTestId("audit-verify").click();
  await page.getByTestId("verified").filter({ hasText: "Intact" }).waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByTestId("audit-export").click(),
  ]);
  assert.match(download.suggestedFilename(), /^audit-\d{4}-\d\d-\d\d\.jsonl$/);
  const lines = readFileSync(await download.path(), "utf8")
    .trim()
    .split("\n")
    .map(JSON.parse);
  assert.deepEqual(
    lines.map(({ operation, decision }) => [operation, decision]),
    Array(2).fill(["transfers.create", "confirmation_required"]),
  );
});

test("an export can be stopped, and keeps the rows so far", async (t) => {
  const page = await open(t, "audit");
  await page.getByTestId("row").first().waitFor();
  const [held, release] = [Promise.withResolvers(), Promise.withResolvers()];
  await page.route(/\/api\/audit\?.*limit=100/, async (route) => {
    const answer = await route.fetch();
    held.resolve();
    await release.promise;
    await route.fulfill({ json: { ...(await answer.json()), next: "more" } });
  });
  const downloading = page.waitForEvent("download");
  await page.getByTestId("audit-export").click();
  await held.promise;
  await page.getByTestId("work-stop").click();
  release.resolve();
  await downloading;
  await page.getByTestId("said").filter({ hasText: "Stopped. The file has" }).waitFor();
});

test("a row of the audit trail leads to its explanation, step by step", async (t) => {
  const page = await open(t, "audit", { operation: "orders.create" });
  await page.locator("a.open").first().click();
  await page.getByTestId("audit-explain").click();
  await page.getByTestId("screen-routes").waitFor();
  assert.equal(await page.getByTestId("explain-url").inputValue(), "/api/orders");
  await page.getByTestId("explain-submit").click();
  const explanation = page.getByTestId("explanation");
  await explanation.filter({ hasText: "401" }).waitFor();
  const step = explanation.locator('[data-step="access"]');
  assert.match(await step.textContent(), /refused.*no_credential/);
  await page.getByTestId("explain-who").selectOption("cookie");
  await page.getByTestId("explain-credential").fill(`mk_session=${sessions.ada}`);
  await page.getByTestId("explain-headers").fill(`Sec-Fetch-Site: same-origin\nIdempotency-Key: a`);
  await page.getByTestId("explain-submit").click();
  await explanation.filter({ hasText: "allow" }).waitFor();
  assert.ok(!page.url().includes(sessions.ada), "no credential is in the URL");
});

test("the rules are shown with their checks, and one is explained; the configuration has no secret", async (t) => {
  const page = await open(t, "routes", { q: "transfers" });
  const rule = page.getByTestId("route").filter({ hasText: "/api/transfers" });
  await rule.filter({ hasText: "POST" }).waitFor();
  for (const check of ["confirm", "idempotency", "audit required"]) {
    assert.match(await rule.textContent(), new RegExp(check));
  }
  assert.equal(await page.getByTestId("route").count(), 1);
  await rule.getByTestId("route-explain").click();
  await page.waitForFunction(
    () => document.querySelector('[data-testid="explain-url"]').value === "/api/transfers",
  );
  await page.getByTestId("to-configuration").click();
  const settings = page.getByTestId("settings").first();
  await settings.filter({ hasText: "WEBHOOK_STRIPE_SECRET" }).waitFor();
  await page.getByTestId("filter-q").fill("auth_secret");
  await page.waitForURL(/q=auth_secret/);
  await settings.filter({ hasNotText: "ROUTES" }).waitFor();
  assert.match(await settings.textContent(), /^AUTH_SECRETSet/);
  const { body } = await fetchInPage(page, "/api/config");
  assert.ok(!JSON.stringify(body).includes(AUTH_SECRET));
});

test("waiting approvals are counted in the titles, and a decision is counted at once", async (t) => {
  const page = await open(t, "approvals");
  await assertText(page.getByTestId("to-approvals"), "waiting", "2 waiting for approval");
  assert.match(await page.title(), /^\(2\) Approvals/);
  const account = await page.context().newPage();
  await account.goto(`${site.origin}/_vestibule/account`);
  await account.getByTestId("waiting").waitFor();
  assert.match(await account.title(), /^\(2\) Account/);
  await page.context().grantPermissions(["notifications"]);
  await page.getByTestId("notify").click();
  await page.waitForFunction(() => document.querySelector('[data-testid="notify"]').checked);
  await page.getByTestId("approval-reject").first().click();
  await page.waitForFunction(() => document.title.startsWith("(1) "));
});

test("an unknown outcome is resolved once the lease of its request has ended", async (t) => {
  const page = await open(t, "keys");
  await pollUntil(
    () => fetchInPage(page, "/api/idempotency"),
    ({ body }) => body.items.length === 2,
    "the end of the leases",
  );
  await page.reload();
  await page.getByTestId("row").first().waitFor();
  const count = await page.getByTestId("row").count();
  await page.getByTestId("resolve-did-not-run").first().click();
  assert.match(await page.getByTestId("question").textContent(), /orders\.create \(req_/);
  await page.getByTestId("question-yes").click();
  await assertText(page, "said", "Recorded: orders.create did not run.");
  await rowsAre(page, count - 1);
});
