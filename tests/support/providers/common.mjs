// Shared by the webhook providers: MACs, times, and differences between the gateway and the libraries.

import { createHash, createHmac } from "node:crypto";
import { now } from "../tokens.mjs";

// The current time in these tests, for the gateway and for the libraries.
export const NOW = now();
export const PUBLIC = "https://app.example";

export const sha256 = (body) => createHash("sha256").update(body).digest("hex");
export const hmac = (secret, ...parts) =>
  parts.reduce((mac, part) => mac.update(part), createHmac("sha256", secret));
export const hexOf = (...signed) => hmac(...signed).digest("hex");
export const base64Of = (...signed) => hmac(...signed).digest("base64");

// Checks that a text is a time in Unix seconds, within the tolerance.
export const isTime = (text, tolerance = 300) =>
  /^\d+$/.test(text) && Math.abs(NOW - Number(text)) <= tolerance;
export const isDigits = (text) => /^\d{1,18}$/.test(text);

// Checks that bytes are UTF-8 that decodes and encodes without a change. `noText` adds a byte that is not UTF-8.
export const isText = (body) => Buffer.from(body.toString()).equals(body);
export const noText = (body) => Buffer.concat([body, Buffer.of(0xff)]);

// Returns the elements of a list that start with `prefix`, without it.
export const elements = (list, separator, prefix) =>
  list
    .split(separator)
    .map((element) => element.replace(/^ +| +$/g, ""))
    .filter((element) => element.startsWith(prefix))
    .map((element) => element.slice(prefix.length));

// Shared rows of the tables of differences: which side accepts, what it accepts, and why the gateway does as it does.
export const CAPITALS = {
  by: "ours",
  what: "hex in upper case",
  why: "the gateway compares the decoded bytes, which are the same",
};
export const EMPTY = {
  by: "ours",
  what: "an empty body",
  why: "it is signed like any other; the library refuses it before it verifies",
};
export const BYTES = {
  by: "ours",
  what: "a body that is not UTF-8, or starts with a byte order mark",
  why: "the bytes are signed; the library verifies the text that it decodes from them",
};
export const TEXT = {
  by: "theirs",
  what: "a body that is not UTF-8, with a signature over its decoded text",
  why: "different bodies would have the same signature",
};
export const FUTURE = {
  by: "theirs",
  what: "a time in the future, beyond the tolerance",
  why: "the library limits only the past; a signature made in advance would stay valid until then",
};
export const LENIENT = {
  by: "theirs",
  what: "a time with other characters than digits",
  why: "the library parses the leading number or takes any text; the gateway accepts only the format that providers send",
};
export const ZERO = {
  by: "ours",
  what: "a time with a leading zero",
  why: "the text that was sent is signed; the library parses and reformats the number",
};
export const ZERO_THEIRS = {
  by: "theirs",
  what: "a time with a leading zero, signed without it",
  why: "the text that was sent is signed",
};
export const MANY = {
  by: "theirs",
  what: "the seventeenth signature",
  why: "no provider has so many secrets, and each signature costs work",
};
export const TAIL = {
  by: "theirs",
  what: "characters after the signature",
  why: "the library ignores them; for the gateway the signature is invalid",
};
