// Twice the input takes about twice the work, whatever a client repeats: every parser of a request is linear. The test
// counts work instead of time, so the result does not depend on the machine.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { none, number, reply, some, text, variant } from "../support/commands.mjs";
import { loadCountedModule } from "../support/instruction-count.mjs";

const AUTH_SECRET = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
const SECRET = "whsec_c2VjcmV0IG9mIHRoZSBwcm92aWRlcg==";
const AGENT = `mk_${"ab".repeat(24)}`;
const NOW = 1_700_000_000_000;
const SCHEMES = [
  ...["standard", "stripe", "github", "shopify", "slack", "paddle", "lemonsqueezy", "twilio"],
  ...["square", "hmac"],
];

const VARIABLES = {
  ENVIRONMENT: "development",
  PUBLIC_ORIGINS: ["https://app.example"],
  UPSTREAM: "https://origin.example",
  SESSION: { check: "registry", login: "accounts" },
  AUTH_SECRET,
  UPSTREAM_SECRET: "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe",
  SETUP_TOKEN: "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p",
  AGENT_TOKENS: `deploy:${AGENT}`,
  ROUTES: [
    { path: "/public/{*rest}", access: "public" },
    { path: "/strict", access: "public", redirects: "strict" },
    { path: "/user/{id}", access: "user" },
    { path: "/keyed", access: "public", idempotency: "optional" },
    { path: "/confirmed", access: "authenticated", confirm: "human" },
    { path: "/audited/{*rest}", access: "public", operation: "audited", audit: "best_effort" },
  ],
  WEBHOOKS: SCHEMES.map((scheme) => ({
    name: scheme,
    scheme,
    path: `/hooks/${scheme}`,
    ...(scheme === "shopify" ? { events: ["orders/paid"] } : {}),
    ...(scheme === "hmac"
      ? { header: "X-Own", signed: "{timestamp}.{body}", timestamp_prefix: "t=", prefix: "v1=" }
      : {}),
  })),
  ...Object.fromEntries(SCHEMES.map((name) => [`WEBHOOK_${name.toUpperCase()}_SECRET`, SECRET])),
};

// Replies of objects: their members in order.
const TOKEN = reply(
  some(["tok_1", "deploy", "mk_", "AGENT_TOKENS"].flatMap(text)),
  ...[some(text("deploy")), none, number(0), none, none, none, none, number(0), none],
);
const ROOM = reply(some([5]), [0]);
const GRANTED = reply(
  variant("Ledger", "Reply", "Verdict"),
  variant("Ledger", "Verdict", "Granted"),
  [0],
);

const BINDINGS = [
  ...["ACCOUNTS", "AUDIT", "CONFIRMATIONS", "INBOX", "LEDGER", "LIMITER", "SESSIONS", "TOKENS"],
];

let module;
let scripted;
let calls;
let log;
const real = { fetch: globalThis.fetch, now: Date.now, log: console.log };
before(async () => {
  module = await loadCountedModule();
  Date.now = () => NOW;
  globalThis.fetch = async () => {
    calls.push("fetch");
    return response(scripted.response ?? "200\ncontent-type\ntext/plain");
  };
  // The first request reads the configuration.
  assert.equal((await work({})).log.decision, "allow");
});
after(() => {
  globalThis.fetch = real.fetch;
  Date.now = real.now;
});

/** A binding of objects. A command fails unless the case has a reply. Like a real binding, it has its own prototype. */
class Namespace {
  constructor(name) {
    this.name = name;
  }
  idFromName(name) {
    return name;
  }
  get() {
    const command = async () => {
      calls.push(this.name);
      if (scripted.replies?.[this.name] === undefined) throw new Error("down");
      return scripted.replies[this.name];
    };
    return { command };
  }
}
const ENV = {
  ...VARIABLES,
  ...Object.fromEntries(BINDINGS.map((name) => [name, new Namespace(name)])),
};
const CONTEXT = { waitUntil: () => {} };

const encoder = new TextEncoder();

/** Returns a response whose body is a stream, so that the module does not wait for its end. */
const response = (described) => ({
  described,
  status: Number(described.split("\n", 1)[0]),
  headers: new Headers({ "content-type": "text/event-stream" }),
  body: null,
});

/** Returns a request. The module reads its headers from `described`, except the content type. */
function request({ method = "GET", path = "/public/x", headers = [], body = "" }) {
  const fields = headers.map(([name, value]) => `\n${name}\n${value}`).join("");
  const chunks = [encoder.encode(body)];
  const read = async () => {
    if (!calls.includes("body")) calls.push("body");
    const value = chunks.shift();
    return { done: value === undefined, value };
  };
  return {
    described: `${method}\nhttps://app.example${path}${fields}`,
    method,
    headers: new Headers(headers.filter(([name]) => name === "content-type")),
    body: { getReader: () => ({ read, cancel: async () => {} }) },
    signal: { addEventListener: () => {} },
  };
}

/** Handles a request. Returns the counted steps, the log line and the calls that the module made. */
async function work(scenario) {
  [scripted, calls] = [scenario, []];
  console.log = (line) => {
    log = JSON.parse(line);
  };
  try {
    const sent = request(scenario);
    module.counter.steps = 0;
    await module.fetch(sent, ENV, CONTEXT);
    return { steps: module.counter.steps, log, calls };
  } finally {
    console.log = real.log;
  }
}

const many = (count, make) => Array.from({ length: count }, (_, at) => make(at));
const list = (count, make, separator) => many(count, make).join(separator);
const jwt = (header) => `${Buffer.from(header).toString("base64url")}.e30.${"A".repeat(43)}`;
const NAVIGATION = [["sec-fetch-mode", "navigate"]];
const POST = { method: "POST", headers: [["sec-fetch-site", "same-origin"]] };
const post = (...headers) => ({ method: "POST", headers: [...POST.headers, ...headers] });

/** Requests with `n` parts, by what is repeated. `wants` lists calls that the module must make. */
const CASES = {
  headers: (n) => ({ headers: many(n, (at) => [`x-a-${at}`, "1"]) }),
  "headers, each named by Connection": (n) => ({
    headers: [
      ["connection", list(n, (at) => `X-A-${at}`, ", ")],
      ...many(n, (at) => [`x-a-${at}`, "1"]),
    ],
  }),
  "names in Connection without a header": (n) => ({
    headers: [
      ["connection", list(n, (at) => `y-${at}`, ",")],
      ...many(n, (at) => [`x-a-${at}`, "1"]),
    ],
  }),
  "repetitions of a name in Connection": (n) => ({
    headers: [["connection", list(n, () => "x-a", ",")], ...many(n, (at) => [`x-a-${at}`, "1"])],
  }),
  "reserved names": (n) => ({ headers: many(n, (at) => [`x-forwarded-${at}`, "1"]) }),
  "names in other spellings": (n) => ({ headers: many(n, (at) => [`cf_a_${at}`, "1"]) }),
  "letters of a header name": (n) => ({ headers: [["x".repeat(16 * n), "1"]] }),
  "letters of a header value": (n) => ({ headers: [["x-a", "x".repeat(16 * n)]] }),
  cookies: (n) => ({ headers: [["cookie", list(n, (at) => `a${at}=b`, "; ")]] }),
  "cookies without names": (n) => ({ headers: [["cookie", ";".repeat(8 * n)]] }),
  "session cookies": (n) => ({
    headers: [["cookie", list(n, (at) => `mk_session=a.b.${at}`, "; ")]],
  }),
  "letters of a session cookie": (n) => ({
    headers: [["cookie", `mk_session=${"a".repeat(8 * n)}`]],
  }),
  "dots in a session cookie": (n) => ({ headers: [["cookie", `mk_session=${".".repeat(8 * n)}`]] }),
  "cookies that count redirects": (n) => ({
    path: "/user/1",
    headers: [...NAVIGATION, ["cookie", list(n, (at) => `mk_session_hops=1.${at}.0`, "; ")]],
  }),
  "query parameters": (n) => ({
    path: `/user/1?${list(n, (at) => `a${at}=b`, "&")}`,
    headers: NAVIGATION,
  }),
  "return paths": (n) => ({
    path: `/login?${list(n, (at) => `b=%2Fa${at}`, "&")}&next=%2Fa`,
    headers: NAVIGATION,
  }),
  "letters of a return path": (n) => ({
    path: `/user/1?${"%7C|".repeat(n)}`,
    headers: NAVIGATION,
  }),
  "path segments": (n) => ({ path: `/public${"/a".repeat(4 * n)}` }),
  "slashes in a path": (n) => ({ path: `/public${"/".repeat(8 * n)}a` }),
  "escapes in a path": (n) => ({ path: `/public/${"%61%2D".repeat(n)}` }),
  "semicolons in a path": (n) => ({ path: `/public/${";a".repeat(4 * n)}` }),
  "invites in an audited path": (n) => ({ path: `/audited${"/mki_a".repeat(n)}` }),
  credentials: (n) => ({ path: "/user/1", headers: [["authorization", "Bearer a, ".repeat(n)]] }),
  "letters of a token": (n) => ({
    path: "/user/1",
    headers: [["authorization", `Bearer mk_${"a".repeat(8 * n)}`]],
  }),
  "letters of an origin": (n) => ({
    method: "POST",
    headers: [["origin", `https://${"a.".repeat(4 * n)}ngrok.io`]],
  }),
  "letters of an origin in Punycode": (n) => ({
    method: "POST",
    headers: [["origin", `https://xn--${"a".repeat(8 * n)}.ngrok.io`]],
  }),
  "escaped queries": (n) => ({ path: `/public/${"a%3Fb%23".repeat(n / 2)}` }),
  "dots and spaces at the end of segments": (n) => ({ path: `/public${"/a.%20".repeat(n)}` }),
  "different spellings in one path": (n) => ({
    path: `/public${"/A;b%3B.%20//".repeat(n / 4)}%3F.`,
  }),
  "different spellings in a return path": (n) => ({
    path: `/login?next=${"%2FA;.%2F%253F".repeat(n / 4)}`,
    headers: NAVIGATION,
  }),
  "objects in a session cookie": (n) => ({
    headers: [
      ["cookie", `mk_session=${jwt(`{"a":[${list(n / 16, (at) => `{"a${at}":1}`, ",")}]}`)}`],
    ],
  }),
  "commas in a cookie": (n) => ({ headers: [["cookie", `a=b${",".repeat(8 * n)}`]] }),
  "commas in Forwarded": (n) => ({
    headers: [
      ["forwarded", "for=1, ".repeat(n)],
      ["x-forwarded-for", "1, ".repeat(n)],
    ],
  }),
  "commas in Accept": (n) => ({
    path: "/user/1",
    headers: [["accept", ",".repeat(8 * n)]],
  }),
  "session cookies with a valid header": (n) => ({
    headers: [["cookie", list(n / 8, () => `mk_session=${jwt('{"alg":"HS256"}')}`, "; ")]],
  }),
  "types in Accept": (n) => ({ path: "/user/1", headers: [["accept", "text/plain,".repeat(n)]] }),
  "letters of a client address": (n) => ({
    ...POST,
    headers: [["cf-connecting-ip", "1:".repeat(4 * n)]],
  }),
  "letters of an idempotency key": (n) => ({
    path: "/keyed",
    ...post(["idempotency-key", "a, ".repeat(4 * n)]),
  }),
  "quotes in an idempotency key": (n) => ({
    path: "/keyed",
    ...post(["idempotency-key", `"${'\\"'.repeat(4 * n)}"`]),
  }),
  "headers under an idempotency key": (n) => ({
    path: "/keyed",
    ...post(
      ["idempotency-key", "k1"],
      ["connection", list(n, (at) => `x-a-${at}`, ",")],
      ...many(n, (at) => [`x-a-${at}`, "1"]),
    ),
    replies: { LEDGER: GRANTED },
    wants: ["body", "LEDGER", "fetch"],
  }),
  "headers of a request that needs an approval": (n) => ({
    path: "/confirmed",
    method: "POST",
    headers: [["authorization", `Bearer ${AGENT}`], ...many(n, (at) => [`x-a-${n - at}`, "1"])],
    replies: { TOKENS: TOKEN },
    wants: ["body"],
  }),
  "members of a JSON body at an endpoint": (n) => ({
    path: "/api/auth/login",
    ...post(["content-type", "application/json"]),
    body: `{${list(n, (at) => `"a${at}":1`, ",")}}`,
    replies: { LIMITER: ROOM },
    wants: ["body"],
  }),
  "brackets in a JSON body at an endpoint": (n) => ({
    path: "/api/auth/login",
    ...post(["content-type", "application/json"]),
    body: `{"email":${"[".repeat(4 * n)}`,
    replies: { LIMITER: ROOM },
    wants: ["body"],
  }),
  "headers of a response": (n) => ({
    response: `200\n${list(n, (at) => `x-user-id${at}\n1`, "\n")}`,
    wants: ["fetch"],
  }),
  "cookies of a response": (n) => ({
    response: `200\n${list(n, (at) => `set-cookie\na${at}=b`, "\n")}`,
    wants: ["fetch"],
  }),
  "letters of a Location": (n) => ({
    path: "/strict",
    response: `302\nlocation\n/${"|%".repeat(2 * n)}`,
    wants: ["fetch"],
  }),
};

/** Thousands of signatures of each scheme. Long bodies follow. */
const zeros = "0".repeat(64);
const base64 = Buffer.alloc(32).toString("base64");
const seconds = String(NOW / 1_000);
const SIGNATURES = {
  standard: (n) => [
    ["webhook-id", "msg_1"],
    ["webhook-timestamp", seconds],
    ["webhook-signature", list(n, () => `v1,${base64}`, " ")],
  ],
  stripe: (n) => [["stripe-signature", `t=${seconds},${list(n, () => `v1=${zeros}`, ",")}`]],
  github: (n) => [["x-hub-signature-256", `sha256=${list(n, () => zeros, "")}`]],
  shopify: (n) => [["x-shopify-hmac-sha256", list(n, () => base64, "")]],
  slack: (n) => [
    ["x-slack-signature", `v0=${list(n, () => zeros, "")}`],
    ["x-slack-request-timestamp", seconds],
  ],
  paddle: (n) => [["paddle-signature", `ts=${seconds};${list(n, () => `h1=${zeros}`, ";")}`]],
  lemonsqueezy: (n) => [["x-signature", list(n, () => zeros, "")]],
  twilio: (n) => [["x-twilio-signature", list(n, () => base64, "")]],
  square: (n) => [["x-square-hmacsha256-signature", list(n, () => base64, "")]],
  hmac: (n) => [["x-own", `t=${seconds},${list(n, () => `v1=${zeros}`, ",")}`]],
};
for (const [scheme, headers] of Object.entries(SIGNATURES)) {
  CASES[`signatures of ${scheme}`] = (n) => ({
    path: `/hooks/${scheme}`,
    method: "POST",
    headers: headers(n),
    body: "{}",
  });
}

const FORM = ["content-type", "application/x-www-form-urlencoded"];
const twilio = (form) => ({
  path: "/hooks/twilio",
  method: "POST",
  headers: [["x-twilio-signature", Buffer.alloc(20).toString("base64")], FORM],
  body: form,
  wants: ["body"],
});
CASES["fields of Twilio's form"] = (n) =>
  twilio(list(n / 4, (at) => `a${(at * 7_919) % n}=b`, "&"));
CASES["fields of Twilio's form above the limit"] = (n) =>
  twilio(list(8 * n, (at) => `${at}=b`, "&"));
CASES["letters of Twilio's form"] = (n) => twilio(`a=${"%20".repeat(8 * n)}`);
CASES["members of a signed event"] = (n) => {
  const body = `{${list(n, (at) => `"a${(at * 7_919) % n}":1`, ",")}}`;
  const tag = createHmac("sha256", SECRET).update(body).digest("hex");
  return {
    path: "/hooks/lemonsqueezy",
    method: "POST",
    headers: [["x-signature", tag]],
    body,
    replies: { LEDGER: GRANTED },
    wants: ["body", "LEDGER", "fetch"],
  };
};

const N = 1_600;

/**
 * Limit of the second difference over the first: 2 if the work is linear, somewhat more for sorting, 4 if it is
 * quadratic.
 */
const MOST = 3;

/** Fewer steps than this for each additional part cannot be a loop over all parts. */
const FEW = 50;

describe("the work is linear in the number of", () => {
  for (const [name, caseOf] of Object.entries(CASES)) {
    test(name, async (t) => {
      const nothing = await work(caseOf(0));
      const [half, once, twice] = [
        await work(caseOf(N / 2)),
        await work(caseOf(N)),
        await work(caseOf(2 * N)),
      ];
      for (const call of caseOf(N).wants ?? []) {
        assert.ok(once.calls.includes(call), `expected ${call} in ${JSON.stringify(once.calls)}`);
        assert.ok(twice.calls.includes(call), `expected ${call} in ${JSON.stringify(twice.calls)}`);
      }
      const [first, second] = [once.steps - half.steps, twice.steps - once.steps];
      t.diagnostic(
        `n/2: ${half.steps}, n: ${once.steps}, 2n: ${twice.steps} (${once.log.decision})`,
      );
      // Half of the input may take another path, and the first difference then says nothing. Few steps for each part
      // suffice.
      assert.ok(
        second <= MOST * first + nothing.steps || second <= FEW * N,
        `${once.steps} for n, ${twice.steps} for 2n`,
      );
    });
  }
});
