// Cookies against tough-cookie: whatever cookies a jar has, the gateway finds the session that the jar has, and upstream
// receives what the jar sent, without invalid sessions. And the jar applies the cookies that the gateway expires.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CookieJar } from "tough-cookie";
import { randomGenerator } from "../support/mutations.mjs";
import { breakSignature, COOKIE, createSessionToken } from "../support/tokens.mjs";
import { lineOf } from "./cookie-cases.mjs";
import { CASES, openBatches, SEED, withSeed } from "./support.mjs";

const URL = "http://app.example/";
const COUNT = Math.ceil(CASES / 4);

let worker;
before(async () => {
  worker = await openBatches({ ROUTES: [{ path: "/{*rest}", access: "optional" }] });
});
after(() => worker.stop());

test("finds the session of a jar with random cookies, and forwards the others unchanged", async () => {
  const random = randomGenerator(SEED);
  const token = createSessionToken();
  const jars = [];
  for (let at = 0; at < COUNT; at += 1) jars.push(await jarOf(random, token));
  const answers = await worker.ask(
    jars.map(({ cookie }) => ({ path: "/", headers: cookie ? { cookie } : {} })),
  );
  for (const [at, { cookie, hasSession }] of jars.entries()) {
    const { forwarded } = answers[at];
    assert.equal(forwarded?.user, hasSession ? "usr_ada" : null, withSeed(cookie));
    const expected = partsOf(cookie).filter((part) => !hasSession || !isInvalid(part, token));
    assert.deepEqual(partsOf(forwarded.cookies ?? ""), expected, withSeed(cookie));
  }
  const share = jars.filter(({ hasSession }) => hasSession).length / COUNT;
  assert.ok(share > 0.2 && share < 0.8, withSeed(`${share} of the jars have a session`));
});

// Returns the header that a jar sends after a server has set random cookies.
async function jarOf(random, token) {
  const jar = new CookieJar(undefined, { looseMode: true, rejectPublicSuffixes: false });
  const lines = Array.from({ length: random.below(6) }, () => lineOf(random));
  if (random.chance(0.5))
    lines.splice(random.below(lines.length + 1), 0, `${COOKIE}=${token}; Path=/`);
  for (const line of lines) await jar.setCookie(line, URL, { ignoreError: true });
  const hasSession = (await jar.getCookies(URL)).some(
    ({ key, value }) => key === COOKIE && value === token,
  );
  return { cookie: await jar.getCookieString(URL), hasSession };
}

// Empty parts and the spaces around a part carry nothing.
const partsOf = (cookie) =>
  cookie
    .split(";")
    .map((part) => part.trim())
    .filter(Boolean);

// With a valid session, upstream gets no invalid one: it could choose that.
const isInvalid = (part, token) => part.startsWith(`${COOKIE}=`) && part !== `${COOKIE}=${token}`;

test("expires an invalid session in each jar that has it, and keeps the others", async () => {
  const random = randomGenerator(SEED + 1);
  const invalid = breakSignature(createSessionToken());
  const jars = [];
  for (let at = 0; at < COUNT / 4; at += 1) {
    const jar = new CookieJar(undefined, { looseMode: true });
    await jar.setCookie(`keep=${at}; Path=/`, URL);
    await jar.setCookie(`${COOKIE}=${invalid}; Path=/${random.one(["", "; HttpOnly"])}`, URL);
    jars.push(jar);
  }
  const headers = await Promise.all(jars.map((jar) => jar.getCookieString(URL)));
  const answers = await worker.ask(headers.map((cookie) => ({ path: "/", headers: { cookie } })));
  for (const [at, jar] of jars.entries()) {
    assert.notEqual(answers[at].cookies.length, 0, withSeed("no cookie is set"));
    for (const line of answers[at].cookies) await jar.setCookie(line, URL);
    assert.equal(await jar.getCookieString(URL), `keep=${at}`, withSeed(headers[at]));
  }
});
