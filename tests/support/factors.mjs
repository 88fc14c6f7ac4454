// Second factors, as a user's devices have them.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { PASSWORD } from "./people.mjs";
import { trackSecret } from "./tokens.mjs";

// Returns the code of an authenticator app (RFC 6238) with a secret in base32, at a time in seconds.
export function totp(secret, seconds) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(seconds / 30)));
  const tag = createHmac("sha1", fromBase32(secret)).update(step).digest();
  const number = tag.readUInt32BE(tag.at(-1) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

function fromBase32(text) {
  const bits = [...text]
    .map((letter) =>
      "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0"),
    )
    .join("");
  return Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
}

let addresses = 0;

// Returns headers with an address that no other request has, so that only tests of limits reach one.
export const fromNewAddress = () => {
  addresses += 1;
  return { "CF-Connecting-IP": `10.9.${addresses >> 8}.${addresses & 255}` };
};

// Returns functions for the sign-ins of users at a gateway whose clock stands at `now`.
export function devicesOf(call, now) {
  const post = (path, body, caller, headers = fromNewAddress()) =>
    call("POST", path, caller, body, { headers });

  const devices = {
    post,

    // Sends the password.
    logIn: (name, headers) =>
      post(
        "/api/auth/login",
        { email: `${name}@example.com`, password: PASSWORD },
        undefined,
        headers,
      ),

    // Sends the password of a user with a second factor, and returns the ticket.
    async ticket(name, status = 401) {
      const response = await devices.logIn(name);
      assert.equal(response.status, status, response.text);
      assert.deepEqual(response.cookies, []);
      return trackSecret(response.json().ticket);
    },

    finish: (body, headers) => post("/api/auth/factor", body, undefined, headers),

    // Enrolls an app for a session or with a ticket. Confirms with the code of the previous step, so that those of the
    // current and of the next one are unused.
    async enroll(caller, ticket) {
      const body = ticket ? { ticket } : {};
      const begun = await post("/api/auth/factors/totp", body, caller);
      assert.equal(begun.status, 200, begun.text);
      const { secret, uri } = begun.json();
      trackSecret(secret);
      const code = totp(secret, now - 30);
      const confirmed = await post("/api/auth/factors/totp/confirm", { ...body, code }, caller);
      assert.equal(confirmed.status, 200, confirmed.text);
      const { recoveryCodes } = confirmed.json();
      for (const recoveryCode of recoveryCodes) trackSecret(recoveryCode);
      return { secret, uri, recoveryCodes, code: (drift = 0) => totp(secret, now + 30 * drift) };
    },
  };
  return devices;
}
