// The providers of the vectors, as the configuration describes them.

const hmac = (header, more) => ({ scheme: "hmac", settings: { header, ...more } });
const prefixed = (header, prefix, more) => hmac(header, { prefix, ...more });
const base64 = (header, more) => hmac(header, { encoding: "base64", ...more });
const stamped = (header) =>
  hmac(header, { prefix: "v1=", signed: "{timestamp}.{body}", timestamp_prefix: "t=" });

const SCHEMES = {
  "standard-webhooks": { scheme: "standard" },
  svix: { scheme: "standard" },
  "svix/standard-webhooks": { scheme: "standard" },
  stripe: { scheme: "stripe" },
  github: { scheme: "github", untimed: true },
  shopify: { scheme: "shopify", untimed: true, more: { dedupe: "payload_hash" } },
  slack: { scheme: "slack" },
  paddle: { scheme: "paddle" },
  lemonsqueezy: { scheme: "lemonsqueezy", untimed: true },
  twilio: { scheme: "twilio", untimed: true },
  square: { scheme: "square", untimed: true },
  workos: stamped("WorkOS-Signature"),
  calendly: stamped("Calendly-Webhook-Signature"),
  "meta/whatsapp": prefixed("X-Hub-Signature-256", "sha256="),
  pagerduty: prefixed("X-PagerDuty-Signature", "v1="),
  linear: hmac("Linear-Signature"),
  sentry: hmac("Sentry-Hook-Signature"),
  "gitea/forgejo": hmac("X-Gitea-Signature"),
  razorpay: hmac("X-Razorpay-Signature"),
  line: base64("X-Line-Signature"),
  docusign: base64("X-DocuSign-Signature-1"),
  typeform: base64("Typeform-Signature", { prefix: "sha256=" }),
  zendesk: base64("X-Zendesk-Webhook-Signature", {
    signed: "{timestamp}{body}",
    timestamp_header: "X-Zendesk-Webhook-Signature-Timestamp",
  }),
  zoom: prefixed("X-Zm-Signature", "v0=", {
    signed: "v0:{timestamp}:{body}",
    timestamp_header: "X-Zm-Request-Timestamp",
  }),
  twitch: prefixed("Twitch-Eventsub-Message-Signature", "sha256=", {
    signed: "{id}{timestamp}{body}",
    timestamp_header: "Twitch-Eventsub-Message-Timestamp",
    id_header: "Twitch-Eventsub-Message-Id",
  }),
  // Not HMAC-SHA256, or `signed` cannot express the signed text.
  ...Object.fromEntries(
    ["hubspot-v3", "vercel", "intercom", "gitlab", "telegram", "discord", "sendgrid"].map(
      (name) => [name, null],
    ),
  ),
};

// A time for the schemes that sign none.
const SOME_TIME = 1_700_000_000;

/** Returns the row of a webhook, or null if no configuration can express its scheme. */
export function webhookRow(row, { id, valid }) {
  const provider = SCHEMES[row.provider];
  if (provider === undefined) throw new RangeError(`no scheme for ${row.provider}`);
  if (provider === null) return null;
  const {
    scheme,
    settings = {},
    untimed = !settings.timestamp_header && !settings.timestamp_prefix && scheme === "hmac",
    more = {},
  } = provider;
  return {
    id,
    question: {
      ask: "webhook",
      ...{ scheme, settings, untimed, more },
      secrets: [row.secret].flat(),
      tolerance: row.tolerance ?? 300,
      now: row.now ?? SOME_TIME,
      ...{ headers: row.headers, body: row.body, url: row.url ?? "" },
    },
    passes: (answer) => answer.valid === valid,
  };
}
