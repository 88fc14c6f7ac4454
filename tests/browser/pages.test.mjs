// Pages for refusals in a browser, and a form whose session has expired, without scripts.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createSessionToken, now, sessionCookies } from "../support/tokens.mjs";
import { startWorker } from "../support/worker.mjs";
import { addSessionCookie, openSite, screenshot, serve, sessionCookiesOf } from "./support.mjs";

const ROUTES = [
  { path: "/open/{*rest}", access: "public" },
  { path: "/slow", access: "public", timeout: "1s" },
  { path: "/401/{*rest}", access: "user", unauthenticated: "401" },
  { path: "/things/{id}", access: "owner", owner_from: "/owners/{id}" },
  { path: "/few", access: "public", limit: "few" },
  { path: "/enter", methods: ["POST"], access: "public", redirects: "strict" },
  { path: "/edit", access: "user" },
];

const PAGES = {
  "/open/page": `<h1>Outside</h1><iframe src="/401/framed" width="700" height="500"></iframe>`,
  "/edit": `<h1>Edit</h1><form method="post" action="/edit"><input name="text" value="mine"><button>Save</button></form>`,
};

// An application without scripts: a login form that starts a session, and a form that needs one.
function application(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://upstream.invalid");
  const html = { "content-type": "text/html; charset=utf-8" };
  if (pathname === "/open/drop") return response.socket.destroy();
  if (pathname === "/slow") return undefined;
  if (pathname === "/owners/gone") return response.writeHead(404).end();
  if (pathname === "/owners/theirs") {
    return response.writeHead(200, { "x-created-by": "bob", "x-created-by-type": "user" }).end();
  }
  if (pathname === "/login") {
    const next = searchParams.get("next") ?? "/";
    const action = `/enter?next=${encodeURIComponent(next)}`;
    response.writeHead(200, html);
    return response.end(`<form method="post" action="${action}"><button>Enter</button></form>`);
  }
  if (pathname === "/enter") {
    const session = `${sessionCookies(createSessionToken())}; Path=/; HttpOnly; SameSite=Lax`;
    return response
      .writeHead(303, { location: searchParams.get("next"), "set-cookie": session })
      .end();
  }
  const saved = request.method === "POST" && pathname === "/edit";
  response.writeHead(200, html);
  return response.end(
    `<!doctype html>${saved ? "<h1>Saved</h1>" : (PAGES[pathname] ?? "<h1>Here</h1>")}`,
  );
}

let site;
before(async () => {
  site = await openSite({
    startUpstream: () => serve(application),
    variables: {
      SESSION: { check: "token" },
      ROUTES,
      RATE_LIMITS: [{ name: "few", limit: 1, period: "1d", by: "address" }],
    },
  });
  await fetch(`${site.origin}/few`);
});
after(() => site.stop());

const stale = () => createSessionToken({ iat: now() - 7_200, exp: now() - 3_600 });

// Collects the messages in the browser's console, such as violations of the content security policy.
function consoleOf(page) {
  const messages = [];
  page.on("console", (message) => {
    // The refusal of the page itself is expected.
    if (!/^Failed to load resource/.test(message.text())) messages.push(message.text());
  });
  return messages;
}

const REFUSALS = [
  ["401", "/401/a", "Sign in to continue"],
  ["400", "/open/%2e%2e%2fa", "This address can't be used"],
  ["403", "/things/theirs", "You can't use this page", true],
  ["404", "/things/gone", "Page not found", true],
  ["405", "/api/auth/logout", "This request was refused"],
  ["429", "/few", "Too many requests"],
  ["502", "/open/drop", "The application can't be reached"],
  ["504", "/slow", "The application takes too long"],
];

describe("a refusal is a page", () => {
  for (const [status, path, heading, signedIn] of REFUSALS) {
    test(`${status}: ${heading}`, async (t) => {
      const visitor = await site.visit(t);
      const { page } = visitor;
      if (signedIn) await addSessionCookie(visitor, createSessionToken());
      await assertPage(page, path, Number(status), heading);
    });
  }

  test("503, with what is wrong in development", async (t) => {
    const worker = await startWorker({
      upstream: "http://127.0.0.1:9",
      variables: { ROUTES: [{ path: "/a", access: "<img src=x onerror=alert(1)>" }], CSRF: "off" },
    });
    t.after(worker.stop);
    const { page } = await site.visit(t);
    await assertPage(page, `${worker.origin}/`, 503, "This site is not set up correctly");
    assert.equal(await page.locator("li").count(), 2);
    assert.match(await page.locator("li").last().textContent(), /found "<img src=x onerror/);
    assert.equal(await page.locator("img").count(), 0);
  });
});

async function assertPage(page, path, status, heading) {
  const messages = consoleOf(page);
  const colours = new Set();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      const response = await page.goto(path);
      assert.equal(response.status(), status);
      assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), heading);
      assert.match(await page.locator("body").textContent(), /Request ID req_[0-9a-f]{32}/);
      assert.equal(await page.locator("script, [style], link, img").count(), 0);
      assert.equal(await page.locator("html").getAttribute("lang"), "en");
      const { wide, radius, colour } = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth,
        radius: getComputedStyle(document.querySelector("main")).borderRadius,
        colour: getComputedStyle(document.body).backgroundColor,
      }));
      assert.ok(wide <= width, `${wide} wide at ${width}`);
      assert.equal(radius, "12px", "the style sheet does not apply");
      colours.add(colour);
      await screenshot(page, `refused-${status}-${colorScheme}-${width}`);
    }
  }
  assert.equal(colours.size, 2, "light and dark have different colours");
  assert.deepEqual(messages, []);
}

test('"Try again" requests the same page again', async (t) => {
  const { page } = await site.visit(t);
  await page.goto("/open/drop?x=1");
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.url().includes("/open/drop")),
    page.getByRole("link", { name: "Try again" }).click(),
  ]);
  assert.equal(response.url(), `${site.origin}/open/drop?x=1`);
});

test("the page for 401 leads to the login and back", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await page.goto("/401/a?b=c");
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Enter" }).click();
  await page.waitForURL(`${site.origin}/401/a?b=c`);
  await page.getByRole("heading", { name: "Here" }).waitFor();
});

test("the page for 401 is shown in a frame, and its link leaves the frame", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  const messages = consoleOf(page);
  await page.goto("/open/page");
  const frame = page.frameLocator("iframe");
  await frame.getByRole("heading", { name: "Sign in to continue" }).waitFor();
  await frame.getByRole("link", { name: "Sign in" }).click();
  await page.waitForURL(`${site.origin}/login?next=%2Fopen%2Fpage`);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.waitForURL(`${site.origin}/open/page`);
  await frame.getByRole("heading", { name: "Here" }).waitFor();
  assert.deepEqual(messages, []);
});

test("a page of another site cannot frame a refusal", async (t) => {
  const around = await serve((_request, response) => {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    response.end(`<!doctype html><iframe src="${site.origin}/401/a"></iframe>`);
  });
  t.after(around.stop);
  const { page } = await site.visit(t);
  const messages = consoleOf(page);
  await page.goto(around.origin, { waitUntil: "load" });
  assert.equal(await page.frameLocator("iframe").getByRole("link", { name: "Sign in" }).count(), 0);
  assert.ok(
    messages.some((text) => /frame/i.test(text)),
    messages.join(),
  );
});

for (const javaScriptEnabled of [false, true]) {
  test(`a form whose session expired leads to the login and back, scripts ${javaScriptEnabled ? "on" : "off"}`, async (t) => {
    const visitor = await site.visit(t);
    const context = await visitor.context.browser().newContext({
      baseURL: site.origin,
      javaScriptEnabled,
    });
    t.after(() => context.close());
    const page = await context.newPage();
    const formVisitor = { ...visitor, context, page };
    await addSessionCookie(formVisitor, createSessionToken());
    await page.goto("/edit?id=7");
    await context.clearCookies();
    await addSessionCookie(formVisitor, stale());
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForURL(`${site.origin}/login?next=%2Fedit%3Fid%3D7`);
    assert.deepEqual(await sessionCookiesOf(formVisitor), [], "the stale cookie is cleared");
    await page.getByRole("button", { name: "Enter" }).click();
    await page.waitForURL(`${site.origin}/edit?id=7`);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Saved" }).waitFor();
  });
}

test("a soft navigation gets the URL of the login page", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await addSessionCookie(visitor, createSessionToken());
  await page.goto("/edit?id=7");
  await visitor.context.clearCookies();
  const answer = await page.evaluate(async () => {
    const response = await fetch("/edit?data");
    return {
      status: response.status,
      url: response.headers.get("x-vestibule-login-url"),
      same: (await response.json()).loginUrl,
    };
  });
  const url = "/login?next=%2Fedit%3Fid%3D7";
  assert.deepEqual(answer, { status: 401, url, same: url });
});
