// A stale cookie costs one redirect and a sign-in, never a redirect loop.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { COOKIE, createSessionToken, now } from "../support/tokens.mjs";
import {
  addSession,
  addSessionCookie,
  assertText,
  openSite,
  redirectChain,
  screenshot,
  serve,
  sessionCookiesOf,
  submitLogin,
} from "./support.mjs";

const DEEP = "/deep/reports/7?tab=2&x=%2Fy";
const FRAGMENT = "#section-3";

const STALE = {
  "no cookie": () => undefined,
  "an expired token": () => createSessionToken({ iat: now() - 7200, exp: now() - 3600 }),
  "a token that ends this second": () => createSessionToken({ exp: now() }),
  garbage: () => "garbage",
  "an empty cookie": () => "",
  "a token under a foreign key": () =>
    createSessionToken({}, { secret: "a key that nobody here has ever seen" }),
};

describe("a deep link", () => {
  let site;
  before(async () => {
    site = await openSite();
  });
  after(() => site.stop());

  for (const [name, token] of Object.entries(STALE)) {
    test(`is reached after signing in, with ${name}`, async (t) => {
      const visitor = await site.visit(t);
      const { page } = visitor;
      const value = token();
      if (value !== undefined) await addSessionCookie(visitor, value);

      const response = await page.goto(DEEP + FRAGMENT);
      assert.deepEqual(redirectChain(response), [site.origin + DEEP]);
      assert.equal(response.status(), 200);
      const login = new URL(page.url());
      assert.equal(login.pathname, "/login");
      assert.deepEqual([...login.searchParams], [["next", DEEP]]);
      assert.equal(login.hash, FRAGMENT);
      assert.deepEqual(await sessionCookiesOf(visitor), []);
      if (name === "garbage") await screenshot(page, "login");

      await submitLogin(page);
      await page.waitForURL(site.origin + DEEP + FRAGMENT);
      await assertText(page, "deep-link", DEEP + FRAGMENT);
      assert.equal((await sessionCookiesOf(visitor)).length, 1);
    });
  }

  test("is reached without a redirect, with a session", async (t) => {
    const visitor = await site.visit(t);
    await addSession(visitor);
    const response = await visitor.page.goto(DEEP + FRAGMENT);
    assert.deepEqual(redirectChain(response), []);
    await assertText(visitor.page, "deep-link", DEEP + FRAGMENT);
  });

  test("is reached after a wrong password", async (t) => {
    const visitor = await site.visit(t);
    const { page } = visitor;
    await page.goto(DEEP);
    await submitLogin(page, { email: "ada@example.com", password: "wrong" });
    const message = page.getByTestId("login-error").locator("strong");
    await message.waitFor();
    assert.equal(await message.textContent(), "invalid credentials");
    assert.deepEqual(await sessionCookiesOf(visitor), []);
    await submitLogin(page);
    await page.waitForURL(site.origin + DEEP);
  });
});

describe("the login page with a session", () => {
  let site;
  before(async () => {
    site = await openSite();
  });
  after(() => site.stop());

  for (const [query, target] of [
    ["?next=/deep/a", "/deep/a"],
    ["?next=%2Fdeep%2Fa%3Fq%3D1%23f", "/deep/a?q=1#f"],
    ["?return_to=/deep/b", "/deep/b"],
    ["", "/"],
    ["?next=//127.0.0.1/", "/"],
    ["?next=/%5C127.0.0.1/", "/"],
    ["?next=http://127.0.0.1/", "/"],
    ["?next=/login", "/"],
  ]) {
    test(`/login${query} leads to ${target}`, async (t) => {
      const visitor = await site.visit(t);
      await addSession(visitor);
      const response = await visitor.page.goto(`/login${query}`);
      assert.equal(redirectChain(response).length, 1);
      assert.equal(visitor.page.url(), site.origin + target);
    });
  }
});

describe("an upstream that redirects signed-in users to the login page", () => {
  let site;
  before(async () => {
    site = await openSite({
      startUpstream: () =>
        serve(({ url }, response) => {
          if (url.startsWith("/login")) return servePage(response, "Sign in here");
          response.writeHead(302, { location: "/login" }).end();
        }),
    });
  });
  after(() => site.stop());

  test("leads to the loop page, which says why and clears the cookies", async (t) => {
    const visitor = await site.visit(t);
    await addSession(visitor);
    await addCookie(visitor, "flavour", "/deep");

    const response = await visitor.page.goto("/");
    assertLoopPage(response);
    assert.deepEqual(
      redirectChain(response).map((url) => new URL(url).pathname),
      ["/", "/login", "/", "/login", "/", "/login", "/"],
    );
    const text = await visitor.page.locator("body").textContent();
    assert.match(text, /you are signed in here, but the application keeps sending you/);
    assert.equal((await sessionCookiesOf(visitor)).length, 1, "the loop page keeps the session");
    await screenshot(visitor.page, "loop");

    await clearAndSignIn(visitor);
    await visitor.page.getByText("Sign in here").waitFor();
    assert.deepEqual(await visitor.context.cookies(), []);
  });

  test('leads to the loop page again after "Try again"', async (t) => {
    const visitor = await site.visit(t);
    await addSession(visitor);
    await visitor.page.goto("/");
    const [response] = await Promise.all([
      visitor.page.waitForResponse((response) => response.status() === 200),
      visitor.page.getByRole("link", { name: "Try again" }).click(),
    ]);
    assertLoopPage(response);
    assert.ok(redirectChain(response).length > 1);
  });
});

describe('with login = "upstream", an upstream with a session of its own', () => {
  // Signs in every client that posts to the login page, and remembers it by a cookie of its own. With `redirectsAway`,
  // its login page redirects signed-in users away.
  const startUpstream = (redirectsAway) => () =>
    serve(({ method, url, headers }, response) => {
      const isLogin = url.startsWith("/login");
      const form = '<form method="post"><button>Sign in</button></form>';
      if (isLogin && method === "POST") {
        response.writeHead(303, {
          location: "/deep/a",
          "x-vestibule-login": "usr_ada",
          "set-cookie": "own=1; Path=/",
        });
      } else if (isLogin && !(redirectsAway && headers["x-user-id"])) {
        return servePage(response, "Sign in here", form);
      } else if (isLogin) {
        response.writeHead(302, { location: "/deep/a" });
      } else if (headers.cookie?.includes("own=1")) {
        return servePage(response, `Hello ${headers["x-user-id"]}`);
      } else {
        response.writeHead(302, { location: "/login" });
      }
      response.end();
    });
  const ROUTES = [
    { path: "/login", methods: ["POST"], access: "public", login: true },
    { path: "/login", methods: ["GET"], access: "optional" },
    { path: "/deep/{*rest}", access: "user" },
  ];

  async function open(t, redirectsAway) {
    const variables = { SESSION: { login: "upstream" }, ROUTES };
    const site = await openSite({ startUpstream: startUpstream(redirectsAway), variables });
    t.after(() => site.stop());
    return site.visit(t);
  }

  async function signInAndForget({ page, context }) {
    await page.goto("/login");
    await page.getByRole("button").click();
    await page.getByText("Hello usr_ada").waitFor();
    await context.clearCookies({ name: "own" });
  }

  test("can sign in again and again for one page", async (t) => {
    const visitor = await open(t, false);
    const { page, context } = visitor;
    for (let time = 1; time <= 4; time += 1) {
      await page.goto("/deep/a");
      await page.getByRole("button").click();
      await page.getByText("Hello usr_ada").waitFor();
      await context.clearCookies({ name: COOKIE });
      await context.clearCookies({ name: "own" });
    }
  });

  test("shows its login page if only its own session was lost, and signs in again", async (t) => {
    const visitor = await open(t, false);
    const { page, origin } = visitor;
    await signInAndForget(visitor);
    const response = await page.goto("/deep/a");
    assert.deepEqual(redirectChain(response), [`${origin}/deep/a`]);
    assert.equal(page.url(), `${origin}/login`);
    assert.equal((await sessionCookiesOf(visitor)).length, 1);
    await page.getByRole("button").click();
    await page.getByText("Hello usr_ada").waitFor();
    // Users who are signed in to both are redirected from the login page.
    await visitor.context.clearCookies({ name: "mk_session_hops" });
    await page.goto("/login?next=/deep/b");
    assert.equal(page.url(), `${origin}/deep/b`);
  });

  test("leads to the loop page if its login page redirects them away again", async (t) => {
    const visitor = await open(t, true);
    await signInAndForget(visitor);
    const response = await visitor.page.goto("/deep/a");
    assertLoopPage(response);
    const text = await visitor.page.locator("body").textContent();
    assert.match(text, /you are signed in here, but the application keeps sending you/);
    await clearAndSignIn(visitor);
    await visitor.page.getByText("Sign in here").waitFor();
    assert.deepEqual(await visitor.context.cookies(), []);
  });
});

describe("an upstream that redirects remembered users away from the login page", () => {
  let site;
  before(async () => {
    site = await openSite({
      startUpstream: () =>
        serve(({ url, headers }, response) => {
          const remembers = headers.cookie?.includes("remembered=1");
          if (!remembers || !url.startsWith("/login")) return servePage(response, "Sign in here");
          response.writeHead(302, { location: "/deep/a" }).end();
        }),
    });
  });
  after(() => site.stop());

  for (const [name, value, why] of [
    ["no session", undefined, /Reason: the request has neither/],
    [
      "an expired session",
      () => createSessionToken({ iat: now() - 7200, exp: now() - 3600 }),
      /Reason: /,
    ],
  ]) {
    test(`with ${name}, leads to the loop page, whose button clears its cookie`, async (t) => {
      const visitor = await site.visit(t);
      await addCookie(visitor, "remembered");
      if (value) await addSessionCookie(visitor, value());

      const response = await visitor.page.goto("/deep/a");
      assertLoopPage(response);
      assert.match(await visitor.page.locator("body").textContent(), why);
      assert.deepEqual(await sessionCookiesOf(visitor), []);

      await clearAndSignIn(visitor);
      await visitor.page.getByText("Sign in here").waitFor();
      assert.deepEqual(await visitor.context.cookies(), []);
    });
  }
});

function assertLoopPage(response) {
  assert.equal(response.status(), 200);
  assert.match(response.headers()["cache-control"], /no-store/);
  assert.match(response.headers()["content-type"], /^text\/html/);
  const { pathname } = new URL(response.url());
  assert.ok(redirectChain(response).length <= 7, `too many redirects to ${pathname}`);
}

async function clearAndSignIn({ page, origin }) {
  await page.getByRole("button", { name: "Clear this site's cookies" }).click();
  await page.waitForURL(`${origin}/login`);
}

function addCookie({ context, origin }, name, path = "/") {
  assert.notEqual(name, COOKIE);
  const { hostname: domain } = new URL(origin);
  return context.addCookies([{ name, value: "1", domain, path }]);
}

function servePage(response, text, more = "") {
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><title>${text}</title><h1>${text}</h1>${more}`);
}
