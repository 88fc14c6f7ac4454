// Why Vestibule refuses a token that a library accepts. docs/conformance.md has the same list, with explanations.

import { hasDuplicateNames } from "./duplicates.mjs";

/** Returns the first reason that applies to a token, or undefined. */
export function reasonOf(token, now) {
  const parts = token.split(".");
  const [header, claims] = parts.slice(0, 2).map(read);
  const facts = { token, parts, header, claims, now };
  return Object.keys(REASONS).find((name) => REASONS[name](facts));
}

const REASONS = {
  "longer than 4,096 bytes": ({ token }) => token.length > 4_096,
  "no canonical base64url": ({ parts }) =>
    parts.some((part) => Buffer.from(part, "base64url").toString("base64url") !== part),
  "no strict JSON object": ({ header, claims }) => !header || !claims,
  "a member twice": ({ header, claims }) =>
    hasDuplicateNames(header.text) || hasDuplicateNames(claims.text),
  "a header member that is not understood": ({ header }) => isOddHeader(header.value),
  "no user id or session id": ({ claims: { value } }) =>
    !isId(value.userId) || !isId(value.sessionId),
  "a time that is missing or no integer": ({ claims: { value, text } }) =>
    !isTime(value.iat) ||
    !isTime(value.exp) ||
    !["number", "undefined"].includes(typeof value.nbf) ||
    /"(?:iat|exp|nbf)":-?\d*(?:[.eE]|\d{20})/.test(text),
  "issued in the future": ({ claims: { value }, now }) => value.iat > now,
  "an issuer or audience that is no text": ({ claims: { value } }) =>
    (value.iss !== undefined && typeof value.iss !== "string") ||
    (value.aud !== undefined && [value.aud].flat().some((one) => typeof one !== "string")),
  "an assertion for upstream": ({ claims: { value } }) =>
    [value.aud].flat().includes("vestibule-upstream"),
};

const isId = (value) => typeof value === "string" && /^[!-~]{1,128}$/.test(value);
const isTime = (value) => typeof value === "number";

function isOddHeader(header) {
  const { alg, typ, kid, ...others } = header;
  return (
    Object.keys(others).some((name) => ["crit", "b64"].includes(name)) ||
    kid !== undefined ||
    (typ !== undefined && String(typ).toUpperCase() !== "JWT")
  );
}

function read(part) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(part, "base64url"),
    );
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value)
      ? { text, value }
      : null;
  } catch {
    return null;
  }
}
