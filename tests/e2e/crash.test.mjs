// The process is killed while an invite is being redeemed. Afterwards the user is there and the invite is
// used by them, or neither.

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

test(`killed ${ROUNDS} times in the middle of redemptions: all of it or nothing`, async (t) => {
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

  // Each request comes from an address of its own, so that no limit is met.
  let count = 0;
  const ask = (path, { headers, ...options } = {}) => {
    count += 1;
    const address = `10.0.${count >> 8}.${count & 255}`;
    return gateway.ask(path, { ...options, headers: { "CF-Connecting-IP": address, ...headers } });
  };
  const post = (path, body, headers = {}) =>
    ask(path, {
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

  const tally = { whole: 0, nothing: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    const invites = [];
    const Cookie = await signIn();
    for (let at = 0; at < 4; at += 1) {
      invites.push((await post("/api/invites", { role: "user" }, { Cookie })).json());
    }
    const racing = invites.map(({ token }, at) =>
      post(`/api/invites/${token}/redeem`, { email: email(round, at), password: PASSWORD }).then(
        ({ status }) => status,
        () => undefined,
      ),
    );
    // Before, in, between or after them, as it comes: that is what is tried here.
    await sleep(Math.random() * 400);
    killAll();
    const answers = await Promise.all(racing);
    await gateway.stop().catch(() => {});

    gateway = await open();
    const headers = { Cookie: await signIn() };
    const users = (await ask("/api/users?limit=100", { headers })).json().items;
    const all = (await ask("/api/invites?limit=100", { headers })).json().items;
    for (const [at, { id }] of invites.entries()) {
      const user = users.find((one) => one.email === email(round, at));
      const invite = all.find((one) => one.id === id);
      const wanted = user ? ["used", user.id] : ["unused", null];
      assert.deepEqual([invite.status, invite.usedBy], wanted, `answered ${answers[at]}`);
      if (answers[at] === 201) assert.ok(user, "what was answered is there");
      tally[user ? "whole" : "nothing"] += 1;
      if (!user) continue;
      const login = await post("/api/auth/login", { email: user.email, password: PASSWORD });
      assert.equal(login.status, 200, login.text);
    }
  }
  t.diagnostic(`${tally.whole} whole, ${tally.nothing} not at all`);
});

const email = (round, at) => `r${round}u${at}@example.com`;
