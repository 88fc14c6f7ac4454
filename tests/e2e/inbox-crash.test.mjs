// The process is killed at random times while events arrive and are delivered. No accepted event is lost, and all
// deliveries of an event have the same idempotency key.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openGateway, sessionCookieOf } from "../support/gateway.mjs";
import { killAfter, killWithin } from "../support/kill.mjs";
import { startUpstream } from "../support/upstream.mjs";

const SECRET = "whsec_test_secret_of_the_provider";
const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const ROUNDS = Number(process.env.CRASHES ?? 4);
const PATH = "/hooks/stripe";
const KINDS = ["plain", "failed", "plain", "twice", "long", "plain", "cut", "twice"];
const EACH = 3;

// How long to wait for retries, in milliseconds. Their delays grow.
const TIMEOUT_MS = 300_000;

let receiver;
before(async () => {
  receiver = await openReceiver();
});
after(() => receiver.upstream.stop());

test(`killed ${ROUNDS} times while events arrive: no accepted event is lost`, async (t) => {
  const deployment = await openDeployment(t);
  const all = [];
  const tally = { sent: 0, cutOff: 0, accepted: 0, known: 0 };
  const sendEvent = (one) => send(deployment, one, tally);
  for (let round = 0; round < ROUNDS; round += 1) {
    const old = all.filter(({ settled }) => !settled);
    const fresh = KINDS.flatMap((kind, at) =>
      Array.from({ length: EACH }, (_, copy) => newEvent(kind, `${round}_${at}_${copy}`)),
    );
    all.push(...fresh);
    const sent = [...fresh, ...fresh.filter(({ kind }) => kind === "twice"), ...old];
    // The kill comes at random: before, during, between or after the requests.
    const kill =
      round % 3 ? killAfter(receiver, Math.random() * 2.5 * sent.length) : killWithin(300);
    await Promise.all(sent.map(sendEvent));
    // Deliveries continue after the last response.
    if (round % 2) await sleep(Math.random() * 500);
    kill.end();
    await deployment.reopen();
  }

  // Accepted events are delivered without any further request.
  const accepted = all.filter(({ settled }) => settled);
  await receiver.hasTaken(accepted, deployment);
  for (const one of all.filter(({ settled }) => !settled)) await sendEvent(one);
  await receiver.hasTaken(all, deployment);
  const listed = await deployment.settled(all.length);

  for (const one of all) {
    const { id, body } = one;
    const deliveries = receiver.deliveries.get(id);
    for (const { key, text } of deliveries) {
      assert.equal(key, id);
      assert.ok(text === body, `${id} was delivered with another body`);
    }
    const found = listed.filter(({ eventId }) => eventId === id);
    assert.equal(found.length, 1, `${id} is stored once`);
    assert.ok(found[0].attempts <= deliveries.length, `${id}: more attempts listed than made`);
    assert.ok(found[0].lastStatus === 200 && found[0].deliveredAt);
  }
  assert.deepEqual([...receiver.deliveries.keys()].sort(), all.map(({ id }) => id).sort());

  // A repeated event changes nothing: it is not delivered again.
  for (const one of all) await sendEvent(one);
  const after = await deployment.settled(all.length);
  assert.deepEqual(
    after.map(({ id, attempts }) => [id, attempts]),
    listed.map(({ id, attempts }) => [id, attempts]),
  );

  const times = all.map(
    ({ id }) => receiver.deliveries.get(id).filter(({ status }) => status === 200).length,
  );
  const once = times.filter((count) => count === 1).length;
  t.diagnostic(
    `${all.length} events: ${once} delivered once, ${all.length - once} more than once, none lost`,
  );
  t.diagnostic(`most often ${Math.max(...times)} times; ${receiver.upstream.seen.length} attempts`);
  t.diagnostic(`requests of the sender: ${JSON.stringify(tally)}`);
});

function newEvent(kind, name) {
  const id = `evt_${kind}_${name}`;
  const more = kind === "long" ? randomBytes(200_000).toString("hex") : name;
  return { id, kind, body: JSON.stringify({ id, type: "charge.refunded", more }), settled: false };
}

// Sends an event once. The sender repeats it until the response is 2xx.
async function send(deployment, one, tally) {
  tally.sent += 1;
  const response = await deployment.deliver(one.body).catch(() => undefined);
  receiver.step();
  if (!response) {
    tally.cutOff += 1;
    return;
  }
  if (response.status === 202) {
    assert.ok(!one.accepted, `${one.id} was accepted twice`);
    one.accepted = true;
    tally.accepted += 1;
  } else {
    assert.equal(response.status, 200, response.text);
    assert.equal(response.headers["x-webhook-duplicate"], "true");
    tally.known += 1;
  }
  one.settled = true;
}

// Returns the paths of the alarm scheduler's database and of the inboxes' databases.
function inboxDatabases(folder) {
  const inbox = join(folder, "do", "vestibule-Inbox");
  const names = readdirSync(inbox).filter((name) => name.endsWith(".sqlite"));
  const others = names.filter((name) => name !== "metadata.sqlite");
  return ["metadata.sqlite", ...others].map((name) => join(inbox, name));
}

// Returns the number of alarms in a database of workerd.
function alarms(path) {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    // workerd may be writing to it.
    database.exec("PRAGMA busy_timeout = 10000");
    const tables = "SELECT name FROM sqlite_master WHERE name IN ('_cf_ALARM', '_cf_METADATA')";
    const [table] = database.prepare(tables).all();
    if (!table) return 0;
    const set = table.name === "_cf_ALARM" ? "" : "WHERE key = 1 AND value IS NOT NULL";
    return database.prepare(`SELECT count(*) AS count FROM ${table.name} ${set}`).get().count;
  } finally {
    database.close();
  }
}

// Starts an upstream that records deliveries by event id. It fails the first delivery of some events.
async function openReceiver() {
  const upstream = await startUpstream();
  const received = new Map();
  const receiver = { upstream, deliveries: received, step() {} };
  const answer = async ({ headers, socket }, response, seen) => {
    const { "idempotency-key": key, "x-webhook-event-id": id } = headers;
    const text = (await seen.body).toString();
    const deliveries = received.get(id) ?? [];
    received.set(id, deliveries);
    const [, kind] = id.split("_");
    const status = kind === "failed" && deliveries.length === 0 ? 500 : 200;
    const isCut = kind === "cut" && deliveries.length === 0;
    deliveries.push({ key, text, status: isCut ? 0 : status });
    receiver.step();
    // Waits as long as upstream takes to process an event.
    await sleep(Math.random() * 60);
    receiver.step();
    if (isCut) socket.destroy();
    else response.writeHead(status).end("received");
  };
  // A killed gateway does not send the rest of the body, so the script may fail.
  upstream.answers[PATH] = (...all) => void answer(...all).catch(() => {});

  // Waits until upstream has accepted all events. Failed deliveries are retried some seconds later. The test sends a
  // request only if workerd has lost an alarm that the object set.
  receiver.hasTaken = async (all, deployment) => {
    const isOpen = ({ id }) => !received.get(id)?.some(({ status }) => status === 200);
    const deadline = Date.now() + TIMEOUT_MS;
    for (;;) {
      const open = all.filter(isOpen).map(({ id }) => id);
      if (open.length === 0) return;
      assert.ok(
        Date.now() < deadline,
        `of ${all.length} events, these are lost: ${open.join(" ")}`,
      );
      if (await deployment.hasLostAlarm()) await deployment.touch();
      await sleep(50);
    }
  };
  return receiver;
}

// Opens the gateway in front of it, with storage that survives a kill.
async function openDeployment(t) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const open = () =>
    openGateway({
      upstream: receiver.upstream.origin,
      variables: {
        SESSION: { login: "accounts" },
        SETUP_TOKEN,
        WEBHOOKS: [{ name: "stripe", scheme: "stripe", path: PATH, delivery: "inbox" }],
        WEBHOOK_STRIPE_SECRET: SECRET,
      },
      folder,
    });
  let gateway = await open();
  t.after(async () => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const root = { email: "root@example.com", password: "correct horse battery" };
  const first = await gateway.request("/api/auth/setup", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin" },
    body: JSON.stringify({ setupToken: SETUP_TOKEN, ...root }),
  });
  const Cookie = `mk_session=${sessionCookieOf(first).value}`;

  const list = async () => {
    const items = [];
    let cursor = "";
    do {
      const response = await gateway.request(`/api/webhooks?limit=100${cursor}`, {
        headers: { Cookie },
      });
      assert.equal(response.status, 200, response.text);
      const page = response.json();
      items.push(...page.items);
      cursor = page.next && `&cursor=${encodeURIComponent(page.next)}`;
    } while (cursor);
    return items;
  };

  return {
    // workerd stores an alarm twice: in the object's database and, a moment later, in the scheduler's. If it is killed
    // in between, it never fires that alarm. The object sets it again at its next request.
    async hasLostAlarm() {
      const isLost = () => {
        const [scheduler, ...objects] = inboxDatabases(folder);
        const [scheduled, stored] = [alarms(scheduler), objects.map(alarms)];
        // While an alarm is handled, it is still in the scheduler's database.
        return scheduled === 0 && stored.some((count) => count > 0);
      };
      if (!isLost()) return false;
      // The scheduler may be about to store it.
      await sleep(5_000);
      return isLost();
    },
    async touch() {
      t.diagnostic("workerd lost an alarm when it was killed");
      await list();
    },
    async reopen() {
      await gateway.stop();
      gateway = await open();
    },
    deliver(body) {
      const at = Math.floor(Date.now() / 1_000);
      const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
      const headers = {
        "Content-Type": "application/json",
        "Stripe-Signature": `t=${at},v1=${mac}`,
      };
      return gateway.request(PATH, { method: "POST", headers, body });
    },
    // Returns all listed events when all are delivered. The inbox records a delivery later than upstream.
    async settled(count) {
      const deadline = Date.now() + TIMEOUT_MS;
      for (;;) {
        const items = await list();
        const open = items.filter(({ state }) => state !== "delivered");
        if (items.length === count && open.length === 0) return items;
        assert.ok(Date.now() < deadline, `${items.length} of ${count}: ${JSON.stringify(open)}`);
        await sleep(100);
      }
    },
  };
}
