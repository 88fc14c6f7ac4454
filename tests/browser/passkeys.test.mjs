// Passkeys in Chromium, with its virtual authenticator.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PAGES } from "../support/worker.mjs";
import {
  ADA,
  addSession,
  assertText,
  BOB,
  fetchInPage,
  openSite,
  serve,
  sessionCookiesOf,
} from "./support.mjs";

const startUpstream = () =>
  serve((_, response) => {
    response.setHeader("content-type", "text/html").end("<title>App</title><h1>The app</h1>");
  });
const VARIABLES = { ROUTES: [], RATE_LIMITS: [] };
const bindings = { assets: PAGES };

let site;
before(async () => {
  site = await openSite({ startUpstream, variables: VARIABLES, bindings });
});
after(() => site.stop());

const url = (path) => `${site.origin}/_vestibule/${path}`;

// Returns a visitor whose browser has an authenticator of a device, with a PIN or biometrics.
async function visitWithDevice(t, { origin = site.origin, visit = site.visit } = {}) {
  const visitor = await visit(t);
  const device = await visitor.context.newCDPSession(visitor.page);
  await device.send("WebAuthn.enable");
  const { authenticatorId } = await device.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      ctap2Version: "ctap2_1",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    ...visitor,
    origin,
    credentials: async () =>
      (await device.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
    verifyUser: (isUserVerified) =>
      device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified }),
    // Sets the counter of the only credential back, as a copy of the authenticator would have it.
    async resetCounter(signCount) {
      const [credential] = (await device.send("WebAuthn.getCredentials", { authenticatorId }))
        .credentials;
      await device.send("WebAuthn.removeCredential", {
        authenticatorId,
        credentialId: credential.credentialId,
      });
      await device.send("WebAuthn.addCredential", {
        authenticatorId,
        credential: { ...credential, signCount },
      });
    },
  };
}

async function enroll({ page }, name) {
  await page.goto(url("account#security"));
  await page.getByTestId("passkey-name").fill(name);
  await page.getByTestId("passkey-submit").click();
}

async function signOut(visitor) {
  await visitor.page.getByTestId("sign-out").click();
  await visitor.page.waitForURL(/sign-in/);
  assert.deepEqual(await sessionCookiesOf(visitor), []);
}

test("a person adds a passkey, signs in with it alone, with it after the password, and removes it", async (t) => {
  const visitor = await visitWithDevice(t);
  const { page } = visitor;
  await addSession(visitor, ADA);
  await enroll(visitor, "My laptop");
  await page.getByTestId("recovery-codes").waitFor();
  await page.getByTestId("recovery-done").click();
  await assertText(page, "security-said", "The passkey was added.");
  await page.getByTestId("passkey").filter({ hasText: "My laptop" }).waitFor();
  const [credential] = await visitor.credentials();
  assert.equal(credential.rpId, "localhost");
  assert.equal(credential.isResidentCredential, true);
  assert.equal(Buffer.from(credential.userHandle, "base64").toString(), ADA.userId);
  await signOut(visitor);

  await page.goto(`${site.origin}/deep/link?a=1`);
  await page.getByTestId("passkey-sign-in").click();
  await page.waitForURL(`${site.origin}/deep/link?a=1`);
  const me = await fetchInPage(page, "/api/auth/me");
  assert.equal(me.body.userId, ADA.userId);
  await page.goto(url("account#security"));
  await page.getByTestId("passkey").filter({ hasText: "last used" }).waitFor();
  await signOut(visitor);

  await page.getByTestId("login-email").fill(ADA.email);
  await page.getByTestId("login-password").fill(ADA.password);
  await page.getByTestId("login-submit").click();
  await page.waitForURL(/\/factor/);
  await page.getByTestId("use-passkey").click();
  await page.getByTestId("factor-passkey").click();
  await page.waitForURL(`${site.origin}/**`);
  await page.waitForURL((at) => !at.pathname.startsWith("/_vestibule/factor"));
  assert.equal((await fetchInPage(page, "/api/auth/me")).status, 200);

  // The browser knows the passkey already, and makes no second one.
  await enroll(visitor, "Twice");
  await page.getByTestId("passkey-error").waitFor();
  assert.equal((await visitor.credentials()).length, 1);

  await page.getByTestId("passkey-remove").click();
  await page.getByTestId("question-yes").click();
  await page.getByTestId("passkeys-empty").waitFor();
  await signOut(visitor);
  await page.getByTestId("passkey-sign-in").click();
  await page.getByTestId("passkey-error").waitFor();
  assert.deepEqual(await sessionCookiesOf(visitor), []);
});

test("a passkey without verification of its user is neither made nor used alone", async (t) => {
  const visitor = await visitWithDevice(t);
  const { page } = visitor;
  await addSession(visitor, BOB);
  await visitor.verifyUser(false);
  await enroll(visitor, "No PIN");
  await page.getByTestId("passkey-error").waitFor();
  assert.deepEqual(await visitor.credentials(), []);
  await visitor.verifyUser(true);
  await page.getByTestId("passkey-submit").click();
  await page.getByTestId("recovery-done").click();
  await visitor.verifyUser(false);
  await signOut(visitor);
  await page.getByTestId("passkey-sign-in").click();
  await page.getByTestId("passkey-error").waitFor();

  // A page that asks for less gets a message without verification, and no session.
  const message = await page.evaluate(async () => {
    const headers = { "content-type": "application/json" };
    const post = (path, body) =>
      fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    const options = await (await post("/api/auth/passkeys/login-options", {})).json();
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON({
      ...options.publicKey,
      userVerification: "discouraged",
    });
    const passkey = (await navigator.credentials.get({ publicKey })).toJSON();
    const answer = await post("/api/auth/passkeys/login", { ceremony: options.ceremony, passkey });
    return { status: answer.status, code: (await answer.json()).error };
  });
  assert.deepEqual(message, { status: 401, code: "invalid_credentials" });
  assert.deepEqual(await sessionCookiesOf(visitor), []);

  // A copied authenticator: its counter is behind.
  await visitor.verifyUser(true);
  await visitor.resetCounter(0);
  await page.getByTestId("passkey-sign-in").click();
  await page.getByTestId("passkey-error").waitFor();
  await visitor.resetCounter(100);
  await page.getByTestId("passkey-sign-in").click();
  await page.waitForURL(`${site.origin}/`);

  // An admin removes the factors.
  const admin = await site.visit(t);
  await addSession(admin, ADA);
  await admin.page.goto(url("account"));
  const path = `/api/users/${BOB.userId}/factors`;
  assert.equal((await fetchInPage(admin.page, path, { method: "DELETE" })).status, 204);
  await page.goto(url("account#security"));
  await page.getByTestId("passkeys-empty").waitFor();
});

test("a user who is disabled between the options and the passkey does not get in", async (t) => {
  const own = await openSite({ startUpstream, variables: VARIABLES, bindings });
  t.after(() => own.stop());
  const visitor = await visitWithDevice(t, own);
  const { page } = visitor;
  await addSession(visitor, BOB);
  await page.goto(`${own.origin}/_vestibule/account#security`);
  await page.getByTestId("passkey-name").fill("Soon gone");
  await page.getByTestId("passkey-submit").click();
  await page.getByTestId("recovery-done").click();
  await signOut(visitor);
  const admin = await own.visit(t);
  await addSession(admin, ADA);
  await admin.page.goto(`${own.origin}/_vestibule/account`);
  const change = (status) =>
    fetchInPage(admin.page, `/api/users/${BOB.userId}`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ status }),
    });

  await page.route("**/api/auth/passkeys/login", async (route) => {
    assert.equal((await change("disabled")).status, 200);
    await route.continue();
  });
  await page.getByTestId("passkey-sign-in").click();
  await page.getByTestId("passkey-error").waitFor();
  assert.deepEqual(await sessionCookiesOf(visitor), []);
  await page.unroute("**/api/auth/passkeys/login");
  assert.equal((await change("active")).status, 200);
  await page.getByTestId("passkey-sign-in").click();
  await page.waitForURL(`${own.origin}/`);
});

test("a person who must have a second factor sets up a passkey, and confirms with it later", async (t) => {
  const variables = {
    ...VARIABLES,
    SESSION: { login: "accounts", check_ttl: "0s", require_second_factor: "everybody" },
  };
  const own = await openSite({ startUpstream, variables, bindings, empty: true });
  t.after(() => own.stop());
  const visitor = await visitWithDevice(t, own);
  const { page } = visitor;
  await page.goto(`${own.origin}/_vestibule/setup`);
  await page.getByTestId("setup-token").fill("sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p");
  await page.getByTestId("setup-email").fill("first@example.com");
  await page.getByTestId("setup-password").fill("long enough a phrase");
  await page.getByTestId("setup-submit").click();
  await page.waitForURL(/\/factor/);
  await page.getByTestId("enroll-other").click();
  await page.getByTestId("passkey-name").fill("First");
  await page.getByTestId("passkey-submit").click();
  await page.getByTestId("recovery-done").click();
  await page.waitForURL(/\/sign-in/);
  await page.getByTestId("passkey-sign-in").click();
  await page.waitForURL(`${own.origin}/`);

  // A rule with `recent` leads here.
  await page.goto(`${own.origin}/_vestibule/factor?reason=reauthenticate&next=%2F`);
  const answered = page.waitForResponse("**/api/auth/reauthenticate");
  await page.getByTestId("use-passkey").click();
  await page.getByTestId("factor-passkey").click();
  assert.equal((await answered).status(), 204);
  await page.waitForURL(`${own.origin}/`);
});
