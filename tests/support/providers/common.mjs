// What the providers of webhooks have in common: MACs, times, and where ours and theirs are meant to disagree.

import { createHash, createHmac } from "node:crypto";
import { now } from "../tokens.mjs";

// When everything here happens, for Vestibule and for the libraries.
export const NOW = now();
export const PUBLIC = "https://app.example";

export const sha256 = (body) => createHash("sha256").update(body).digest("hex");
export const hmac = (secret, ...parts) =>
  parts.reduce((mac, part) => mac.update(part), createHmac("sha256", secret));
export const hexOf = (...signed) => hmac(...signed).digest("hex");
export const base64Of = (...signed) => hmac(...signed).digest("base64");

// Whether a time is one, and near enough.
export const isTime = (text, tolerance = 300) =>
  /^\d+$/.test(text) && Math.abs(NOW - Number(text)) <= tolerance;
export const isDigits = (text) => /^\d{1,18}$/.test(text);

// Whether bytes survive being taken for a text, and some that do not.
export const isText = (body) => Buffer.from(body.toString()).equals(body);
export const noText = (body) => Buffer.concat([body, Buffer.of(0xff)]);

// The elements of a list that begin so, without that.
export const elements = (list, separator, prefix) =>
  list
    .split(separator)
    .map((element) => element.replace(/^ +| +$/g, ""))
    .filter((element) => element.startsWith(prefix))
    .map((element) => element.slice(prefix.length));

// Rows of the tables of differences: who accepts, what, and why we mean it so.
export const CAPITALS = {
  by: "ours",
  what: "hex in capitals",
  why: "it says the same bytes, and those are compared",
};
export const EMPTY = {
  by: "ours",
  what: "an empty body",
  why: "it is signed like any other; they ask for one before they look",
};
export const BYTES = {
  by: "ours",
  what: "a body that is no text, or begins with a byte order mark",
  why: "signed are bytes; they sign the text that they read from them",
};
export const TEXT = {
  by: "theirs",
  what: "a body that is no text, where the text was signed that they read from it",
  why: "two bodies that differ would pass for one",
};
export const FUTURE = {
  by: "theirs",
  what: "a time further in the future than is tolerated",
  why: "they look at the past alone; a signature made ahead would hold for as long",
};
export const LENIENT = {
  by: "theirs",
  what: "a time that is more than digits",
  why: "they take what of it is a number, or any text; ours is the one form that is sent",
};
export const ZERO = {
  by: "ours",
  what: "a time with a zero before it",
  why: "signed is what was sent; they sign the number, written anew",
};
export const ZERO_THEIRS = {
  by: "theirs",
  what: "a time with a zero before it, signed without",
  why: "signed is what was sent",
};
export const MANY = {
  by: "theirs",
  what: "the seventeenth signature",
  why: "nobody has so many secrets, and each signature costs work",
};
export const TAIL = {
  by: "theirs",
  what: "something behind the signature",
  why: "they cut it off; what is no signature is none",
};
