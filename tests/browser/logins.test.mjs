// The demo and its login page work with every kind of sign-in.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADA, assertText, openSite, sessionCookiesOf, signIn, submitLogin } from "./support.mjs";

for (const [SESSION, role] of [
  [{ login: "accounts" }, "admin"],
  [{ login: "upstream" }, "user"],
  [{ check: "token" }, undefined],
]) {
  test(`signing in and out works with SESSION = ${JSON.stringify(SESSION)}`, async (t) => {
    const site = await openSite({ variables: { SESSION } });
    t.after(() => site.stop());
    const visitor = await site.visit(t);
    const { page } = visitor;

    const setupResponse = page.waitForResponse("**/api/auth/setup");
    await page.goto("/account");
    const response = await setupResponse;
    // With accounts it is an endpoint. Otherwise it is a path of the application, which needs a session.
    const keepsAccounts = SESSION.login === "accounts";
    assert.equal(response.status(), keepsAccounts ? 200 : 401);
    if (keepsAccounts) assert.deepEqual(await response.json(), { open: false });
    await submitLogin(page, { ...ADA, password: "not the right one" });
    await page.getByTestId("login-error").waitFor();
    assert.deepEqual(await sessionCookiesOf(visitor), []);
    assert.equal(await page.getByTestId("setup-link").count(), 0, "there is an account already");

    await signIn(visitor, "/account");
    if (role) await assertText(page, "account-role", role);
    await assertText(page, "account-user-id", role === "admin" ? ADA.userId : "usr_ada");
    await page.getByTestId("logout").click();
    await page.waitForURL(`${site.origin}/login`);
    assert.deepEqual(await sessionCookiesOf(visitor), []);
  });
}
