// GitHub, Shopify, Lemon Squeezy and Square: one signature in one header, over the body (for Square: the URL and the
// body).

import { sign, verify } from "@octokit/webhooks-methods";
import { shopifyApi } from "@shopify/shopify-api";
import "@shopify/shopify-api/adapters/node";
import { BYTES, CAPITALS, EMPTY, hexOf, hmac, isText, noText, PUBLIC, TEXT } from "./common.mjs";

function signatureProvider({ header, prefix = "", encoding, url = "", moreHeaders = {}, secrets }) {
  const value = (secret, body, query = "") =>
    prefix + hmac(secret, url && url + query, body).digest(encoding);
  const request = (body, tag) => ({ headers: { [header]: tag, ...moreHeaders }, body });
  const good = (body, { secret = secrets[0], signedBody = body } = {}) =>
    request(body, value(secret, signedBody));
  const lowerCaseHex = (text) => (encoding === "hex" ? text.toLowerCase() : text);
  return {
    secrets,
    request,
    good,
    // Most libraries can only verify. This signs as the documentation describes.
    sdk: (body, secret) => good(body, { secret }),
    sign: (_, { body, signedBody, secret }) => good(body, { signedBody, secret }),
    proves: ({ headers, body, query }) =>
      secrets.some((secret) => lowerCaseHex(headers[header]) === value(secret, body, query)),
    capitals: {
      ...CAPITALS,
      when: ({ headers }) => /[A-F]/.test(headers[header]),
      example: (body) => request(body, prefix + hexOf(secrets[0], body).toUpperCase()),
    },
    empty: {
      ...EMPTY,
      when: ({ body }) => body.length === 0,
      example: () => good(Buffer.alloc(0)),
    },
    bytes: {
      ...BYTES,
      when: ({ body }) => !isText(body),
      example: (body) => good(noText(body)),
    },
    text: {
      ...TEXT,
      when: ({ body }) => !isText(body),
      example: (body) => good(noText(body), { signedBody: noText(body).toString() }),
    },
  };
}

const ofGithub = signatureProvider({
  header: "x-hub-signature-256",
  prefix: "sha256=",
  encoding: "hex",
  moreHeaders: { "x-github-event": "push", "x-github-delivery": "d-1" },
  secrets: ["one of GitHub", "two of GitHub"],
});

export const github = {
  ...ofGithub,
  name: "github",
  endpoint: { scheme: "github" },
  sdk: async (body, secret) => ofGithub.request(body, await sign(secret, body.toString())),
  accepts: ({ headers, body }, secret) =>
    verify(secret, body.toString(), headers["x-hub-signature-256"]),
  differences: [ofGithub.capitals, ofGithub.empty, ofGithub.bytes, ofGithub.text],
};

const METADATA = {
  "x-shopify-topic": "orders/create",
  "x-shopify-shop-domain": "shop.example",
  "x-shopify-api-version": "2026-10",
  "x-shopify-webhook-id": "w-1",
};
const ofShopify = signatureProvider({
  header: "x-shopify-hmac-sha256",
  encoding: "base64",
  moreHeaders: METADATA,
  secrets: ["one of Shopify", "two of Shopify"],
});
const apis = new Map(
  ofShopify.secrets.map((secret) => [
    secret,
    shopifyApi({
      apiKey: "key",
      apiSecretKey: secret,
      apiVersion: "2026-10",
      hostName: "app.example",
      isEmbeddedApp: true,
      logger: { log: () => {} },
    }),
  ]),
);

export const shopify = {
  ...ofShopify,
  name: "shopify",
  endpoint: { scheme: "shopify", events: [METADATA["x-shopify-topic"]] },
  async accepts({ headers, body }, secret) {
    const rawRequest = { method: "POST", url: "/", headers };
    const options = { rawBody: body.toString(), rawRequest, rawResponse: {} };
    return (await apis.get(secret).webhooks.validate(options)).valid;
  },
  differences: [
    ofShopify.empty,
    ofShopify.bytes,
    ofShopify.text,
    {
      by: "ours",
      what: "a request without the topic, the shop, the version or the webhook id",
      why: "these headers are not signed, so their presence proves nothing",
      when: ({ headers }) => Object.keys(METADATA).some((name) => !headers[name]),
      example(body) {
        const { "x-shopify-topic": _, ...headers } = ofShopify.good(body).headers;
        return { headers, body };
      },
    },
  ],
};

const ofLemonsqueezy = signatureProvider({
  header: "x-signature",
  encoding: "hex",
  secrets: ["one of Lemon Squeezy", "two of Lemon Squeezy"],
});

export const lemonsqueezy = {
  ...ofLemonsqueezy,
  name: "lemonsqueezy",
  endpoint: { scheme: "lemonsqueezy" },
  // The library cannot verify. This is the code from the documentation.
  accepts({ headers, body }, secret) {
    const digest = Buffer.from(hexOf(secret, body), "utf8");
    return digest.equals(Buffer.from(headers["x-signature"] || "", "utf8"));
  },
  differences: [ofLemonsqueezy.capitals],
};

// Not a dependency, because it is too large.
const library = await import("square").catch(() => undefined);

const ofSquare = signatureProvider({
  header: "x-square-hmacsha256-signature",
  encoding: "base64",
  url: `${PUBLIC}/hooks/square`,
  secrets: ["one of Square", "two of Square"],
});

export const square = {
  ...ofSquare,
  name: "square",
  endpoint: { scheme: "square" },
  missing: library ? undefined : "80 MB: npm install --no-save square@46.0.0",
  accepts: ({ headers, body, query }, secret) =>
    library.WebhooksHelper.verifySignature({
      requestBody: body.toString(),
      signatureHeader: headers["x-square-hmacsha256-signature"],
      signatureKey: secret,
      notificationUrl: `${PUBLIC}/hooks/square${query}`,
    }),
  differences: [ofSquare.bytes, ofSquare.text],
};
