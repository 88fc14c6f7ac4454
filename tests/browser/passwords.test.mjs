// Changing a password, and choosing a new one with a reset link, on the pages of Vestibule.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { trackSecret } from "../support/tokens.mjs";
import { PAGES } from "../support/worker.mjs";
import { ADA, BOB, fetchInPage, openSite, serve } from "./support.mjs";

const NEW = "a quite different phrase";
const startUpstream = () =>
  serve((_request, response) => {
    response.setHeader("content-type", "text/html").end("<title>App</title><h1>The app</h1>");
  });

let site;
before(async () => {
  const variables = { ROUTES: [], RATE_LIMITS: [] };
  site = await openSite({ startUpstream, variables, bindings: { assets: PAGES } });
});
after(() => site.stop());

const url = (path) => `${site.origin}/_vestibule/${path}`;

async function signIn({ page }, user, path = "/_vestibule/account") {
  await page.goto(url(`sign-in?next=${encodeURIComponent(path)}`));
  await submit(page, "login", user);
  await page.waitForURL(`${site.origin}${path}`);
}

// Fills in and submits a form.
async function submit(page, form, values) {
  // The form may have fields that are left out, but only after it has loaded.
  await page.getByTestId(`${form}-submit`).waitFor();
  for (const [name, value] of Object.entries(values)) {
    const field = page.getByTestId(`${form}-${name}`);
    if (await field.count()) await field.fill(value);
  }
  await page.getByTestId(`${form}-submit`).click();
}

test("a user changes the password, stays signed in here, and is signed out elsewhere", async (t) => {
  const [here, elsewhere] = [await site.visit(t), await site.visit(t)];
  await signIn(here, BOB);
  await signIn(elsewhere, BOB);
  const { page } = here;
  await page.getByTestId("tab-security").click();
  await submit(page, "password", { current: "not the right one", new: NEW });
  await page.getByTestId("password-current-error").filter({ hasText: "not your" }).waitFor();
  await page.waitForFunction(() => document.activeElement?.name === "currentPassword");
  await submit(page, "password", { current: BOB.password, new: "Password1234!" });
  await page.getByTestId("password-new-error").waitFor();
  await page.waitForFunction(() => document.activeElement?.name === "newPassword");
  await submit(page, "password", { current: BOB.password, new: NEW });
  await page.getByTestId("password-said").filter({ hasText: "Password changed" }).waitFor();
  await page.reload();
  await page.getByTestId("tab-security").waitFor();

  await elsewhere.page.goto(`${site.origin}/deep/link`);
  await elsewhere.page.waitForURL(url("sign-in?next=%2Fdeep%2Flink"));
  await submit(elsewhere.page, "login", BOB);
  await elsewhere.page.getByTestId("login-error").waitFor();
  await submit(elsewhere.page, "login", { ...BOB, password: NEW });
  await elsewhere.page.waitForURL(`${site.origin}/deep/link`);
});

test("another tab stays signed in while the session is replaced", async (t) => {
  const here = await site.visit(t);
  const { page, context } = here;
  await signIn(here, ADA);
  const tab = await context.newPage();
  await tab.goto(url("account"));
  const idOf = async () => (await fetchInPage(tab, "/api/auth/me")).body.sessionId;
  const before = await idOf();
  await page.getByTestId("tab-security").click();
  let isChanged = false;
  const changed = submit(page, "password", { current: ADA.password, new: NEW }).then(async () => {
    await page.getByTestId("password-said").filter({ hasText: "Password changed" }).waitFor();
    isChanged = true;
  });
  while (!isChanged) assert.equal((await fetchInPage(tab, "/api/auth/me")).status, 200);
  await changed;
  assert.notEqual(await idOf(), before);
  await tab.reload();
  await tab.getByTestId("tab-security").click();
  await submit(tab, "password", { current: NEW, new: ADA.password });
  await tab.getByTestId("password-said").filter({ hasText: "Password changed" }).waitFor();
});

test("an admin makes a reset link, with which the user chooses a password once", async (t) => {
  const [admin, user, late] = [await site.visit(t), await site.visit(t), await site.visit(t)];
  await signIn(admin, ADA);
  await admin.page.getByTestId("tab-users").click();
  const row = admin.page.getByTestId("user").filter({ hasText: BOB.email });
  await row.getByTestId("user-reset").click();
  const link = await admin.page.getByTestId("reset-link").inputValue();
  assert.ok(link.startsWith(url("reset#reset=mkr_")), link);
  trackSecret(link.split("=")[1]);

  await user.page.goto(link);
  await submit(user.page, "choose", { password: "short" });
  await user.page.getByTestId("choose-password-error").waitFor();
  await submit(user.page, "choose", { password: `${NEW} again` });
  await user.page.getByTestId("reset-changed").waitFor();
  await user.page.getByTestId("login-link").click();
  await submit(user.page, "login", { ...BOB, password: `${NEW} again` });
  await user.page.waitForURL(`${site.origin}/`);

  await late.page.goto(link);
  await submit(late.page, "choose", { password: `${NEW} too late` });
  await late.page.getByTestId("choose-error").filter({ hasText: "no longer be used" }).waitFor();
});

test("who forgot the password is told to ask an admin, and the last admin uses the setup token", async (t) => {
  const { page } = await site.visit(t);
  await page.goto(url("sign-in"));
  await page.getByTestId("reset-link").click();
  await page.getByTestId("reset-ask-admin").waitFor();
  await page.getByRole("link", { name: "Use the setup token" }).click();
  await submit(page, "recover", { token: site.setupToken, email: ADA.email, password: NEW });
  await page.getByTestId("reset-changed").waitFor();
  await page.getByTestId("login-link").click();
  await submit(page, "login", { ...ADA, password: NEW });
  await page.waitForURL(`${site.origin}/`);
});

test("a user gets a link by mail, and sees the same as a stranger", async (t) => {
  const mails = [];
  const mailer = await serve((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      mails.push(JSON.parse(body));
      response.writeHead(204).end();
    });
  });
  t.after(() => mailer.stop());
  const MAILER_SECRET = trackSecret(`whsec_${Buffer.alloc(32, "k").toString("base64")}`);
  const variables = { ROUTES: [], RATE_LIMITS: [], MAILER: mailer.origin, MAILER_SECRET };
  const other = await openSite({ startUpstream, variables, bindings: { assets: PAGES } });
  t.after(() => other.stop());
  const { page } = await other.visit(t);
  for (const email of ["nobody@example.com", BOB.email]) {
    await page.goto(`${other.origin}/_vestibule/sign-in`);
    await page.getByTestId("reset-link").click();
    await submit(page, "reset", { email });
    await page.getByTestId("reset-sent").filter({ hasText: email }).waitFor();
  }
  // The message is sent after the response.
  while (mails.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    mails.map(({ type, data }) => [type, data.to]),
    [["password_reset", BOB.email]],
  );
  trackSecret(mails[0].data.url.split("=")[1]);
  await page.goto(mails[0].data.url);
  await submit(page, "choose", { password: NEW });
  await page.getByTestId("reset-changed").waitFor();
  await page.getByTestId("login-link").click();
  await submit(page, "login", { ...BOB, password: NEW });
  await page.waitForURL(`${other.origin}/`);
});
