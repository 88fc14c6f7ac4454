// The pages of Vestibule, in front of an application without a login: plain files.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { totp } from "../support/factors.mjs";
import { PAGES } from "../support/worker.mjs";
import { ADA, assertText, BOB, openSite, serve, sessionCookiesOf } from "./support.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const bindings = { assets: PAGES };

const requests = [];
const startUpstream = () =>
  serve((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    response.setHeader("content-type", "text/html").end("<title>App</title><h1>The app</h1>");
  });
const VARIABLES = { ROUTES: [], RATE_LIMITS: [] };

let site;
before(async () => {
  site = await openSite({ startUpstream, variables: VARIABLES, bindings });
});
after(() => site.stop());

const url = (path) => `${site.origin}/_vestibule/${path}`;

async function submitSignIn(page, { email, password } = ADA) {
  await page.getByTestId("login-email").fill(email);
  await page.getByTestId("login-password").fill(password);
  await page.getByTestId("login-submit").click();
}

async function signIn({ page, origin }, path = "/", user = ADA) {
  await page.goto(`${origin}/_vestibule/sign-in?next=${encodeURIComponent(path)}`);
  await submitSignIn(page, user);
  await page.waitForURL(`${origin}${path}`);
}

test("a visitor signs in at our page and returns to the deep link, which never reached the application", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  requests.length = 0;
  await page.goto(`${site.origin}/deep/link?a=1#part`);
  await page.waitForURL(url("sign-in?next=%2Fdeep%2Flink%3Fa%3D1#part"));
  assert.deepEqual(requests, []);

  await submitSignIn(page, { ...ADA, password: "not the right one" });
  await page.getByTestId("login-error").waitFor();
  assert.equal(await page.getByTestId("login-email").inputValue(), ADA.email, "nothing is lost");
  await page.waitForFunction(() => document.activeElement?.name === "password");
  assert.deepEqual(await sessionCookiesOf(visitor), []);

  await submitSignIn(page);
  await page.waitForURL(`${site.origin}/deep/link?a=1#part`);
  assert.ok(requests.includes("GET /deep/link?a=1"));
});

test("the sign-in page leads to no other site", async (t) => {
  for (const next of [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "javascript:1",
  ]) {
    const { page } = await site.visit(t);
    await page.goto(url(`sign-in?next=${encodeURIComponent(next)}`));
    await submitSignIn(page);
    await page.waitForURL(`${site.origin}/`);
  }
});

test("an admin invites a person, who joins by the link and sees no parts for admins", async (t) => {
  const [admin, guest] = [await site.visit(t), await site.visit(t)];
  await signIn(admin, "/_vestibule/account");
  await admin.page.getByTestId("tab-invites").click();
  await admin.page.getByTestId("invite-new-email").fill("dora@example.com");
  await admin.page.getByTestId("invite-new-submit").click();
  const link = await admin.page.getByTestId("invite-link").inputValue();
  assert.match(link, /\/_vestibule\/invite#mki_[\w-]{27}$/);

  await guest.page.goto(link);
  await guest.page.getByTestId("redeem-email").fill("dora@example.com");
  await guest.page.getByTestId("redeem-password").fill("short");
  await guest.page.getByTestId("redeem-submit").click();
  await guest.page.getByTestId("redeem-password-error").waitFor();
  await guest.page.getByTestId("redeem-password").fill("long enough a phrase");
  await guest.page.getByTestId("redeem-submit").click();
  await guest.page.waitForURL(`${site.origin}/`);
  await guest.page.goto(url("account"));
  await assertText(guest.page, "account-email", "dora@example.com");
  assert.equal(await guest.page.getByTestId("tab-users").count(), 0);
  await guest.page.goto(url("account#users"));
  await guest.page.getByTestId("admins-only").waitFor();

  await admin.page.getByTestId("tab-users").click();
  const row = admin.page.getByTestId("user").filter({ hasText: "dora@example.com" });
  await admin.page.getByTestId("users-q").fill("dora");
  await admin.page.waitForURL(url("account#users?q=dora"));
  await admin.page.waitForFunction(
    () => document.querySelectorAll('[data-testid="user"]').length === 1,
  );
  await admin.page.getByTestId("users-role").selectOption("admin");
  await admin.page.getByTestId("users-empty").waitFor();
  await admin.page.reload();
  await admin.page.getByTestId("users-empty").waitFor();
  assert.equal(await admin.page.getByTestId("users-q").inputValue(), "dora");
  await admin.page.getByTestId("users-role").selectOption("");
  await row.getByTestId("user-disable").click();
  await row.getByTestId("user-enable").waitFor();
  await guest.page.goto(`${site.origin}/`);
  await guest.page.waitForURL(url("sign-in?next=%2F"));
});

test("a search that is typed before the users are loaded is kept, with the role chosen meanwhile", async (t) => {
  const admin = await site.visit(t);
  const { page } = admin;
  await signIn(admin, "/_vestibule/account");
  const loads = Promise.withResolvers();
  const typed = Promise.withResolvers();
  await page.route(/\/users\?limit=/, async (route) => {
    loads.resolve();
    await typed.promise;
    await route.continue();
  });
  await page.getByTestId("tab-users").click();
  await loads.promise;
  await page.getByTestId("users-q").fill("ada");
  await page.getByTestId("users-role").selectOption("admin");
  typed.resolve();
  await page.waitForURL(url("account#users?q=ada&role=admin"));
  await page.getByTestId("user").filter({ hasText: ADA.email }).waitFor();
  assert.equal(await page.getByTestId("users-q").inputValue(), "ada");
  assert.equal(await page.getByTestId("users-role").inputValue(), "admin");
});

test("the first account is created at the setup page", async (t) => {
  const empty = await openSite({
    startUpstream,
    variables: VARIABLES,
    bindings,
    empty: true,
  });
  t.after(() => empty.stop());
  const { page } = await empty.visit(t);
  await page.goto(`${empty.origin}/deep/link?a=1#part`);
  await page.getByTestId("setup-link").click();
  await page.getByTestId("setup-token").fill("not the setup token, but as long as one");
  await page.getByTestId("setup-email").fill("first@example.com");
  await page.getByTestId("setup-password").fill("long enough a phrase");
  await page.getByTestId("setup-submit").click();
  await page.getByTestId("setup-token-error").waitFor();
  await page.getByTestId("setup-token").fill("sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p");
  await page.getByTestId("setup-submit").click();
  await page.waitForURL(`${empty.origin}/deep/link?a=1#part`);
  await page.goto(`${empty.origin}/_vestibule/setup`);
  await page.getByTestId("setup-closed").waitFor();
});

test("an admin signs a user out everywhere", async (t) => {
  const [admin, user] = [await site.visit(t), await site.visit(t)];
  await signIn(user, "/", BOB);
  await signIn(admin, "/_vestibule/account");
  await admin.page.getByTestId("tab-users").click();
  const row = admin.page.getByTestId("user").filter({ hasText: BOB.email });
  await row.getByTestId("user-sign-out").click();
  await admin.page.getByTestId("question-yes").click();
  await admin.page.getByTestId("users-said").filter({ hasText: BOB.email }).waitFor();
  await user.page.goto(`${site.origin}/`);
  await user.page.waitForURL(url("sign-in?next=%2F"));
  const own = admin.page.getByTestId("user").filter({ hasText: ADA.email });
  assert.equal(await own.getByTestId("user-sign-out").count(), 0);
});

test("after a new second factor, a person is offered to sign out everywhere else", async (t) => {
  // Bob has a second factor afterwards.
  const own = await openSite({ startUpstream, variables: VARIABLES, bindings });
  t.after(() => own.stop());
  const [here, elsewhere] = [await own.visit(t), await own.visit(t)];
  const { page } = here;
  await signIn(elsewhere, "/", BOB);
  await signIn(here, "/_vestibule/account", BOB);
  await page.getByTestId("tab-security").click();
  await page.getByTestId("totp-set-up").click();
  const secret = (await page.getByTestId("totp-secret").textContent()).replaceAll(" ", "");
  const codeAt = (step) => totp(secret, Date.now() / 1_000 + 30 * step);
  const confirm = async (code) => {
    await page.getByTestId("totp-code").fill(code);
    await page.getByTestId("totp-submit").click();
  };
  const near = [-2, -1, 0, 1, 2].map(codeAt);
  await confirm(
    ["000000", "000001", "000002", "000003", "000004", "000005"].find(
      (code) => !near.includes(code),
    ),
  );
  await page.getByTestId("totp-code-error").filter({ hasText: "code is wrong" }).waitFor();
  await confirm(codeAt(0));
  await page.getByTestId("recovery-done").click();
  await assertText(page, "security-said", "The authenticator app is set up.");
  await page.getByTestId("security-end-others").click();
  // Bob's first session is that of the invite.
  await assertText(page, "security-said", "Signed out: 2 other sessions.");
  await elsewhere.page.goto(`${own.origin}/`);
  await elsewhere.page.waitForURL(`${own.origin}/_vestibule/sign-in?next=%2F`);

  // At the second step, a wrong code is called a code.
  await page.getByTestId("sign-out").click();
  await page.waitForURL(/sign-in/);
  await submitSignIn(page, BOB);
  await page.waitForURL(/\/factor/);
  await page.getByTestId("use-recovery_code").click();
  await page.getByTestId("factor-recovery").fill("aaaa-bbbb-cccc-dddd");
  await page.getByTestId("factor-submit").click();
  await page.getByTestId("factor-recovery-error").filter({ hasText: "recovery codes" }).waitFor();
  await page.getByTestId("not-you").click();
  await page.waitForURL(/sign-in/);
});

test("a person signs in, makes a token, revokes it and signs out by the keyboard alone", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await page.goto(url("account#tokens"));
  await page.waitForFunction(() => document.activeElement?.name === "email");
  await page.keyboard.type(BOB.email);
  await page.keyboard.press("Tab");
  await page.keyboard.type(BOB.password);
  await page.keyboard.press("Enter");
  await page.waitForURL(url("account#tokens"));
  await page.getByTestId("token-new-name").focus();
  await page.keyboard.type("by keyboard");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement?.id === "token-value");
  await page.getByTestId("token-revoke").focus();
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await page.getByTestId("question-yes").focus();
  await page.keyboard.press("Enter");
  await page.getByTestId("tokens-empty").waitFor();
  assert.equal(await page.getByTestId("token-value").count(), 0, "a revoked token is not shown");
  await page.getByTestId("sign-out").focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(url("sign-in"));
  assert.deepEqual(await sessionCookiesOf(visitor), []);
});

const NAMES = [
  "sign-in",
  "setup",
  "invite#mki_x",
  "invite",
  "reset",
  "reset#token",
  "factor",
  "error",
];
const PARTS = ["profile", "security", "sessions", "tokens", "approvals", "users", "invites"];

for (const colorScheme of ["light", "dark"]) {
  for (const width of [390, 1280]) {
    test(`axe finds nothing serious, in ${colorScheme} at ${width} pixels`, async (t) => {
      const visitor = await site.visit(t);
      const { page } = visitor;
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 844 });
      const found = [];
      const check = async (path) => {
        await page.goto(url(path));
        await page.locator("h1").waitFor();
        await page.waitForFunction(() => !document.querySelector("p[aria-busy=true]"));
        // The policy of the pages forbids other scripts, so axe runs outside of it.
        const results = await page.evaluate(`${AXE}; axe.run({ resultTypes: ["violations"] })`);
        for (const { id, impact, nodes } of results.violations) {
          if (["serious", "critical"].includes(impact)) {
            found.push(
              `${path}: ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`,
            );
          }
        }
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
        );
        if (overflow) found.push(`${path}: wider than the window`);
      };
      for (const path of NAMES) await check(path);
      await signIn(visitor);
      for (const part of PARTS) {
        await page.goto(`${site.origin}/`);
        await check(`account#${part}`);
      }
      assert.deepEqual(found, []);
    });
  }
}

test("no page is framed, runs other scripts or is kept by shared caches", async (t) => {
  const { page } = await site.visit(t);
  const response = await page.goto(url("sign-in"));
  const headers = response.headers();
  assert.match(headers["content-security-policy"], /^default-src 'none'; script-src 'self';/);
  assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["cache-control"], "private, no-cache");
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    try {
      script.textContent = "globalThis.ran = true";
      document.body.append(script);
    } catch {}
    return Boolean(globalThis.ran);
  });
  assert.equal(ran, false);
  assert.deepEqual(
    requests.filter((line) => line.includes("_vestibule")),
    [],
    "the application never sees their requests",
  );
});

test("the first load of the sign-in page is at most 40 KB, compressed", async (t) => {
  const { page } = await site.visit(t);
  const sizes = [];
  page.on("response", (response) => {
    if (response.url().startsWith(site.origin)) {
      sizes.push(response.body().then((body) => gzipSync(body).length));
    }
  });
  await page.goto(url("sign-in"), { waitUntil: "networkidle" });
  await page.getByTestId("login-email").waitFor();
  const total = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  assert.ok(sizes.length > 3 && total <= 40_000, `${total} bytes`);
});
