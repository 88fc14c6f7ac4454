// This build opens the databases of earlier builds, and everything in them still works.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { devicesOf, totp } from "../support/factors.mjs";
import { assertProblem, PUBLIC } from "../support/gateway.mjs";
import { newPasskey } from "../support/passkeys.mjs";
import { ANONYMOUS, callerOf, PASSWORD } from "../support/people.mjs";
import {
  deliver,
  MADE_AT,
  NEW_PASSWORD,
  openDeployment,
  requestsOfHour,
  restore,
  STORED,
} from "../support/stored.mjs";
import { trackSecret } from "../support/tokens.mjs";

const stored = readdirSync(STORED).filter((name) => /^\d+$/.test(name));

test("there are databases of an earlier build", () => assert.ok(stored.includes("1")));

for (const number of stored) {
  describe(`databases of generation ${number}`, () => {
    const from = join(STORED, number);
    const known = JSON.parse(readFileSync(join(from, "known.json"), "utf8"));
    const { root, ada, gone, token, machine, revoked, agent, invite, fay, gus } = known;
    let folder;
    let gateway;
    let call;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "vestibule-"));
      restore(from, folder);
      gateway = await openDeployment(folder, 30);
      call = callerOf(gateway);
    });
    after(async () => {
      await gateway.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const expectStatus = async (status, sent) => {
      const response = await sent;
      assert.equal(response.status, status, response.text);
      return response;
    };
    const expectNotForwarded = (status, ...args) =>
      gateway.expectNotForwarded(() => expectStatus(status, call(...args)));
    const post = (path, caller, body, headers) => call("POST", path, caller, body, { headers });

    test("live sessions and tokens are valid, ended and revoked ones are not", async () => {
      for (const [caller, id] of [
        [root, root.id],
        [ada, ada.id],
        [token, ada.id],
        [machine, ada.id],
        [agent, undefined],
      ]) {
        const { seen } = await gateway.expectForwarded(() => call("GET", "/anything", caller));
        assert.equal(seen.headers["x-user-id"], id);
      }
      for (const caller of [gone, revoked])
        await expectNotForwarded(401, "GET", "/anything", caller);
    });

    test("tokens have the scope that they had, if any", async () => {
      const { items } = (await expectNotForwarded(200, "GET", "/api/agent-tokens", root)).json();
      assert.ok(items.length > 0);
      for (const { id, operations, methods, addresses } of items) {
        const scope = known.scopes?.[id] ?? { operations: null, methods: null, addresses: null };
        assert.deepEqual({ operations, methods, addresses }, scope);
      }
    });

    test("a session from before authenticated when it was opened", async () => {
      const { items } = (await expectNotForwarded(200, "GET", "/api/sessions", root)).json();
      assert.ok(items.length > 0);
      for (const { authenticatedAt, createdAt, place } of items) {
        assert.deepEqual([authenticatedAt, place], [createdAt, null]);
      }
    });

    test("users, invites and passwords work", async () => {
      const users = (await expectNotForwarded(200, "GET", "/api/users", root)).json().items;
      const actual = users.map(({ id, role, status }) => [id, role, status]).sort();
      const expected = [
        [root.id, "admin", "active"],
        [ada.id, "user", "active"],
        [gone.id, "user", "disabled"],
        ...[fay, gus].filter(Boolean).map(({ id }) => [id, "user", "active"]),
      ];
      assert.deepEqual(actual, expected.sort());
      const eve = { email: "eve@example.com", password: PASSWORD };
      const redeemed = await expectStatus(
        201,
        post(`/api/invites/${trackSecret(invite.token)}/redeem`, ANONYMOUS, eve),
      );
      assert.equal(redeemed.json().role, "admin");
      const again = { email: "ada@example.com", password: PASSWORD };
      await expectStatus(200, post("/api/auth/login", ANONYMOUS, again));
    });

    test("a stored response is replayed, and another request under its key is rejected", async () => {
      const key = { "Idempotency-Key": "order-1" };
      const again = await gateway.expectNotForwarded(() => post("/orders", ada, { n: 1 }, key));
      assert.deepEqual([again.status, again.text], [201, '{"order":7}']);
      assert.equal(again.headers["idempotent-replayed"], "true");
      const other = await gateway.expectNotForwarded(() => post("/orders", ada, { n: 2 }, key));
      assertProblem(other, 422, "idempotency_key_reused");
    });

    test("checkouts keep their status and can be confirmed", async () => {
      const checkout = async (ref) =>
        (await expectNotForwarded(200, "GET", `/api/checkouts/${ref}`, ada)).json();
      assert.equal((await checkout("cs_open")).status, "pending");
      assert.equal((await checkout("cs_paid")).evidence.event, "evt_cs_paid");
      const event = (data) => ({ id: `evt_${data}`, type: "paid", data });
      await expectStatus(200, deliver(gateway, "/hooks/shop", event("cs_open")));
      assert.equal((await checkout("cs_open")).status, "confirmed");
      // It was paid before it began.
      const key = { "Idempotency-Key": "co-3" };
      await expectStatus(201, post("/checkouts", ada, { id: "cs_early" }, key));
      assert.equal((await checkout("cs_early")).status, "confirmed");
    });

    test("known events are duplicates, and the inbox has its event", async () => {
      const paid = { id: "evt_cs_paid", type: "paid", data: "cs_paid" };
      const again = await gateway.expectNotForwarded(() => deliver(gateway, "/hooks/shop", paid));
      assert.equal(again.headers["x-webhook-duplicate"], "true");
      const [event] = (await expectNotForwarded(200, "GET", "/api/webhooks", root)).json().items;
      assert.deepEqual([event.eventId, event.state], ["evt_later", "received"]);
    });

    test("an approval can be used once, and an open request can be approved", async () => {
      const act = (path, id) => post(path, machine, {}, { "Confirmation-ID": id });
      await gateway.expectForwarded(() =>
        expectStatus(200, act("/deploys/approved", known.approved)),
      );
      await gateway.expectNotForwarded(() =>
        expectStatus(403, act("/deploys/approved", known.approved)),
      );
      await expectNotForwarded(200, "POST", `/api/confirmations/${known.open}/approve`, ada);
      await gateway.expectForwarded(() => expectStatus(200, act("/deploys/open", known.open)));
    });

    test("the counts go on from what was counted", async () => {
      assert.ok((await requestsOfHour(call, root)) >= (known.requests ?? 1));
    });

    test("the audit trail has its rows and verifies", async () => {
      const { chains } = (
        await expectNotForwarded(200, "GET", "/api/audit/verify?day=2033-05-18", root)
      ).json();
      assert.ok(
        chains.every(({ broken }) => !broken),
        JSON.stringify(chains),
      );
      assert.ok(chains.reduce((sum, { rows }) => sum + rows, 0) >= known.rows);
    });

    test("users can enroll a second factor", async () => {
      const devices = devicesOf(call, MADE_AT + 30);
      const app = await devices.enroll(ada);
      const ticket = await devices.ticket("ada");
      await expectStatus(200, devices.finish({ ticket, code: app.code() }));
    });

    // Generation 1 is older than these.
    const hasFactors = { skip: !fay && "without second factors" };
    test("second factors of an earlier build sign their user in", hasFactors, async () => {
      const now = MADE_AT + 30;
      const devices = devicesOf(call, now);
      const code = totp(trackSecret(fay.secret), now);
      for (const proof of [{ code }, { recoveryCode: trackSecret(fay.recoveryCodes[0]) }]) {
        const finish = async () =>
          devices.finish({ ticket: await devices.ticket("fay"), ...proof });
        await expectStatus(200, finish());
        assertProblem(await finish(), 401, "invalid_credentials");
      }
      const passkey = newPasskey({ origin: PUBLIC, saved: fay.passkey });
      const options = await devices.post("/api/auth/passkeys/login-options", {});
      const { ceremony, publicKey } = options.json();
      const body = { ceremony, passkey: passkey.get(publicKey) };
      await expectStatus(200, devices.post("/api/auth/passkeys/login", body));
    });

    test("a changed password and a reset link count as before", hasFactors, async () => {
      const logIn = (name, password) =>
        post("/api/auth/login", ANONYMOUS, { email: `${name}@example.com`, password });
      await gateway.expectForwarded(() => call("GET", "/anything", gus));
      assertProblem(await logIn("gus", PASSWORD), 401, "invalid_credentials");
      await expectStatus(200, logIn("gus", NEW_PASSWORD));
      const body = { token: trackSecret(known.reset.token), newPassword: NEW_PASSWORD };
      await expectStatus(204, post("/api/auth/reset/redeem", ANONYMOUS, body));
      await expectNotForwarded(401, "GET", "/anything", fay);
      assertProblem(await logIn("fay", NEW_PASSWORD), 401, "second_factor_required");
      assertProblem(await post("/api/auth/reset/redeem", ANONYMOUS, body), 410, "reset_unusable");
    });

    test("a new password replaces one of an earlier build, and ends its sessions", async () => {
      const newPassword = NEW_PASSWORD;
      const made = await expectStatus(201, post(`/api/users/${ada.id}/reset`, root));
      const token = trackSecret(made.json().token);
      await expectStatus(204, post("/api/auth/reset/redeem", ANONYMOUS, { token, newPassword }));
      await expectNotForwarded(401, "GET", "/anything", ada);
      const logIn = (password) =>
        post("/api/auth/login", ANONYMOUS, { email: "ada@example.com", password });
      assertProblem(await logIn(PASSWORD), 401, "invalid_credentials");
      assertProblem(await logIn(newPassword), 401, "second_factor_required");
      const change = { currentPassword: PASSWORD, newPassword };
      await expectStatus(204, post("/api/auth/password", root, change));
      await expectNotForwarded(200, "GET", "/api/users", root);
    });

    test("rate limits keep their counts", async () => {
      const headers = { "CF-Connecting-IP": "192.0.2.1" };
      await expectStatus(200, gateway.request("/limited", { headers }));
      await gateway.expectNotForwarded(() =>
        expectStatus(429, gateway.request("/limited", { headers })),
      );
    });
  });
}
