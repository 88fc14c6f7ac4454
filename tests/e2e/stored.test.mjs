// Databases that earlier builds stored are opened by this one, and everything in them still counts.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { assertProblem } from "../support/gateway.mjs";
import { callOf, NOBODY, PASSWORD } from "../support/people.mjs";
import { deliver, openDeployment, restore, STORED } from "../support/stored.mjs";
import { remember } from "../support/tokens.mjs";

const stored = readdirSync(STORED).filter((name) => /^\d+$/.test(name));

test("there are databases of an earlier build", () => assert.ok(stored.includes("1")));

for (const number of stored) {
  describe(`databases of generation ${number}`, () => {
    const from = join(STORED, number);
    const known = JSON.parse(readFileSync(join(from, "known.json"), "utf8"));
    const { root, ada, gone, token, machine, revoked, agent, invite } = known;
    let folder;
    let gateway;
    let call;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "vestibule-"));
      restore(from, folder);
      gateway = await openDeployment(folder, 30);
      call = callOf(gateway);
    });
    after(async () => {
      await gateway.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const answered = async (status, asking) => {
      const response = await asking;
      assert.equal(response.status, status, response.text);
      return response;
    };
    const untouched = (status, ...asking) =>
      gateway.untouched(() => answered(status, call(...asking)));
    const post = (path, who, body, headers) => call("POST", path, who, body, { headers });

    test("sessions and tokens go on, those that ended or were revoked do not", async () => {
      for (const [who, id] of [
        [root, root.id],
        [ada, ada.id],
        [token, ada.id],
        [machine, ada.id],
        [agent, undefined],
      ]) {
        const { seen } = await gateway.passed(() => call("GET", "/anything", who));
        assert.equal(seen.headers["x-user-id"], id);
      }
      for (const who of [gone, revoked]) await untouched(401, "GET", "/anything", who);
    });

    test("users, invites and passwords are there", async () => {
      const users = (await untouched(200, "GET", "/api/users", root)).json().items;
      const told = users.map(({ id, role, status }) => [id, role, status]).sort();
      const wanted = [
        [root.id, "admin", "active"],
        [ada.id, "user", "active"],
        [gone.id, "user", "disabled"],
      ];
      assert.deepEqual(told, wanted.sort());
      const eve = { email: "eve@example.com", password: PASSWORD };
      const redeemed = await answered(
        201,
        post(`/api/invites/${remember(invite.token)}/redeem`, NOBODY, eve),
      );
      assert.equal(redeemed.json().role, "admin");
      const again = { email: "ada@example.com", password: PASSWORD };
      await answered(200, post("/api/auth/login", NOBODY, again));
    });

    test("an answer under a key is replayed, and another request refused", async () => {
      const key = { "Idempotency-Key": "order-1" };
      const again = await gateway.untouched(() => post("/orders", ada, { n: 1 }, key));
      assert.deepEqual([again.status, again.text], [201, '{"order":7}']);
      assert.equal(again.headers["idempotent-replayed"], "true");
      const other = await gateway.untouched(() => post("/orders", ada, { n: 2 }, key));
      assertProblem(other, 422, "idempotency_key_reused");
    });

    test("checkouts are what they were, and are confirmed", async () => {
      const checkout = async (ref) =>
        (await untouched(200, "GET", `/api/checkouts/${ref}`, ada)).json();
      assert.equal((await checkout("cs_open")).status, "pending");
      assert.equal((await checkout("cs_paid")).evidence.event, "evt_cs_paid");
      const event = (data) => ({ id: `evt_${data}`, type: "paid", data });
      await answered(200, deliver(gateway, "/hooks/shop", event("cs_open")));
      assert.equal((await checkout("cs_open")).status, "confirmed");
      // Paid before it was begun.
      const key = { "Idempotency-Key": "co-3" };
      await answered(201, post("/checkouts", ada, { id: "cs_early" }, key));
      assert.equal((await checkout("cs_early")).status, "confirmed");
    });

    test("events that came are duplicates, those in the inbox are still delivered", async () => {
      const paid = { id: "evt_cs_paid", type: "paid", data: "cs_paid" };
      const again = await gateway.untouched(() => deliver(gateway, "/hooks/shop", paid));
      assert.equal(again.headers["x-webhook-duplicate"], "true");
      const [event] = (await untouched(200, "GET", "/api/webhooks", root)).json().items;
      assert.deepEqual([event.eventId, event.state], ["evt_later", "received"]);
    });

    test("a consent that was given counts once, one that is awaited can be given", async () => {
      const act = (path, id) => post(path, machine, {}, { "Confirmation-ID": id });
      await gateway.passed(() => answered(200, act("/deploys/approved", known.approved)));
      await gateway.untouched(() => answered(403, act("/deploys/approved", known.approved)));
      await untouched(200, "POST", `/api/confirmations/${known.open}/approve`, ada);
      await gateway.passed(() => answered(200, act("/deploys/open", known.open)));
    });

    test("the audit trail holds, with its rows", async () => {
      const { chains } = (
        await untouched(200, "GET", "/api/audit/verify?day=2033-05-18", root)
      ).json();
      assert.ok(
        chains.every(({ broken }) => !broken),
        JSON.stringify(chains),
      );
      assert.ok(chains.reduce((sum, { rows }) => sum + rows, 0) >= known.rows);
    });

    test("counts go on", async () => {
      const headers = { "CF-Connecting-IP": "192.0.2.1" };
      await answered(200, gateway.ask("/limited", { headers }));
      await gateway.untouched(() => answered(429, gateway.ask("/limited", { headers })));
    });
  });
}
