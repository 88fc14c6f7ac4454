/**
 * Measures the cost of the session registry, of tokens and of logins. All targets run in one workerd.
 *
 * 1. `checks`: the same GET with a cookie and with a token: without the registry, with cached checks (`check_ttl` of
 *    10 s), and with a call to the objects for each request (0 s).
 * 2. `login`: logins with a password (Argon2id), one at a time and several at once.
 * 3. `users`: requests with the cookies of random users, uncached, with few and with many users. Each user's object is
 *    awake, because it was called just before.
 * 4. `asleep`: the same, but each object is asleep and has to wake first.
 */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { cookies, get, send } from "./cases.mjs";
import { Connection, openLoad, statusOf } from "./load.mjs";
import { inTurns } from "./rounds.mjs";
import { SETUP_TOKEN, startWorkerd } from "./workerd.mjs";

const CONNECTIONS = 8;
const PATH = "/api/orders/4711?expand=items";

/** Measures all four parts. `users` is the number of users with a session at each Worker of `POPULATIONS`. */
export async function accounts({ rounds, requests, warmUp, logins, users, onPart }) {
  const workerd = await startWorkerd(["vestibule", "cached", "uncached", ...POPULATIONS]);
  const { ports } = workerd;
  const parts = [];
  const add = (part) => {
    parts.push(part);
    onPart(part);
  };
  try {
    const [cached, uncached] = [await firstUser(ports.cached), await firstUser(ports.uncached)];
    add(await checks(workerd, cached, uncached, { rounds, requests, warmUp }));
    add(await signingIn(workerd, cached, { rounds, requests: logins, warmUp: logins }));
    const populations = await signInMany(ports, users);
    add(await awake(workerd, populations, { rounds, requests, warmUp }));
    add(await asleep(workerd, populations, { rounds: Math.ceil(rounds / 3), requests, warmUp }));
  } finally {
    await workerd.stop();
  }
  return parts;
}

async function checks(workerd, cached, uncached, extent) {
  const target = (worker, name, [cookie, headers]) => {
    const request = get(PATH, cookie, headers);
    return { name, worker, request, status: 200, connections: CONNECTIONS };
  };
  const targets = [
    target("vestibule", "no registry", cached.session),
    target("cached", "cookie, cached", cached.session),
    target("uncached", "cookie, uncached", uncached.session),
    target("cached", "token, cached", cached.token),
    target("uncached", "token, uncached", uncached.token),
  ];
  const measured = await inTurns(workerd, targets, extent, "no registry");
  return { part: "checks", about: "GET, forwarded, by credential", targets: measured };
}

async function signingIn(workerd, admin, extent) {
  const logins = 2 * (extent.rounds * extent.requests + extent.warmUp);
  const people = await invite(workerd.ports.cached, admin, Math.ceil(logins / LOGINS_PER_USER));
  const request = login(people);
  const target = (name, connections) => {
    return { name, worker: "cached", request, status: 200, connections };
  };
  const targets = [target("one at a time", 1), target(`${CONNECTIONS} at once`, CONNECTIONS)];
  const measured = await inTurns(workerd, targets, extent, "one at a time");
  return { part: "login", about: "POST /api/auth/login", targets: measured };
}

async function awake(workerd, populations, extent) {
  const targets = populations.map((population) => randomUsers(population, extent.requests, wake));
  const measured = await inTurns(workerd, targets, extent, targets[0].name);
  return {
    part: "users",
    about: "GET, forwarded, cookies of random users, uncached",
    targets: measured,
  };
}

async function asleep(workerd, [few, ...others], extent) {
  const targets = [
    randomUsers(few, extent.requests, wake),
    ...others.map((population) => randomUsers(population, extent.requests, letSleep)),
  ];
  const measured = await inTurns(workerd, targets, extent, targets[0].name);
  return {
    part: "asleep",
    about: "the same, with each object asleep, except those of the first row",
    targets: measured,
  };
}

/** Sends requests of random users. Each round picks new users, and repeats a user only if there are too few. */
function randomUsers({ worker, requests }, count, beforeRound) {
  let picked;
  let last = 0;
  const request = (at) => {
    last = performance.now();
    return picked[at % picked.length];
  };
  const prepare = async (load) => {
    picked = shuffled(requests).slice(0, count);
    await beforeRound(load, picked, last);
  };
  const name = `${requests.length.toLocaleString("en")} users`;
  return { name, worker, request, status: 200, connections: CONNECTIONS, prepare };
}

const wake = (load, picked) => load.run((at) => picked[at], picked.length, 200);
const letSleep = (_load, _picked, last) => sleep(last + ASLEEP_AFTER - performance.now());

function shuffled(list) {
  return list
    .map((item) => [Math.random(), item])
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/**
 * Creates the first account. Returns `[cookie, headers]` for its session, for a personal access token and for a task
 * token.
 */
export async function firstUser(port) {
  const connection = await Connection.open(port);
  const call = async (request, status) => {
    const answer = await connection.send(request);
    expect(answer, statusOf(answer) === status);
    return answer.latin1Slice();
  };
  const setup = JSON.stringify({ setupToken: SETUP_TOKEN, ...ROOT });
  const cookie = cookies(sessionOf(await call(send("/api/auth/setup", cookies(), setup), 201)));
  const token = async (prefix) => {
    const body = JSON.stringify({ name: "bench", prefix });
    const answer = await call(send("/api/agent-tokens", cookie, body), 201);
    const [, value] = /"plaintext":"(\w+_[\w-]+)"/.exec(answer);
    return [cookies(), `Authorization: Bearer ${value}\r\n`];
  };
  const user = { session: [cookie, ""], token: await token("mul_"), task: await token("mat_") };
  for (const [cookie, headers] of Object.values(user)) {
    const forwarded = await call(get("/api/seen", cookie, headers), 200);
    expect(forwarded, forwarded.includes('"x-user-id":"usr_'));
  }
  connection.close();
  return user;
}

/** Signs users in at each Worker, with X-Vestibule-Login of upstream. Returns the requests of these users. */
async function signInMany(ports, users) {
  const populations = POPULATIONS.map((worker) => ({ worker, requests: [] }));
  for (const { worker, requests } of populations) {
    const load = await openLoad(ports[worker], CONNECTIONS);
    const signIn = (number) => send(`/api/login?user=usr_${number}`, cookies(), "");
    await load.run(signIn, users[worker], 200, (answer, number) => {
      requests[number] = get(PATH, cookies(sessionOf(answer.latin1Slice())));
    });
    load.close();
  }
  return populations;
}

/** Creates `count` users with invites of the first user. */
async function invite(port, { session: [cookie] }, count) {
  const people = Array.from({ length: count }, (_, at) => ({
    ...ROOT,
    email: `usr${at}@example.com`,
  }));
  const load = await openLoad(port, CONNECTIONS);
  const paths = [];
  const request = send("/api/invites", cookie, JSON.stringify({ role: "user" }));
  await load.run(request, count, 201, (answer) => {
    const [, token] = /"token":"([\w-]+)"/.exec(answer.latin1Slice());
    paths.push(`/api/invites/${token}/redeem`);
  });
  const redeem = (at) => send(paths[at], cookies(), JSON.stringify(people[at]), newAddress());
  await load.run(redeem, count, 201);
  load.close();
  return people;
}

/** Returns a function that makes login requests of these people in turn. */
function login(people) {
  const bodies = people.map((person) => JSON.stringify(person));
  let count = 0;
  return () => {
    count += 1;
    return send("/api/auth/login", cookies(), bodies[count % bodies.length], newAddress());
  };
}

/** Returns a header line with a new address, so that no request reaches a limit by address. */
const newAddress = () => {
  const [high, low] = randomBytes(4).toString("hex").match(/.{4}/g);
  return `CF-Connecting-IP: 2001:db8:${high}:${low}::1\r\n`;
};

function sessionOf(answer) {
  const [, session] = /\r\nset-cookie: mk_session=([\w.-]+)/i.exec(answer) ?? [];
  expect(answer, session);
  return session;
}

function expect(answer, holds) {
  if (!holds) throw new Error(`unexpected answer:\n${answer}`);
}

/** The Workers with few, some and many users. */
const POPULATIONS = ["few", "some", "many"];

/** The limit of logins by e-mail address is 50. */
const LOGINS_PER_USER = 40;

/** Milliseconds. workerd puts an object to sleep after ten seconds without a call. */
const ASLEEP_AFTER = 12_000;

const ROOT = { email: "root@example.com", password: "correct horse battery" };
