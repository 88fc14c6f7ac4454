// A gateway with a rule for each check of a request, and an admin who calls `/api/explain`.

import assert from "node:assert/strict";
import { openGateway } from "./gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "./people.mjs";
import { cookie, forge, mint } from "./tokens.mjs";
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
export async function openExplained() {
  const turnstile = await startTurnstile();
  const headers = ["Content-Type", "application/json"];
  const policy = await startUpstream({ "/judge": { headers, body: '{"decision":"allow"}' } });
  const gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      TURNSTILE_SECRET,
      BOT_CHECK: { verify_url: turnstile.url },
      POLICY_URL: `${policy.origin}/judge`,
      RATE_LIMITS: [
        { name: "by-address", limit: 3, period: "1h", by: "address" },
        { name: "by-principal", limit: 3, period: "1h", by: "principal" },
      ],
    },
    bindings: { kvNamespaces: ["KV"] },
  });
  const people = await settle(gateway);
  const { root } = people;
  await people.call("PUT", "/api/features/on", root, { state: "on" });
  const ada = await people.invited("ada");
  const personalToken = await people.token(ada, "mul_");
  const taskToken = await people.token(ada, "mat_");
  const headersOf = {
    nobody: NOBODY.headers,
    "an admin": root.headers,
    "a user": ada.headers,
    "a personal token": personalToken.headers,
    "a task": taskToken.headers,
    "an admin's task": (await people.token(root, "mat_")).headers,
    "a session and a task": { ...ada.headers, ...taskToken.headers },
    "an agent": (await people.token(root, "mk_", { agentId: "agent_7" })).headers,
    "a dead cookie": { Cookie: cookie(forge(mint())) },
    "an ended session": { Cookie: cookie(mint({ userId: ada.id, sessionId: "ses_gone" })) },
    "no token of ours": { Authorization: "Bearer mul_aaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    "a token that is none": { Authorization: "Bearer xyz" },
  };

  const explain = async (method, path, headers, as = root) => {
    const callsBefore = [turnstile.asked.length, policy.seen.length];
    const body = { method, url: `http://app.example${path}`, headers };
    const response = await gateway.untouched(() => people.call("POST", "/api/explain", as, body));
    const calls = [turnstile.asked.length, policy.seen.length];
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
