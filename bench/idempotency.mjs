/**
 * What idempotency keys cost, in one workerd with the same request without one.
 *
 * 1. `keys`: a POST without a key, run under a key of its own, and answered again; all of one user.
 * 2. `alone`: the same one at a time, for how long each takes.
 * 3. `scopes`: one user, whose keys are all in one object, and 64, who have one each, on 64 connections.
 * 4. `run` and `again`: where the user has few, some or many keys.
 */

import { randomUUID } from "node:crypto";
import { cookies, mint, send } from "./cases.mjs";
import { Connection } from "./load.mjs";
import { inTurns } from "./rounds.mjs";
import { startWorkerd } from "./workerd.mjs";

const CONNECTIONS = 8;
const USERS = 64;
const WORKERS = ["keyed", "counted", "filler"];

/** Measures all four; `keys` is how many a user has: few, some and many. */
export async function idempotency({ rounds, requests, warmUp, keys, onPart }) {
  const workerd = await startWorkerd(WORKERS);
  // What is written to disk takes its time.
  const extent = { rounds: Math.ceil(rounds / 3), requests, warmUp: Math.ceil(warmUp / 4) };
  const parts = [];
  const add = (part) => {
    parts.push(part);
    onPart(part);
  };
  try {
    const asked = await askings(workerd.ports.counted);
    const about = `POST, forwarded; the ledger is asked ${asked.join(", ")} times`;
    add({ part: "keys", about, targets: await ways(workerd, CONNECTIONS, extent) });
    const targets = await ways(workerd, 1, extent);
    add({ part: "alone", about: "the same, one at a time", targets });
    add(await scopes(workerd, extent));
    const holders = [];
    for (const count of Object.values(keys)) {
      holders.push({ user: await holderOf(workerd.ports, count), count });
    }
    for (const part of ["run", "again"]) add(await growth(workerd, part, holders, extent));
  } finally {
    await workerd.stop();
  }
  return parts;
}

/** How often the ledger is asked: without a key, when something is run, and when it is answered again. */
async function askings(port) {
  const [user, key] = [somebody(), randomUUID()];
  const asked = [];
  for (const request of [pay(user), pay(user, key), pay(user, key)]) {
    const answer = await settled(port, request, asked.length === 2);
    asked.push(Number(/\r\nx-asked: (\d+)/i.exec(answer)[1]));
  }
  return asked;
}

async function ways(workerd, connections, extent) {
  const [user, key] = [somebody(), randomUUID()];
  const again = pay(user, key);
  await settled(workerd.ports.keyed, again);
  const targets = [
    target("no key", connections, pay(user)),
    target("run", connections, () => pay(user, randomUUID())),
    target("again", connections, again),
  ];
  return inTurns(workerd, targets, extent, "no key");
}

async function scopes(workerd, extent) {
  const targets = [];
  for (const users of [1, USERS]) {
    const people = Array.from({ length: users }, somebody);
    const requests = Array.from({ length: USERS }, (_, at) => pay(people[at % users], `${at}`));
    for (const request of requests) await settled(workerd.ports.keyed, request);
    const name = users === 1 ? "one user" : `${users} users`;
    targets.push(
      target(`run, ${name}`, USERS, (at) => pay(people[at % users], randomUUID())),
      target(`again, ${name}`, USERS, (at) => requests[at % USERS]),
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
    const any = () => pay(user, `kept-${Math.floor(Math.random() * count)}`);
    // The object is awake, as is one that is asked now and then.
    const wake = (load) => load.run(any, 1, 200);
    // What is run adds keys: where that would be a matter, somebody else runs it in each round.
    const renew = async () => {
      user = await holderOf(workerd.ports, count);
    };
    const addsMany = part === "run" && count < 20 * extent.requests;
    const request = part === "run" ? () => pay(user, randomUUID()) : any;
    const name = `${count.toLocaleString("en")} keys`;
    return { ...target(name, CONNECTIONS, request), prepare: addsMany ? renew : wake };
  });
  const about = "by how many keys the user has";
  return { part, about, targets: await inTurns(workerd, targets, extent, targets[0].name) };
}

/** Somebody who has so many keys. */
async function holderOf(ports, count) {
  const user = somebody();
  const connection = await Connection.open(ports.filler);
  for (let from = 0; from < count; from += BATCH) {
    const keys = `X-Keys: ${from}-${Math.min(from + BATCH, count)}\r\n`;
    const answer = (await connection.ask(pay(user, "", keys))).latin1Slice();
    expect(answer, answer.endsWith("filled"));
  }
  connection.close();
  for (const at of [0, count - 1]) await settled(ports.keyed, pay(user, `kept-${at}`), true);
  return user;
}

/** Asks once; gives the answer. */
async function settled(port, request, isAgain = false) {
  const connection = await Connection.open(port);
  const answer = (await connection.ask(request)).latin1Slice();
  expect(answer, answer.startsWith("HTTP/1.1 200"));
  expect(answer, /\r\nidempotent-replayed: true/i.test(answer) === isAgain);
  connection.close();
  return answer;
}

const target = (name, connections, request) => {
  return { name, worker: "keyed", request, status: 200, connections };
};

/** A user's request, under a key if there is one; `more` are further header lines. */
const pay = (user, key, more = "") =>
  send(PATH, user, BODY, key === undefined ? more : `Idempotency-Key: ${key}\r\n${more}`);

/** The Cookie header of a user whom nobody knows yet. */
const somebody = () => cookies(mint(0, `usr_${randomUUID()}`));

function expect(answer, holds) {
  if (!holds) throw new Error(`expected another answer:\n${answer}`);
}

const PATH = "/api/payments";
const BODY = JSON.stringify({ order: "ord_4711", amount: 1_299, currency: "EUR" });

/** How many keys are filled in at a time. */
const BATCH = 500;
