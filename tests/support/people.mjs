// People and their machines, before a Vestibule that keeps accounts.

import assert from "node:assert/strict";
import { remember } from "./tokens.mjs";

export const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
export const PASSWORD = "correct horse battery";
export const ACCOUNTS = { SESSION: { login: "accounts", check_ttl: "0s" }, SETUP_TOKEN };
export const NOBODY = { headers: {} };

// Asks as somebody: `who` has their headers. A body that is neither text nor bytes goes as JSON.
export const callOf =
  (gateway) =>
  (method, path, who = NOBODY, body = undefined, { headers, ask = gateway.ask } = {}) => {
    const isJson = body !== undefined && typeof body !== "string" && !Buffer.isBuffer(body);
    return ask(path, {
      method,
      headers: {
        "Sec-Fetch-Site": "same-origin",
        ...(isJson && { "Content-Type": "application/json" }),
        ...who.headers,
        ...headers,
      },
      ...(body !== undefined && { body: isJson ? JSON.stringify(body) : body }),
    });
  };

// Sets the place up, and gives `root`, its admin, and ways to have more: each with an `id` and `headers`. `endpoints` is
// what the paths of Vestibule's own begin with.
export async function settle(gateway, endpoints = "/api") {
  const call = callOf(gateway);
  const post = async (path, who, body) => {
    const response = await call("POST", path, who, body);
    assert.equal(response.status, 201, response.text);
    return response;
  };
  const personOf = (response) => {
    const [Cookie] = response.cookies[0].split(";");
    remember(Cookie.slice(Cookie.indexOf("=") + 1));
    return { id: response.json().userId, headers: { Cookie } };
  };
  const first = {
    setupToken: remember(SETUP_TOKEN),
    email: "root@example.com",
    password: PASSWORD,
  };
  const root = personOf(await post(`${endpoints}/auth/setup`, NOBODY, first));

  return {
    call,
    root,

    // Somebody who was invited.
    async invited(name, role = "user") {
      const { token } = (await post(`${endpoints}/invites`, root, { role })).json();
      const body = { email: `${name}@example.com`, password: PASSWORD };
      return personOf(await post(`${endpoints}/invites/${remember(token)}/redeem`, NOBODY, body));
    },

    // A token of theirs.
    async token(who, prefix, more) {
      const body = { name: "a token", prefix, ...more };
      const { id, plaintext } = (await post(`${endpoints}/agent-tokens`, who, body)).json();
      return { id, plaintext, headers: { Authorization: `Bearer ${remember(plaintext)}` } };
    },
  };
}
