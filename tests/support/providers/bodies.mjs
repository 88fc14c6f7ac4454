// GitHub, Shopify, Lemon Squeezy and Square: one signature in one header, over the body (and of Square the URL).

import { sign, verify } from "@octokit/webhooks-methods";
import { shopifyApi } from "@shopify/shopify-api";
import "@shopify/shopify-api/adapters/node";
import { BYTES, CAPITALS, EMPTY, hexOf, hmac, isText, noText, PUBLIC, TEXT } from "./common.mjs";

function signed({ header, prefix = "", encoding, url = "", others = {}, secrets }) {
  const value = (secret, body, query = "") =>
    prefix + hmac(secret, url && url + query, body).digest(encoding);
  const request = (body, tag) => ({ headers: { [header]: tag, ...others }, body });
  const good = (body, { secret = secrets[0], said = body } = {}) =>
    request(body, value(secret, said));
  const folded = (text) => (encoding === "hex" ? text.toLowerCase() : text);
  return {
    secrets,
    request,
    good,
    // Of most there is only a library that verifies; this is how the documentation signs.
    sdk: (body, secret) => good(body, { secret }),
    sign: (_, { body, said, secret }) => good(body, { said, secret }),
    proves: ({ headers, body, query }) =>
      secrets.some((secret) => folded(headers[header]) === value(secret, body, query)),
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
      example: (body) => good(noText(body), { said: noText(body).toString() }),
    },
  };
}

const ofGithub = signed({
  header: "x-hub-signature-256",
  prefix: "sha256=",
  encoding: "hex",
  others: { "x-github-event": "push", "x-github-delivery": "d-1" },
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

const TOLD = {
  "x-shopify-topic": "orders/create",
  "x-shopify-shop-domain": "shop.example",
  "x-shopify-api-version": "2026-10",
  "x-shopify-webhook-id": "w-1",
};
const ofShopify = signed({
  header: "x-shopify-hmac-sha256",
  encoding: "base64",
  others: TOLD,
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
  endpoint: { scheme: "shopify", events: [TOLD["x-shopify-topic"]] },
  async accepts({ headers, body }, secret) {
    const rawRequest = { method: "POST", url: "/", headers };
    const given = { rawBody: body.toString(), rawRequest, rawResponse: {} };
    return (await apis.get(secret).webhooks.validate(given)).valid;
  },
  differences: [
    ofShopify.empty,
    ofShopify.bytes,
    ofShopify.text,
    {
      by: "ours",
      what: "without the topic, the shop, the version or the webhook's id",
      why: "none of them is signed, so their being there proves nothing",
      when: ({ headers }) => Object.keys(TOLD).some((name) => !headers[name]),
      example(body) {
        const { "x-shopify-topic": _, ...headers } = ofShopify.good(body).headers;
        return { headers, body };
      },
    },
  ],
};

const ofLemonsqueezy = signed({
  header: "x-signature",
  encoding: "hex",
  secrets: ["one of Lemon Squeezy", "two of Lemon Squeezy"],
});

export const lemonsqueezy = {
  ...ofLemonsqueezy,
  name: "lemonsqueezy",
  endpoint: { scheme: "lemonsqueezy" },
  // The library has nothing for it; this is the code of the documentation.
  accepts({ headers, body }, secret) {
    const digest = Buffer.from(hexOf(secret, body), "utf8");
    return digest.equals(Buffer.from(headers["x-signature"] || "", "utf8"));
  },
  differences: [ofLemonsqueezy.capitals],
};

// Too large to have it always.
const vendor = await import("square").catch(() => undefined);

const ofSquare = signed({
  header: "x-square-hmacsha256-signature",
  encoding: "base64",
  url: `${PUBLIC}/hooks/square`,
  secrets: ["one of Square", "two of Square"],
});

export const square = {
  ...ofSquare,
  name: "square",
  endpoint: { scheme: "square" },
  missing: vendor ? undefined : "80 MB: npm install --no-save square@46.0.0",
  accepts: ({ headers, body, query }, secret) =>
    vendor.WebhooksHelper.verifySignature({
      requestBody: body.toString(),
      signatureHeader: headers["x-square-hmacsha256-signature"],
      signatureKey: secret,
      notificationUrl: `${PUBLIC}/hooks/square${query}`,
    }),
  differences: [ofSquare.bytes, ofSquare.text],
};
