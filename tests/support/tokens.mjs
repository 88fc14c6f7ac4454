// Session tokens, good and bad, as an application would sign them.

import { createHmac } from "node:crypto";
import { AUTH_SECRET } from "./worker.mjs";

export const COOKIE = "mk_session";

// Every token that was made or received, so that logs can be searched for them.
export const known = new Set();

export const now = () => Math.floor(Date.now() / 1000);

// A token that holds now, with whatever claims a test wants; a claim of undefined is left out.
export function mint(claims = {}, { secret = AUTH_SECRET, header = {} } = {}) {
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

// A token of these very texts.
export function sign(header, payload, secret = AUTH_SECRET) {
  const signed = `${base64url(header)}.${base64url(payload)}`;
  return remember(`${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`);
}

// The same token with its signature spoilt.
export function forge(token) {
  const [header, payload, tag] = token.split(".");
  const first = tag[0] === "A" ? "B" : "A";
  return remember(`${header}.${payload}.${first}${tag.slice(1)}`);
}

export function payloadOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}

export function headerOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[0], "base64url"));
}

// A Cookie header of these session tokens.
export const cookie = (...tokens) => tokens.map((token) => `${COOKIE}=${token}`).join("; ");

export function remember(token) {
  known.add(token);
  return token;
}

const base64url = (text) => Buffer.from(text).toString("base64url");
