/**
 * The demo accounts and their session, an HS256 JWT in the cookie `mk_session`.
 *
 * Vestibule has the same secret. It verifies the tokens that are signed here, and clears cookies with invalid tokens.
 */

import { randomUUID } from "node:crypto";
import { jwtVerify, SignJWT } from "jose";

/** The passwords are public, because the demo has no real data. */
export const USERS = [
  { userId: "usr_ada", email: "ada@example.com", password: "correct horse battery" },
  { userId: "usr_bob", email: "bob@example.com", password: "staple battery horse" },
];

export const COOKIE = "mk_session";

/** Lifetime of a session and its cookie, in seconds. */
export const LIFETIME = 30 * 24 * 60 * 60;

/** Returns the bytes of a secret that is plain text, `hex:…` or `base64:…`. */
export function parseSecret(name, text) {
  const [, encoding, digits] = /^(hex|base64):(.*)$/s.exec(text ?? "") ?? [];
  const bytes = encoding ? Buffer.from(digits, encoding) : Buffer.from(text ?? "");
  const isValid =
    !encoding || bytes.toString(encoding) === (encoding === "hex" ? digits.toLowerCase() : digits);
  if (bytes.length === 0 || !isValid) throw new Error(`${name}: expected text, hex:… or base64:…`);
  return new Uint8Array(bytes);
}

/** Signs a session token for `user`, issued at `issuedAt` (seconds). */
export function signSession(user, secret, issuedAt) {
  return new SignJWT({
    userId: user.userId,
    sessionId: `ses_${randomUUID().replaceAll("-", "")}`,
    email: user.email,
  })
    .setProtectedHeader({ alg: "HS256" })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + LIFETIME)
    .sign(secret);
}

/** Returns `Set-Cookie` for a session token. It is `Secure` unless Vestibule received the request over http. */
export function sessionCookie(request, token, path = "/") {
  const secure = request.headers["x-forwarded-proto"] === "http" ? "" : "; Secure";
  return `${COOKIE}=${token}; Path=${path}; HttpOnly; SameSite=Lax; Max-Age=${LIFETIME}${secure}`;
}

/** Returns the user of the first valid session cookie, or undefined. */
export async function sessionUser(request, { authSecret, authSecretPrevious, now }) {
  const tokens = (request.headers.cookie ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`))
    .map((pair) => pair.slice(COOKIE.length + 1));
  for (const token of tokens) {
    for (const secret of [authSecret, authSecretPrevious].filter(Boolean)) {
      const options = { algorithms: ["HS256"], currentDate: new Date(now()) };
      const verified = await jwtVerify(token, secret, options).catch(() => undefined);
      const user = USERS.find(({ userId }) => userId === verified?.payload.userId);
      if (user) return user;
    }
  }
  return undefined;
}
