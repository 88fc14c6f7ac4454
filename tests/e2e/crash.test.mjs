// Kills the process while invites are being redeemed. Afterwards, either the user exists and the invite is used, or
// neither.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openGateway } from "../support/gateway.mjs";
import { killAll } from "../support/worker.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";
const ROUNDS = Number(process.env.CRASHES ?? 6);

test(`a redemption is complete or absent after the process was killed (${ROUNDS} rounds)`, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const open = () =>
    openGateway({
      variables: { SESSION: { login: "accounts" }, SETUP_TOKEN },
      folder,
    });
  let gateway = await open();
  t.after(async () => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  // Each request comes from a new address, so that none is rate limited.
  let count = 0;
  const request = (path, { headers, ...options } = {}) => {
    count += 1;
    const address = `10.0.${count >> 8}.${count & 255}`;
    return gateway.request(path, {
      ...options,
      headers: { "CF-Connecting-IP": address, ...headers },
    });
  };
  const post = (path, body, headers = {}) =>
    request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const root = { email: "root@example.com", password: PASSWORD };
  assert.equal((await post("/api/auth/setup", { setupToken: SETUP_TOKEN, ...root })).status, 201);
  const signIn = async () => {
    const response = await post("/api/auth/login", root);
    assert.equal(response.status, 200, response.text);
    return response.headers["set-cookie"][0].split(";")[0];
  };

  const tally = { complete: 0, absent: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    const invites = [];
    const Cookie = await signIn();
    for (let i = 0; i < 4; i += 1) {
      invites.push((await post("/api/invites", { role: "user" }, { Cookie })).json());
    }
    const redemptions = invites.map(({ token }, i) =>
      post(`/api/invites/${token}/redeem`, { email: email(round, i), password: PASSWORD }).then(
        ({ status }) => status,
        () => undefined,
      ),
    );
    // The random delay ends before, during, between or after the redemptions.
    await sleep(Math.random() * 400);
    killAll();
    const answers = await Promise.all(redemptions);
    await gateway.stop().catch(() => {});

    gateway = await open();
    const headers = { Cookie: await signIn() };
    const users = (await request("/api/users?limit=100", { headers })).json().items;
    const allInvites = (await request("/api/invites?limit=100", { headers })).json().items;
    for (const [i, { id }] of invites.entries()) {
      const user = users.find((one) => one.email === email(round, i));
      const invite = allInvites.find((one) => one.id === id);
      const expected = user ? ["used", user.id] : ["unused", null];
      assert.deepEqual([invite.status, invite.usedBy], expected, `answered ${answers[i]}`);
      if (answers[i] === 201) assert.ok(user, "an answered redemption was lost");
      tally[user ? "complete" : "absent"] += 1;
      if (!user) continue;
      const login = await post("/api/auth/login", { email: user.email, password: PASSWORD });
      assert.equal(login.status, 200, login.text);
    }
  }
  t.diagnostic(`${tally.complete} complete, ${tally.absent} absent`);
});

const email = (round, i) => `r${round}u${i}@example.com`;
