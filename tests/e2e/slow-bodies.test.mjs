// A client that was admitted and then sends its body slowly is judged again once the body is there.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { read, responseOf, send } from "../support/client.mjs";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, PASSWORD, settle } from "../support/people.mjs";
import { remember } from "../support/tokens.mjs";
import { trailOf } from "../support/trail.mjs";
import { startTurnstile, TURNSTILE_SECRET } from "../support/turnstile.mjs";
import { startUpstream } from "../support/upstream.mjs";

// Tells the test when the registry has answered for `X-Watched`: from then on nothing but the body is waited for.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const watched = (store, env) => ({
  idFromName: (name) => store.idFromName(name),
  get: (id) => ({
    async command(...given) {
      const reply = await store.get(id).command(...given);
      await fetch(env.WATCH + "/judged");
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
let consent;
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
    around: { "entry.mjs": ENTRY },
    bindings: { kvNamespaces: ["KV"] },
  });
  people = await settle(gateway);
  consent = consentOf(gateway, people);
  ({ root, call } = people);
});
after(() => gateway.stop());
after(() => watch.stop());
after(() => turnstile.stop());

let count = 0;
async function admin() {
  count += 1;
  const { token } = (await call("POST", "/api/invites", root, { role: "admin" })).json();
  const body = { email: `person-${count}@example.com`, password: PASSWORD };
  const headers = { "CF-Connecting-IP": `192.0.2.${count}` };
  const path = `/api/invites/${remember(token)}/redeem`;
  const response = await call("POST", path, NOBODY, body, { headers });
  assert.equal(response.status, 201, response.text);
  const [Cookie] = response.cookies[0].split(";");
  remember(Cookie.slice(Cookie.indexOf("=") + 1));
  return { id: response.json().userId, headers: { Cookie } };
}

// Sends half of a body, lets something happen once the sender was judged, and sends the rest.
async function slowly(path, who, body, happens, headers = {}) {
  const judged = watch.arrival();
  const request = send(gateway.direct, path, {
    method: "POST",
    host: "app.example",
    headers: {
      "Sec-Fetch-Site": "same-origin",
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      "X-Watched": "1",
      ...who.headers,
      ...headers,
    },
  });
  const half = Math.floor(body.length / 2);
  const answered = responseOf(request);
  answered.catch(() => {});
  request.write(body.slice(0, half));
  await Promise.race([judged, once(request, "error")]);
  const happened = await happens();
  assert.ok([200, 204].includes(happened?.status), happened?.text);
  request.end(body.slice(half));
  return read(await answered);
}

const set = (id, change) => call("PATCH", `/api/users/${id}`, root, change);
const ENDS = {
  demoted: ({ id }) => set(id, { role: "user" }),
  disabled: ({ id }) => set(id, { status: "disabled" }),
  deleted: ({ id }) => call("DELETE", `/api/users/${id}`, root),
  "signed out by an admin": ({ id }) => call("DELETE", `/api/sessions?user=${id}`, root),
  "signed out by themselves": (bee) => call("POST", "/api/auth/logout", bee),
};

const key = () => ({ "Idempotency-Key": `key-${count}-${Math.random()}` });
const widget = () => JSON.stringify({ "cf-turnstile-response": turnstile.issue(), more: "more" });

describe("between the halves of a body", { concurrency: false }, () => {
  for (const [path, bodyOf, headersOf] of [
    ["keyed", () => '{"amount": 100000}', key],
    ["checked", widget, () => ({})],
  ]) {
    for (const [what, end] of Object.entries(ENDS)) {
      test(`a ${path} request of an admin who is ${what}`, async () => {
        const bee = await admin();
        const [body, headers] = [bodyOf(), headersOf()];
        const asked = turnstile.asked.length;
        const response = await gateway.untouched(() =>
          slowly(`/admin/${path}`, bee, body, () => end(bee), headers),
        );
        if (what === "demoted") {
          assertProblem(response, 403, "forbidden_role");
          assert.deepEqual(response.cookies, []);
        } else {
          assertProblem(response, 401, "unauthorized", "session_revoked");
          assert.deepEqual(response.cookies, ["mk_session=; Path=/; Max-Age=0"]);
        }
        assert.equal(turnstile.asked.length, asked, "no token of the widget is spent");
        if (what !== "demoted") return;
        // Nothing was claimed or spent: who may, sends the very same again.
        await set(bee.id, { role: "admin" });
        const again = { "Content-Type": "application/json", ...headers };
        const sent = () => call("POST", `/admin/${path}`, bee, body, { headers: again });
        assert.equal((await gateway.passed(sent)).response.text, "ok");
      });
    }

    test(`a ${path} request of a user who was an admin is stamped with what they are`, async () => {
      const bee = await admin();
      const { seen } = await gateway.passed(() =>
        slowly(`/user/${path}`, bee, bodyOf(), () => ENDS.demoted(bee), headersOf()),
      );
      assert.deepEqual([seen.headers["x-user-id"], seen.headers["x-user-role"]], [bee.id, "user"]);
    });
  }

  test("a client that was signed out does not go on anonymously", async () => {
    const bee = await admin();
    const response = await gateway.untouched(() =>
      slowly("/maybe/keyed", bee, "{}", () => ENDS["signed out by themselves"](bee), key()),
    );
    assertProblem(response, 401, "unauthorized", "session_revoked");
  });

  test("a stored answer is not replayed", async () => {
    const bee = await admin();
    const headers = { "Content-Type": "application/json", ...key() };
    const first = await call("POST", "/user/keyed", bee, "{}", { headers });
    assert.equal(first.text, "ok");
    const response = await gateway.untouched(() =>
      slowly("/user/keyed", bee, "{}", () => ENDS.disabled(bee), headers),
    );
    assertProblem(response, 401, "unauthorized", "session_revoked");
  });

  test("a token that is revoked", async () => {
    const bee = await admin();
    const token = await people.token(bee, "mul_");
    const response = await gateway.untouched(() =>
      slowly(
        "/user/keyed",
        token,
        "{}",
        () => call("DELETE", `/api/agent-tokens/${token.id}`, root),
        key(),
      ),
    );
    assertProblem(response, 401, "unauthorized", "token_revoked");
  });

  test("an agent's token whose maker is demoted", async () => {
    const bee = await admin();
    const token = await people.token(bee, "mk_");
    const response = await gateway.untouched(() =>
      slowly("/maybe/keyed", token, "{}", () => ENDS.demoted(bee), key()),
    );
    assertProblem(response, 401, "unauthorized", "token_revoked");
  });

  test("the audit trail names the refused principal", async () => {
    const bee = await admin();
    const rows = await trailOf(people).left(
      1,
      () => slowly("/user/keyed", bee, "{}", () => ENDS["signed out by an admin"](bee), key()),
      `principal=${bee.id}`,
    );
    assert.deepEqual(
      [rows[0].principal.id, rows[0].decision, rows[0].status],
      [bee.id, "unauthorized", 401],
    );
  });

  for (const [what, end] of Object.entries(ENDS).slice(0, 3)) {
    test(`a machine's approved act, whose owner is ${what}, and the consent is not spent`, async () => {
      const bee = await admin();
      const machine = await people.token(bee, "mat_");
      const body = '{"deploy": "production"}';
      const headers = { "Content-Type": "application/json" };
      const sent = (more) =>
        call("POST", "/admin/confirmed", machine, body, { headers: { ...headers, ...more } });
      const { confirmationId } = await consent.asked(() => sent({ "X-Watched": "1" }));
      await consent.decided(confirmationId, "approve", root);
      const id = { "Confirmation-ID": confirmationId };
      const response = await gateway.untouched(() =>
        slowly("/admin/confirmed", machine, body, () => end(bee), id),
      );
      if (what === "demoted") assertProblem(response, 403, "forbidden_role");
      else assertProblem(response, 401, "unauthorized", "token_revoked");
      if (what === "deleted") return;
      await set(bee.id, { role: "admin", status: "active" });
      const { seen } = await gateway.passed(() => sent({ ...id, "X-Watched": "1" }));
      assert.equal(seen.headers["x-confirmed-by"], root.id);
    });
  }

  test("no consent is asked for on behalf of a deleted user", async () => {
    const bee = await admin();
    const machine = await people.token(bee, "mat_");
    const response = await gateway.untouched(() =>
      slowly("/user/confirmed", machine, "{}", () => ENDS.disabled(bee)),
    );
    assertProblem(response, 401, "unauthorized", "token_revoked");
    const { items } = (await call("GET", `/api/confirmations?user=${bee.id}`, root)).json();
    assert.deepEqual(items, []);
  });

  test("a body that is not read still streams", async () => {
    const bee = await admin();
    const { response } = await gateway.passed(() =>
      slowly("/user/plain", bee, '{"a": "b"}', () => ENDS.demoted(bee)),
    );
    assert.equal(response.text, "ok");
  });
});
