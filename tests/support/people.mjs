// Users and their tokens, at a gateway that has accounts.

import assert from "node:assert/strict";
import { trackSecret } from "./tokens.mjs";

export const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
export const PASSWORD = "correct horse battery";
export const ACCOUNTS = { SESSION: { login: "accounts", check_ttl: "0s" }, SETUP_TOKEN };
export const ANONYMOUS = { headers: {} };

// Returns a function that sends a request with the caller's headers. A body that is neither text nor bytes is sent as
// JSON.
export const callerOf =
  (gateway) =>
  (
    method,
    path,
    caller = ANONYMOUS,
    body = undefined,
    { headers, request = gateway.request } = {},
  ) => {
    const isJson = body !== undefined && typeof body !== "string" && !Buffer.isBuffer(body);
    return request(path, {
      method,
      headers: {
        "Sec-Fetch-Site": "same-origin",
        ...(isJson && { "Content-Type": "application/json" }),
        ...caller.headers,
        ...headers,
      },
      ...(body !== undefined && { body: isJson ? JSON.stringify(body) : body }),
    });
  };

// Runs the first-run setup. Returns `root`, the first admin, and functions that make more users and tokens. Each user
// and token has an `id` and `headers`. `endpoints` is the path prefix of the built-in routes.
export async function setUpUsers(gateway, endpoints = "/api") {
  const call = callerOf(gateway);
  const post = async (path, caller, body) => {
    const response = await call("POST", path, caller, body);
    assert.equal(response.status, 201, response.text);
    return response;
  };
  const userOf = (response) => {
    const [Cookie] = response.cookies[0].split(";");
    trackSecret(Cookie.slice(Cookie.indexOf("=") + 1));
    return { id: response.json().userId, headers: { Cookie } };
  };
  const first = {
    setupToken: trackSecret(SETUP_TOKEN),
    email: "root@example.com",
    password: PASSWORD,
  };
  const root = userOf(await post(`${endpoints}/auth/setup`, ANONYMOUS, first));

  return {
    call,
    root,

    // Makes an invite, and redeems it as a new user.
    async createUser(name, role = "user") {
      const { token } = (await post(`${endpoints}/invites`, root, { role })).json();
      const body = { email: `${name}@example.com`, password: PASSWORD };
      return userOf(
        await post(`${endpoints}/invites/${trackSecret(token)}/redeem`, ANONYMOUS, body),
      );
    },

    // Makes a token for a user.
    async createToken(caller, prefix, more) {
      const body = { name: "a token", prefix, ...more };
      const { id, plaintext } = (await post(`${endpoints}/agent-tokens`, caller, body)).json();
      return { id, plaintext, headers: { Authorization: `Bearer ${trackSecret(plaintext)}` } };
    },
  };
}
