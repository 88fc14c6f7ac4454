/**
 * Counts the rows that operations read and write while the stored state grows, in workerd:
 *
 *     node bench/growth.mjs [--sizes 10,1000]
 *
 * Build the Worker first (`npm run build`). Rows do not depend on the machine. An operation that reads a table without
 * an index reads as many rows as the table has. Each size is filled by requests, so that large ones take long.
 */

import { createHmac } from "node:crypto";
import { parseArgs } from "node:util";
import { COUNTING } from "../tests/support/counting.mjs";
import { openGateway } from "../tests/support/gateway.mjs";
import { ACCOUNTS, callerOf, PASSWORD, setUpUsers } from "../tests/support/people.mjs";

const SECRET = "whsec_growth_secret_of_the_provider";
const { values } = parseArgs({ options: { sizes: { type: "string", default: "10,1000" } } });
const SIZES = values.sizes.split(",").map(Number);
const AT_ONCE = 16;

const gateway = await openGateway({
  routes: [
    { path: "/user", access: "user" },
    { path: "/pay", methods: ["POST"], access: "user", idempotency: "required" },
    { path: "/audited", access: "user", audit: "required" },
    { path: "/limited", access: "public", limit: "all" },
    { path: "/deploys/{id}", methods: ["POST"], access: "user", confirm: "human" },
  ],
  variables: {
    ...ACCOUNTS,
    LOG_SAMPLE: 1_000_000,
    RATE_LIMITS: [{ name: "all", limit: 1_000_000, period: "1h", by: "address" }],
    WEBHOOKS: [{ name: "hook", scheme: "stripe", path: "/hook", delivery: "inbox" }],
    WEBHOOK_HOOK_SECRET: SECRET,
  },
  bindings: { kvNamespaces: ["KV"] },
  wrapperModules: { "entry.mjs": COUNTING },
});

let count = 0;
const address = () => `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}`;
const request = (path, { headers, ...options } = {}) => {
  count += 1;
  return gateway.request(path, {
    ...options,
    headers: { "CF-Connecting-IP": address(), ...headers },
  });
};
const call = callerOf({ request });
const people = await setUpUsers({ request });
const { root } = people;
const ada = await people.createUser("ada");
const token = await people.createToken(ada, "mul_");
let machine;

const pay = (key) => call("POST", "/pay", ada, "x", { headers: { "Idempotency-Key": key } });
const audited = () => call("GET", "/audited", ada);
const limited = () => call("GET", "/limited");
const invite = () => call("POST", "/api/invites", root, { role: "user" });
function deliver(id) {
  const body = JSON.stringify({ id, type: "charge.refunded" });
  const at = Math.floor(Date.now() / 1_000);
  const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = { "Content-Type": "application/json", "Stripe-Signature": `t=${at},v1=${mac}` };
  return request("/hook", { method: "POST", headers, body });
}
async function ask(name) {
  // The number of pending approvals of a machine is limited, so a new machine asks from time to time.
  if (count % 10 === 0 || !machine) {
    machine = await people.createToken(ada, "mat_", { agentId: "a", taskId: "t" });
  }
  return call("POST", `/deploys/${name}`, machine, "{}");
}

/** What fills the stores: functions of a number. */
const FILL = {
  keys: (at) => pay(`fill-${at}`),
  events: (at) => deliver(`evt_fill_${at}`),
  rows: audited,
  addresses: limited,
  invites: invite,
};

/** The operations: what they grow with, and how to run one. */
const OPERATIONS = {
  "session check": () => call("GET", "/user", ada),
  "token check": () => call("GET", "/user", token),
  "sign-in": () =>
    call("POST", "/api/auth/login", undefined, { email: "ada@example.com", password: PASSWORD }),
  "rate limit": limited,
  "keyed write": () => pay(`once-${count}`),
  "keyed write, replayed": () => pay("fill-0"),
  "webhook into an inbox": () => deliver(`evt_once_${count}`),
  "page of an inbox": () => call("GET", "/api/webhooks?limit=10", root),
  "audited request": audited,
  "page of the trail": () => call("GET", "/api/audit?limit=10", root),
  "page of invites": () => call("GET", "/api/invites?limit=10", root),
  "request that needs an approval": () => ask(`once-${count}`),
  "page of approvals": () => call("GET", "/api/confirmations?limit=10", ada),
  "page of users": () => call("GET", "/api/users?limit=10", root),
  "page of tokens": () => call("GET", "/api/agent-tokens?limit=10", root),
};

const take = async () => (await gateway.request("/test/costs")).json();
const settle = () => new Promise((resolve) => setTimeout(resolve, 400));

/** Returns the rows that an operation reads and writes: the fewest of some runs, because alarms add rows. */
async function rowsOf(operation) {
  const runs = [];
  for (let run = 0; run < 4; run += 1) {
    await settle();
    await take();
    const response = await operation();
    if (response.status >= 400 && response.status !== 403) throw new Error(response.text);
    await settle();
    const { read, written } = await take();
    runs.push({ read, written });
  }
  return runs.reduce((least, one) => (one.read < least.read ? one : least));
}

try {
  const found = new Map(Object.keys(OPERATIONS).map((name) => [name, []]));
  let filled = 0;
  for (const size of SIZES) {
    const numbers = Array.from({ length: size - filled }, (_, at) => filled + at);
    const work = async () => {
      for (let at = numbers.shift(); at !== undefined; at = numbers.shift()) {
        for (const fill of Object.values(FILL)) {
          const response = await fill(at);
          if (response.status >= 400) throw new Error(response.text);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    filled = size;
    for (const [name, operation] of Object.entries(OPERATIONS)) {
      found.get(name).push(await rowsOf(operation));
    }
  }
  const heads = SIZES.flatMap((size) => [`read at ${size}`, `written at ${size}`]);
  console.log(`| operation | ${heads.join(" | ")} | read × |`);
  console.log(`|---|${heads.map(() => "---:").join("|")}|---:|`);
  for (const [name, rows] of found) {
    const cells = rows.flatMap(({ read, written }) => [read, written]);
    const ratio = (rows.at(-1).read / rows[0].read).toFixed(1);
    console.log(`| ${[name, ...cells, ratio].join(" | ")} |`);
  }
} finally {
  await gateway.stop();
}
