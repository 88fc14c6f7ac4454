// Stripe and Paddle: a time and signatures in hex, as a list in one header.

import { Paddle } from "@paddle/paddle-node-sdk";
import Stripe from "stripe";
import { arranged } from "../mutations.mjs";
import {
  BYTES,
  CAPITALS,
  elements,
  FUTURE,
  hexOf,
  isDigits,
  isText,
  isTime,
  LENIENT,
  MANY,
  NOW,
  noText,
  TAIL,
  TEXT,
  ZERO,
  ZERO_THEIRS,
} from "./common.mjs";

function listed({ header, separator, stamp, tag, over, secrets, tolerance }) {
  const request = (body, ...parts) => ({ headers: { [header]: parts.join(separator) }, body });
  const parts = (body, { at = NOW, said = body, signed = at, secret = secrets[0] } = {}) => [
    `${stamp}${at}`,
    `${tag}${hexOf(secret, `${signed}${over}`, said)}`,
  ];
  const good = (body, options) => request(body, ...parts(body, options));
  const list = ({ headers }) => headers[header] ?? "";
  const stamps = (request) => elements(list(request), separator, stamp);
  const tags = (request) => elements(list(request), separator, tag);
  const wrong = `${tag}00`;
  const spaced = new RegExp(`^ |${separator} | ${separator}| $`);
  const isOdd = ({ body }) => !isText(body) || body[0] === 0xef;
  return {
    secrets,
    request,
    parts,
    good,
    list,
    tags,
    sign: (random, { body, said, written, signed, secret }) =>
      request(
        body,
        arranged(random, {
          separator,
          stamp: [`${stamp}${written}`],
          tag: [`${tag}${hexOf(secret, `${signed}${over}`, said)}`],
          wrong,
          strange: [tag, tag.slice(0, -1), `${stamp}1`, `${stamp}${NOW}`, "v0=00", "x"],
        }),
      ),
    proves(request) {
      const [at, ...more] = stamps(request);
      const right = secrets.map((secret) => hexOf(secret, `${at}${over}`, request.body));
      const found = tags(request).some((tag) => right.includes(tag.toLowerCase()));
      return more.length === 0 && isTime(at, tolerance) && found;
    },
    differences: [
      {
        ...CAPITALS,
        when: (request) => tags(request).some((tag) => /[A-F]/.test(tag)),
        example(body) {
          const [at, right] = parts(body);
          return request(body, at, tag + right.slice(tag.length).toUpperCase());
        },
      },
      {
        by: "ours",
        what: "spaces around elements",
        why: "a list in a header may have them (RFC 9110 §5.6.1), and who joins headers writes them",
        when: (request) => spaced.test(list(request)),
        example: (body) => request(body, parts(body).join(`${separator} `)),
      },
      { ...BYTES, when: isOdd, example: (body) => good(noText(body)) },
      {
        ...ZERO,
        when: (request) => stamps(request)[0].startsWith("0"),
        example: (body) => good(body, { at: `0${NOW}` }),
      },
      {
        ...FUTURE,
        when: (_, reason) => reason === "from_the_future",
        example: (body) => good(body, { at: NOW + 3_600 }),
      },
      {
        by: "theirs",
        what: "two times",
        why: "they take the last; it is open which of them was signed",
        when: (request) => stamps(request).length > 1,
        example: (body) => request(body, `${stamp}1`, ...parts(body)),
      },
      {
        ...LENIENT,
        when: (request) => !isDigits(stamps(request)[0]),
        example: (body) => good(body, { at: `${NOW}x`, signed: NOW }),
      },
      {
        ...ZERO_THEIRS,
        when: (request) => stamps(request)[0].startsWith("0"),
        example: (body) => good(body, { at: `0${NOW}`, signed: NOW }),
      },
      {
        ...TAIL,
        when: (request) => tags(request).some((tag) => tag.includes("=")),
        example: (body) => request(body, ...parts(body).slice(0, 1), `${parts(body)[1]}=x`),
      },
      {
        ...MANY,
        when: (request) => tags(request).length > 16,
        example: (body) => request(body, ...Array(16).fill(wrong), ...parts(body)),
      },
      {
        ...TEXT,
        when: isOdd,
        example: (body) => good(noText(body), { said: noText(body).toString() }),
      },
    ],
  };
}

const ofStripe = listed({
  header: "stripe-signature",
  separator: ",",
  stamp: "t=",
  tag: "v1=",
  over: ".",
  secrets: ["whsec_one_of_stripe", "whsec_two_of_stripe"],
});

export const stripe = {
  ...ofStripe,
  name: "stripe",
  endpoint: { scheme: "stripe" },
  sdk(body, secret) {
    const options = { payload: body.toString(), secret, timestamp: NOW };
    return ofStripe.request(body, Stripe.webhooks.generateTestHeaderString(options));
  },
  accepts({ headers, body }, secret) {
    const list = headers["stripe-signature"];
    const { signature } = Stripe.webhooks;
    return signature.verifyHeader(body, list, secret, 300, undefined, NOW * 1_000);
  },
  differences: [
    ...ofStripe.differences,
    {
      by: "ours",
      what: "an empty element `v1` beside the right one",
      why: "it is passed over like any other that does not fit; they throw",
      when: (request) => /(^|,)v1=?(,|$|=)/.test(ofStripe.list(request)),
      example: (body) => ofStripe.request(body, "v1", ...ofStripe.parts(body)),
    },
  ],
};

const ofPaddle = listed({
  header: "paddle-signature",
  separator: ";",
  stamp: "ts=",
  tag: "h1=",
  over: ":",
  secrets: ["pdl_ntfset_one", "pdl_ntfset_two"],
  tolerance: 5,
});
const { webhooks } = new Paddle("no key");

export const paddle = {
  ...ofPaddle,
  name: "paddle",
  endpoint: { scheme: "paddle", tolerance: "5s" },
  // The library only verifies; this is how the documentation signs.
  sdk: (body, secret) => ofPaddle.good(body, { secret }),
  accepts: ({ headers, body }, secret) =>
    webhooks.isSignatureValid(body.toString(), secret, headers["paddle-signature"]),
  differences: [
    ...ofPaddle.differences,
    {
      by: "ours",
      what: "any of several signatures",
      why: "there is one for each secret in use; they look at the last alone",
      when: (request) => ofPaddle.tags(request).length > 1,
      example: (body) => ofPaddle.request(body, ...ofPaddle.parts(body), "h1=00"),
    },
  ],
};
