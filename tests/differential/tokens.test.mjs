// Session tokens against jose, jsonwebtoken and PyJWT: what Vestibule accepts, each of them accepts. Where a library
// accepts more, a reason of docs/conformance.md explains it; otherwise the test fails.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { jwtVerify } from "jose";
import jsonwebtoken from "jsonwebtoken";
import { randomGenerator } from "../support/mutations.mjs";
import { pythonWith } from "../support/python.mjs";
import { AUTH_SECRET } from "../support/worker.mjs";
import { CASES, openBatches, SEED, withSeed } from "./support.mjs";
import { tokenCase } from "./token-cases.mjs";
import { reasonOf } from "./token-reasons.mjs";

// PyJWT reads the clock. So the time is the real one, and no case is within an hour of a limit.
const NOW = Math.floor(Date.now() / 1000);
const key = Buffer.from(AUTH_SECRET);
const random = randomGenerator(SEED);
const tokens = Array.from({ length: CASES }, () =>
  tokenCase(random, { now: NOW, secret: AUTH_SECRET }),
);

let worker;
let accepted;
before(async () => {
  worker = await openBatches({
    DANGER_FIXED_NOW: NOW,
    ROUTES: [{ path: "/{*rest}", access: "user" }],
  });
  const requests = tokens.map((token) => ({
    path: "/",
    headers: { cookie: `mk_session=${token}` },
  }));
  accepted = (await worker.ask(requests)).map(({ status }) => status === 200);
});
after(() => worker.stop());

const python = pythonWith("pyjwt", "2.10.1");
const LIBRARIES = {
  jose: () =>
    Promise.all(
      tokens.map((token) =>
        jwtVerify(token, key, { algorithms: ["HS256"], currentDate: new Date(NOW * 1_000) }).then(
          () => true,
          () => false,
        ),
      ),
    ),
  jsonwebtoken: () =>
    tokens.map((token) => {
      try {
        jsonwebtoken.verify(token, key, { algorithms: ["HS256"], clockTimestamp: NOW });
        return true;
      } catch {
        return false;
      }
    }),
  PyJWT: () =>
    JSON.parse(
      execFileSync(python.program, ["-c", PYTHON], {
        input: JSON.stringify({ key: AUTH_SECRET, tokens }),
        maxBuffer: 1 << 26,
      }),
    ),
};

const PYTHON = `
import json, sys, warnings
import jwt
warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
# Vestibule does not read sub and jti, whose types PyJWT checks, and no audience is configured.
OPTIONS = {"verify_aud": False, "verify_sub": False, "verify_jti": False}
def accepts(token):
    try:
        jwt.decode(token, asked["key"], algorithms=["HS256"], options=OPTIONS)
        return True
    except Exception:
        return False
print(json.dumps([accepts(token) for token in asked["tokens"]]))
`;

test("no token is accepted to which a reason for a refusal applies", () => {
  for (const token of tokens.filter((_, at) => accepted[at])) {
    assert.equal(reasonOf(token, NOW), undefined, withSeed(token));
  }
});

test("the cases reach both sides", () => {
  const share = accepted.filter(Boolean).length / CASES;
  assert.ok(share > 0.05 && share < 0.6, withSeed(`${share} of the tokens are accepted`));
});

for (const [name, verify] of Object.entries(LIBRARIES)) {
  const options = name === "PyJWT" && !python.program ? { skip: python.missing } : {};
  test(
    `${name} accepts each token that Vestibule accepts, and more only for a known reason`,
    options,
    async (t) => {
      const theirs = await verify();
      const [tally, unexplained] = [new Map(), []];
      for (const [at, token] of tokens.entries()) {
        if (accepted[at]) assert.ok(theirs[at], withSeed(`only Vestibule accepts ${token}`));
        if (accepted[at] || !theirs[at]) continue;
        const reason = reasonOf(token, NOW);
        if (reason === undefined) unexplained.push(token);
        tally.set(reason, (tally.get(reason) ?? 0) + 1);
      }
      assert.deepEqual(unexplained, [], withSeed(`no reason why only ${name} accepts them`));
      for (const [reason, count] of tally) t.diagnostic(`${reason}: ${count}`);
    },
  );
}
