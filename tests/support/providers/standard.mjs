// Standard Webhooks and Svix: an id, a time and base64 signatures, in three headers.

import * as standardwebhooks from "standardwebhooks";
import * as svixLibrary from "svix";
import { arrangeList } from "../mutations.mjs";
import {
  BYTES,
  base64Of,
  elements,
  isDigits,
  isText,
  isTime,
  LENIENT,
  MANY,
  NOW,
  noText,
  sha256,
  TAIL,
  TEXT,
  ZERO,
  ZERO_THEIRS,
} from "./common.mjs";

const PARTS = ["id", "timestamp", "signature"];
const secrets = ["whsec_b25lIG9mIHN0YW5kYXJk", "dHdvIG9mIHN0YW5kYXJk"];
const keyOf = (secret) => Buffer.from(secret.replace(/^whsec_/, ""), "base64");
const tagOf = (secret, id, at, body) => `v1,${base64Of(keyOf(secret), `${id}.${at}.`, body)}`;
const idOf = (body) => `msg_${sha256(body).slice(0, 12)}`;

function provider({ name, names, Webhook }) {
  const request = (body, ...values) => ({
    headers: Object.fromEntries(PARTS.map((part, at) => [`${names}-${part}`, `${values[at]}`])),
    body,
  });
  const good = (
    body,
    { id = idOf(body), at = NOW, signedTime = at, signedBody = body, tail = "" } = {},
  ) => request(body, id, at, tagOf(secrets[0], id, signedTime, signedBody) + tail);
  const read = ({ headers }, kind = names) => PARTS.map((part) => headers[`${kind}-${part}`] ?? "");
  const timeOf = (request) => read(request)[1];
  return {
    name,
    secrets,
    good,
    endpoint: { scheme: "standard" },
    sdk(body, secret) {
      const id = idOf(body);
      const tag = new Webhook(secret).sign(id, new Date(NOW * 1_000), body.toString());
      return request(body, id, NOW, tag);
    },
    sign(random, { id, body, signedBody, written, signedTime, secret }) {
      const list = arrangeList(random, {
        separator: " ",
        time: [],
        tag: [tagOf(secret, id, signedTime, signedBody)],
        wrong: "v1,AAAA",
        unknown: ["v1", "v1,", "v2,x", "v1a,AAAA"],
      });
      const signed = request(body, id, written, list);
      if (!random.chance(0.05)) return signed;
      // Renames some or all headers to the other scheme's names.
      const renamed = Object.entries(signed.headers).map(([header, value]) => {
        const other = header.replace(names, names === "svix" ? "webhook" : "svix");
        return [random.chance(0.7) ? other : header, value];
      });
      return { headers: Object.fromEntries(renamed), body };
    },
    accepts({ headers, body }, secret) {
      try {
        new Webhook(secret).verify(body, headers);
      } catch (error) {
        // After it has verified the signature, the library parses the body as JSON. That does not matter here.
        if (!(error instanceof SyntaxError)) throw error;
      }
      return true;
    },
    proves(request) {
      const kind = "webhook-signature" in request.headers ? "webhook" : "svix";
      const [id, at, tags] = read(request, kind);
      const right = secrets.map((secret) => tagOf(secret, id, at, request.body));
      return id !== "" && isTime(at) && tags.split(" ").some((tag) => right.includes(tag));
    },
    differences: [
      {
        ...BYTES,
        when: ({ body }) => !isText(body),
        example: (body) => good(noText(body)),
      },
      {
        ...ZERO,
        when: (request) => timeOf(request).startsWith("0"),
        example: (body) => good(body, { at: `0${NOW}` }),
      },
      {
        ...ZERO_THEIRS,
        when: (request) => timeOf(request).startsWith("0"),
        example: (body) => good(body, { at: `0${NOW}`, signedTime: NOW }),
      },
      {
        ...LENIENT,
        when: (request) => timeOf(request) !== "" && !isDigits(timeOf(request)),
        example: (body) => good(body, { at: `${NOW}x`, signedTime: NOW }),
      },
      {
        by: "theirs",
        what: "an id that ends with a full stop and a valid time",
        why: "the same signature also fits a shorter id with a longer body",
        when: (request) => isTime(/\.([^.]*)$/.exec(read(request)[0])?.[1] ?? ""),
        example: (body) => good(body, { id: `${idOf(body)}.${NOW}` }),
      },
      {
        ...TAIL,
        when: (request) =>
          read(request)[2]
            .split(" ")
            .some((tag) => tag.split(",").length > 2),
        example: (body) => good(body, { tail: ",x" }),
      },
      {
        ...MANY,
        when: (request) => elements(read(request)[2], " ", "v1,").length > 16,
        example(body) {
          const [id, at, tag] = read(good(body));
          return request(body, id, at, `${"v1,AAAA ".repeat(16)}${tag}`);
        },
      },
      {
        ...TEXT,
        when: ({ body }) => !isText(body),
        example: (body) => good(noText(body), { signedBody: noText(body).toString() }),
      },
    ],
  };
}

const ofStandard = provider({
  name: "standard",
  names: "webhook",
  Webhook: standardwebhooks.Webhook,
});

export const standard = {
  ...ofStandard,
  differences: [
    ...ofStandard.differences,
    {
      by: "ours",
      what: "the header names of Svix",
      why: "the gateway has one scheme for both",
      when: ({ headers }) => "svix-signature" in headers,
      example: (body) => ofSvix.good(body),
    },
  ],
};

const ofSvix = provider({ name: "svix", names: "svix", Webhook: svixLibrary.Webhook });

export const svix = {
  ...ofSvix,
  differences: [
    ...ofSvix.differences,
    {
      by: "theirs",
      what: "headers of which some have the names of Svix and some those of Standard Webhooks",
      why: "no provider mixes them; the library looks for each header under both names",
      when: ({ headers }) => PARTS.some((part) => `webhook-${part}` in headers),
      example(body) {
        const { "svix-id": id, ...headers } = ofSvix.good(body).headers;
        return { headers: { ...headers, "webhook-id": id }, body };
      },
    },
  ],
};
