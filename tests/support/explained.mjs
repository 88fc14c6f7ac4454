// A gateway with a rule for each check of a request, and an admin who calls `/api/explain`.

import assert from "node:assert/strict";
import { openGateway } from "./gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "./people.mjs";
import { breakSignature, createSessionToken, sessionCookies } from "./tokens.mjs";
import { startTurnstile, TURNSTILE_SECRET } from "./turnstile.mjs";
import { startUpstream } from "./upstream.mjs";

const rule = (path, access, more) => ({ path, access, ...more });
const ROUTES = [
  rule("/open/{*rest}", "public", { operation: "open.read" }),
  rule("/only", "public", { methods: ["POST", "PUT"], operation: "only.write" }),
  ...["optional", "authenticated", "user", "human", "agent", "admin"].map((access) =>
    rule(`/${access}`, access),
  ),
  rule("/strict", "user", { csrf: "strict" }),
  rule("/skipped", "user", { insecure_skip_csrf: true }),
  rule("/limited", "public", { limit: "by-address" }),
  rule("/mine", "user", { limit: "by-principal" }),
  rule("/bots", "public", { bot_check: "signup" }),
  rule("/on", "user", { feature: "on" }),
  rule("/off", "user", { feature: "off" }),
  rule("/policy", "user", { policy: "payments" }),
  rule("/confirmed", "user", { confirm: "human" }),
  rule("/asked", "user", { confirm: "human", idempotency: "required" }),
  rule("/audited", "user", { audit: "required" }),
  rule("/keyed", "user", { idempotency: "required" }),
  rule("/owned/{id}", "owner", { owner_from: "/owned/{id}/meta" }),
  rule("/all", "user", {
    ...{ limit: "by-principal", bot_check: "signup", feature: "on", policy: "payments" },
    ...{ confirm: "human", audit: "required", idempotency: "required" },
  }),
];

// Opens the gateway. `headersOf` maps each kind of caller to its headers.
export async function openExplainGateway() {
  const turnstile = await startTurnstile();
  const headers = ["Content-Type", "application/json"];
  const policy = await startUpstream({ "/decide": { headers, body: '{"decision":"allow"}' } });
  const gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      TURNSTILE_SECRET,
      BOT_CHECK: { verify_url: turnstile.url },
      POLICY_URL: `${policy.origin}/decide`,
      RATE_LIMITS: [
        { name: "by-address", limit: 3, period: "1h", by: "address" },
        { name: "by-principal", limit: 3, period: "1h", by: "principal" },
      ],
    },
    bindings: { kvNamespaces: ["KV"] },
  });
  const people = await setUpUsers(gateway);
  const { root } = people;
  await people.call("PUT", "/api/features/on", root, { state: "on" });
  const ada = await people.createUser("ada");
  const personalToken = await people.createToken(ada, "mul_");
  const taskToken = await people.createToken(ada, "mat_");
  const headersOf = {
    "no credential": ANONYMOUS.headers,
    "an admin": root.headers,
    "a user": ada.headers,
    "a personal token": personalToken.headers,
    "a task": taskToken.headers,
    "an admin's task": (await people.createToken(root, "mat_")).headers,
    "a session and a task": { ...ada.headers, ...taskToken.headers },
    "an agent": (await people.createToken(root, "mk_", { agentId: "agent_7" })).headers,
    "an invalid session": { Cookie: sessionCookies(breakSignature(createSessionToken())) },
    "an ended session": {
      Cookie: sessionCookies(createSessionToken({ userId: ada.id, sessionId: "ses_gone" })),
    },
    "an unknown token": { Authorization: "Bearer mul_aaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    "a malformed token": { Authorization: "Bearer xyz" },
  };

  const explain = async (method, path, headers, as = root) => {
    const callsBefore = [turnstile.requests.length, policy.seen.length];
    const body = { method, url: `http://app.example${path}`, headers };
    const response = await gateway.expectNotForwarded(() =>
      people.call("POST", "/api/explain", as, body),
    );
    const calls = [turnstile.requests.length, policy.seen.length];
    assert.deepEqual(calls, callsBefore, "explain called an external service");
    return response;
  };

  return {
    gateway,
    people,
    root,
    headersOf,
    turnstile,
    explain,
    async explained(...args) {
      const response = await explain(...args);
      assert.equal(response.status, 200, response.text);
      assert.match(response.headers["cache-control"], /no-store/);
      return response.json();
    },
    async stop() {
      await gateway.stop();
      await Promise.all([turnstile.stop(), policy.stop()]);
    },
  };
}
