/** The people of the demo, and how they get in. Their passwords stand in the open: nothing is behind them. */

import { Failure } from "./process.mjs";

export const DEMO = [
  { email: "ada@example.com", name: "Ada", password: "correct horse battery" },
  { email: "bob@example.com", name: "Bob", password: "staple battery horse" },
];

/**
 * Sets a fresh Vestibule up: the first of them as its admin, the second by an invite.
 *
 * @returns {Promise<string[] | undefined>} their ids; undefined where somebody was there already
 */
export async function seed(origin, setupToken) {
  const [first, second] = DEMO;
  const made = await post(origin, "/api/auth/setup", { setupToken, ...first });
  if (made.status === 409) return;
  expect(made, 201);
  const cookie = made.headers.getSetCookie()[0].split(";")[0];
  const invited = await post(origin, "/api/invites", { role: "user", email: second.email }, cookie);
  expect(invited, 201);
  const { token } = await invited.json();
  const redeemed = await post(origin, `/api/invites/${token}/redeem`, second);
  expect(redeemed, 201);
  return Promise.all([made, redeemed].map(async (answer) => (await answer.json()).userId));
}

function post(origin, path, body, cookie) {
  return fetch(origin + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(cookie && { Cookie: cookie }) },
    body: JSON.stringify(body),
  });
}

function expect(answer, status) {
  if (answer.status !== status) {
    throw new Failure(`${new URL(answer.url).pathname} answers ${answer.status}, not ${status}`);
  }
}
