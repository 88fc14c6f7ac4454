// Stripe and Paddle: a time and hex signatures, as a list in one header.

import { Paddle } from "@paddle/paddle-node-sdk";
import Stripe from "stripe";
import { arrangeList } from "../mutations.mjs";
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

function listProvider({ header, separator, timePrefix, tagPrefix, delimiter, secrets, tolerance }) {
  const request = (body, ...parts) => ({ headers: { [header]: parts.join(separator) }, body });
  const parts = (
    body,
    { at = NOW, signedBody = body, signedTime = at, secret = secrets[0] } = {},
  ) => [
    `${timePrefix}${at}`,
    `${tagPrefix}${hexOf(secret, `${signedTime}${delimiter}`, signedBody)}`,
  ];
  const good = (body, options) => request(body, ...parts(body, options));
  const list = ({ headers }) => headers[header] ?? "";
  const timesOf = (request) => elements(list(request), separator, timePrefix);
  const tagsOf = (request) => elements(list(request), separator, tagPrefix);
  const wrong = `${tagPrefix}00`;
  const spacePattern = new RegExp(`^ |${separator} | ${separator}| $`);
  const isUnusualText = ({ body }) => !isText(body) || body[0] === 0xef;
  return {
    secrets,
    request,
    parts,
    good,
    list,
    tagsOf,
    sign: (random, { body, signedBody, written, signedTime, secret }) =>
      request(
        body,
        arrangeList(random, {
          separator,
          time: [`${timePrefix}${written}`],
          tag: [`${tagPrefix}${hexOf(secret, `${signedTime}${delimiter}`, signedBody)}`],
          wrong,
          unknown: [
            tagPrefix,
            tagPrefix.slice(0, -1),
            `${timePrefix}1`,
            `${timePrefix}${NOW}`,
            "v0=00",
            "x",
          ],
        }),
      ),
    proves(request) {
      const [at, ...more] = timesOf(request);
      const right = secrets.map((secret) => hexOf(secret, `${at}${delimiter}`, request.body));
      const found = tagsOf(request).some((tag) => right.includes(tag.toLowerCase()));
      return more.length === 0 && isTime(at, tolerance) && found;
    },
    differences: [
      {
        ...CAPITALS,
        when: (request) => tagsOf(request).some((tag) => /[A-F]/.test(tag)),
        example(body) {
          const [at, right] = parts(body);
          return request(body, at, tagPrefix + right.slice(tagPrefix.length).toUpperCase());
        },
      },
      {
        by: "ours",
        what: "spaces around elements",
        why: "a list in a header may have them (RFC 9110 §5.6.1), and proxies that join headers add them",
        when: (request) => spacePattern.test(list(request)),
        example: (body) => request(body, parts(body).join(`${separator} `)),
      },
      { ...BYTES, when: isUnusualText, example: (body) => good(noText(body)) },
      {
        ...ZERO,
        when: (request) => timesOf(request)[0].startsWith("0"),
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
        why: "the library takes the last one; it is not known which one was signed",
        when: (request) => timesOf(request).length > 1,
        example: (body) => request(body, `${timePrefix}1`, ...parts(body)),
      },
      {
        ...LENIENT,
        when: (request) => !isDigits(timesOf(request)[0]),
        example: (body) => good(body, { at: `${NOW}x`, signedTime: NOW }),
      },
      {
        ...ZERO_THEIRS,
        when: (request) => timesOf(request)[0].startsWith("0"),
        example: (body) => good(body, { at: `0${NOW}`, signedTime: NOW }),
      },
      {
        ...TAIL,
        when: (request) => tagsOf(request).some((tag) => tag.includes("=")),
        example: (body) => request(body, ...parts(body).slice(0, 1), `${parts(body)[1]}=x`),
      },
      {
        ...MANY,
        when: (request) => tagsOf(request).length > 16,
        example: (body) => request(body, ...Array(16).fill(wrong), ...parts(body)),
      },
      {
        ...TEXT,
        when: isUnusualText,
        example: (body) => good(noText(body), { signedBody: noText(body).toString() }),
      },
    ],
  };
}

const ofStripe = listProvider({
  header: "stripe-signature",
  separator: ",",
  timePrefix: "t=",
  tagPrefix: "v1=",
  delimiter: ".",
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
      why: "the gateway skips it like any other wrong signature; the library throws",
      when: (request) => /(^|,)v1=?(,|$|=)/.test(ofStripe.list(request)),
      example: (body) => ofStripe.request(body, "v1", ...ofStripe.parts(body)),
    },
  ],
};

const ofPaddle = listProvider({
  header: "paddle-signature",
  separator: ";",
  timePrefix: "ts=",
  tagPrefix: "h1=",
  delimiter: ":",
  secrets: ["pdl_ntfset_one", "pdl_ntfset_two"],
  tolerance: 5,
});
const { webhooks } = new Paddle("no key");

export const paddle = {
  ...ofPaddle,
  name: "paddle",
  endpoint: { scheme: "paddle", tolerance: "5s" },
  // The library can only verify. This signs as the documentation describes.
  sdk: (body, secret) => ofPaddle.good(body, { secret }),
  accepts: ({ headers, body }, secret) =>
    webhooks.isSignatureValid(body.toString(), secret, headers["paddle-signature"]),
  differences: [
    ...ofPaddle.differences,
    {
      by: "ours",
      what: "any of several signatures",
      why: "there is one for each current secret; the library checks only the last one",
      when: (request) => ofPaddle.tagsOf(request).length > 1,
      example: (body) => ofPaddle.request(body, ...ofPaddle.parts(body), "h1=00"),
    },
  ],
};
