// Slack: a time in one header, a signature in another.

import bolt from "@slack/bolt";
import {
  BYTES,
  CAPITALS,
  FUTURE,
  hexOf,
  isDigits,
  isText,
  isTime,
  LENIENT,
  NOW,
  noText,
  TAIL,
  TEXT,
} from "./common.mjs";

const [TAG, TIME] = ["x-slack-signature", "x-slack-request-timestamp"];
const secrets = ["one of Slack", "two of Slack"];
const request = (body, at, tag) => ({ headers: { [TIME]: `${at}`, [TAG]: tag }, body });
const tagOf = (secret, at, body) => `v0=${hexOf(secret, `v0:${at}:`, body)}`;
const good = (body, { at = NOW, signedBody = body, secret = secrets[0], tail = "" } = {}) =>
  request(body, at, tagOf(secret, at, signedBody) + tail);

export const slack = {
  name: "slack",
  secrets,
  endpoint: { scheme: "slack" },
  // The library can only verify. This signs as the documentation describes.
  sdk: (body, secret) => good(body, { secret }),
  sign: (_, { body, signedBody, written, secret }) =>
    good(body, { at: written, signedBody, secret }),
  accepts({ headers, body }, secret) {
    const options = { signingSecret: secret, headers, body: body.toString() };
    bolt.verifySlackRequest({ ...options, nowMilliseconds: NOW * 1_000 });
    return true;
  },
  proves: ({ headers, body }) =>
    isTime(headers[TIME]) &&
    secrets.some((secret) => tagOf(secret, headers[TIME], body) === headers[TAG].toLowerCase()),
  differences: [
    {
      ...CAPITALS,
      when: ({ headers }) => /[A-F]/.test(headers[TAG]),
      example: (body) => request(body, NOW, `v0=${good(body).headers[TAG].slice(3).toUpperCase()}`),
    },
    { ...BYTES, when: ({ body }) => !isText(body), example: (body) => good(noText(body)) },
    {
      ...FUTURE,
      when: (_, reason) => reason === "from_the_future",
      example: (body) => good(body, { at: NOW + 3_600 }),
    },
    {
      ...LENIENT,
      when: ({ headers }) => !isDigits(headers[TIME]),
      example: (body) => good(body, { at: "soon" }),
    },
    {
      ...TAIL,
      when: ({ headers }) => headers[TAG].split("=").length > 2,
      example: (body) => good(body, { tail: "=x" }),
    },
    {
      ...TEXT,
      when: ({ body }) => !isText(body),
      example: (body) => good(noText(body), { signedBody: noText(body).toString() }),
    },
  ],
};
