// Guards that are asked for and could not do their work: the configuration is wrong, and nothing gets through.

import { describe, test } from "node:test";
import { assertMisconfigured, PRODUCTION } from "../support/gateway.mjs";
import { ACCOUNTS } from "../support/people.mjs";
import {
  ALREADY_SPENT,
  ALWAYS_FAILS,
  ALWAYS_PASSES,
  TURNSTILE_SECRET,
} from "../support/turnstile.mjs";

const KV = { kvNamespaces: ["KV"] };
const NO_OBJECTS = { durableObjects: {} };
const POLICY_URL = "https://policy.example/";
const limits = (gate) => [{ name: "all", limit: 1, period: "1h", by: "address", gate }];

// What a rule has, where the mistake is, and what else there is: variables, and what is bound.
const asked = (more) => [{ path: "/a", access: "public", ...more }];
const bots = (more, at, variables, environment = {}) => [
  asked({ bot_check: "signup", ...more }),
  at,
  { TURNSTILE_SECRET, ...variables, ...environment },
];
const feature = (name, at, bindings) => [asked({ feature: name }), at, {}, bindings];
const policy = (name, at, variables) => [asked({ policy: name }), at, variables];
const confirm = (more, at, variables, bindings) => [
  asked({ access: "user", confirm: "human", ...more }),
  at,
  { ...ACCOUNTS, ...variables },
  bindings,
];
const audit = (audit, at, variables, bindings) => [
  asked({ access: "user", audit }),
  at,
  variables,
  bindings,
];
const catalogue = (more, at) => [
  asked({ methods: ["GET"], operation: "a", catalogue: true, ...more }),
  at,
];
const gate = (name, at, bindings) => [
  asked({ limit: "all" }),
  at,
  { RATE_LIMITS: limits(name) },
  bindings,
];

const WRONG = {
  "a bot check": {
    "without a secret": bots({}, "ROUTES[0].bot_check", { TURNSTILE_SECRET: null }),
    "with an empty one": bots({}, "TURNSTILE_SECRET", { TURNSTILE_SECRET: "" }),
    "of an action that is none": bots({ bot_check: "a b" }, "ROUTES[0].bot_check"),
    "of no action": bots({ bot_check: "" }, "ROUTES[0].bot_check"),
    "of a long one": bots({ bot_check: "a".repeat(33) }, "ROUTES[0].bot_check"),
    "by no URL": bots({}, "BOT_CHECK.verify_url", { BOT_CHECK: { verify_url: "/verify" } }),
    "in no time": bots({}, "BOT_CHECK.timeout", { BOT_CHECK: { timeout: "0s" } }),
    "of no header": bots({}, "BOT_CHECK.header", { BOT_CHECK: { header: "a b" } }),
    "of strangers": bots({}, "BOT_CHECK.hostname", { BOT_CHECK: { hostname: "x" } }),
    "in the open, in production": bots(
      {},
      "BOT_CHECK.verify_url",
      { BOT_CHECK: { verify_url: "http://verify.example/" } },
      PRODUCTION,
    ),
    ...Object.fromEntries(
      [ALWAYS_PASSES, ALWAYS_FAILS, ALREADY_SPENT].map((TURNSTILE_SECRET) => [
        `by ${TURNSTILE_SECRET.slice(0, 2)}…, in production`,
        bots({}, "TURNSTILE_SECRET", { TURNSTILE_SECRET }, PRODUCTION),
      ]),
    ),
  },
  "a feature": {
    "of a name that is none": feature("New", "ROUTES[0].feature", KV),
    "of no name": feature("", "ROUTES[0].feature", KV),
    "of a long one": feature("a".repeat(33), "ROUTES[0].feature", KV),
    "that nothing keeps": feature("new-checkout", "ROUTES[0].feature"),
  },
  "a policy": {
    "that nobody has": policy("payments", "ROUTES[0].policy", {}),
    "of a name that is none": policy("Not one", "ROUTES[0].policy", { POLICY_URL }),
    "by no URL": policy("payments", "POLICY_URL", { POLICY_URL: "/judge" }),
    "in the open, in production": policy("payments", "POLICY_URL", {
      ...PRODUCTION,
      POLICY_URL: "http://policy.example/",
    }),
  },
  "a confirmation": {
    "for everybody": confirm({ access: "public" }, "ROUTES[0].confirm"),
    "for nobody, perhaps": confirm({ access: "optional" }, "ROUTES[0].confirm"),
    "for people alone": confirm({ access: "human" }, "ROUTES[0].confirm"),
    "by an agent": confirm({ confirm: "agent" }, "ROUTES[0].confirm"),
    "that nothing keeps": confirm({}, "ROUTES[0].confirm", {}, NO_OBJECTS),
  },
  "an audit": {
    "in another word": audit("always", "ROUTES[0].audit"),
    "that must be kept and is not": audit("required", "ROUTES[0].audit", {}, NO_OBJECTS),
    "that is not kept": audit("best_effort", "ROUTES[0].audit", {}, NO_OBJECTS),
    "for less than a day": audit("required", "AUDIT_RETENTION", { AUDIT_RETENTION: "23h" }),
    "for more than ten years": audit("required", "AUDIT_RETENTION", { AUDIT_RETENTION: "3651d" }),
  },
  "a catalogue": {
    "of what has no name": catalogue({ operation: undefined }, "ROUTES[0].operation"),
    "of what has no methods": catalogue({ methods: undefined }, "ROUTES[0].methods"),
    "in a word": catalogue({ catalogue: "yes" }, "ROUTES[0].catalogue"),
    "of strangers": catalogue({ catalogue: { sumary: "x" } }, "ROUTES[0].catalogue.sumary"),
    "in numbers": catalogue({ catalogue: { summary: 7 } }, "ROUTES[0].catalogue.summary"),
    "that leads nowhere": catalogue(
      { catalogue: { schema: "schema.json" } },
      "ROUTES[0].catalogue.schema",
    ),
    "that leads to a script": catalogue(
      { catalogue: { schema: "javascript:alert(1)" } },
      "ROUTES[0].catalogue.schema",
    ),
  },
  "a gate": {
    "that is not there": gate("GATE", "RATE_LIMITS[0].gate"),
    "that is something else": gate("KV", "RATE_LIMITS[0].gate", KV),
    "without a name": gate(7, "RATE_LIMITS[0].gate"),
  },
};

// As a configuration would have it: what is undefined is not there.
const plain = (value) => JSON.parse(JSON.stringify(value));

for (const [what, mistakes] of Object.entries(WRONG)) {
  describe(what, { concurrency: 4 }, () => {
    for (const [mistake, [routes, at, variables = {}, bindings = {}]] of Object.entries(mistakes)) {
      test(`${mistake}: ${at}`, () =>
        assertMisconfigured({ routes: plain(routes), variables: plain(variables), bindings }, at));
    }
  });
}
