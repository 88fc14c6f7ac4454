// The platform evicts an object in the middle of a request: before one of its commands, or after the command has
// written and before its answer is sent. Each act is repeated with an eviction at each of its commands, one after the
// other.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";
import { CLASSES } from "../support/worker.mjs";

// `/test/evict` arms an eviction at a command or alarm, and `/test/evicted` returns how many took place. An evicted
// object loses what it has not committed, and its caller gets an error.
const ENTRY = `
import worker, * as classes from "./index.js";
let [left, way, evictions] = [-1, "", 0];
const evictable = (Class) =>
  class extends Class {
    #run(step) {
      if (left < 0 || left-- > 0) return step();
      evictions += 1;
      if (way === "after") step();
      this.ctx.abort("evicted by the test");
    }
    command(...args) {
      return this.#run(() => super.command(...args));
    }
    alarm(...args) {
      return this.#run(() => super.alarm(...args));
    }
  };
${CLASSES.map((name) => `export const ${name} = evictable(classes.${name});`).join("\n")}
export default {
  fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/test/evicted") {
      left = -1;
      return Response.json(evictions);
    }
    if (pathname !== "/test/evict") return worker.fetch(request, env, context);
    left = Number(request.headers.get("x-at"));
    way = request.headers.get("x-way");
    return Response.json(evictions);
  },
};`;

const SECRET = "whsec_test_secret_of_the_provider";

let gateway;
let people;
let trail;
let call;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/user/{*rest}", access: "user" },
      { path: "/pay/{*rest}", methods: ["POST"], access: "user", idempotency: "required" },
      { path: "/audited/{*rest}", access: "user", audit: "required" },
    ],
    variables: {
      ...ACCOUNTS,
      WEBHOOKS: [{ name: "stripe", scheme: "stripe", path: "/hooks/stripe", delivery: "inbox" }],
      WEBHOOK_STRIPE_SECRET: SECRET,
    },
    wrapperModules: { "entry.mjs": ENTRY },
  });
  people = await setUpUsers({ request: fromNewAddress });
  call = people.call;
  trail = auditTrailOf(people);
});
after(() => gateway.stop());

// Each request comes from a new address, so that none is rate limited.
let addresses = 0;
const fromNewAddress = (path, { headers, ...options } = {}) => {
  addresses += 1;
  const address = `10.0.${addresses >> 8}.${addresses & 255}`;
  return gateway.request(path, {
    ...options,
    headers: { "CF-Connecting-IP": address, ...headers },
  });
};

const evictions = async () => (await gateway.request("/test/evicted")).json();
const runsOf = (url) => gateway.upstreamRequests.filter((request) => request.url === url).length;
const assertAnswer = ({ status, text }, expected) =>
  assert.ok(status === expected || [500, 503].includes(status), `${status} ${text}`);

// Runs `act` with an eviction at its first command, at its second one and so on, until it has no more commands. `act`
// gets a name that is used once, and a function that ends what is evicted.
async function evictEachCommand(act, minimum) {
  for (const way of ["before", "after"]) {
    let at = 0;
    for (;;) {
      const headers = { "X-At": String(at), "X-Way": way };
      const name = `${way}${at}`;
      let took;
      const arm = async () => {
        took = -(await gateway.request("/test/evict", { headers })).json();
      };
      const disarm = async () => {
        took += await evictions();
      };
      await act(name, arm, disarm);
      if (took === 0) break;
      at += 1;
    }
    assert.ok(at >= minimum, `evicted ${way} ${at} commands`);
  }
}

test("a write under a key runs at most once, and an answered one is not run again", async () => {
  const ada = await people.createUser("payer");
  await evictEachCommand(async (name, arm, disarm) => {
    const path = `/pay/${name}`;
    const pay = () => call("POST", path, ada, "x", { headers: { "Idempotency-Key": name } });
    await arm();
    const first = await pay();
    await disarm();
    assertAnswer(first, 200);
    if (first.status !== 200) assert.equal(runsOf(path), 0, first.text);
    const again = await pay();
    assert.ok([200, 409].includes(again.status), again.text);
    if (first.status !== 200) assert.ok(again.status === 200, `not freed: ${again.text}`);
    assert.equal(runsOf(path), 1);
  }, 4);
});

test("an invite is redeemed or can be redeemed", async () => {
  await evictEachCommand(async (name, arm, disarm) => {
    const { token } = (await call("POST", "/api/invites", people.root, { role: "user" })).json();
    const body = { email: `${name}@example.com`, password: PASSWORD };
    const redeem = () => call("POST", `/api/invites/${trackSecret(token)}/redeem`, ANONYMOUS, body);
    await arm();
    const first = await redeem();
    await disarm();
    assertAnswer(first, 201);
    const again = await redeem();
    const signIn = await call("POST", "/api/auth/login", ANONYMOUS, body);
    if (first.status === 201) assert.notEqual(again.status, 201);
    // Whichever attempt it was: the user exists once, with this password.
    assert.equal(signIn.status, 200, `${first.text} ${again.text}`);
    const users = (await call("GET", `/api/users?q=${body.email}`, people.root)).json();
    assert.equal(users.items.length, 1);
  }, 3);
});

test("a sign-out that was answered holds", async () => {
  const user = await people.createUser("leaver");
  await evictEachCommand(async (_name, arm, disarm) => {
    const body = { email: "leaver@example.com", password: PASSWORD };
    const signIn = await call("POST", "/api/auth/login", ANONYMOUS, body);
    const [Cookie] = signIn.cookies[0].split(";");
    const session = { headers: { Cookie } };
    await arm();
    const ended = await call("POST", "/api/auth/logout", session);
    await disarm();
    assertAnswer(ended, 204);
    const { status } = await call("GET", "/user/x", session);
    if (ended.status === 204) assert.equal(status, 401);
    assert.equal((await call("GET", "/user/x", user)).status, 200, "the other session is kept");
  }, 1);
});

test("an event that was accepted is stored once, and delivered", async () => {
  const names = new Set();
  await evictEachCommand(async (name, arm, disarm) => {
    const id = `evt_${name}`;
    names.add(id);
    const body = JSON.stringify({ id, type: "charge.refunded" });
    const deliver = () => {
      const at = Math.floor(Date.now() / 1_000);
      const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
      const headers = {
        "Content-Type": "application/json",
        "Stripe-Signature": `t=${at},v1=${mac}`,
      };
      return gateway.request("/hooks/stripe", { method: "POST", headers, body });
    };
    await arm();
    let response = await deliver();
    await disarm();
    if (response.status !== 202) {
      assertAnswer(response, 202);
      response = await deliver();
    }
    assert.ok(response.status < 300, response.text);
  }, 1);
  const items = async () =>
    (await call("GET", "/api/webhooks?limit=100", people.root)).json().items;
  const all = await pollUntil(
    items,
    (found) => found.every(({ state }) => state === "delivered"),
    "",
  );
  assert.deepEqual(all.map(({ eventId }) => eventId).sort(), [...names].sort());
});

test("an audited request that ran has its row, and the chain is intact", async () => {
  const ada = await people.createUser("audited");
  const ran = [];
  await evictEachCommand(async (name, arm, disarm) => {
    const path = `/audited/${name}`;
    await arm();
    const response = await call("GET", path, ada);
    await disarm();
    assertAnswer(response, 200);
    if (response.status === 200) assert.equal(runsOf(path), 1);
    if (runsOf(path) > 0) ran.push(path);
  }, 2);
  const { items } = await trail.allRows();
  for (const path of ran)
    assert.ok(items.some((row) => row.path === path && row.phase === "begun"));
  const verified = await trail.verify(new Date().toISOString().slice(0, 10));
  assert.equal(verified.ok, true, JSON.stringify(verified));
});
