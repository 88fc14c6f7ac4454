// Chromium, and visitors in it.

import { chromium } from "playwright-core";
import { COOKIE, createSessionToken, trackSecret } from "../../support/tokens.mjs";

// Milliseconds that any step of a page may take.
export const TIMEOUT_MS = 20_000;

export function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    // Browsers have this cache: "Back" may show a page without a request.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// Opens a visitor with an empty profile, or with the profile `state`.
export async function visit(browser, origin, { state, script = true } = {}) {
  const context = await browser.newContext({
    baseURL: origin,
    ignoreHTTPSErrors: true,
    javaScriptEnabled: script,
    storageState: state,
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  return { context, page: await context.newPage() };
}

// Replaces the visitor's session cookie with one that expired a minute ago.
export async function expireSession({ context }, origin) {
  const { hostname: domain, protocol } = new URL(origin);
  const issued = Math.floor(Date.now() / 1_000) - 3_660;
  const value = createSessionToken({ iat: issued, exp: issued + 3_600 });
  const attributes = { path: "/", httpOnly: true, sameSite: "Lax", secure: protocol === "https:" };
  await context.addCookies([{ name: COOKIE, value, domain, ...attributes }]);
}

// Returns the session cookies of a visitor's browser.
export async function sessionCookiesOf({ context }) {
  const cookies = (await context.cookies()).filter(({ name }) => name === COOKIE);
  for (const { value } of cookies) trackSecret(value);
  return cookies;
}
