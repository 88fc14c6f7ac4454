// Session tokens against jwt-simple, and Cookie headers against the `cookie` crate. They are in a program of their own,
// which the suite bench-check builds.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { inProject } from "../../scripts/lib/project.mjs";
import { randomGenerator } from "../support/mutations.mjs";
import { COOKIE, createSessionToken } from "../support/tokens.mjs";
import { AUTH_SECRET } from "../support/worker.mjs";
import { headerOf } from "./cookie-cases.mjs";
import { CASES, openBatches, SEED, withSeed } from "./support.mjs";
import { tokenCase } from "./token-cases.mjs";
import { reasonOf } from "./token-reasons.mjs";

const PROGRAM = inProject("bench/native/target/debug/peers");
const NOW = Math.floor(Date.now() / 1000);
const random = randomGenerator(SEED);
const session = `${COOKIE}=${createSessionToken()}`;
const tokens = Array.from({ length: CASES }, () =>
  tokenCase(random, { now: NOW, secret: AUTH_SECRET }),
);
const cookies = Array.from({ length: CASES }, () => headerOf(random, session));

let theirs;
let worker;
before(async () => {
  const input = JSON.stringify({ key: AUTH_SECRET, now: NOW, tokens, cookies });
  theirs = JSON.parse(execFileSync(PROGRAM, { input, maxBuffer: 1 << 28 }));
  worker = await openBatches({
    DANGER_FIXED_NOW: NOW,
    ROUTES: [{ path: "/{*rest}", access: "optional" }],
  });
});
after(() => worker?.stop());

// What only jwt-simple refuses: a text with a lone surrogate, a `jwk` that is an object (RFC 7515 §4.1.3), and a `jti` or
// `sub` that is no text, all in members that Vestibule does not read; and a time before 1970.
const THEIRS = [/"\\ud[89a-f]/i, /"jwk":\{/, /"(?:iat|nbf|exp)":-/, /"(?:jti|sub)":(?!"|null)/];
function isRefusedByTheirParser(token) {
  const parts = token.split(".").map((part) => Buffer.from(part, "base64url").toString());
  return THEIRS.some((pattern) => pattern.test(parts[0] + parts[1]));
}

const claimsOf = (token) => Buffer.from(token.split(".")[1], "base64url").toString();

const ask = async (headers) => {
  const answers = await worker.ask(headers.map((cookie) => ({ path: "/", headers: { cookie } })));
  return answers.map(({ forwarded }) => forwarded?.user === "usr_ada");
};

test("jwt-simple accepts each token that Vestibule accepts, and more only for a known reason", async (t) => {
  const accepted = (
    await worker.ask(
      tokens.map((token) => ({ path: "/", headers: { cookie: `${COOKIE}=${token}` } })),
    )
  ).map(({ forwarded }) => Boolean(forwarded?.user));
  const [tally, unexplained, ours] = [new Map(), [], []];
  for (const [at, token] of tokens.entries()) {
    if (accepted[at] && !theirs.tokens[at] && !isRefusedByTheirParser(token)) ours.push(token);
    if (accepted[at] || !theirs.tokens[at]) continue;
    // RFC 7519 §4.1.4: not on or after this time. jwt-simple accepts a token at this time.
    const isEnding = token.includes(".") && claimsOf(token).includes(`"exp":${NOW}`);
    const reason = reasonOf(token, NOW) ?? (isEnding ? "expires in this second" : undefined);
    if (reason === undefined) unexplained.push(token);
    tally.set(reason, (tally.get(reason) ?? 0) + 1);
  }
  assert.ok(accepted.includes(true));
  assert.deepEqual(ours, [], withSeed("only Vestibule accepts them"));
  assert.deepEqual(unexplained, [], withSeed("no reason why only jwt-simple accepts them"));
  for (const [reason, count] of tally) t.diagnostic(`${reason}: ${count}`);
});

test("the session is found if and only if the cookie crate finds it", async () => {
  const [name, value] = session.split("=");
  const found = await ask(cookies);
  for (const [at, header] of cookies.entries()) {
    const expected = theirs.cookies[at].some((pair) => pair[0] === name && pair[1] === value);
    assert.equal(found[at], expected, withSeed(header));
  }
  assert.ok(found.includes(true) && found.includes(false));
});
