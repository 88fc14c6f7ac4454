// A client that is admitted and then sends its body slowly is checked again when the body is complete.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { read, responseOf, startRequest } from "../support/client.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";
import { startTurnstile, TURNSTILE_SECRET } from "../support/turnstile.mjs";
import { startUpstream } from "../support/upstream.mjs";

// Tells the test when the registry has replied for a request with `X-Watched`. From then on, the gateway waits only for
// the body.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const watched = (store, env) => ({
  idFromName: (name) => store.idFromName(name),
  get: (id) => ({
    async command(...args) {
      const reply = await store.get(id).command(...args);
      await fetch(env.WATCH + "/checked");
      return reply;
    },
  }),
});
export default {
  fetch(request, env, context) {
    const isWatched = request.headers.has("x-watched");
    return worker.fetch(request, isWatched ? { ...env, SESSIONS: watched(env.SESSIONS, env) } : env, context);
  },
};`;

const ROUTES = [
  { path: "/user/keyed", access: "user", idempotency: "required", audit: "best_effort" },
  { path: "/admin/keyed", access: "admin", idempotency: "required" },
  { path: "/maybe/keyed", access: "optional", idempotency: "required" },
  { path: "/user/confirmed", access: "user", confirm: "human" },
  { path: "/admin/confirmed", access: "admin", confirm: "human", idempotency: "optional" },
  { path: "/user/checked", access: "user", bot_check: "signup" },
  { path: "/admin/checked", access: "admin", bot_check: "signup" },
  { path: "/user/plain", access: "user" },
];

let gateway;
let watch;
let turnstile;
let people;
let approvals;
let root;
let call;
before(async () => {
  watch = await startUpstream();
  turnstile = await startTurnstile();
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      WATCH: watch.origin,
      BOT_CHECK: { verify_url: turnstile.url },
      TURNSTILE_SECRET,
    },
    wrapperModules: { "entry.mjs": ENTRY },
    bindings: { kvNamespaces: ["KV"] },
  });
  people = await setUpUsers(gateway);
  approvals = approvalsOf(gateway, people);
  ({ root, call } = people);
});
after(() => gateway.stop());
after(() => watch.stop());
after(() => turnstile.stop());

let count = 0;
async function newAdmin() {
  count += 1;
  const { token } = (await call("POST", "/api/invites", root, { role: "admin" })).json();
  const body = { email: `person-${count}@example.com`, password: PASSWORD };
  const headers = { "CF-Connecting-IP": `192.0.2.${count}` };
  const path = `/api/invites/${trackSecret(token)}/redeem`;
  const response = await call("POST", path, ANONYMOUS, body, { headers });
  assert.equal(response.status, 201, response.text);
  const [Cookie] = response.cookies[0].split(";");
  trackSecret(Cookie.slice(Cookie.indexOf("=") + 1));
  return { id: response.json().userId, headers: { Cookie } };
}

// Sends half of a body, runs `change` once the client was checked, and sends the rest.
async function sendSlowly(path, caller, body, change, headers = {}) {
  const checked = watch.nextRequest();
  const request = startRequest(gateway.direct, path, {
    method: "POST",
    host: "app.example",
    headers: {
      "Sec-Fetch-Site": "same-origin",
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      "X-Watched": "1",
      ...caller.headers,
      ...headers,
    },
  });
  const half = Math.floor(body.length / 2);
  const response = responseOf(request);
  response.catch(() => {});
  request.write(body.slice(0, half));
  await Promise.race([checked, once(request, "error")]);
  const changed = await change();
  assert.ok([200, 204].includes(changed?.status), changed?.text);
  request.end(body.slice(half));
  return read(await response);
}

const set = (id, change) => call("PATCH", `/api/users/${id}`, root, change);
const ENDS = {
  demoted: ({ id }) => set(id, { role: "user" }),
  disabled: ({ id }) => set(id, { status: "disabled" }),
  deleted: ({ id }) => call("DELETE", `/api/users/${id}`, root),
  "signed out by an admin": ({ id }) => call("DELETE", `/api/sessions?user=${id}`, root),
  "signed out by themselves": (user) => call("POST", "/api/auth/logout", user),
};

const key = () => ({ "Idempotency-Key": `key-${count}-${Math.random()}` });
const widget = () => JSON.stringify({ "cf-turnstile-response": turnstile.issue(), more: "more" });

describe("a change after half of the body", { concurrency: false }, () => {
  for (const [path, bodyOf, headersOf] of [
    ["keyed", () => '{"amount": 100000}', key],
    ["checked", widget, () => ({})],
  ]) {
    for (const [label, end] of Object.entries(ENDS)) {
      test(`rejects a ${path} request of an admin who is ${label}`, async () => {
        const user = await newAdmin();
        const [body, headers] = [bodyOf(), headersOf()];
        const asked = turnstile.requests.length;
        const response = await gateway.expectNotForwarded(() =>
          sendSlowly(`/admin/${path}`, user, body, () => end(user), headers),
        );
        if (label === "demoted") {
          assertProblem(response, 403, "forbidden_role");
          assert.deepEqual(response.cookies, []);
        } else {
          assertProblem(response, 401, "unauthorized", "session_revoked");
          assert.deepEqual(response.cookies, ["mk_session=; Path=/; Max-Age=0"]);
        }
        assert.equal(turnstile.requests.length, asked, "no Turnstile token is spent");
        if (label !== "demoted") return;
        // Nothing was claimed or spent: an admin can send the same request again.
        await set(user.id, { role: "admin" });
        const again = { "Content-Type": "application/json", ...headers };
        const sent = () => call("POST", `/admin/${path}`, user, body, { headers: again });
        assert.equal((await gateway.expectForwarded(sent)).response.text, "ok");
      });
    }

    test(`forwards a ${path} request of a demoted admin with the role user`, async () => {
      const user = await newAdmin();
      const { seen } = await gateway.expectForwarded(() =>
        sendSlowly(`/user/${path}`, user, bodyOf(), () => ENDS.demoted(user), headersOf()),
      );
      assert.deepEqual([seen.headers["x-user-id"], seen.headers["x-user-role"]], [user.id, "user"]);
    });
  }

  test("does not treat a client that was signed out as anonymous", async () => {
    const user = await newAdmin();
    const response = await gateway.expectNotForwarded(() =>
      sendSlowly("/maybe/keyed", user, "{}", () => ENDS["signed out by themselves"](user), key()),
    );
    assertProblem(response, 401, "unauthorized", "session_revoked");
  });

  test("does not replay a stored response to a disabled user", async () => {
    const user = await newAdmin();
    const headers = { "Content-Type": "application/json", ...key() };
    const first = await call("POST", "/user/keyed", user, "{}", { headers });
    assert.equal(first.text, "ok");
    const response = await gateway.expectNotForwarded(() =>
      sendSlowly("/user/keyed", user, "{}", () => ENDS.disabled(user), headers),
    );
    assertProblem(response, 401, "unauthorized", "session_revoked");
  });

  test("rejects a token that is revoked", async () => {
    const user = await newAdmin();
    const token = await people.createToken(user, "mul_");
    const response = await gateway.expectNotForwarded(() =>
      sendSlowly(
        "/user/keyed",
        token,
        "{}",
        () => call("DELETE", `/api/agent-tokens/${token.id}`, root),
        key(),
      ),
    );
    assertProblem(response, 401, "unauthorized", "token_revoked");
  });

  test("rejects an agent's token whose owner is demoted", async () => {
    const user = await newAdmin();
    const token = await people.createToken(user, "mk_");
    const response = await gateway.expectNotForwarded(() =>
      sendSlowly("/maybe/keyed", token, "{}", () => ENDS.demoted(user), key()),
    );
    assertProblem(response, 401, "unauthorized", "token_revoked");
  });

  test("records the rejected principal in the audit trail", async () => {
    const user = await newAdmin();
    const rows = await auditTrailOf(people).rowsAddedBy(
      1,
      () =>
        sendSlowly("/user/keyed", user, "{}", () => ENDS["signed out by an admin"](user), key()),
      `principal=${user.id}`,
    );
    assert.deepEqual(
      [rows[0].principal.id, rows[0].decision, rows[0].status],
      [user.id, "unauthorized", 401],
    );
  });

  for (const [label, end] of Object.entries(ENDS).slice(0, 3)) {
    test(`rejects an approved request of a machine whose owner is ${label}, and keeps the approval`, async () => {
      const user = await newAdmin();
      const machine = await people.createToken(user, "mat_");
      const body = '{"deploy": "production"}';
      const headers = { "Content-Type": "application/json" };
      const sent = (more) =>
        call("POST", "/admin/confirmed", machine, body, { headers: { ...headers, ...more } });
      const { confirmationId } = await approvals.expectRequired(() => sent({ "X-Watched": "1" }));
      await approvals.expectDecided(confirmationId, "approve", root);
      const id = { "Confirmation-ID": confirmationId };
      const response = await gateway.expectNotForwarded(() =>
        sendSlowly("/admin/confirmed", machine, body, () => end(user), id),
      );
      if (label === "demoted") assertProblem(response, 403, "forbidden_role");
      else assertProblem(response, 401, "unauthorized", "token_revoked");
      if (label === "deleted") return;
      await set(user.id, { role: "admin", status: "active" });
      const { seen } = await gateway.expectForwarded(() => sent({ ...id, "X-Watched": "1" }));
      assert.equal(seen.headers["x-confirmed-by"], root.id);
    });
  }

  test("creates no approval for a machine whose owner is disabled", async () => {
    const user = await newAdmin();
    const machine = await people.createToken(user, "mat_");
    const response = await gateway.expectNotForwarded(() =>
      sendSlowly("/user/confirmed", machine, "{}", () => ENDS.disabled(user)),
    );
    assertProblem(response, 401, "unauthorized", "token_revoked");
    const { items } = (await call("GET", `/api/confirmations?user=${user.id}`, root)).json();
    assert.deepEqual(items, []);
  });

  test("forwards a body that Vestibule does not read", async () => {
    const user = await newAdmin();
    const { response } = await gateway.expectForwarded(() =>
      sendSlowly("/user/plain", user, '{"a": "b"}', () => ENDS.demoted(user)),
    );
    assert.equal(response.text, "ok");
  });
});
