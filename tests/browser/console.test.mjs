// The console: who sees it, its screens, its keyboard, and how it looks to axe.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pollUntil } from "../support/poll.mjs";
import { fillStores, mockMetrics, openConsoleSite } from "./console-site.mjs";
import { ADA, addSessionCookie, screenshot } from "./support.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let site;
let sessions;
before(async () => {
  site = await openConsoleSite();
  sessions = await fillStores(site);
});
after(() => site.stop());

const url = (query = "") => `${site.origin}/_vestibule/console${query}`;

// Opens a screen as an admin.
async function open(t, screen, filters) {
  const visitor = await site.visit(t);
  await addSessionCookie(visitor, sessions.ada);
  await mockMetrics(visitor.page);
  await visitor.page.goto(url(`?${new URLSearchParams({ screen, ...filters })}`));
  await visitor.page.getByTestId(`screen-${screen}`).waitFor();
  return visitor.page;
}

const SCREENS = {
  overview: "Overview",
  live: "Live",
  audit: "Audit trail",
  users: "Users",
  tokens: "Tokens",
  invites: "Invites",
  approvals: "Approvals",
  webhooks: "Webhooks",
  keys: "Unknown outcomes",
  checkouts: "Checkouts",
  routes: "Routes",
  features: "Feature flags",
  limits: "Rate limits",
  configuration: "Configuration",
};

const LETTERS = "oldutiawkcrfms";

const isLoaded = (page) =>
  page.waitForFunction(() => !document.querySelector('main [aria-busy="true"]'));

test("a user who is no admin gets the refusal page, and no script of the console", async (t) => {
  const visitor = await site.visit(t);
  await addSessionCookie(visitor, sessions.bob);
  const requests = [];
  visitor.page.on("request", (request) => requests.push(new URL(request.url()).pathname));
  const response = await visitor.page.goto(url("?screen=audit"));
  assert.equal(response.status(), 403);
  assert.match(await response.text(), /forbidden_role/);
  assert.deepEqual(
    requests.filter((path) => path.endsWith(".js")),
    [],
  );
  await visitor.page.goto(`${site.origin}/_vestibule/account`);
  await visitor.page.getByTestId("signed-in-as").waitFor();
  assert.equal(await visitor.page.getByTestId("to-console").count(), 0);
});

test("a deep link survives the sign-in, and the account page leads an admin to the console", async (t) => {
  const { page } = await site.visit(t);
  await page.goto(url("?screen=webhooks&state=delivered"));
  await page.waitForURL(/\/sign-in\?next=/);
  await page.getByTestId("login-email").fill(ADA.email);
  await page.getByTestId("login-password").fill(ADA.password);
  await page.getByTestId("login-submit").click();
  await page.waitForURL(url("?screen=webhooks&state=delivered"));
  await page.getByTestId("row").first().waitFor();
  assert.equal(await page.getByTestId("filter-state").inputValue(), "delivered");
  await page.goto(`${site.origin}/_vestibule/account`);
  await page.getByTestId("to-console").click();
  await page.waitForURL(url());
});

test("an admin walks all screens by the menu, and the title names each", async (t) => {
  const page = await open(t, "users");
  for (const [name, title] of Object.entries(SCREENS)) {
    await page.getByTestId(`to-${name}`).click();
    await page.getByTestId(`screen-${name}`).waitFor();
    assert.equal(new URL(page.url()).search, `?screen=${name}`);
    assert.equal(await page.locator("h1").textContent(), title);
    assert.match(await page.title(), new RegExp(`${title} · Console`));
    await page.waitForFunction(() => document.activeElement?.tagName === "H1");
    await isLoaded(page);
    assert.equal(await page.getByTestId("failed").count(), 0, `${name} failed`);
  }
  await page.goBack();
  await page.getByTestId("screen-limits").waitFor();
});

test("the keyboard alone searches, opens, closes and goes on", async (t) => {
  const page = await open(t, "webhooks");
  await page.getByTestId("row").first().waitFor();
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await press("g", "u");
  await page.getByTestId("screen-users").waitFor();
  await page.getByTestId("row").nth(1).waitFor();
  await press("/");
  await page.keyboard.type("bob");
  await page.waitForURL(/q=bob/);
  await page.waitForFunction(() => document.querySelectorAll('[data-testid="row"]').length === 1);
  await press("Escape", "j", "Enter");
  await page.getByTestId("detail").waitFor();
  await page.waitForFunction(() => document.activeElement?.id === "detail-title");
  await press("Escape");
  await page.getByTestId("detail").waitFor({ state: "detached" });
  await page.waitForFunction(() => document.activeElement?.classList.contains("open"));
  await press("?");
  await page.getByTestId("keys-help").waitFor();
  await press("g", "w");
  await press("Escape");
  await page.getByTestId("keys-help").waitFor({ state: "detached" });
  assert.match(page.url(), /screen=users/, "a dialog takes no shortcuts");
  await press("g", "i");
  await page.getByTestId("row").first().waitFor();
  await press("n");
  await page.waitForURL(/cursor=/);
});

test("shortcuts can be turned off", async (t) => {
  const page = await open(t, "users");
  await page.getByTestId("keys").click();
  await page.getByTestId("keys-toggle").click();
  await page.getByTestId("keys-close").click();
  await page.keyboard.press("g");
  await page.keyboard.press("w");
  await page.getByTestId("to-tokens").click();
  await page.getByTestId("screen-tokens").waitFor();
  await page.goBack();
  await page.getByTestId("screen-users").waitFor();
});

for (const [colorScheme, width] of [
  ["light", 390],
  ["dark", 1280],
]) {
  test(`axe finds nothing on any screen, in ${colorScheme} at ${width} pixels`, async (t) => {
    const page = await open(t, "users");
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 844 });
    // The policy of the pages forbids other scripts, so axe runs outside of it. It stays while no page is loaded.
    await page.evaluate(AXE);
    const found = [];
    const check = async (name) => {
      const results = await page.evaluate("axe.run({ resultTypes: ['violations'] })");
      for (const { id, nodes } of results.violations) {
        found.push(`${name}: ${id}: ${nodes[0].html.slice(0, 140)} (${nodes.length})`);
      }
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
      );
      if (overflow) found.push(`${name}: wider than the window`);
    };
    for (const [at, name] of Object.keys(SCREENS).entries()) {
      await page.keyboard.press("g");
      await page.keyboard.press(LETTERS[at]);
      await page.getByTestId(`screen-${name}`).waitFor();
      await isLoaded(page);
      await screenshot(page, `console-${name}-${width}`);
      const link = page.locator("tr.opens a.open").first();
      if ((await link.count()) > 0) {
        await link.click();
        await page.getByTestId("detail").waitFor();
        await isLoaded(page);
      }
      await check(name);
    }
    assert.deepEqual(found, []);
  });
}

test("the overview shows counts, quantiles and a table, and its legend shows one series alone", async (t) => {
  const page = await open(t, "overview");
  await page.getByTestId("chart-requests").waitFor();
  assert.match(await page.getByTestId("tile-requests").textContent(), /^Requests600 10 a minute/);
  assert.match(await page.getByTestId("tile-refused").textContent(), /10%/);
  // All answers took between 50 and 100 ms: half of them at most 75.
  assert.match(await page.getByTestId("legend-p50").textContent(), /75 ms/);
  await page.getByTestId("legend-4xx").click();
  await page.waitForURL(/only=requests\.4xx/);
  const chart = page.getByTestId("chart-requests");
  await chart.locator("summary").click();
  const headings = await chart.locator("thead th").allTextContents();
  assert.deepEqual(headings, ["Time", "4xx"]);
  const rows = await chart.locator("tbody td").allTextContents();
  assert.equal(
    rows.reduce((sum, text) => sum + Number(text), 0),
    60,
  );
  await page.goBack();
  await page.waitForFunction(
    () => document.querySelectorAll('[data-testid="chart-requests"] thead th').length === 3,
  );
  await page.getByTestId("range-7d").click();
  await page.waitForURL(/range=7d/);
});

test("live lines are filtered, paused, and lead to the explanation of their rule", async (t) => {
  const page = await open(t, "live");
  await page.getByTestId("line").first().waitFor();
  assert.equal(await page.getByTestId("line").count(), 3);
  await page.getByTestId("filter-kind").selectOption("refused");
  await page.waitForFunction(() => document.querySelectorAll('[data-testid="line"]').length === 1);
  await page.getByTestId("live-pause").click();
  await page.getByTestId("live-state").filter({ hasText: "Paused" }).waitFor();
  await page.locator("tr.opens a.open").click();
  await page.getByTestId("line-explain").click();
  await page.getByTestId("screen-routes").waitFor();
  assert.equal(await page.getByTestId("explain-url").inputValue(), "/orders/{id}");
  const selected = await page.evaluate(() => {
    const { value, selectionStart, selectionEnd } = document.activeElement;
    return value.slice(selectionStart, selectionEnd);
  });
  assert.equal(selected, "{id}", "what the person has to replace");
});

test("what the gateway counts arrives in the live tail and in the overview", async (t) => {
  const visitor = await site.visit(t);
  await addSessionCookie(visitor, sessions.ada);
  const { page } = visitor;
  await page.goto(url("?screen=live&q=/orders"));
  await page.getByTestId("live-state").filter({ hasText: "Connected" }).waitFor();
  const line = page.getByTestId("line").filter({ hasText: "unauthorized" });
  const refuseAndLook = async () => {
    assert.equal((await fetch(`${site.origin}/orders/1`)).status, 401);
    return line.count();
  };
  await pollUntil(refuseAndLook, (count) => count > 0, "a line of the tail");
  await page.getByTestId("to-overview").click();
  await page.getByTestId("legend-no_credential").waitFor();
  await page.getByTestId("filter-rule").selectOption("/orders/{id}");
  await page.getByTestId("tile-refused").filter({ hasText: "100%" }).waitFor();
});

test("a feature that is off says how to turn it on, and asks its endpoint for nothing", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSessionCookie(visitor, sessions.ada);
  await page.route("**/_vestibule/settings", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ json: { ...(await answer.json()), features: ["accounts"] } });
  });
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  for (const [name, binding] of [
    ["overview", "METRICS"],
    ["audit", "AUDIT"],
    ["webhooks", "INBOX"],
    ["keys", "LEDGER"],
    ["checkouts", "CHECKOUTS"],
    ["features", "KV"],
    ["approvals", "CONFIRMATIONS"],
  ]) {
    await page.goto(url(`?screen=${name}`));
    await page.getByTestId("off").filter({ hasText: binding }).waitFor();
  }
  const endpoints = asked.filter((path) => /api\/(audit|webhooks|idempotency|metrics)/.test(path));
  assert.deepEqual(endpoints, []);
});

test("the first load of the console, with its charts, is at most 150 KB compressed", async (t) => {
  const visitor = await site.visit(t);
  await addSessionCookie(visitor, sessions.ada);
  await mockMetrics(visitor.page);
  const sizes = [];
  visitor.page.on("response", (response) => {
    if (response.url().startsWith(`${site.origin}/_vestibule/`)) {
      sizes.push(response.body().then((body) => gzipSync(body).length));
    }
  });
  await visitor.page.goto(url());
  await visitor.page.getByTestId("chart-requests").waitFor();
  const total = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  assert.ok(sizes.length > 5 && total <= 150_000, `${total} bytes`);
  t.diagnostic(`${total} bytes`);
});
