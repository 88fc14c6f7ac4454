// The tutorial, as it stands in docs/tutorial.md: each command and each file, in Chromium, with the packed packages, and
// all others from the packages of this checkout.

import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { inProject, pathWithoutNpmPrograms } from "../../scripts/lib/project.mjs";
import { launchBrowser } from "../frameworks/support/browser.mjs";
import { openTerminal, sectionsOf } from "../support/pages.mjs";
import { startRegistry } from "../support/registry.mjs";

const SITE = "http://localhost:8787";
const COOKIE = "__Host-session";
const ADA = { email: "ada@example.com", password: "correct horse battery" };

const root = realpathSync(mkdtempSync(join(tmpdir(), "vestibule-tutorial-")));
const text = readFileSync(inProject("docs/tutorial.md"), "utf8");
const [application, gate, healing, rules] = sectionsOf(text);

let registry;
let terminal;
let browser;
let page;

before(async () => {
  for (const port of [5173, 8787]) await assertFree(port);
  registry = await startRegistry();
  const { NODE_ENV, CI, ...env } = process.env;
  // The tutorial's Node is the one of this checkout.
  const programs = join(root, ".programs");
  mkdirSync(programs);
  symlinkSync(process.execPath, join(programs, "node"));
  terminal = openTerminal(root, {
    ...env,
    PATH: [programs, pathWithoutNpmPrograms()].join(delimiter),
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    npm_config_registry: registry.origin,
    npm_config_cache: join(root, ".npm"),
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    // npm asks before it runs a package that is not installed.
    npm_config_yes: "true",
  });
  browser = await launchBrowser();
  page = await browser.newPage();
  page.setDefaultTimeout(30_000);
});

after(async () => {
  await browser?.close();
  await terminal?.close();
  await registry?.stop();
  rmSync(root, { recursive: true, force: true });
});

// The tutorial names its ports.
function assertFree(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("error", resolve);
    socket.once("connect", () => {
      socket.destroy();
      reject(new Error(`port ${port} is in use: the tutorial needs it`));
    });
  });
}

const shows = (id, pattern) => page.locator(id).filter({ hasText: pattern }).waitFor();

test(application.title, async () => {
  await terminal.run(application.blocks);
  await page.goto("http://localhost:5173");
  await shows("#who", /^nobody, no role$/);
});

test(gate.title, async () => {
  await terminal.run(gate.blocks);
  assert.ok(registry.served.has("create-vestibule") && registry.served.has("vestibule"));

  await page.goto(SITE);
  await page.waitForURL(/\/_vestibule\/sign-in\?next=/);
  await page.getByText("Create the first account").click();
  const [, token] = /^SETUP_TOKEN=(.*)$/m.exec(readFileSync(join(root, "gate/.dev.vars"), "utf8"));
  await page.getByTestId("setup-token").fill(token);
  await page.getByTestId("setup-email").fill(ADA.email);
  await page.getByTestId("setup-password").fill(ADA.password);
  const connected = page.waitForEvent("console", (line) => line.text() === "[vite] connected.");
  await page.getByTestId("setup-submit").click();
  await page.waitForURL(`${SITE}/`);
  await shows("#who", /^usr_\S+, admin$/);

  await connected;
  await page.evaluate(() => {
    window.kept = true;
  });
  const style = join(root, "shop/src/style.css");
  writeFileSync(style, readFileSync(style, "utf8").replace("navy", "green"));
  await page.waitForFunction(
    () => getComputedStyle(document.querySelector("h1")).color === "rgb(0, 128, 0)",
  );
  assert.equal(await page.evaluate(() => window.kept), true, "the page was loaded again");
});

test(healing.title, async () => {
  await terminal.run(healing.blocks);
  const context = page.context();
  await context.addCookies([{ ...(await sessionCookie()), value: "broken" }]);
  await page.reload();
  await page.waitForURL(/\/_vestibule\/sign-in\?next=/);
  assert.equal(await sessionCookie(), undefined);
  await page.getByTestId("login-email").fill(ADA.email);
  await page.getByTestId("login-password").fill(ADA.password);
  await page.getByTestId("login-submit").click();
  await page.waitForURL(`${SITE}/`);
  await shows("#who", /^usr_\S+, admin$/);
});

test(rules.title, async () => {
  const change = rules.blocks.findIndex(({ kind }) => kind === "append to");
  await terminal.until("updated and ready", () => terminal.run(rules.blocks.slice(0, change + 1)));
  await terminal.run(rules.blocks.slice(change + 1));

  const log = page.locator("#log");
  await page.getByText("Read the report").click();
  await log.filter({ hasText: "200 0 orders" }).waitFor();
  await page.getByText("Order, and send the order again").click();
  await log.filter({ hasText: "(replayed)" }).waitFor();
  const [, shown] = /^```text\n(201 order 1\n[\s\S]*?)^```$/m.exec(text);
  assert.equal(await log.textContent(), `200 0 orders\n${shown}`);
  // Without a key, the rule refuses the order.
  const status = await page.evaluate(
    async () => (await fetch("/api/orders", { method: "POST" })).status,
  );
  assert.equal(status, 400);
});

async function sessionCookie() {
  const cookies = await page.context().cookies(SITE);
  return cookies.find(({ name }) => name === COOKIE);
}
