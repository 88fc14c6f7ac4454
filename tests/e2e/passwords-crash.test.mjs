// Kills the process while passwords are being replaced. Afterwards, either the password is replaced, the link is used
// and the sessions end, or nothing has changed.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fromNewAddress } from "../support/factors.mjs";
import { openGateway, sessionCookieOf } from "../support/gateway.mjs";
import { killWithin } from "../support/kill.mjs";
import { ACCOUNTS, ANONYMOUS, callerOf, PASSWORD, SETUP_TOKEN } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import { trackSecret } from "../support/tokens.mjs";

const ROUNDS = Number(process.env.CRASHES ?? 6);
const NEW = "a quite different phrase";

test(`a reset is complete or absent after the process was killed (${ROUNDS} rounds)`, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const routes = [{ path: "/private/{*rest}", access: "authenticated" }];
  const open = () => openGateway({ routes, variables: ACCOUNTS, folder });
  let gateway = await open();
  t.after(async () => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const post = (path, caller, body) => {
    const options = { request: gateway.request, headers: fromNewAddress() };
    return callerOf(gateway)("POST", path, caller, body, options);
  };
  const sessionOf = (response) => ({
    headers: { Cookie: `mk_session=${sessionCookieOf(response).value}` },
  });
  const logIn = (email, password) => post("/api/auth/login", ANONYMOUS, { email, password });
  const first = { setupToken: trackSecret(SETUP_TOKEN), email: "root@example.com" };
  await post("/api/auth/setup", ANONYMOUS, { ...first, password: PASSWORD });

  const tally = { complete: 0, absent: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    const root = sessionOf(await logIn(first.email, PASSWORD));
    const users = [];
    for (let at = 0; at < 4; at += 1) {
      const email = `r${round}u${at}@example.com`;
      const { token } = (await post("/api/invites", root, { role: "user" })).json();
      const path = `/api/invites/${trackSecret(token)}/redeem`;
      const made = await post(path, ANONYMOUS, { email, password: PASSWORD });
      const id = made.json().userId;
      const link = trackSecret((await post(`/api/users/${id}/reset`, root)).json().token);
      users.push({ email, link, session: sessionOf(made) });
    }
    const kill = killWithin(3_000);
    const redeem = ({ link }) =>
      post("/api/auth/reset/redeem", ANONYMOUS, { token: link, newPassword: NEW }).then(
        ({ status }) => status,
        () => undefined,
      );
    const answers = await Promise.all(users.map(redeem));
    kill.end();
    await gateway.stop().catch(() => {});

    gateway = await open();
    for (const [at, user] of users.entries()) {
      const isNew = (await logIn(user.email, NEW)).status === 200;
      assert.equal((await logIn(user.email, PASSWORD)).status, isNew ? 401 : 200);
      if (answers[at] === 204) assert.ok(isNew, "an answered reset was lost");
      tally[isNew ? "complete" : "absent"] += 1;
      const statusOf = async () => {
        const private_ = callerOf(gateway)("GET", "/private/x", user.session);
        return (await private_).status;
      };
      if (isNew) {
        // An alarm tells the registry what the killed process did not.
        await pollUntil(statusOf, (status) => status === 401, "the end of the session");
        assert.equal(await redeem(user), 410);
      } else {
        assert.equal(await statusOf(), 200);
        assert.equal(await redeem(user), 204);
      }
    }
  }
  t.diagnostic(`${tally.complete} complete, ${tally.absent} absent`);
});
