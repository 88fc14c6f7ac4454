// Stores that fail or hang: nobody is let in, nobody is signed out, and nothing is asked of upstream.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway, sessionSet } from "../support/gateway.mjs";

// Puts objects in the way that do as `X-Stores` says: fail, never answer, or belong to a version with another format of commands.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const broken = {
  failing: () => Promise.reject(new Error("the store is down")),
  silent: () => new Promise(() => {}),
  newer: (store, command, ...rest) => {
    const changed = command.slice();
    changed[0] += 1;
    return store.command(changed, ...rest);
  },
};
const NAMES = ["ACCOUNTS", "LIMITER", "SESSIONS", "TOKENS"];
export default {
  fetch(request, env, context) {
    const call = broken[request.headers.get("x-stores")];
    const around = (store) => ({
      idFromName: (name) => store.idFromName(name),
      get: (id) => ({ command: (...given) => call(store.get(id), ...given) }),
    });
    const others = call ? Object.fromEntries(NAMES.map((name) => [name, around(env[name])])) : {};
    return worker.fetch(request, { ...env, ...others }, context);
  },
};`;

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };

let gateway;
let Cookie;
let Authorization;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/open/{*rest}", access: "public" },
      { path: "/maybe/{*rest}", access: "optional" },
      { path: "/user/{*rest}", access: "user" },
    ],
    variables: { SESSION: { login: "accounts", check_ttl: "0s" }, SETUP_TOKEN },
    around: { "entry.mjs": ENTRY },
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: "correct horse" };
  const set = await post("/api/auth/setup", first);
  Cookie = `mk_session=${sessionSet(set).value}`;
  const made = await post("/api/agent-tokens", { name: "t", prefix: "mul_" }, { Cookie });
  Authorization = `Bearer ${made.json().plaintext}`;
});
after(() => gateway.stop());

const post = (path, body, headers = {}) =>
  gateway.ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });

for (const stores of ["failing", "silent", "newer"]) {
  describe(`${stores} stores`, { concurrency: true }, () => {
    const broken = { "X-Stores": stores };
    const unavailable = (response) => {
      assertProblem(response, 503, "store_unavailable");
      assert.equal(response.headers["retry-after"], "1");
      assert.deepEqual(response.cookies, [], "the cookie stays");
    };
    const ask = (path, headers) => gateway.ask(path, { headers: { ...broken, ...headers } });

    for (const path of ["/user/x", "/maybe/x", "/api/auth/me", "/api/users"]) {
      test(`a session at ${path}`, async () =>
        unavailable(await gateway.untouched(() => ask(path, { Cookie }))));
    }

    test("a token", async () =>
      unavailable(await gateway.untouched(() => ask("/user/x", { Authorization }))));

    test("signing in", async () => {
      const body = { email: "root@example.com", password: "correct horse" };
      unavailable(await post("/api/auth/login", body, broken));
    });

    test("signing out", async () =>
      unavailable(await post("/api/auth/logout", {}, { ...broken, Cookie })));
  });

  test(`${stores} stores are no matter where nobody is asked for`, async () => {
    const headers = { "X-Stores": stores, Cookie };
    const { response } = await gateway.passed(() => gateway.ask("/open/x", { headers }));
    assert.equal(response.text, "ok");
  });
}

test("they were kept: the session and the token are as good as before", async () => {
  for (const headers of [{ Cookie }, { Authorization }])
    assert.equal((await gateway.ask("/user/x", { headers })).text, "ok");
});
