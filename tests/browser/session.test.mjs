// What a signed-in user sees, what upstream gets about them, and how they sign out.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { payloadOf, trackSecret } from "../support/tokens.mjs";
import {
  ADA,
  addSession,
  addSessionCookie,
  assertText,
  BOB,
  fetchInPage,
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

describe("home", () => {
  for (const user of [ADA, BOB]) {
    test(`shows the same user for Vestibule and upstream: ${user.name}`, async (t) => {
      const visitor = await site.visit(t);
      const { page } = visitor;
      await signIn(visitor, "/", user);
      await assertText(page, "me-user-id", user.userId);
      await assertText(page, "whoami-user-id", user.userId);
      await assertText(page, "whoami-assertion", "verified");

      const [session] = await sessionCookiesOf(visitor);
      const { sessionId } = payloadOf(session.value);
      const me = JSON.parse(await page.getByTestId("me-json").textContent());
      const whoami = JSON.parse(await page.getByTestId("whoami-json").textContent());
      assert.equal(me.sessionId, sessionId);
      assert.equal(whoami.sessionId, sessionId);
      assert.equal(whoami.claims.sub, user.userId);
    });
  }

  test("shows a verified assertion in the page and in its frame", async (t) => {
    const visitor = await site.visit(t);
    await signIn(visitor);
    await assertText(visitor.page, "whoami-assertion", "verified");
    await assertText(visitor.page.frameLocator(FRAME), "mockup-assertion", "verified");
    await screenshot(visitor.page, "home");
  });

  test("scripts cannot read the session cookie, which is Lax", async (t) => {
    const visitor = await site.visit(t);
    await signIn(visitor);
    assert.equal(await visitor.page.evaluate("document.cookie"), "");
    const [{ httpOnly, sameSite, path, domain }] = await sessionCookiesOf(visitor);
    assert.deepEqual(
      { httpOnly, sameSite, path, domain },
      { httpOnly: true, sameSite: "Lax", path: "/", domain: "localhost" },
    );
  });

  test("identity headers that a script sends are ignored", async (t) => {
    const visitor = await site.visit(t);
    await signIn(visitor);
    const headers = { "X-User-ID": BOB.userId, "X-Vestibule-Assertion": "forged" };
    const { status, body } = await fetchInPage(visitor.page, "/api/whoami", { headers });
    assert.equal(status, 200);
    assert.equal(body.userId, ADA.userId);
    assert.equal(body.assertion, "verified");
  });
});

describe("the protected page", () => {
  test("shows the user in its frame", async (t) => {
    const visitor = await site.visit(t);
    await signIn(visitor);
    const frame = visitor.page.frameLocator(FRAME);
    await assertText(frame, "mockup-id", "demo");
    await assertText(frame, "mockup-user-id", ADA.userId);
    await assertText(frame, "mockup-assertion", "verified");
  });

  test("leads to the login page and back without a session", async (t) => {
    const visitor = await site.visit(t);
    const { page } = visitor;
    const before = await site.seen();
    await page.goto("/m/demo");
    assert.equal(page.url(), `${site.origin}/login?next=%2Fm%2Fdemo`);
    assert.equal((await site.seen())["GET /m/demo"], before["GET /m/demo"]);

    await submitLogin(page);
    await page.waitForURL(`${site.origin}/m/demo`);
    await assertText(page, "mockup-user-id", ADA.userId);
    await assertText(page, "mockup-assertion", "verified");
  });

  test("returns 401 in a frame whose session is invalid, and the page around it stays", async (t) => {
    const visitor = await site.visit(t);
    const { page } = visitor;
    await signIn(visitor);
    const frame = page.frameLocator(FRAME);
    await assertText(frame, "mockup-user-id", ADA.userId);

    await addSessionCookie(visitor, "garbage");
    const answered = page.waitForResponse((response) => response.url().endsWith("/m/demo"));
    await page.getByTestId("frame-reload").click();
    assert.equal((await answered).status(), 401);
    await frame.getByRole("heading", { name: "Sign in to continue" }).waitFor();
    assert.deepEqual(await sessionCookiesOf(visitor), []);
    assert.equal(page.url(), `${site.origin}/`);

    await frame.getByRole("link", { name: "Sign in" }).click();
    await page.waitForURL(`${site.origin}/login?next=%2F`);
    await submitLogin(page, BOB);
    await assertText(page.frameLocator(FRAME), "mockup-user-id", BOB.userId);
    await assertText(page.frameLocator(FRAME), "mockup-assertion", "verified");
  });

  test("serves its files to users with a session and to agents with a token", async (t) => {
    const visitor = await site.visit(t);
    const { page } = visitor;
    await signIn(visitor);
    await page.goto("/m/demo/pages/2.html");
    await assertText(page, "mockup-file", "pages/2.html");
    await page.goto("/");
    await assertText(page, "me-user-id", ADA.userId);
    const made = await fetchInPage(page, "/api/agent-tokens", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: "reader", prefix: "mk_" }),
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const token = trackSecret(made.body.token ?? made.body.plaintext);
    for (const path of ["/m/demo", "/m/demo/pages/2.html"]) {
      const headers = { Authorization: `Bearer ${token}` };
      const answer = await fetch(`${site.origin}${path}`, { headers });
      assert.equal(answer.status, 200, path);
      assert.match(await answer.text(), /data-testid="mockup-assertion">verified/);
      assert.equal((await fetch(`${site.origin}${path}`)).status, 401);
    }
  });
});

describe("logging out", () => {
  test("clears the cookie, and Back shows no data", async (t) => {
    const visitor = await site.visit(t);
    const { page } = visitor;
    await signIn(visitor);
    await assertText(page, "me-user-id", ADA.userId);

    const answered = page.waitForResponse((response) => response.url().endsWith("/logout"));
    await page.getByTestId("logout").click();
    assert.equal((await answered).status(), 204);
    await page.waitForURL(`${site.origin}/login`);
    await page.getByTestId("login-email").waitFor();
    assert.deepEqual(await sessionCookiesOf(visitor), []);

    const before = await site.seen();
    await page.goBack();
    await page.waitForURL(`${site.origin}/login?next=%2F`);
    await page.getByTestId("login-email").waitFor();
    assert.equal(await page.getByTestId("me-user-id").count(), 0);
    assert.equal(await page.getByTestId("whoami-user-id").count(), 0);
    assert.equal((await site.seen())["GET /api/whoami"], before["GET /api/whoami"]);
  });

  test("in one tab signs the other out", async (t) => {
    const visitor = await site.visit(t);
    await signIn(visitor);
    const other = await visitor.context.newPage();
    await other.goto("/");
    await assertText(other, "me-user-id", ADA.userId);
    await visitor.page.getByTestId("logout").click();
    await visitor.page.waitForURL(`${site.origin}/login`);

    await other.reload();
    assert.equal(other.url(), `${site.origin}/login?next=%2F`);
  });

  test("without a session succeeds", async (t) => {
    const visitor = await site.visit(t);
    await addSession(visitor);
    await visitor.page.goto("/deep/a");
    await visitor.context.clearCookies();
    const { status } = await fetchInPage(visitor.page, "/api/auth/logout", { method: "POST" });
    assert.equal(status, 204);
  });
});

const FRAME = '[data-testid="frame"]';
