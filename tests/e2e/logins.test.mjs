// Sign-ins by copies: filling, changes, a Worker or a shard that fails, a killed process, and deployments without
// shards.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { devicesOf, totp } from "../support/factors.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, callerOf, PASSWORD, setUpUsers } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import { killAll } from "../support/worker.mjs";

const NEW_PASSWORD = "another horse battery";
let count = 0;
const newAddress = () => {
  count += 1;
  return { "CF-Connecting-IP": `10.7.${count >> 8}.${count & 255}` };
};

// Counts the calls of the Worker to objects, by class. Those to the class in `x-failing` fail. Counts the commands that
// reach a shard, too: those of an alarm do not come from the Worker.
const ENTRY = `
import worker, { Logins as Shard } from "./index.js";
export * from "./index.js";
const calls = {};
let told = 0;
export class Logins extends Shard {
  command(...args) {
    told += 1;
    return super.command(...args);
  }
}
export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === "/test/calls") {
      const counted = JSON.stringify(calls);
      for (const name of Object.keys(calls)) delete calls[name];
      return new Response(counted);
    }
    if (new URL(request.url).pathname === "/test/told") return Response.json(told);
    const failing = request.headers.get("x-failing");
    const watched = (name, store) => ({
      idFromName: (id) => store.idFromName(id),
      get: (id) => ({
        command(...args) {
          calls[name] = (calls[name] ?? 0) + 1;
          if (name === failing) return Promise.reject(new Error("down"));
          return store.get(id).command(...args);
        },
      }),
    });
    const names = ["ACCOUNTS", "LOGINS"].filter((name) => env[name]);
    const others = Object.fromEntries(names.map((name) => [name, watched(name, env[name])]));
    return worker.fetch(request, { ...env, ...others }, context);
  },
};`;
const FAILING = { "X-Failing": "LOGINS" };

// Opens a gateway with its first admin, and functions that sign in.
async function open(options = {}) {
  const gateway = await openGateway({
    variables: ACCOUNTS,
    wrapperModules: { "entry.mjs": ENTRY },
    ...options,
  });
  const call = callerOf(gateway);
  const logIn = (name, password = PASSWORD, headers = {}) => {
    const body = { email: `${name}@example.com`, password };
    return call("POST", "/api/auth/login", undefined, body, {
      headers: { ...newAddress(), ...headers },
    });
  };
  const calls = async () => (await gateway.request("/test/calls")).json();
  return {
    gateway,
    call,
    logIn,
    // Returns the calls since the last time.
    calls,
    // Returns the number of commands that have reached a shard.
    told: async () => (await gateway.request("/test/told")).json(),
    // Begins to fill the shards, and resolves when sign-ins no longer need Accounts. Each attempt is for another
    // address, so that it reaches no limit.
    filled: () =>
      pollUntil(
        async () => {
          await calls();
          count += 1;
          assert.equal((await logIn(`nobody${count}`)).status, 401);
          return calls();
        },
        ({ ACCOUNTS }) => ACCOUNTS === undefined,
        "filled shards",
      ),
  };
}

// Resolves when a sign-in gets this status.
const settled = (site, name, status) =>
  pollUntil(
    () => site.logIn(name),
    (response) => response.status === status,
    `${status} for ${name}`,
  );

const changePassword = (site, caller, from, to) =>
  site.call(
    "POST",
    "/api/auth/password",
    caller,
    { currentPassword: from, newPassword: to },
    {
      headers: newAddress(),
    },
  );

describe("sign-ins by copies", () => {
  let site;
  let people;
  before(async () => {
    site = await open({ shards: true });
    people = await setUpUsers(site.gateway);
    await people.createUser("early");
    await site.filled();
  });
  after(() => site.gateway.stop());

  test("need no object for everybody, once the shards are filled", async () => {
    for (const [name, status] of [
      ["early", 200],
      ["root", 200],
      ["nobody", 401],
    ]) {
      await site.calls();
      assert.equal((await site.logIn(name)).status, status, name);
      assert.deepEqual(await site.calls(), { LOGINS: 1 }, name);
    }
    // A new user signs in at once.
    await people.createUser("new");
    await site.calls();
    assert.equal((await site.logIn("new")).status, 200);
    assert.deepEqual(await site.calls(), { LOGINS: 1 });
  });

  test("see each change when it is answered", async () => {
    const ada = await people.createUser("ada");
    const change = (body) => site.call("PATCH", `/api/users/${ada.id}`, people.root, body);
    assert.equal((await change({ status: "disabled" })).status, 200);
    assertProblem(await site.logIn("ada"), 401, "invalid_credentials");
    assert.equal((await change({ status: "active", role: "admin" })).status, 200);
    const again = await site.logIn("ada");
    assert.deepEqual([again.status, again.json().role], [200, "admin"]);
    const session = { headers: { Cookie: again.cookies[0].split(";")[0] } };
    const changed = await changePassword(site, session, PASSWORD, NEW_PASSWORD);
    assert.equal(changed.status, 204, changed.text);
    assertProblem(await site.logIn("ada"), 401, "invalid_credentials");
    assert.equal((await site.logIn("ada", NEW_PASSWORD)).status, 200);
    const app = await devicesOf(site.call, Math.floor(Date.now() / 1000)).enroll(session);
    assertProblem(await site.logIn("ada", NEW_PASSWORD), 401, "second_factor_required");
    const { ticket } = (await site.logIn("ada", NEW_PASSWORD)).json();
    const finish = { ticket, code: totp(app.secret, Date.now() / 1000 + 30) };
    const signedIn = await site.call("POST", "/api/auth/factor", undefined, finish, {
      headers: newAddress(),
    });
    assert.equal(signedIn.status, 200, signedIn.text);
    const removed = await site.call("DELETE", `/api/users/${ada.id}/factors`, people.root);
    assert.equal(removed.status, 204, removed.text);
    assert.equal((await site.logIn("ada", NEW_PASSWORD)).status, 200);
    assert.equal((await site.call("DELETE", `/api/users/${ada.id}`, people.root)).status, 204);
    assertProblem(await site.logIn("ada", NEW_PASSWORD), 401, "invalid_credentials");
  });

  test("a change that cannot be told is not answered, and is told later", async () => {
    const bob = await people.createUser("bob");
    // A sign-in that fails counts towards a limit. So the test waits for the alarm, and signs in once.
    for (const [status, signsIn] of [
      ["disabled", 401],
      ["active", 200],
    ]) {
      const told = await site.told();
      const path = `/api/users/${bob.id}`;
      const changed = await site.call("PATCH", path, people.root, { status }, { headers: FAILING });
      assertProblem(changed, 503, "store_unavailable");
      assertProblem(await site.logIn("bob", PASSWORD, FAILING), 503, "store_unavailable");
      await pollUntil(site.told, (now) => now > told, "the alarm");
      assert.equal((await site.logIn("bob")).status, signsIn, status);
    }
  });

  test("50 requests at once, while the password changes: none leaves a session with the old one", async () => {
    const eve = await people.createUser("eve");
    const sent = Array.from({ length: 30 }, (_, at) =>
      at === 15 ? changePassword(site, eve, PASSWORD, NEW_PASSWORD) : site.logIn("eve"),
    );
    const others = Array.from({ length: 20 }, () => site.logIn("root"));
    const answers = await Promise.all(sent);
    for (const { status, text } of await Promise.all(others))
      assert.ok([200, 503].includes(status), text);
    const [changed] = answers.splice(15, 1);
    // On a slow machine, so many hashes at once take longer than an object may. Then the change is made again.
    if (changed.status !== 204) {
      assertProblem(changed, 503, "store_unavailable");
      const again = await changePassword(site, eve, PASSWORD, NEW_PASSWORD);
      assert.ok([204, 401].includes(again.status), again.text);
    }
    for (const response of answers.filter(({ status }) => status === 200)) {
      const caller = { headers: { Cookie: response.cookies[0].split(";")[0] } };
      const me = await pollUntil(
        () => site.call("GET", "/api/auth/me", caller),
        ({ status }) => changed.status === 204 || status !== 200,
        "the end of a session",
      );
      assertProblem(me, 401, "unauthorized", "session_revoked");
    }
    const mine = (await site.call("GET", "/api/sessions", eve)).json().items;
    assert.equal(mine.length, 1, "the session that changed the password");
    assertProblem(await site.logIn("eve"), 401, "invalid_credentials");
    assert.equal((await site.logIn("eve", NEW_PASSWORD)).status, 200);
  });

  test("a process that is killed between a change and its copies tells them later", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-logins-"));
    let site = await open({ folder, shards: true });
    try {
      const people = await setUpUsers(site.gateway);
      const users = [];
      for (let at = 0; at < 3; at += 1) users.push(await people.createUser(`u${at}`));
      await site.filled();
      const disabled = users.map(({ id }) =>
        site.call(
          "PATCH",
          `/api/users/${id}`,
          people.root,
          { status: "disabled" },
          { headers: FAILING },
        ),
      );
      for (const response of await Promise.all(disabled)) {
        assertProblem(response, 503, "store_unavailable");
      }
      killAll();
      await site.gateway.stop().catch(() => {});
      site = await open({ folder, shards: true });
      for (let at = 0; at < 3; at += 1) {
        await settled(site, `u${at}`, 401);
      }
      assert.equal((await site.logIn("root")).status, 200);
    } finally {
      await site.gateway.stop().catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("a deployment without shards signs in at Accounts, as before", async () => {
    const site = await open();
    try {
      const people = await setUpUsers(site.gateway);
      const ada = await people.createUser("ada");
      await site.calls();
      assert.equal((await site.logIn("ada")).status, 200);
      assert.deepEqual(await site.calls(), { ACCOUNTS: 1 });
      const path = `/api/users/${ada.id}`;
      const disabled = await site.call("PATCH", path, people.root, { status: "disabled" });
      assert.equal(disabled.status, 200, disabled.text);
      assertProblem(await site.logIn("ada"), 401, "invalid_credentials");
    } finally {
      await site.gateway.stop();
    }
  });
});
