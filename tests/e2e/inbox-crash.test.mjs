// The process is killed while events come in and are delivered. Whenever that is, none that was accepted is lost,
// and all that upstream is told of one, however often, carries one key.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openGateway, sessionSet } from "../support/gateway.mjs";
import { killAfter, killWithin } from "../support/killing.mjs";
import { startUpstream } from "../support/upstream.mjs";

const SECRET = "whsec_test_secret_of_the_provider";
const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const ROUNDS = Number(process.env.CRASHES ?? 4);
const PATH = "/hooks/stripe";
const KINDS = ["plain", "failed", "plain", "twice", "long", "plain", "cut", "twice"];
const EACH = 3;

// Milliseconds after which a wait for what is retried ever later is given up.
const PATIENCE = 300_000;

let desk;
before(async () => {
  desk = await openDesk();
});
after(() => desk.upstream.stop());

test(`killed ${ROUNDS} times while events come in: none is lost`, async (t) => {
  const scene = await openScene(t);
  const all = [];
  const tally = { sent: 0, cutOff: 0, accepted: 0, known: 0 };
  const tell = (one) => send(scene, one, tally);
  for (let round = 0; round < ROUNDS; round += 1) {
    const old = all.filter(({ settled }) => !settled);
    const fresh = KINDS.flatMap((kind, at) =>
      Array.from({ length: EACH }, (_, copy) => happening(kind, `${round}_${at}_${copy}`)),
    );
    all.push(...fresh);
    const sent = [...fresh, ...fresh.filter(({ kind }) => kind === "twice"), ...old];
    // Before, in, between or after them, as it comes: that is what is tried here.
    const plot = round % 3 ? killAfter(desk, Math.random() * 2.5 * sent.length) : killWithin(300);
    await Promise.all(sent.map(tell));
    // Deliveries go on after the last answer.
    if (round % 2) await sleep(Math.random() * 500);
    plot.end();
    await scene.reopen();
  }

  // Nobody asks for anything: what was accepted is delivered all the same.
  const accepted = all.filter(({ settled }) => settled);
  await desk.hasTaken(accepted, scene);
  for (const one of all.filter(({ settled }) => !settled)) await tell(one);
  await desk.hasTaken(all, scene);
  const standing = await scene.settled(all.length);

  for (const one of all) {
    const { id, body } = one;
    const heard = desk.books.get(id);
    for (const { key, text } of heard) {
      assert.equal(key, id);
      assert.ok(text === body, `${id} was delivered otherwise`);
    }
    const found = standing.filter(({ eventId }) => eventId === id);
    assert.equal(found.length, 1, `${id} is kept once`);
    assert.ok(found[0].attempts <= heard.length, `${id}: no attempt is made up`);
    assert.ok(found[0].lastStatus === 200 && found[0].deliveredAt);
  }
  assert.deepEqual([...desk.books.keys()].sort(), all.map(({ id }) => id).sort());

  // And it is known what was: told again, each is as it stood, and none waits for anything.
  for (const one of all) await tell(one);
  const after = await scene.settled(all.length);
  assert.deepEqual(
    after.map(({ id, attempts }) => [id, attempts]),
    standing.map(({ id, attempts }) => [id, attempts]),
  );

  const times = all.map(
    ({ id }) => desk.books.get(id).filter(({ status }) => status === 200).length,
  );
  const once = times.filter((count) => count === 1).length;
  t.diagnostic(
    `${all.length} events: ${once} delivered once, ${all.length - once} more than once, none lost`,
  );
  t.diagnostic(`most often ${Math.max(...times)} times; ${desk.upstream.seen.length} attempts`);
  t.diagnostic(`the sender's: ${JSON.stringify(tally)}`);
});

function happening(kind, name) {
  const id = `evt_${kind}_${name}`;
  const more = kind === "long" ? randomBytes(200_000).toString("hex") : name;
  return { id, kind, body: JSON.stringify({ id, type: "charge.refunded", more }), settled: false };
}

// One attempt of the sender's, who is done with what was answered 2xx.
async function send(scene, one, tally) {
  tally.sent += 1;
  const response = await scene.deliver(one.body).catch(() => undefined);
  desk.step();
  if (!response) {
    tally.cutOff += 1;
    return;
  }
  if (response.status === 202) {
    assert.ok(!one.accepted, `${one.id} was accepted before`);
    one.accepted = true;
    tally.accepted += 1;
  } else {
    assert.equal(response.status, 200, response.text);
    assert.equal(response.headers["x-webhook-duplicate"], "true");
    tally.known += 1;
  }
  one.settled = true;
}

// The scheduler's database, and those of the inboxes.
function inboxDatabases(folder) {
  const inbox = join(folder, "do", "vestibule-Inbox");
  const names = readdirSync(inbox).filter((name) => name.endsWith(".sqlite"));
  const [own, others] = [["metadata.sqlite"], names.filter((name) => name !== "metadata.sqlite")];
  return [...own, ...others].map((name) => join(inbox, name));
}

// How many alarms a database of workerd's has.
function alarms(path) {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const tables = "SELECT name FROM sqlite_master WHERE name IN ('_cf_ALARM', '_cf_METADATA')";
    const [table] = database.prepare(tables).all();
    if (!table) return 0;
    const set = table.name === "_cf_ALARM" ? "" : "WHERE key = 1 AND value IS NOT NULL";
    return database.prepare(`SELECT count(*) AS count FROM ${table.name} ${set}`).get().count;
  } finally {
    database.close();
  }
}

// An upstream that keeps books of what it is told, by the event's id, and does not take everything at once.
async function openDesk() {
  const upstream = await startUpstream();
  const books = new Map();
  const desk = { upstream, books, step() {} };
  const answer = async ({ headers, socket }, response, seen) => {
    const { "idempotency-key": key, "x-webhook-event-id": id } = headers;
    const text = (await seen.body).toString();
    const heard = books.get(id) ?? [];
    books.set(id, heard);
    const [, kind] = id.split("_");
    const status = kind === "failed" && heard.length === 0 ? 500 : 200;
    const isCut = kind === "cut" && heard.length === 0;
    heard.push({ key, text, status: isCut ? 0 : status });
    desk.step();
    // As long as it takes to write it down.
    await sleep(Math.random() * 60);
    desk.step();
    if (isCut) socket.destroy();
    else response.writeHead(status).end("heard");
  };
  // Who was killed does not send the rest.
  upstream.answers[PATH] = (...all) => void answer(...all).catch(() => {});

  // What was not taken is delivered anew some seconds later. A request of ours takes part only where workerd has
  // forgotten the alarm that the object has set.
  desk.hasTaken = async (all, scene) => {
    const isOpen = ({ id }) => !books.get(id)?.some(({ status }) => status === 200);
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const open = all.filter(isOpen).map(({ id }) => id);
      if (open.length === 0) return;
      assert.ok(Date.now() < deadline, `of ${all.length} are lost: ${open.join(" ")}`);
      if (await scene.hasForgottenAlarm()) await scene.touch();
      await sleep(50);
    }
  };
  return desk;
}

// Vestibule before it, whose memory outlives it.
async function openScene(t) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const open = () =>
    openGateway({
      upstream: desk.upstream.origin,
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
  const first = await gateway.ask("/api/auth/setup", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin" },
    body: JSON.stringify({ setupToken: SETUP_TOKEN, ...root }),
  });
  const Cookie = `mk_session=${sessionSet(first).value}`;

  const list = async () => {
    const items = [];
    let cursor = "";
    do {
      const response = await gateway.ask(`/api/webhooks?limit=100${cursor}`, {
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
    // workerd keeps an alarm twice: in the object's database, and in that of its scheduler, which it writes a moment
    // later. Killed in between, it never fires that alarm. The object sets it again when it is next asked for anything.
    async hasForgottenAlarm() {
      const forgotten = () => {
        const [scheduler, ...objects] = inboxDatabases(folder);
        const [has, sets] = [alarms(scheduler), objects.map(alarms)];
        // An alarm that is being handled is in the scheduler's database, too.
        return has === 0 && sets.some((count) => count > 0);
      };
      if (!forgotten()) return false;
      // It may be about to write it.
      await sleep(5_000);
      return forgotten();
    },
    async touch() {
      t.diagnostic("workerd forgot an alarm when it was killed");
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
      return gateway.ask(PATH, { method: "POST", headers, body });
    },
    // All that is listed, once all of it is delivered: upstream knows that before the inbox does.
    async settled(count) {
      const deadline = Date.now() + PATIENCE;
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
