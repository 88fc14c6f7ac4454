// The process is killed while payments are made. Whenever that is, none is made twice, and of each key it can be
// said what became of it: answered as upstream answered, free again, or known to be unknown.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { killAfter, killWithin } from "../support/killing.mjs";
import { now } from "../support/tokens.mjs";
import { startUpstream } from "../support/upstream.mjs";
import { killAll } from "../support/worker.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const ROOT = { email: "root@example.com", password: "correct horse battery" };
const ROUNDS = Number(process.env.CRASHES ?? 6);

// A claim is held for upstream's time and 45 seconds more.
const TIMEOUT = 5;
const LEASE = TIMEOUT + 45;
const keyed = { access: "public", idempotency: "required", timeout: `${TIMEOUT}s` };
const ROUTES = [
  { path: "/pay", operation: "orders.pay", ...keyed },
  { path: "/ask", hold: "ask", ...keyed },
];
const KINDS = ["plain", "parts", "refused", "declined", "long", "plain", "parts", "plain"];
const LONG = randomBytes(1_000_000).toString("hex");

let till;
before(async () => {
  till = await openTill();
});
after(() => till.upstream.stop());

test(`killed ${ROUNDS} times while payments are made: none is made twice`, async (t) => {
  // At the end the clock stands where the real one does, which is that of alarms.
  const clock = (round) => START + round * (LEASE + 1);
  const START = now() - ROUNDS * (LEASE + 1);
  const scene = await openScene(t, clock(0));
  const all = [];
  const tally = { cutOff: 0, inFlight: 0, declined: 0, replayed: 0 };
  const attempt = (round) => (one) => settle(scene, one, round, tally);
  for (let round = 0; round < ROUNDS; round += 1) {
    const old = all.filter(({ outcome }) => !outcome);
    const fresh = KINDS.flatMap((kind, at) => [
      payment("/pay", kind, round, at),
      payment("/ask", kind, round, at),
    ]);
    all.push(...fresh);
    // The new ones by two clients each, the old ones by one.
    const racing = [...fresh, ...fresh, ...old];
    // Before, in, between or after them, as it comes: that is what is tried here.
    const plot = round % 3 ? killAfter(till, Math.random() * 2 * racing.length) : killWithin(200);
    await Promise.all(racing.map(attempt(round)));
    plot.end();
    // By then no lease of this round is left.
    await scene.reopen(clock(round + 1));
  }
  await Promise.all(all.filter(({ outcome }) => !outcome).map(attempt(ROUNDS)));
  const unknown = all.filter(({ outcome }) => outcome === "unknown");
  const [ran, lost] = [unknown.filter(till.hasMade), unknown.filter((one) => !till.hasMade(one))];
  const answered = all.filter(({ outcome }) => outcome === "answered");
  assert.equal(answered.length + unknown.length, all.length, "each has come to an end");
  t.diagnostic(
    `${all.length} payments: ${answered.length} answered, of which ${tally.replayed} again`,
  );
  t.diagnostic(`${unknown.length} unknown: ${ran.length} made, ${lost.length} not`);
  t.diagnostic(`requests: ${JSON.stringify(tally)}`);

  // What was answered once is answered so for good.
  for (const one of answered) {
    const again = await attempt(ROUNDS)(one);
    assert.equal(again.headers["idempotent-replayed"], "true");
  }

  // An operator, who finds the ids of the requests in upstream's books, gets to the end of the rest.
  const items = await scene.unresolved(unknown.length);
  assert.equal(items.filter(({ id }) => till.asked.has(id)).length, ran.length);
  for (const { id, operation, principal, heldUntil } of items) {
    const made = till.asked.get(id);
    assert.equal(operation, "orders.pay");
    assert.match(
      principal,
      made ? new RegExp(`^address:${made.address}$`) : /^address:10\.\d+\.\d+\.\d$/,
    );
    assert.ok(Date.parse(heldUntil) > Date.now());
    assert.equal((await scene.resolve(id, made ? "ran" : "did_not_run")).status, 204);
    assertProblem(await scene.resolve(id, "ran"), 404, "not_found");
  }
  await scene.unresolved(0);
  for (const one of ran) assert.equal((await attempt(ROUNDS)(one)).status, 409);
  for (const one of lost) {
    one.outcome = undefined;
    await attempt(ROUNDS)(one);
    assert.equal(one.outcome, "answered", "the key was free");
  }
  for (const one of all) assert.equal(till.made.get(one.key).length, 1, one.key);
});

test("what nobody asks for again is reported all the same", async (t) => {
  // Two seconds from now its lease is over.
  const scene = await openScene(t, now() + 2 - LEASE);
  const [paid, held] = [payment("/pay", "plain", 0, 0), payment("/pay", "held", 0, 0)];
  assert.equal((await scene.pay(paid)).status, 201);
  const arrival = till.upstream.arrival();
  const cutOff = assert.rejects(scene.pay(held));
  const { headers } = await arrival;
  killAll();
  await cutOff;
  // From here on by the real clock, which is that of alarms.
  await scene.reopen(null);
  const [{ heldUntil, ...item }] = await scene.unresolved(1);
  const about = { operation: "orders.pay", principal: `address:${held.address}` };
  assert.deepEqual(item, { id: headers["x-request-id"], ...about });
  assert.ok(Date.parse(heldUntil) > Date.now());
});

const payment = (path, kind, round, at) => {
  const key = `${kind}-${path.slice(1)}-${round}-${at}`;
  return { path, key, kind, round, address: `10.${round >> 8}.${round & 255}.${at % 4}` };
};

// One client's attempt at a payment. What it is answered is judged by what upstream did.
async function settle(scene, one, round, tally) {
  const response = await scene.pay(one).catch(() => undefined);
  till.step();
  if (!response) {
    tally.cutOff += 1;
    return;
  }
  if (response.text === "declined") {
    // It was not made: it may be sent again at once.
    tally.declined += 1;
    return settle(scene, one, round, tally);
  }
  if (response.status === 409) {
    if (response.json().error === "idempotency_in_flight") {
      tally.inFlight += 1;
      assert.equal(one.round, round, `${one.key} is in flight beyond its lease`);
      return response;
    }
    assertProblem(response, 409, "idempotency_outcome_unknown");
    assert.ok(one.round < round, `${one.key} was given up within its lease`);
    assert.equal(one.path, "/pay", "upstream can be asked");
    assert.notEqual(one.outcome, "answered", `${one.key} was known before`);
    one.outcome = "unknown";
    return response;
  }
  const [made] = till.made.get(one.key) ?? [];
  assert.ok(made, `${one.key} was not made: ${response.status} ${response.text.slice(0, 200)}`);
  assert.equal(response.status, made.status);
  assert.ok(response.text === made.body, `${one.key} was answered otherwise`);
  assert.notEqual(one.outcome, "unknown", `${one.key} was unknown before`);
  if (response.headers["idempotent-replayed"]) tally.replayed += 1;
  one.outcome = "answered";
  return response;
}

// An upstream that makes a payment each time it is asked to, and keeps books.
async function openTill() {
  const upstream = await startUpstream();
  const made = new Map();
  const till = { upstream, made, asked: new Map(), step() {} };
  till.hasMade = ({ key }) => made.has(key);
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
    till.asked.set(id, { address });
    till.step();
    await busy();
    till.step();
    response.writeHead(status, { "Content-Type": "text/plain" });
    if (kind === "parts") {
      response.write(body.slice(0, 9));
      await busy();
      response.end(body.slice(9));
    } else response.end(body);
  };
  for (const { path } of ROUTES) {
    // Who was killed does not send the rest.
    upstream.answers[path] = (...all) => void answer(...all).catch(() => {});
  }
  return till;
}

// As long as it takes to make a payment.
const busy = () => sleep(Math.random() * 80);

// Vestibule before it, whose memory outlives it. `clock` is where its clock stands; null for the real one.
async function openScene(t, clock) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const open = (clock) =>
    openGateway({
      routes: ROUTES,
      upstream: till.upstream.origin,
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
    gateway.ask(path, {
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
    // All that is listed, once it is so many.
    async unresolved(count) {
      for (;;) {
        const items = [];
        let cursor = "";
        do {
          const path = `/api/idempotency?state=unknown&limit=100${cursor}`;
          const response = await gateway.ask(path, { headers: { Cookie } });
          assert.equal(response.status, 200, response.text);
          const page = response.json();
          items.push(...page.items);
          cursor = page.next && `&cursor=${page.next}`;
        } while (cursor);
        if (items.length === count) return items;
        // Objects report when they are woken, and take off again what upstream was asked about since.
        await sleep(100);
      }
    },
    resolve: (id, outcome) => post(`/api/idempotency/${id}/resolve`, { Cookie }, { outcome }),
  };
}
