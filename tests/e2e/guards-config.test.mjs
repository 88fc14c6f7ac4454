// Guards that a rule names but that cannot work: a configuration error, and every request is refused.

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

const tableOf = (more) => [{ path: "/a", access: "public", ...more }];

// Each mistake has the route table, the setting that the log names, the variables and the bindings.
const bots = (more, at, variables, environment = {}) => [
  tableOf({ bot_check: "signup", ...more }),
  at,
  { TURNSTILE_SECRET, ...variables, ...environment },
];
const feature = (name, at, bindings) => [tableOf({ feature: name }), at, {}, bindings];
const policy = (name, at, variables) => [tableOf({ policy: name }), at, variables];
const confirm = (more, at, variables, bindings) => [
  tableOf({ access: "user", confirm: "human", ...more }),
  at,
  { ...ACCOUNTS, ...variables },
  bindings,
];
const audit = (audit, at, variables, bindings) => [
  tableOf({ access: "user", audit }),
  at,
  variables,
  bindings,
];
const catalogue = (more, at) => [
  tableOf({ methods: ["GET"], operation: "a", catalogue: true, ...more }),
  at,
];
const gate = (name, at, bindings) => [
  tableOf({ limit: "all" }),
  at,
  { RATE_LIMITS: limits(name) },
  bindings,
];

const MISTAKES = {
  "a bot check": {
    "without a secret": bots({}, "ROUTES[0].bot_check", { TURNSTILE_SECRET: null }),
    "with an empty secret": bots({}, "TURNSTILE_SECRET", { TURNSTILE_SECRET: "" }),
    "with an invalid action": bots({ bot_check: "a b" }, "ROUTES[0].bot_check"),
    "with an empty action": bots({ bot_check: "" }, "ROUTES[0].bot_check"),
    "with too long an action": bots({ bot_check: "a".repeat(33) }, "ROUTES[0].bot_check"),
    "with a relative URL": bots({}, "BOT_CHECK.verify_url", {
      BOT_CHECK: { verify_url: "/verify" },
    }),
    "with a timeout of zero": bots({}, "BOT_CHECK.timeout", { BOT_CHECK: { timeout: "0s" } }),
    "with an invalid header name": bots({}, "BOT_CHECK.header", { BOT_CHECK: { header: "a b" } }),
    "with an unknown member": bots({}, "BOT_CHECK.hostname", { BOT_CHECK: { hostname: "x" } }),
    "over http, in production": bots(
      {},
      "BOT_CHECK.verify_url",
      { BOT_CHECK: { verify_url: "http://verify.example/" } },
      PRODUCTION,
    ),
    ...Object.fromEntries(
      [ALWAYS_PASSES, ALWAYS_FAILS, ALREADY_SPENT].map((TURNSTILE_SECRET) => [
        `with the test secret ${TURNSTILE_SECRET.slice(0, 2)}…, in production`,
        bots({}, "TURNSTILE_SECRET", { TURNSTILE_SECRET }, PRODUCTION),
      ]),
    ),
  },
  "a feature": {
    "with an invalid name": feature("New", "ROUTES[0].feature", KV),
    "with an empty name": feature("", "ROUTES[0].feature", KV),
    "with too long a name": feature("a".repeat(33), "ROUTES[0].feature", KV),
    "without a KV namespace": feature("new-checkout", "ROUTES[0].feature"),
  },
  "a policy": {
    "without POLICY_URL": policy("payments", "ROUTES[0].policy", {}),
    "with an invalid name": policy("Not one", "ROUTES[0].policy", { POLICY_URL }),
    "with a relative URL": policy("payments", "POLICY_URL", { POLICY_URL: "/decide" }),
    "over http, in production": policy("payments", "POLICY_URL", {
      ...PRODUCTION,
      POLICY_URL: "http://policy.example/",
    }),
  },
  "an approval": {
    "on a public rule": confirm({ access: "public" }, "ROUTES[0].confirm"),
    "on an optional rule": confirm({ access: "optional" }, "ROUTES[0].confirm"),
    "on a rule for humans only": confirm({ access: "human" }, "ROUTES[0].confirm"),
    "by an agent": confirm({ confirm: "agent" }, "ROUTES[0].confirm"),
    "without its Durable Object": confirm({}, "ROUTES[0].confirm", {}, NO_OBJECTS),
  },
  "an audit setting": {
    "with an unknown value": audit("always", "ROUTES[0].audit"),
    "that is required, without the Durable Object": audit(
      "required",
      "ROUTES[0].audit",
      {},
      NO_OBJECTS,
    ),
    "that is best effort, without the Durable Object": audit(
      "best_effort",
      "ROUTES[0].audit",
      {},
      NO_OBJECTS,
    ),
    "with a retention under a day": audit("required", "AUDIT_RETENTION", {
      AUDIT_RETENTION: "23h",
    }),
    "with a retention over ten years": audit("required", "AUDIT_RETENTION", {
      AUDIT_RETENTION: "3651d",
    }),
  },
  "a catalogue entry": {
    "without an operation": catalogue({ operation: undefined }, "ROUTES[0].operation"),
    "without methods": catalogue({ methods: undefined }, "ROUTES[0].methods"),
    "that is a string": catalogue({ catalogue: "yes" }, "ROUTES[0].catalogue"),
    "with an unknown member": catalogue(
      { catalogue: { sumary: "x" } },
      "ROUTES[0].catalogue.sumary",
    ),
    "with a number as summary": catalogue(
      { catalogue: { summary: 7 } },
      "ROUTES[0].catalogue.summary",
    ),
    "with a schema that is neither a path nor an https URL": catalogue(
      { catalogue: { schema: "schema.json" } },
      "ROUTES[0].catalogue.schema",
    ),
    "with a script URL as schema": catalogue(
      { catalogue: { schema: "javascript:alert(1)" } },
      "ROUTES[0].catalogue.schema",
    ),
  },
  "a rate limit's gate": {
    "without a binding": gate("GATE", "RATE_LIMITS[0].gate"),
    "that is a binding of another type": gate("KV", "RATE_LIMITS[0].gate", KV),
    "whose name is not a string": gate(7, "RATE_LIMITS[0].gate"),
  },
};

// Removes undefined members, as JSON does.
const plain = (value) => JSON.parse(JSON.stringify(value));

for (const [guard, mistakes] of Object.entries(MISTAKES)) {
  describe(guard, { concurrency: 4 }, () => {
    for (const [mistake, [routes, at, variables = {}, bindings = {}]] of Object.entries(mistakes)) {
      test(`${mistake}: ${at}`, () =>
        assertMisconfigured({ routes: plain(routes), variables: plain(variables), bindings }, at));
    }
  });
}
