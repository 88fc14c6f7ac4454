// Valid and invalid session tokens, signed as an application would sign them.

import { createHmac } from "node:crypto";
import { AUTH_SECRET } from "./worker.mjs";

export const COOKIE = "mk_session";

// All tokens that the tests made or received. Logs are searched for them.
export const knownSecrets = new Set();

export const now = () => Math.floor(Date.now() / 1000);

// Returns a session token that is valid now, with the claims of the test. A claim that is undefined is omitted.
export function createSessionToken(claims = {}, { secret = AUTH_SECRET, header = {} } = {}) {
  const issued = claims.iat ?? now();
  const payload = {
    userId: "usr_ada",
    sessionId: "ses_1",
    iat: issued,
    exp: issued + 3600,
    ...claims,
  };
  return sign(JSON.stringify({ alg: "HS256", ...header }), JSON.stringify(payload), secret);
}

// Signs a header and a payload, both as text.
export function sign(header, payload, secret = AUTH_SECRET) {
  const signed = `${base64url(header)}.${base64url(payload)}`;
  return trackSecret(
    `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`,
  );
}

// Returns the token with an invalid signature.
export function breakSignature(token) {
  const [header, payload, tag] = token.split(".");
  const first = tag[0] === "A" ? "B" : "A";
  return trackSecret(`${header}.${payload}.${first}${tag.slice(1)}`);
}

// Returns a token's payload, without verifying it.
export function payloadOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}

// Returns a token's header, without verifying it.
export function headerOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[0], "base64url"));
}

// Returns the value of a `Cookie` header with these session tokens.
export const sessionCookies = (...tokens) => tokens.map((token) => `${COOKIE}=${token}`).join("; ");

// Adds a token to those that no log line may contain.
export function trackSecret(token) {
  knownSecrets.add(token);
  return token;
}

const base64url = (text) => Buffer.from(text).toString("base64url");
