// Report mode: upstream gets every request, and the log names exactly those that would be refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";
import { breakSignature, createSessionToken, sessionCookies } from "../support/tokens.mjs";

const REQUESTS = 500;
const RATE_LIMITS = [{ name: "few", limit: 1, period: "1h", by: "address" }];
const ROUTES = [
  { path: "/open/{*rest}", access: "public" },
  { path: "/maybe/{*rest}", access: "optional" },
  { path: "/user/{*rest}", access: "user" },
  { path: "/admin/{*rest}", access: "admin" },
  { path: "/human/{*rest}", access: "human" },
  { path: "/agent/{*rest}", access: "agent" },
  { path: "/few/{*rest}", access: "public", limit: "few" },
  { path: "/off/{*rest}", access: "user", feature: "missing" },
  { path: "/policy/{*rest}", access: "user", policy: "p" },
  { path: "/bot/{*rest}", access: "user", bot_check: "order" },
  { path: "/field/{*rest}", access: "user", return_field: "next" },
];
const OPTIONS = {
  bindings: { kvNamespaces: ["KV"] },
  variables: {
    ...ACCOUNTS,
    RATE_LIMITS,
    LOG_SAMPLE: 1,
    // Nothing listens there: the policy is unavailable.
    POLICY_URL: "http://127.0.0.1:9/decide",
    TURNSTILE_SECRET: "1x0000000000000000000000000000000AA",
  },
};

const OWN = { "sec-fetch-site": "same-origin" };
const FOREIGN = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
const post = (headers, body = "a=1") => ({
  method: "POST",
  headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
  body,
});

// Each kind of request with its refusal. `undefined`: it is not refused.
function kinds({ root, invalid }) {
  const admin = root.headers;
  return [
    ["/open/a", {}, undefined],
    ["/maybe/a", { headers: admin }, undefined],
    ["/user/a", { headers: admin }, undefined],
    ["/admin/a", post({ ...admin, ...OWN }), undefined],
    ["/human/a", { headers: admin }, undefined],
    ["/field/a", post({ ...admin, ...OWN }, "next=%2Fhome"), undefined],
    ["/maybe/b", { headers: { cookie: invalid } }, undefined],
    ["/open/b", post(OWN), undefined],
    ["/no-rule", { headers: admin }, undefined],
    ["/few/first", {}, undefined],
    ["/user/b", {}, "401 unauthorized access"],
    ["/user/c", { headers: { cookie: invalid } }, "401 unauthorized access"],
    [
      "/user/d",
      { headers: { "sec-fetch-mode": "navigate", accept: "text/html" } },
      "302 redirect_to_login access",
    ],
    ["/user/e", post({ ...admin, ...FOREIGN }), "403 forbidden_origin csrf"],
    ["/agent/a", { headers: admin }, "403 forbidden_kind access"],
    ["/off/a", { headers: admin }, "403 feature_disabled feature"],
    ["/policy/a", { headers: admin }, "403 forbidden_policy policy"],
    ["/bot/a", post({ ...admin, ...OWN }), "403 bot_check_failed bot_check"],
    [
      "/field/b",
      post({ ...admin, ...OWN }, "next=https%3A%2F%2Fevil.example"),
      "400 invalid_body return_field",
    ],
    ["/few/second", {}, "429 rate_limited address_limit"],
  ];
}

// Sends the requests, and returns what became of each.
async function sendAll(mode) {
  const gateway = await openGateway({
    ...OPTIONS,
    routes: ROUTES,
    variables: { ...OPTIONS.variables, MODE: mode },
  });
  try {
    const { root } = await setUpUsers(gateway);
    const invalid = sessionCookies(breakSignature(createSessionToken()));
    const all = kinds({ root, invalid });
    const [before, logged] = [gateway.upstreamRequests.length, gateway.log.length];
    const sent = [];
    for (let i = 0; i < REQUESTS; i += 1) {
      const [path, options, refusal] = all[i % all.length];
      // The two requests under the limit come from the same address in each round, and from another in the next.
      const address = `192.0.${Math.floor(i / all.length)}.7`;
      const headers = { "x-number": String(i), "CF-Connecting-IP": address, ...options.headers };
      const response = await gateway.request(path, { ...options, headers });
      sent.push({ path, refusal, response });
    }
    await gateway.waitForLog(() => requestLines(gateway.log.slice(logged)).length === REQUESTS);
    const lines = requestLines(gateway.log.slice(logged));
    return { sent, lines, received: gateway.upstreamRequests.slice(before) };
  } finally {
    await gateway.stop();
  }
}

const requestLines = (log) =>
  log.filter((line) => line.startsWith('{"event":"request"')).map((line) => JSON.parse(line));

test(`of ${REQUESTS} mixed requests, upstream gets all, and the log names exactly the refused half`, async () => {
  const enforced = await sendAll("enforce");
  const refused = enforced.sent.filter(({ refusal }) => refusal);
  assert.equal(refused.length, REQUESTS / 2);
  assert.equal(enforced.received.length, REQUESTS / 2);

  const reported = await sendAll("report");
  assert.deepEqual(
    reported.received.map(({ headers }) => Number(headers["x-number"])),
    Array.from({ length: REQUESTS }, (_, i) => i),
  );
  for (const [i, { path, refusal, response }] of reported.sent.entries()) {
    const { decision, wouldRefuse } = reported.lines[i];
    assert.equal(response.status, 200, `${path}: ${response.text}`);
    const named = wouldRefuse && `${wouldRefuse.status} ${wouldRefuse.code} ${wouldRefuse.step}`;
    assert.equal(named, refusal, path);
    assert.equal(decision, refusal ? "would_refuse" : "allow", path);
    // It is what enforcing mode answered.
    const line = enforced.lines[i];
    const answered = line.step && `${line.status} ${line.decision} ${line.step}`;
    assert.equal(named, answered, path);
    assert.equal(wouldRefuse?.reason, line.step && line.reason, path);
    // No invalid cookie is expired.
    assert.deepEqual(response.cookies, [], path);
  }
  const identities = reported.received.map(({ headers }) => headers["x-author-type"]);
  for (const [i, { path }] of reported.sent.entries()) {
    const isProven = ![
      "/open",
      "/few",
      "/user/b",
      "/user/c",
      "/user/d",
      "/user/e",
      "/maybe/b",
    ].some((start) => path.startsWith(start));
    assert.equal(identities[i], isProven ? "user" : undefined, path);
  }
});

test("built-in routes, paths and rules in enforcing mode refuse", async () => {
  const gateway = await openGateway({
    ...OPTIONS,
    routes: [...ROUTES, { path: "/strict", access: "user", mode: "enforce" }],
    variables: { ...OPTIONS.variables, MODE: "report" },
  });
  try {
    await setUpUsers(gateway);
    await gateway.expectRejected("/api/auth/me", {}, 401, "unauthorized", "no_credential");
    await gateway.expectRejected("/api/users", {}, 401, "unauthorized", "no_credential");
    await gateway.expectRejected("/user/%2e%2e%2fadmin", {}, 400, "ambiguous_path");
    await gateway.expectRejected("/strict", {}, 401, "unauthorized", "no_credential");
    const { seen } = await gateway.expectForwarded(() => gateway.request("/user/a"));
    assert.equal(seen.headers["x-author-id"], undefined);
  } finally {
    await gateway.stop();
  }
});
