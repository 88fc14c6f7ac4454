/**
 * Measures the cost of idempotency keys, compared with the same request without a key. All run in one workerd.
 *
 * 1. `keys`: a POST without a key, a POST that runs under a new key, and a replayed POST; all of one user.
 * 2. `alone`: the same, one request at a time, to measure the latency.
 * 3. `scopes`: one user with all keys in one object, and 64 users with one object each, on 64 connections.
 * 4. `run` and `replayed`: with few, some and many keys of the user.
 */

import { randomUUID } from "node:crypto";
import { cookies, mint, send } from "./cases.mjs";
import { Connection } from "./load.mjs";
import { inTurns } from "./rounds.mjs";
import { startWorkerd } from "./workerd.mjs";

const CONNECTIONS = 8;
const USERS = 64;
const WORKERS = ["keyed", "counted", "filler"];

/** Measures all four parts. `keys` has three numbers of keys: few, some and many. */
export async function idempotency({ rounds, requests, warmUp, keys, onPart }) {
  const workerd = await startWorkerd(WORKERS);
  // Fewer rounds, because writing to disk is slow.
  const extent = { rounds: Math.ceil(rounds / 3), requests, warmUp: Math.ceil(warmUp / 4) };
  const parts = [];
  const add = (part) => {
    parts.push(part);
    onPart(part);
  };
  try {
    const calls = await ledgerCalls(workerd.ports.counted);
    const about = `POST, forwarded; calls to the ledger: ${calls.join(", ")}`;
    add({ part: "keys", about, targets: await variants(workerd, CONNECTIONS, extent) });
    const targets = await variants(workerd, 1, extent);
    add({ part: "alone", about: "the same, one at a time", targets });
    add(await scopes(workerd, extent));
    const holders = [];
    for (const count of Object.values(keys)) {
      holders.push({ user: await holderOf(workerd.ports, count), count });
    }
    for (const part of ["run", "replayed"]) add(await growth(workerd, part, holders, extent));
  } finally {
    await workerd.stop();
  }
  return parts;
}

/** Returns the number of calls to the ledger for a request without a key, one that runs, and one that is replayed. */
async function ledgerCalls(port) {
  const [user, key] = [newUser(), randomUUID()];
  const calls = [];
  for (const request of [pay(user), pay(user, key), pay(user, key)]) {
    const answer = await sendOnce(port, request, calls.length === 2);
    calls.push(Number(/\r\nx-ledger-calls: (\d+)/i.exec(answer)[1]));
  }
  return calls;
}

async function variants(workerd, connections, extent) {
  const [user, key] = [newUser(), randomUUID()];
  const repeated = pay(user, key);
  await sendOnce(workerd.ports.keyed, repeated);
  const targets = [
    target("no key", connections, pay(user)),
    target("run", connections, () => pay(user, randomUUID())),
    target("replayed", connections, repeated),
  ];
  return inTurns(workerd, targets, extent, "no key");
}

async function scopes(workerd, extent) {
  const targets = [];
  for (const users of [1, USERS]) {
    const people = Array.from({ length: users }, newUser);
    const requests = Array.from({ length: USERS }, (_, at) => pay(people[at % users], `${at}`));
    for (const request of requests) await sendOnce(workerd.ports.keyed, request);
    const name = users === 1 ? "one user" : `${users} users`;
    targets.push(
      target(`run, ${name}`, USERS, (at) => pay(people[at % users], randomUUID())),
      target(`replayed, ${name}`, USERS, (at) => requests[at % USERS]),
    );
  }
  const about = `${USERS} connections`;
  return {
    part: "scopes",
    about,
    targets: await inTurns(workerd, targets, extent, "run, one user"),
  };
}

async function growth(workerd, part, holders, extent) {
  const targets = holders.map((holder) => {
    const { count } = holder;
    let { user } = holder;
    const anyKey = () => pay(user, `kept-${Math.floor(Math.random() * count)}`);
    // Wakes the object.
    const wake = (load) => load.run(anyKey, 1, 200);
    // Requests that run add keys. If that would distort the number of keys, each round has a new user.
    const replaceUser = async () => {
      user = await holderOf(workerd.ports, count);
    };
    const addsMany = part === "run" && count < 20 * extent.requests;
    const request = part === "run" ? () => pay(user, randomUUID()) : anyKey;
    const name = `${count.toLocaleString("en")} keys`;
    return { ...target(name, CONNECTIONS, request), prepare: addsMany ? replaceUser : wake };
  });
  const about = "by the number of keys of the user";
  return { part, about, targets: await inTurns(workerd, targets, extent, targets[0].name) };
}

/** Creates a user with `count` keys. */
async function holderOf(ports, count) {
  const user = newUser();
  const connection = await Connection.open(ports.filler);
  for (let from = 0; from < count; from += BATCH) {
    const keys = `X-Keys: ${from}-${Math.min(from + BATCH, count)}\r\n`;
    const answer = (await connection.send(pay(user, "", keys))).latin1Slice();
    expect(answer, answer.endsWith("filled"));
  }
  connection.close();
  for (const at of [0, count - 1]) await sendOnce(ports.keyed, pay(user, `kept-${at}`), true);
  return user;
}

/** Sends a request on a new connection, checks that it was replayed or not, and returns the answer. */
async function sendOnce(port, request, isReplayed = false) {
  const connection = await Connection.open(port);
  const answer = (await connection.send(request)).latin1Slice();
  expect(answer, answer.startsWith("HTTP/1.1 200"));
  expect(answer, /\r\nidempotent-replayed: true/i.test(answer) === isReplayed);
  connection.close();
  return answer;
}

const target = (name, connections, request) => {
  return { name, worker: "keyed", request, status: 200, connections };
};

/** Returns a user's request, with a key if it is set. `more` has further header lines. */
const pay = (user, key, more = "") =>
  send(PATH, user, BODY, key === undefined ? more : `Idempotency-Key: ${key}\r\n${more}`);

/** Returns the Cookie header of a new user. */
const newUser = () => cookies(mint(0, `usr_${randomUUID()}`));

function expect(answer, holds) {
  if (!holds) throw new Error(`unexpected answer:\n${answer}`);
}

const PATH = "/api/payments";
const BODY = JSON.stringify({ order: "ord_4711", amount: 1_299, currency: "EUR" });

/** The number of keys that one request to the filler adds. */
const BATCH = 500;
