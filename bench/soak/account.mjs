/** The comparison at the end of a soak: the answers that clients got, what upstream saw, and what is stored. */

import { setTimeout as sleep } from "node:timers/promises";
import { labelOf } from "./book.mjs";
import { LIMIT } from "./deployment.mjs";

/**
 * Compares. `patience` is how long it waits for deliveries, in milliseconds. Adds each broken invariant to the book,
 * and returns `[invariant, number]` for each: how many things were compared.
 */
export async function drawUp({ book, clients, upstream, people, call }, patience) {
  const rows = [];
  const row = (invariant, compared) => rows.push([invariant, compared]);

  await waitForDeliveries({ book, upstream, people, call }, patience);
  const waiting = await waitingEvents(call, people.root);
  for (const id of book.inbox.keys()) {
    const isDelivered = upstream.events.get(id)?.some(({ status }) => status === 200);
    if (!isDelivered && !waiting.has(id)) book.breaks(`the accepted event ${id} is lost`);
  }
  row("accepted events are delivered, or wait in the inbox", book.inbox.size);

  for (const [id, before] of book.direct) {
    const attempts = upstream.events.get(id) ?? [];
    if (!attempts.some(({ status }) => status === 200))
      book.breaks(`upstream lacks the event ${id}`);
    if (attempts.length > before) book.breaks(`${id} was forwarded again after it was accepted`);
  }
  row("forwarded events reached upstream, and not again", book.direct.size);

  for (const name of book.refused) {
    if (upstream.seen.has(name) || upstream.events.has(name))
      book.breaks(`${name} reached upstream`);
  }
  row("what had to be refused did not reach upstream", book.refused.size);

  row("a write ran at most once", book.writes.size);
  for (const [key, { name }] of book.writes) {
    const runs = (upstream.seen.get(name) ?? []).filter(({ isDone }) => isDone).length;
    if (runs > 1) book.breaks(`${key} ran ${runs} times`);
  }
  const answered = [...book.writes.values()].filter(({ text }) => text);
  await eachOf(answered, async (write) => {
    const { client, key, mayBeUnknown } = write;
    const response = await settled(() => client.sendWrite(write));
    if (mayBeUnknown && response.status === 409) return;
    if (!response.headers["idempotent-replayed"]) {
      book.breaks(`${key} was answered, and is not replayed: ${labelOf(response)}`);
    }
  });
  row("an acknowledged write is replayed as it was", answered.length);

  for (const [name, mayRun] of book.approvals) {
    const runs = (upstream.seen.get(name) ?? []).length;
    if (runs > (mayRun ? 1 : 0)) book.breaks(`${name} ran ${runs} times, approved: ${mayRun}`);
  }
  row("an approval runs one request once", book.approvals.size);

  await eachOf(clients, async (client) => {
    const name = client.name();
    const { session, id } = client;
    const response = await settled(() => client.get("page", `/app/${name}`, session, id));
    if (response.status !== 200) book.breaks(`a live session is lost: ${labelOf(response)}`);
  });
  row("a session that nobody ended passes", clients.length);
  await eachOf(book.ended, async ({ Cookie }) => {
    const [client] = clients;
    const path = `/app/${client.name()}`;
    const response = await settled(() => client.send("ended", path, { headers: { Cookie } }));
    if (response.status !== 401) book.breaks(`an ended session got ${labelOf(response)}`);
  });
  row("an ended session is refused", book.ended.length);
  const tokens = clients.flatMap((client) => client.tokens.map((token) => ({ client, token })));
  await eachOf(tokens, async ({ client, token }) => {
    const path = `/any/${client.name()}`;
    const response = await settled(() => client.get("token", path, token.headers, token.user));
    const expected = token.revokedAt === undefined ? 200 : 401;
    if (response.status !== expected) book.breaks(`a token got ${labelOf(response)}`);
  });
  row("a token works until it is revoked", tokens.length);

  row("no limit was exceeded in any period", checkLimits({ book, upstream }));
  row("each audited request has a row", await checkTrail({ book, upstream, people, call }));
  return rows;
}

/** Repeats a request until its answer is not a temporary fault. */
async function settled(send) {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const response = await send();
    if (response && response.status !== 0 && response.status < 500) return response;
    await sleep(200);
  }
  return { status: 0, headers: {}, text: "" };
}

/** Calls `work` for each item, eight at a time. */
async function eachOf(items, work) {
  const left = [...items];
  const next = async () => {
    while (left.length > 0) await work(left.pop());
  };
  await Promise.all(Array.from({ length: 8 }, next));
}

/**
 * Waits until all accepted events are delivered. workerd loses an alarm if it is killed just after an object has set
 * it; the object sets it again at its next request. So the inbox gets a request from time to time.
 */
async function waitForDeliveries({ book, upstream, people, call }, patience) {
  const began = performance.now();
  const isDelivered = (id) => upstream.events.get(id)?.some(({ status }) => status === 200);
  let touched = began + TOUCH_MS;
  while (performance.now() < began + patience && ![...book.inbox.keys()].every(isDelivered)) {
    await sleep(200);
    if (performance.now() < touched) continue;
    touched = performance.now() + TOUCH_MS;
    await waitingEvents(call, people.root);
  }
}

/** Milliseconds between two requests to an inbox that has not delivered everything. */
const TOUCH_MS = 15_000;

/** Returns the ids of the events that an inbox still has to deliver. */
async function waitingEvents(call, root) {
  const items = await pagesOf(call, root, "/api/webhooks?state=received&limit=100");
  return new Set(items.map(({ eventId }) => eventId));
}

async function pagesOf(call, root, path) {
  const items = [];
  let cursor = "";
  do {
    const response = await call("GET", `${path}${cursor}`, root);
    if (response.status !== 200) throw new Error(`${path}: ${response.text}`);
    const page = response.json();
    for (const item of page.items) items.push(item);
    cursor = page.next && `&cursor=${encodeURIComponent(page.next)}`;
  } while (cursor);
  return items;
}

/** Counts passes by the second in which the gateway decided. Returns their number. */
function checkLimits({ book, upstream }) {
  const seconds = Number.parseInt(LIMIT.period, 10);
  const passes = new Map();
  for (const { path, second } of [...upstream.seen.values()].flat()) {
    if (!path.startsWith("/limited/")) continue;
    const address = path.split("-").at(-1);
    passes.set(address, [...(passes.get(address) ?? []), second]);
  }
  let count = 0;
  for (const [address, times] of passes) {
    times.sort((one, other) => one - other);
    count += times.length;
    times.forEach((time, at) => {
      const after = times[at + LIMIT.limit];
      if (after - time < seconds - 1) book.breaks(`${address} passed too often at ${time}`);
    });
  }
  return count;
}

/** Verifies the audit trail, and looks for a row of each audited request. Returns their number. */
async function checkTrail({ book, upstream, people, call }) {
  const rows = await pagesOf(call, people.root, "/api/audit?limit=100");
  const begun = new Set(
    rows.filter(({ phase }) => phase === "begun").map(({ requestId }) => requestId),
  );
  const audited = [...upstream.seen.values()]
    .flat()
    .filter(({ path }) => path.startsWith("/audited/"));
  for (const { name, id } of audited) {
    if (!begun.has(id)) book.breaks(`${name} ran without a row of the audit trail (${id})`);
  }
  for (const day of new Set(rows.map(({ at }) => at.slice(0, 10)))) {
    const response = await call("GET", `/api/audit/verify?day=${day}`, people.root);
    if (response.status !== 200 || !response.json().ok) book.breaks(`the trail: ${response.text}`);
  }
  return audited.length;
}
