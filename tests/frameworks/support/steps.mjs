// The steps that a person takes in an application. All applications are the same: a page `/notes/NAME` that shows what
// its server received, with a link, a form, an upload and a sign-out, which have test ids.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { expireSession, sessionCookiesOf, TIMEOUT_MS, visit } from "./browser.mjs";
import { ADA } from "./gateway.mjs";

const DEFINITIONS = {
  login: ["open a page, sign in, arrive at the page", signInAtPage],
  "deep link": ["a link with Unicode and `a[]=1`, signed out", followDeepLink],
  "other spelling": [
    "the path with or without a final slash, and with a capital",
    tryOtherSpellings,
  ],
  form: ["a form or server action", sendForm],
  upload: ["300,000 bytes of a file", upload],
  stream: ["a stream is read while it is written", readStream],
  socket: ["a WebSocket: echo and close code", useSocket],
  HMR: ["a source file is edited while the page is open", editSource],
  "expired: link": ["the session expires, the next link", followLinkExpired],
  "expired: form": ["the session expires, the next form", sendFormExpired],
  "expired: plain form": ["the same without JavaScript", sendPlainFormExpired],
  "expired: fetch": ["the session expires, the next fetch", fetchExpired],
  "sign-out": [
    'the page needs a session again, also after "Back" if the application says `no-store`',
    signOut,
  ],
};

// Milliseconds that a step may take in all.
const STEP_TIMEOUT_MS = 150_000;

export const STEPS = Object.keys(DEFINITIONS);

// Runs all steps that apply. Returns `{status, why}` for each step.
export async function runSteps(framework, gateway, browser) {
  const outcomes = {};
  const run = { framework, gateway, browser, origin: gateway.origin, state: undefined };
  for (const step of STEPS) {
    const reason = framework.without[step];
    if (reason) {
      outcomes[step] = { status: "none", why: reason };
      continue;
    }
    const custom = framework.steps?.[step];
    outcomes[step] = await attempt(run, custom ?? DEFINITIONS[step][1]);
    console.log(
      `  ${outcomes[step].status === "ok" ? "ok" : "FAILED"} ${step}: ${DEFINITIONS[step][0]}`,
    );
    if (step === "login" && outcomes.login.status === "failed") break;
  }
  return outcomes;
}

// Runs a step. Its visitors are signed in, unless the step signs in itself.
async function attempt(run, step) {
  const opened = [];
  const open = async (options = {}) => {
    const { browser, origin, state, framework } = run;
    const visitor = await visit(browser, origin, { state, ...options });
    opened.push(visitor);
    return { ...visitor, framework, script: options.script !== false };
  };
  try {
    const keep = (state) => Object.assign(run, { state });
    await withTimeout(step({ ...run, open, keep }), STEP_TIMEOUT_MS);
    return { status: "ok" };
  } catch (error) {
    const page = opened.at(-1)?.page;
    const text = await page
      ?.locator("body")
      .innerText({ timeout: 1_000 })
      .catch(() => "");
    return {
      status: "failed",
      why: `${error.message}\n  at ${page?.url()}\n  which shows: ${text?.slice(0, 300)}`,
    };
  } finally {
    for (const { context } of opened) await context.close();
  }
}

async function signInAtPage(run) {
  const { open, origin, framework, keep } = run;
  const visitor = await open({ state: undefined });
  await visitor.page.goto(noteAt(framework, "one"));
  await signIn(run, visitor);
  await visitor.page.waitForURL(`${origin}${noteAt(framework, "one")}`);
  await showsNote(visitor.page, "one");
  assert.equal((await sessionCookiesOf(visitor)).length, 1);
  await framework.check?.(visitor);
  keep(await visitor.context.storageState());
}

async function followDeepLink(run) {
  const { open, origin, framework } = run;
  const visitor = await open({ state: undefined });
  const query = "?a[]=1&a[]=2&q=%C3%BC%20%26";
  await visitor.page.goto(`${noteAt(framework, "Grüße 漢字")}${query}`);
  await signIn(run, visitor);
  await visitor.page.waitForURL((url) => url.pathname.startsWith("/notes/"));
  const path = noteAt(framework, "Gr%C3%BC%C3%9Fe%20%E6%BC%A2%E5%AD%97");
  // After the login, `Location` is a URI (RFC 3986), which has no brackets in its query.
  assert.equal(withoutBrackets(visitor.page.url()), withoutBrackets(`${origin}${path}${query}`));
  const seen = await seenBy(visitor.page);
  assert.deepEqual([seen.name, seen.a, seen.q], ["Grüße 漢字", ["1", "2"], "ü &"]);
}

const withoutBrackets = (url) => url.replaceAll("[", "%5B").replaceAll("]", "%5D");

async function tryOtherSpellings({ open, framework }) {
  for (const [path, status] of framework.spellings ?? SPELLINGS) {
    const visitor = await open();
    const response = await visitor.page.goto(path);
    assert.equal(response.status(), status, path);
    if (status === 200) await showsNote(visitor.page, "one");
  }
}

// The statuses of the application without Vestibule in front of it.
const SPELLINGS = [
  ["/notes/one/", 200],
  ["/Notes/one", 404],
];

async function sendForm({ open }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  await page.getByTestId("text").fill(TEXT);
  await page.getByTestId("send").click();
  await assertText(page, "said", TEXT);
}

const TEXT = "Grüße & 漢字 <b>";

async function upload({ open }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  await page.getByTestId("file").setInputFiles(FILE);
  await page.getByTestId("upload").click();
  const sum = createHash("sha256").update(FILE.buffer).digest("hex");
  await assertText(page, "uploaded", `${FILE.buffer.length} ${sum}`);
}

const FILE = {
  name: "Grüße.bin",
  mimeType: "application/octet-stream",
  buffer: Buffer.from(Uint8Array.from({ length: 300_000 }, (_, at) => (at * 7 + at / 256) % 256)),
};

// The server writes the second line after a request for it. If the first line is buffered, nothing arrives.
async function readStream({ open }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  const lines = await withTimeout(
    page.evaluate(async () => {
      const response = await fetch("/api/stream");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const lines = [(await reader.read()).value];
      await fetch("/api/stream/go", { method: "POST" });
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return lines;
        lines.push(value);
      }
    }),
  );
  assert.match(lines[0], /one/);
  assert.doesNotMatch(lines[0], /two/);
  assert.match(lines.slice(1).join(""), /two/);
}

async function useSocket({ open }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  const result = await withTimeout(
    page.evaluate(async () => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/socket`);
      const next = (name) =>
        new Promise((resolve, reject) => {
          socket.addEventListener(name, resolve, { once: true });
          socket.addEventListener("error", () => reject(new Error("the socket failed")));
        });
      await next("open");
      socket.send("Grüße");
      const echoed = (await next("message")).data;
      socket.send("close");
      const { code, reason } = await next("close");
      return { echoed, code, reason };
    }),
  );
  assert.deepEqual(result, { echoed: "Grüße", code: 4001, reason: "as asked" });
}

async function editSource() {
  throw new Error("the framework defines no such step");
}

async function followLinkExpired(run) {
  const { open, origin } = run;
  const visitor = await open();
  await openNote(visitor);
  await expireSession(visitor, origin);
  await visitor.page.getByTestId("link").click();
  await signIn(run, visitor);
  // A navigation by a script leads back to the page where it started.
  await visitor.page.waitForURL((url) => /^\/notes\/(one|two)\/?$/.test(url.pathname));
  await visitor.page.getByTestId("seen").waitFor();
  // The application may have started a new session at the sign-in and ended the old one.
  run.keep(await visitor.context.storageState());
}

async function sendFormExpired(run) {
  const { open, origin } = run;
  const visitor = await open();
  await openNote(visitor);
  await expireSession(visitor, origin);
  await visitor.page.getByTestId("text").fill(TEXT);
  await visitor.page.getByTestId("send").click();
  await signIn(run, visitor);
  await visitor.page.waitForURL((url) => /^\/notes\/one\/?$/.test(url.pathname));
  run.keep(await visitor.context.storageState());
}

async function sendPlainFormExpired({ open, origin, framework }) {
  const visitor = await open({ script: false });
  await openNote(visitor);
  await expireSession(visitor, origin);
  await visitor.page.getByTestId("text").fill(TEXT);
  await visitor.page.getByTestId("send").click();
  await waitForLogin(visitor.page, framework);
  assert.match(new URL(visitor.page.url()).searchParams.get("next"), /^\/notes\/one/);
}

// A script gets a problem document and the URL of the login page.
async function fetchExpired({ open, origin, framework }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  await expireSession(visitor, origin);
  const responded = page.waitForResponse("**/api/data");
  page.evaluate(() => fetch("/api/data")).catch(() => {}); // The browser may leave the page meanwhile.
  const response = await responded;
  assert.equal(response.status(), 401);
  assert.match(response.headers()["content-type"], /^application\/problem\+json/);
  const loginUrl = response.headers()["x-vestibule-login-url"];
  assert.ok(loginUrl, "no X-Vestibule-Login-URL");
  assert.equal(new URL(loginUrl, origin).pathname, framework.loginPath);
}

async function signOut({ open, framework }) {
  const visitor = await open();
  await openNote(visitor);
  await visitor.page.getByTestId("sign-out").click();
  await waitForLogin(visitor.page, framework);
  assert.deepEqual(await sessionCookiesOf(visitor), []);
  if (framework.keepsNoPages) {
    await visitor.page.goBack();
    await waitForLogin(visitor.page, framework);
    assert.equal(await visitor.page.getByTestId("seen").count(), 0, '"Back" shows the page');
  }
  await visitor.page.goto(noteAt(framework, "one"));
  await waitForLogin(visitor.page, framework);
}

// Signs in at the login page, to which the browser was redirected.
export async function signIn({ framework }, { page }) {
  await waitForLogin(page, framework);
  await page.getByTestId("email").fill(framework.account ?? ADA.email);
  await page.getByTestId("password").fill(ADA.password);
  await page.getByTestId("sign-in").click();
}

async function waitForLogin(page, { loginPath }) {
  await page.waitForURL((url) => url.pathname === loginPath, { waitUntil: "load" });
}

// Opens the page and waits until its scripts have hydrated it, if it has any.
export async function openNote({ page, framework, script }) {
  await page.goto(noteAt(framework, "one"));
  await showsNote(page, "one");
  if (framework.hydrates && script)
    await page.locator("html[data-ready]").waitFor({ state: "attached" });
}

const noteAt = ({ slash }, name) => `/notes/${name}${slash ? "/" : ""}`;

async function showsNote(page, name) {
  assert.equal((await seenBy(page)).name, name);
}

async function seenBy(page) {
  return JSON.parse(await page.getByTestId("seen").textContent());
}

export async function assertText(page, id, text) {
  const element = page.getByTestId(id);
  await element.filter({ hasText: text }).waitFor();
  assert.equal((await element.textContent()).trim(), text);
}

export async function withTimeout(promise, timeoutMs = TIMEOUT_MS) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("timed out")), timeoutMs);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
