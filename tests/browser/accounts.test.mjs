// The life of an account in the browser: an admin invites a person, who redeems the link in another browser and is
// disabled later. Also: sessions and the first run.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  addSession,
  assertText,
  openSite,
  screenshot,
  sessionCookiesOf,
  signIn,
  submitLogin,
} from "./support.mjs";

let site;
before(async () => {
  site = await openSite();
});
after(() => site.stop());

test("a person redeems an invite once, signs in, and is signed out when disabled", async (t) => {
  const [admin, guest] = [await site.visit(t), await site.visit(t)];
  await signIn(admin, "/account");
  await admin.page.goto("/account#invites");
  await admin.page.getByTestId("invite-new-email").fill("carol@example.com");
  await admin.page.getByTestId("invite-new-submit").click();
  const link = await admin.page.getByTestId("invite-link").inputValue();
  assert.match(link, /\/login#invite=mki_[\w-]{27}$/);
  await screenshot(admin.page, "invites");

  await guest.page.goto(link);
  await guest.page.getByTestId("redeem-email").fill("carol@example.com");
  await guest.page.getByTestId("redeem-password").fill("short");
  await guest.page.getByTestId("redeem-submit").click();
  await guest.page.getByTestId("redeem-password-error").waitFor();
  await guest.page.getByTestId("redeem-password").fill("long enough a phrase");
  await guest.page.getByTestId("redeem-submit").click();
  await guest.page.waitForURL(`${site.origin}/`);
  await guest.page.goto("/account");
  await assertText(guest.page, "account-email", "carol@example.com");
  await screenshot(guest.page, "account");

  // The link was used and does not work again.
  const late = await site.visit(t);
  await late.page.goto(link);
  await late.page.getByTestId("redeem-email").fill("carol@example.com");
  await late.page.getByTestId("redeem-password").fill("long enough a phrase");
  await late.page.getByTestId("redeem-submit").click();
  await late.page.getByTestId("redeem-error").waitFor();
  assert.deepEqual(await sessionCookiesOf(late), []);

  await admin.page.goto("/account#users");
  const row = admin.page.getByTestId("user").filter({ hasText: "carol@example.com" });
  await row.getByTestId("user-disable").click();
  await row.getByTestId("user-enable").waitFor();
  await guest.page.reload();
  await guest.page.waitForURL(/\/login\?next=/);
  assert.deepEqual(await sessionCookiesOf(guest), []);
  await submitLogin(guest.page, { email: "carol@example.com", password: "long enough a phrase" });
  await guest.page.getByTestId("login-error").waitFor();
});

test("a user ends their session in another browser", async (t) => {
  const [here, there] = [await site.visit(t), await site.visit(t)];
  await addSession(here);
  await addSession(there);
  await there.page.goto("/");
  await here.page.goto("/account#sessions");
  await here.page.getByTestId("sessions-end-others").click();
  await here.page.getByTestId("sessions-said").filter({ hasText: /\S/ }).waitFor();
  await screenshot(here.page, "sessions");
  await there.page.reload();
  await there.page.waitForURL(/\/login\?next=/);
  assert.deepEqual(await sessionCookiesOf(there), []);
  await here.page.reload();
  await here.page.getByTestId("session-current").waitFor();
});

test("the setup page says that setup was completed", async (t) => {
  const { page } = await site.visit(t);
  await page.goto("/login#setup");
  await page.getByTestId("setup-token").fill("sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p");
  await page.getByTestId("setup-email").fill("late@example.com");
  await page.getByTestId("setup-password").fill("long enough a phrase");
  await page.getByTestId("setup-submit").click();
  await page.getByTestId("setup-error").filter({ hasText: "already_set_up" }).waitFor();
});

test("the login page leads to setup only until the first account exists", async (t) => {
  const empty = await openSite({ empty: true });
  t.after(() => empty.stop());
  const { page } = await empty.visit(t);
  await page.goto("/login");
  await page.getByTestId("setup-link").click();
  await page.getByTestId("setup-token").fill("not the setup token, but as long as one");
  await page.getByTestId("setup-email").fill("first@example.com");
  await page.getByTestId("setup-password").fill("long enough a phrase");
  await page.getByTestId("setup-submit").click();
  await assertText(page, "setup-token-error", "This is not the setup token.");

  await page.getByTestId("setup-token").fill("sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p");
  await page.getByTestId("setup-submit").click();
  await page.waitForURL(`${empty.origin}/`);
  const { page: late } = await empty.visit(t);
  const setupResponse = late.waitForResponse("**/api/auth/setup");
  await late.goto("/login");
  assert.deepEqual(await (await setupResponse).json(), { open: false });
  await late.getByTestId("login-email").waitFor();
  assert.equal(await late.getByTestId("setup-link").count(), 0);
});
