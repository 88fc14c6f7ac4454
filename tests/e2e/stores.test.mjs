// Stores that fail or hang: nobody is admitted, nobody is signed out, and upstream is not called.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway, sessionCookieOf } from "../support/gateway.mjs";

// Replaces the objects as `X-Stores` says: they fail, never reply, or are of a version with another format of commands.
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
      get: (id) => ({ command: (...args) => call(store.get(id), ...args) }),
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
    wrapperModules: { "entry.mjs": ENTRY },
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: "correct horse" };
  const setup = await post("/api/auth/setup", first);
  Cookie = `mk_session=${sessionCookieOf(setup).value}`;
  const created = await post("/api/agent-tokens", { name: "t", prefix: "mul_" }, { Cookie });
  Authorization = `Bearer ${created.json().plaintext}`;
});
after(() => gateway.stop());

const post = (path, body, headers = {}) =>
  gateway.request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });

for (const stores of ["failing", "silent", "newer"]) {
  describe(`${stores} stores`, { concurrency: true }, () => {
    const broken = { "X-Stores": stores };
    const assertUnavailable = (response) => {
      assertProblem(response, 503, "store_unavailable");
      assert.equal(response.headers["retry-after"], "1");
      assert.deepEqual(response.cookies, [], "the cookie is kept");
    };
    const request = (path, headers) =>
      gateway.request(path, { headers: { ...broken, ...headers } });

    for (const path of ["/user/x", "/maybe/x", "/api/auth/me", "/api/users"]) {
      test(`return 503 for a session at ${path}`, async () =>
        assertUnavailable(await gateway.expectNotForwarded(() => request(path, { Cookie }))));
    }

    test("return 503 for a token", async () =>
      assertUnavailable(
        await gateway.expectNotForwarded(() => request("/user/x", { Authorization })),
      ));

    test("return 503 for a sign-in", async () => {
      const body = { email: "root@example.com", password: "correct horse" };
      assertUnavailable(await post("/api/auth/login", body, broken));
    });

    test("return 503 for a sign-out", async () =>
      assertUnavailable(await post("/api/auth/logout", {}, { ...broken, Cookie })));
  });

  test(`${stores} stores do not affect public rules`, async () => {
    const headers = { "X-Stores": stores, Cookie };
    const { response } = await gateway.expectForwarded(() =>
      gateway.request("/open/x", { headers }),
    );
    assert.equal(response.text, "ok");
  });
}

test("afterwards, the session and the token are still valid", async () => {
  for (const headers of [{ Cookie }, { Authorization }])
    assert.equal((await gateway.request("/user/x", { headers })).text, "ok");
});
