// Chromium in front of the built Worker, with the rules of the demo, in front of the demo.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { unstable_readConfig } from "wrangler";
import { createOrigin } from "../../examples/spa-origin/server.mjs";
import { keepsAccounts } from "../../scripts/lib/configuration.mjs";
import { DEMO, seed } from "../../scripts/lib/demo.mjs";
import { assertNoSecretsLogged } from "../support/gateway.mjs";
import { COOKIE, trackSecret } from "../support/tokens.mjs";
import { AUTH_SECRET, startWorker, UPSTREAM_SECRET } from "../support/worker.mjs";

const inProject = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

// Their ids are set by `openSite`.
export const [ADA, BOB] = DEMO.map((person) => ({ ...person }));

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";

// Milliseconds that any step of a page may take.
const TIMEOUT_MS = 15_000;

// Starts upstream, the Worker and a browser. `startUpstream` starts another upstream than the demo and resolves to
// `{origin, stop}`. `variables` override those of the demo. With `empty` there is no account. With
// `metrics`, requests are counted. Resolves to
//
// - `origin`: the public origin of the site;
// - `setupToken`: its setup token;
// - `visit(t)`: a new visitor with an empty profile, until the end of the test;
// - `seen()`: how often the demo's upstream got each `METHOD /path`;
// - `stop`.
export async function openSite({
  startUpstream = startDemo,
  variables = {},
  bindings,
  empty = false,
  metrics = false,
} = {}) {
  const closers = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const upstream = await startUpstream();
    closers.push(upstream.stop);
    const port = await freePort();
    const origin = `http://localhost:${port}`;
    const all = {
      ...unstable_readConfig({ config: inProject("wrangler.toml") }).vars,
      ENVIRONMENT: "development",
      PUBLIC_ORIGINS: [origin],
      UPSTREAM: upstream.origin,
      SETUP_TOKEN,
      ...variables,
    };
    if (all.SESSION.check === "token") all.ROUTES = all.ROUTES.map(withoutAudit);
    const worker = await startWorker({ variables: all, bindings, port, metrics });
    if (keepsAccounts(all) && !empty) [ADA.userId, BOB.userId] = await seed(origin, SETUP_TOKEN);
    closers.push(() => assertNoSecretsLogged(worker.log), worker.stop);
    const browser = await launchBrowser();
    closers.push(() => browser.close());
    return {
      origin,
      setupToken: SETUP_TOKEN,
      visit: (t) => visit(t, browser, origin),
      seen: async () => {
        const seen = await (await fetch(`${upstream.origin}/api/requests`)).json();
        // Browsers request it at any time.
        delete seen["GET /favicon.ico"];
        // In development, Vestibule probes upstream for paths that its endpoints hide.
        const isProbe = (line) => line.startsWith("HEAD /api/");
        return Object.fromEntries(Object.entries(seen).filter(([line]) => !isProbe(line)));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

// Serves `answer(request, response)` on a free port: as an upstream, or as a foreign site.
export async function serve(answer) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    origin: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

// Returns the session cookies of a visitor's browser, at all paths.
export async function sessionCookiesOf({ context }) {
  const cookies = (await context.cookies()).filter(({ name }) => name === COOKIE);
  for (const { value } of cookies) trackSecret(value);
  return cookies;
}

// Adds a session cookie to a visitor's browser.
export function addSessionCookie({ context, origin }, value, path = "/") {
  const { hostname: domain } = new URL(origin);
  return context.addCookies([
    { name: COOKIE, value, domain, path, httpOnly: true, sameSite: "Lax" },
  ]);
}

// Signs a visitor in without a form: adds the cookie of a valid session.
export async function addSession(visitor, { email, password } = ADA) {
  const answer = await fetch(`${visitor.origin}/api/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password }),
  });
  assert.equal(answer.status, 200);
  const [pair] = answer.headers.getSetCookie()[0].split(";");
  const value = pair.slice(COOKIE.length + 1);
  trackSecret(value);
  await addSessionCookie(visitor, value);
}

// Fills in and submits the login form in `page`, a page or a frame.
export async function submitLogin(page, { email, password } = ADA) {
  await page.getByTestId("login-email").fill(email);
  await page.getByTestId("login-password").fill(password);
  await page.getByTestId("login-submit").click();
}

// Signs in at the login page, which leads to `path`.
export async function signIn({ page, origin }, path = "/", user = ADA) {
  await page.goto(`/login?next=${encodeURIComponent(path)}`);
  await submitLogin(page, user);
  await page.waitForURL(`${origin}${path}`);
}

// Waits until the text of an element is exactly `text`.
export async function assertText(scope, testId, text) {
  const element = scope.getByTestId(testId);
  await element.filter({ hasText: text }).waitFor();
  assert.equal(await element.textContent(), text);
}

// Returns the URLs that redirected to a response, in their order.
export function redirectChain(response) {
  const urls = [];
  for (let from = response.request().redirectedFrom(); from; from = from.redirectedFrom()) {
    urls.unshift(from.url());
  }
  return urls;
}

// Sends a request from within the page, as its scripts do.
export function fetchInPage(page, path, options) {
  return page.evaluate(
    async ([path, options]) => {
      const response = await fetch(path, { cache: "no-store", ...options });
      const text = await response.text();
      return { status: response.status, body: text && JSON.parse(text) };
    },
    [path, options],
  );
}

// Saves a screenshot for a person to look at.
export async function screenshot(page, name) {
  mkdirSync(inProject("target/screenshots"), { recursive: true });
  await page.screenshot({ path: inProject(`target/screenshots/${name}.png`), fullPage: true });
}

async function visit(t, browser, origin) {
  const context = await browser.newContext({
    baseURL: origin,
    viewport: { width: 1280, height: 800 },
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  const errors = [];
  context.on("weberror", (error) => errors.push(error.error().stack));
  t.after(async () => {
    await context.close();
    assert.deepEqual(errors, [], "a script of the page failed");
  });
  return { context, origin, page: await context.newPage() };
}

export function launchBrowser() {
  return chromium.launch({
    executablePath: findChromium(),
    headless: true,
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

function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", ...candidates]
    .filter(Boolean)
    .find((path) => existsSync(path));
  assert.ok(found, "no Chromium found: set CHROMIUM to the path of its program");
  return found;
}

async function startDemo() {
  buildApp();
  const app = createOrigin({
    authSecret: AUTH_SECRET,
    upstreamSecret: UPSTREAM_SECRET,
    webRoot: inProject("examples/spa/dist"),
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    origin: `http://127.0.0.1:${app.server.address().port}`,
    stop: () => app.close(),
  };
}

// Removes `audit` from a rule: with `check = "token"` there is no admin who could read the trail.
const withoutAudit = ({ audit, ...rule }) => rule;

// Builds the app if it is missing. It is built in another folder, because several test files may start at once.
function buildApp() {
  const dist = inProject("examples/spa/dist");
  if (existsSync(join(dist, "index.html"))) return;
  const temporary = inProject(`target/spa-${process.pid}`);
  const options = ["--outDir", temporary, "--emptyOutDir", "--logLevel", "warn"];
  execFileSync(inProject("node_modules/.bin/vite"), ["build", ...options], {
    cwd: inProject("examples/spa"),
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    renameSync(temporary, dist);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
    rmSync(temporary, { recursive: true });
  }
}

// Finds a free port. The Worker needs its public origin before it starts.
async function freePort() {
  const { port, stop } = await serve(() => {});
  await stop();
  return port;
}
