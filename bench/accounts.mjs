/**
 * What the registry, tokens and signing in cost, in one workerd with what they are compared with.
 *
 * 1. `checks`: the same GET by a cookie and by a token, judged by the cookie's token alone, by what an isolate
 *    remembers (`check_ttl` of 10 s), and by asking the objects each time (0 s).
 * 2. `login`: a password each (Argon2id), one at a time and several at once.
 * 3. `users`: any user's cookie, never remembered, where few or many users have sessions. Each one's object is
 *    awake, for it was asked a moment before.
 * 4. `asleep`: the same where it is not, and has to be woken first.
 */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { cookies, get, send } from "./cases.mjs";
import { Connection, openLoad, statusOf } from "./load.mjs";
import { inTurns } from "./rounds.mjs";
import { SETUP_TOKEN, startWorkerd } from "./workerd.mjs";

const CONNECTIONS = 8;
const PATH = "/api/orders/4711?expand=items";

/** Measures all four; `users` is how many users have sessions at each Worker of `POPULATIONS`. */
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
    const crowds = await signInMany(ports, users);
    add(await awake(workerd, crowds, { rounds, requests, warmUp }));
    add(await asleep(workerd, crowds, { rounds: Math.ceil(rounds / 3), requests, warmUp }));
  } finally {
    await workerd.stop();
  }
  return parts;
}

async function checks(workerd, cached, uncached, extent) {
  const by = (worker, name, [cookie, more]) => {
    const request = get(PATH, cookie, more);
    return { name, worker, request, status: 200, connections: CONNECTIONS };
  };
  const targets = [
    by("vestibule", "no registry", cached.session),
    by("cached", "cookie, cached", cached.session),
    by("uncached", "cookie, uncached", uncached.session),
    by("cached", "token, cached", cached.token),
    by("uncached", "token, uncached", uncached.token),
  ];
  const measured = await inTurns(workerd, targets, extent, "no registry");
  return { part: "checks", about: "GET, forwarded, by who asks", targets: measured };
}

async function signingIn(workerd, admin, extent) {
  const times = 2 * (extent.rounds * extent.requests + extent.warmUp);
  const request = login(await invite(workerd.ports.cached, admin, Math.ceil(times / EACH)));
  const target = (name, connections) => {
    return { name, worker: "cached", request, status: 200, connections };
  };
  const targets = [target("one at a time", 1), target(`${CONNECTIONS} at once`, CONNECTIONS)];
  const measured = await inTurns(workerd, targets, extent, "one at a time");
  return { part: "login", about: "POST /api/auth/login", targets: measured };
}

async function awake(workerd, crowds, extent) {
  const targets = crowds.map((crowd) => anyUser(crowd, extent.requests, wake));
  const measured = await inTurns(workerd, targets, extent, targets[0].name);
  return { part: "users", about: "GET, forwarded, any user's cookie, uncached", targets: measured };
}

async function asleep(workerd, [few, ...others], extent) {
  const targets = [
    anyUser(few, extent.requests, wake),
    ...others.map((crowd) => anyUser(crowd, extent.requests, letSleep)),
  ];
  const measured = await inTurns(workerd, targets, extent, targets[0].name);
  return {
    part: "asleep",
    about: "the same, but for the first each object asleep",
    targets: measured,
  };
}

/** Asks by cookies of users picked anew for each round, nobody twice while there are others. */
function anyUser({ worker, requests }, count, makeReady) {
  let picked;
  let last = 0;
  const request = (at) => {
    last = performance.now();
    return picked[at % picked.length];
  };
  const prepare = async (load) => {
    picked = shuffled(requests).slice(0, count);
    await makeReady(load, picked, last);
  };
  const name = `${requests.length.toLocaleString("en")} users`;
  return { name, worker, request, status: 200, connections: CONNECTIONS, prepare };
}

const wake = (load, picked) => load.run((at) => picked[at], picked.length, 200);
const letSleep = (_load, _picked, last) => sleep(last + ASLEEP_AFTER - performance.now());

function shuffled(list) {
  return list
    .map((one) => [Math.random(), one])
    .sort(([one], [other]) => one - other)
    .map(([, one]) => one);
}

/**
 * Makes the first account: the Cookie and Authorization headers of its session, of a token of its own, and of one
 * for a task.
 */
export async function firstUser(port) {
  const connection = await Connection.open(port);
  const ask = async (request, status) => {
    const answer = await connection.ask(request);
    expect(answer, statusOf(answer) === status);
    return answer.latin1Slice();
  };
  const first = JSON.stringify({ setupToken: SETUP_TOKEN, ...ROOT });
  const cookie = cookies(sessionOf(await ask(send("/api/auth/setup", cookies(), first), 201)));
  const token = async (prefix) => {
    const wanted = JSON.stringify({ name: "bench", prefix });
    const made = await ask(send("/api/agent-tokens", cookie, wanted), 201);
    const [, value] = /"plaintext":"(\w+_[\w-]+)"/.exec(made);
    return [cookies(), `Authorization: Bearer ${value}\r\n`];
  };
  const user = { session: [cookie, ""], token: await token("mul_"), task: await token("mat_") };
  for (const [cookie, more] of Object.values(user)) {
    const forwarded = await ask(get("/api/seen", cookie, more), 200);
    expect(forwarded, forwarded.includes('"x-user-id":"usr_'));
  }
  connection.close();
  return user;
}

/** Signs so many users in at each Worker, by upstream's word: what they ask from then on. */
async function signInMany(ports, users) {
  const crowds = POPULATIONS.map((worker) => ({ worker, requests: [] }));
  for (const { worker, requests } of crowds) {
    const load = await openLoad(ports[worker], CONNECTIONS);
    const arrive = (number) => send(`/api/login?user=usr_${number}`, cookies(), "");
    await load.run(arrive, users[worker], 200, (answer, number) => {
      requests[number] = get(PATH, cookies(sessionOf(answer.latin1Slice())));
    });
    load.close();
  }
  return crowds;
}

/** Has the first user invite so many people, who come in. */
async function invite(port, { session: [cookie] }, count) {
  const people = Array.from({ length: count }, (_, at) => ({
    ...ROOT,
    email: `usr${at}@example.com`,
  }));
  const load = await openLoad(port, CONNECTIONS);
  const paths = [];
  const wanted = send("/api/invites", cookie, JSON.stringify({ role: "user" }));
  await load.run(wanted, count, 201, (answer) => {
    const [, token] = /"token":"([\w-]+)"/.exec(answer.latin1Slice());
    paths.push(`/api/invites/${token}/redeem`);
  });
  const comeIn = (at) => send(paths[at], cookies(), JSON.stringify(people[at]), anyAddress());
  await load.run(comeIn, count, 201);
  load.close();
  return people;
}

/** Requests of people to sign in, one after the other. */
function login(people) {
  const bodies = people.map((person) => JSON.stringify(person));
  let count = 0;
  return () => {
    count += 1;
    return send("/api/auth/login", cookies(), bodies[count % bodies.length], anyAddress());
  };
}

/** A header line by which no request comes from where another came from: nobody meets a limit here. */
const anyAddress = () => {
  const [high, low] = randomBytes(4).toString("hex").match(/.{4}/g);
  return `CF-Connecting-IP: 2001:db8:${high}:${low}::1\r\n`;
};

function sessionOf(answer) {
  const [, session] = /\r\nset-cookie: mk_session=([\w.-]+)/i.exec(answer) ?? [];
  expect(answer, session);
  return session;
}

function expect(answer, holds) {
  if (!holds) throw new Error(`expected another answer:\n${answer}`);
}

/** Workers, each with users of its own. */
const POPULATIONS = ["few", "some", "many"];

/** How often each of them signs in: the limit by e-mail address is 50. */
const EACH = 40;

/** Milliseconds. workerd puts an object to sleep that nobody has asked for ten seconds. */
const ASLEEP_AFTER = 12_000;

const ROOT = { email: "root@example.com", password: "correct horse battery" };
