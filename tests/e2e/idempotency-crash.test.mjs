// The process is killed at random times while clients make payments. No payment is made twice, and each key ends in one
// of three states: answered as upstream responded, free again, or with an unknown outcome that is listed.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { killAfter, killWithin } from "../support/kill.mjs";
import { now } from "../support/tokens.mjs";
import { startUpstream } from "../support/upstream.mjs";
import { killAll } from "../support/worker.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const ROOT = { email: "root@example.com", password: "correct horse battery" };
const ROUNDS = Number(process.env.CRASHES ?? 6);

// A claim's lease is the rule's timeout and 45 seconds.
const TIMEOUT = 5;
const LEASE = TIMEOUT + 45;
const keyed = { access: "public", idempotency: "required", timeout: `${TIMEOUT}s` };
const ROUTES = [
  { path: "/pay", operation: "orders.pay", ...keyed },
  { path: "/ask", hold: "ask", ...keyed },
];
const KINDS = ["plain", "parts", "refused", "declined", "long", "plain", "parts", "plain"];
const LONG = randomBytes(1_000_000).toString("hex");

let payments;
before(async () => {
  payments = await openPayments();
});
after(() => payments.upstream.stop());

test(`killed ${ROUNDS} times while payments are made: no payment is made twice`, async (t) => {
  // In the last round the clock shows the real time, because alarms use the real clock.
  const clock = (round) => START + round * (LEASE + 1);
  const START = now() - ROUNDS * (LEASE + 1);
  const deployment = await openDeployment(t, clock(0));
  const all = [];
  const tally = { cutOff: 0, inFlight: 0, declined: 0, replayed: 0 };
  const attempt = (round) => (one) => settle(deployment, one, round, tally);
  for (let round = 0; round < ROUNDS; round += 1) {
    const old = all.filter(({ outcome }) => !outcome);
    const fresh = KINDS.flatMap((kind, at) => [
      payment("/pay", kind, round, at),
      payment("/ask", kind, round, at),
    ]);
    all.push(...fresh);
    // Two clients send each new payment, one client each old one.
    const racing = [...fresh, ...fresh, ...old];
    // The kill comes at random: before, during, between or after the requests.
    const kill =
      round % 3 ? killAfter(payments, Math.random() * 2 * racing.length) : killWithin(200);
    await Promise.all(racing.map(attempt(round)));
    kill.end();
    // The clock moves on, so that all leases of this round are over.
    await deployment.reopen(clock(round + 1));
  }
  await Promise.all(all.filter(({ outcome }) => !outcome).map(attempt(ROUNDS)));
  const unknown = all.filter(({ outcome }) => outcome === "unknown");
  const [ran, lost] = [
    unknown.filter(payments.hasMade),
    unknown.filter((one) => !payments.hasMade(one)),
  ];
  const answered = all.filter(({ outcome }) => outcome === "answered");
  assert.equal(answered.length + unknown.length, all.length, "each payment is answered or unknown");
  t.diagnostic(
    `${all.length} payments: ${answered.length} answered, of which ${tally.replayed} replayed`,
  );
  t.diagnostic(`${unknown.length} unknown: ${ran.length} made, ${lost.length} not`);
  t.diagnostic(`requests: ${JSON.stringify(tally)}`);

  // An answered payment is replayed from now on.
  for (const one of answered) {
    const again = await attempt(ROUNDS)(one);
    assert.equal(again.headers["idempotent-replayed"], "true");
  }

  // An operator looks up the request ids in upstream's records and resolves the unknown payments.
  const items = await deployment.unresolved(unknown.length);
  assert.equal(items.filter(({ id }) => payments.requests.has(id)).length, ran.length);
  for (const { id, operation, principal, heldUntil } of items) {
    const made = payments.requests.get(id);
    assert.equal(operation, "orders.pay");
    assert.match(
      principal,
      made ? new RegExp(`^address:${made.address}$`) : /^address:10\.\d+\.\d+\.\d$/,
    );
    assert.ok(Date.parse(heldUntil) > Date.now());
    assert.equal((await deployment.resolve(id, made ? "ran" : "did_not_run")).status, 204);
    assertProblem(await deployment.resolve(id, "ran"), 404, "not_found");
  }
  await deployment.unresolved(0);
  for (const one of ran) assert.equal((await attempt(ROUNDS)(one)).status, 409);
  for (const one of lost) {
    one.outcome = undefined;
    await attempt(ROUNDS)(one);
    assert.equal(one.outcome, "answered", "the key was free again");
  }
  for (const one of all) assert.equal(payments.made.get(one.key).length, 1, one.key);
});

test("an unknown outcome is listed even if no client repeats the request", async (t) => {
  // The lease ends two seconds from now.
  const deployment = await openDeployment(t, now() + 2 - LEASE);
  const [paid, held] = [payment("/pay", "plain", 0, 0), payment("/pay", "held", 0, 0)];
  assert.equal((await deployment.pay(paid)).status, 201);
  const arrival = payments.upstream.nextRequest();
  const cutOff = assert.rejects(deployment.pay(held));
  const { headers } = await arrival;
  killAll();
  await cutOff;
  // From here on the gateway uses the real clock, because alarms do.
  await deployment.reopen(null);
  const [{ heldUntil, ...item }] = await deployment.unresolved(1);
  const expected = { operation: "orders.pay", principal: `address:${held.address}` };
  assert.deepEqual(item, { id: headers["x-request-id"], ...expected });
  assert.ok(Date.parse(heldUntil) > Date.now());
});

const payment = (path, kind, round, at) => {
  const key = `${kind}-${path.slice(1)}-${round}-${at}`;
  return { path, key, kind, round, address: `10.${round >> 8}.${round & 255}.${at % 4}` };
};

// Sends a payment once and checks the response against what upstream did.
async function settle(deployment, one, round, tally) {
  const response = await deployment.pay(one).catch(() => undefined);
  payments.step();
  if (!response) {
    tally.cutOff += 1;
    return;
  }
  if (response.text === "declined") {
    // Upstream made no payment, so the client may send it again at once.
    tally.declined += 1;
    return settle(deployment, one, round, tally);
  }
  if (response.status === 409) {
    if (response.json().error === "idempotency_in_flight") {
      tally.inFlight += 1;
      assert.equal(one.round, round, `${one.key} is in flight beyond its lease`);
      return response;
    }
    assertProblem(response, 409, "idempotency_outcome_unknown");
    assert.ok(one.round < round, `${one.key} became unknown within its lease`);
    assert.equal(one.path, "/pay", "with hold = ask, the gateway asks upstream instead");
    assert.notEqual(one.outcome, "answered", `${one.key} was answered before`);
    one.outcome = "unknown";
    return response;
  }
  const [made] = payments.made.get(one.key) ?? [];
  assert.ok(made, `${one.key} was not made: ${response.status} ${response.text.slice(0, 200)}`);
  assert.equal(response.status, made.status);
  assert.ok(response.text === made.body, `${one.key} got another response than upstream sent`);
  assert.notEqual(one.outcome, "unknown", `${one.key} was unknown before`);
  if (response.headers["idempotent-replayed"]) tally.replayed += 1;
  one.outcome = "answered";
  return response;
}

// Starts an upstream that makes a payment for each request and records it.
async function openPayments() {
  const upstream = await startUpstream();
  const made = new Map();
  const payments = { upstream, made, requests: new Map(), step() {} };
  payments.hasMade = ({ key }) => made.has(key);
  const declined = new Set();
  const answer = async ({ headers }, response, seen) => {
    await seen.body;
    const { "idempotency-key": key, "x-request-id": id, "x-paid-from": address } = headers;
    const [kind] = key.split("-");
    if (kind === "held") return;
    const [known] = made.get(key) ?? [];
    if (known && headers["x-idempotency-recovery"]) {
      return response.writeHead(known.status).end(known.body);
    }
    if (kind === "declined" && !declined.has(key)) {
      declined.add(key);
      return response.writeHead(503).end("declined");
    }
    const status = kind === "refused" ? 402 : 201;
    const body = `${key} by ${id}: ${kind === "long" ? LONG : "paid"}`;
    made.set(key, [...(made.get(key) ?? []), { status, body }]);
    payments.requests.set(id, { address });
    payments.step();
    await processPayment();
    payments.step();
    response.writeHead(status, { "Content-Type": "text/plain" });
    if (kind === "parts") {
      response.write(body.slice(0, 9));
      await processPayment();
      response.end(body.slice(9));
    } else response.end(body);
  };
  for (const { path } of ROUTES) {
    // A killed gateway does not send the rest of the body, so the script may fail.
    upstream.answers[path] = (...all) => void answer(...all).catch(() => {});
  }
  return payments;
}

// Waits as long as a payment takes.
const processPayment = () => sleep(Math.random() * 80);

// Opens the gateway in front of it, with storage that survives a kill. `clock` is its time; null means the real clock.
async function openDeployment(t, clock) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const open = (clock) =>
    openGateway({
      routes: ROUTES,
      upstream: payments.upstream.origin,
      variables: { SESSION: { login: "accounts" }, SETUP_TOKEN, DANGER_FIXED_NOW: clock },
      bindings: { kvNamespaces: ["KV"] },
      folder,
    });
  let gateway = await open(clock);
  t.after(async () => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const post = (path, headers, body) =>
    gateway.request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin", ...headers },
      body: JSON.stringify(body),
    });
  const first = await post("/api/auth/setup", {}, { setupToken: SETUP_TOKEN, ...ROOT });
  assert.equal(first.status, 201, first.text);
  const [Cookie] = first.cookies[0].split(";");

  return {
    async reopen(clock) {
      await gateway.stop();
      gateway = await open(clock);
    },
    pay: ({ path, key, address }) =>
      post(
        path,
        { "Idempotency-Key": key, "CF-Connecting-IP": address, "X-Paid-From": address },
        { key },
      ),
    // Returns all listed items when there are `count`.
    async unresolved(count) {
      for (;;) {
        const items = [];
        let cursor = "";
        do {
          const path = `/api/idempotency?state=unknown&limit=100${cursor}`;
          const response = await gateway.request(path, { headers: { Cookie } });
          assert.equal(response.status, 200, response.text);
          const page = response.json();
          items.push(...page.items);
          cursor = page.next && `&cursor=${page.next}`;
        } while (cursor);
        if (items.length === count) return items;
        // Objects report unknown outcomes when their alarms fire, and remove those that upstream has answered since.
        await sleep(100);
      }
    },
    resolve: (id, outcome) => post(`/api/idempotency/${id}/resolve`, { Cookie }, { outcome }),
  };
}
