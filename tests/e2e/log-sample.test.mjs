// Which requests have a log line: plain passes are sampled, and every other request has a line.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openGateway, PRODUCTION } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";
import { breakSignature, createSessionToken, sessionCookies } from "../support/tokens.mjs";

const ROUTES = [
  { path: "/{*rest}", access: "public" },
  { path: "/user", access: "user" },
  { path: "/pay", access: "user", idempotency: "required", insecure_skip_csrf: true },
  { path: "/audited", access: "user", audit: "best_effort" },
];
const ANSWERS = { "/broken": { status: 500 } };
const PASSES = 11;

// Sends these requests and returns the log lines. Lines are in order, so none follows the line of the last request, a
// refusal.
async function linesOf(variables) {
  const gateway = await openGateway({
    routes: ROUTES,
    answers: ANSWERS,
    variables: { ...ACCOUNTS, ...variables },
  });
  try {
    const { root } = await setUpUsers(gateway);
    for (let i = 0; i < PASSES; i += 1) {
      assert.equal((await gateway.request("/page")).status, 200);
      // Other requests in between do not change the count of passes.
      if (i === 3) assert.equal((await gateway.request("/broken")).status, 500);
      const stale = { headers: { cookie: sessionCookies(breakSignature(createSessionToken())) } };
      if (i === 4) assert.equal((await gateway.request("/page", stale)).status, 200);
      const headers = { ...root.headers, "idempotency-key": "k-1" };
      const keyed = { method: "POST", body: "{}", headers };
      if (i === 5 || i === 6) assert.equal((await gateway.request("/pay", keyed)).status, 200);
      if (i === 7 || i === 8) assert.equal((await gateway.request("/audited", root)).status, 200);
    }
    assert.equal((await gateway.request("/user")).status, 401);
    await gateway.waitForLog((line) => line.includes('"decision":"unauthorized"'));
    return gateway.log.filter((line) => line.startsWith('{"event":"request"')).map(JSON.parse);
  } finally {
    await gateway.stop();
  }
}

const isPlain = ({ status, cookiesChanged, rule }) =>
  status === 200 && cookiesChanged === 0 && rule === "/{*rest}";

// Asserts the lines of all other requests, which do not depend on the sample.
function assertOthers(lines) {
  const others = lines.filter((line) => !isPlain(line));
  assert.deepEqual(
    others.map(({ rule, status, decision, idempotency }) =>
      [rule, status, decision, idempotency].filter(Boolean).join(" "),
    ),
    [
      "/api/auth/setup 201 allow",
      "/{*rest} 500 allow",
      "/{*rest} 200 allow",
      "/pay 200 allow settled",
      "/pay 200 allow replayed",
      "/audited 200 allow",
      "/audited 200 allow",
      "/user 401 unauthorized",
    ],
  );
  for (const { passes } of others) assert.equal(passes, undefined);
}

for (const [name, variables, expected] of [
  ["as deployed, one in 100", { ...PRODUCTION, LOG_SAMPLE: null }, [1]],
  ["one in 5", { ...PRODUCTION, LOG_SAMPLE: 5 }, [1, 5, 5]],
  ["one in 5, written as text", { ...PRODUCTION, LOG_SAMPLE: "5" }, [1, 5, 5]],
  ["all of them", { ...PRODUCTION, LOG_SAMPLE: 1 }, new Array(PASSES).fill(1)],
  ["in development, all of them", { LOG_SAMPLE: null }, new Array(PASSES).fill(1)],
  ["in development, with LOG_SAMPLE", { LOG_SAMPLE: 4 }, [1, 4, 4]],
]) {
  test(`plain passes: ${name}`, async () => {
    const lines = await linesOf(variables);
    assert.deepEqual(
      lines.filter(isPlain).map(({ passes }) => passes),
      expected,
    );
    assertOthers(lines);
  });
}
