// Each button that breaks the cookie: what the page reports, and which cookies the browser then has.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { payloadOf } from "../support/tokens.mjs";
import {
  ADA,
  assertText,
  fetchInPage,
  openSite,
  redirectChain,
  screenshot,
  sessionCookiesOf,
  signIn,
  submitLogin,
} from "./support.mjs";

const HEALED = "Healed: the same answer cleared the broken cookie. You can sign in again.";
const KEPT = "You are still signed in, and the extra copies are cleared.";

let site;
before(async () => {
  site = await openSite();
});
after(() => site.stop());

describe("a broken cookie without a valid copy", () => {
  for (const [how, reason] of [
    ["garbage", "session_malformed"],
    ["old_key", "session_bad_signature"],
    ["expired", "session_expired"],
    ["two_users", "session_ambiguous"],
  ]) {
    test(`${how}: is rejected once and cleared, and signing in again works`, async (t) => {
      const visitor = await site.visit(t);
      const { page } = visitor;
      await signIn(visitor);
      assert.deepEqual((await breakCookie(visitor, how)).slice(1), [
        `GET /api/auth/me → 401Reason: ${reason}.`,
        "GET /api/auth/me → 401Reason: no_credential.",
        how === "two_users" ? HEALED.replace("the broken cookie", "both cookies") : HEALED,
      ]);
      assert.deepEqual(await sessionCookiesOf(visitor), []);
      // The frame was loaded again and no longer shows the user.
      const frame = page.frameLocator('[data-testid="frame"]');
      await frame.getByText("Sign in to continue").waitFor();
      assert.equal(await frame.getByTestId("mockup-user-id").count(), 0);
      await screenshot(page, `broken-${how}`);

      await page.getByTestId("sign-in-again").click();
      await page.waitForURL(`${site.origin}/login?next=/`);
      await submitLogin(page);
      await page.waitForURL(`${site.origin}/`);
      await assertText(page, "me-user-id", ADA.userId);
      assert.equal((await sessionCookiesOf(visitor)).length, 1);
    });
  }

  for (const how of ["garbage", "old_key", "expired", "two_users"]) {
    test(`${how}: a navigation leads to the login page with one redirect`, async (t) => {
      const visitor = await site.visit(t);
      const { page } = visitor;
      await signIn(visitor, "/deep/a");
      const answer = await fetchInPage(page, "/api/break", {
        method: "POST",
        body: JSON.stringify({ how }),
      });
      assert.equal(answer.status, 204);
      // The browser sends the cookies of both users only to paths below `/api`.
      const path = how === "two_users" ? "/api/echo" : "/deep/a";
      const response = await page.goto(path);
      assert.deepEqual(redirectChain(response), [site.origin + path]);
      assert.equal(new URL(page.url()).pathname, "/login");
      assert.deepEqual(await sessionCookiesOf(visitor), []);
    });
  }
});

test("duplicates at two paths: the user stays signed in, and one cookie is left", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await signIn(visitor);
  const [good] = await sessionCookiesOf(visitor);
  assert.deepEqual((await breakCookie(visitor, "duplicates")).slice(1), [
    `GET /api/auth/me → 200Vestibule still identifies you as ${ADA.userId}.`,
    "GET /m/demo → 200The browser sends the copy at /m only below /m.",
    KEPT,
  ]);
  const held = await sessionCookiesOf(visitor);
  assert.deepEqual(
    held.map(({ path }) => path),
    ["/"],
  );
  assert.equal(await page.getByTestId("sign-in-again").count(), 0);
  await screenshot(page, "broken-duplicates");

  assert.equal((await fetchInPage(page, "/api/whoami")).body.userId, ADA.userId);
  const response = await page.goto("/m/demo");
  assert.deepEqual(redirectChain(response), []);
  await assertText(page, "mockup-user-id", ADA.userId);

  const left = await sessionCookiesOf(visitor);
  assert.deepEqual(
    left.map(({ path }) => path),
    ["/"],
  );
  assert.equal(payloadOf(left[0].value).sessionId, payloadOf(good.value).sessionId);
  await page.goto("/");
  await assertText(page, "me-user-id", ADA.userId);
});

// Clicks a button and returns the items of the page's report when it is complete.
async function breakCookie(visitor, how) {
  const { page } = visitor;
  await assertText(page, "whoami-user-id", ADA.userId);
  // The response sets the broken cookies, and later responses clear them.
  const broken = page.waitForResponse((response) => response.url().endsWith("/api/break"));
  await page.getByTestId(`break-${how}`).click();
  const lines = (await (await broken).headersArray()).filter(({ name }) =>
    /^set-cookie$/i.test(name),
  );
  assert.equal(lines.length, how === "duplicates" ? 2 : 1);
  await page.locator('[data-testid="story-item"].good, [data-testid="story-item"].bad').waitFor();
  const items = await page.getByTestId("story-item").allTextContents();
  assert.match(items[0], /^POST \/api\/break → 204/);
  return items;
}
