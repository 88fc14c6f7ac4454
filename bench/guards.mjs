/**
 * What each guard of a rule costs, in one workerd with the same request without one.
 *
 * 1. `guards`: a POST, forwarded, under rules that differ by one guard.
 * 2. `limiter`: a limit by address, of one address and of 64, on 64 connections.
 * 3. `audit`: the same POST, whose rows are written after it or before it too, on 64 connections.
 *
 * Who is asked outside (the bot check) is a server of this process, whose CPU is not counted; the external policy is a
 * Worker behind a service binding, whose CPU is.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import { firstUser } from "./accounts.mjs";
import { cookies, send } from "./cases.mjs";
import { Connection, statusOf } from "./load.mjs";
import { inTurns } from "./rounds.mjs";
import { ORIGIN } from "./targets/vestibule.mjs";
import { startWorkerd } from "./workerd.mjs";

const CONNECTIONS = 8;
const MANY = 64;

/** Measures all three. */
export async function guards({ rounds, requests, warmUp, onPart }) {
  const verifier = await startVerifier();
  const workerd = await startWorkerd(["guarded", "policy"], { verifyUrl: verifier.url });
  const extent = { rounds: Math.ceil(rounds / 3), requests, warmUp: Math.ceil(warmUp / 4) };
  const parts = [];
  const add = (part) => {
    parts.push(part);
    onPart(part);
  };
  try {
    const user = await firstUser(workerd.ports.guarded);
    await open(workerd.ports.guarded, user);
    add(await each(workerd, user, extent));
    add(await limiter(workerd, user, extent));
    add(await audit(workerd, user, extent));
  } finally {
    await workerd.stop();
    verifier.stop();
  }
  return parts;
}

async function each(workerd, user, extent) {
  const [cookie] = user.session;
  const act = (path, more = "") => send(`/guarded/${path}`, cookie, BODY, more);
  const [, machine] = user.task;
  const targets = [
    ["no guard", act("none")],
    ["limit by address", act("address", ADDRESS)],
    ["limit by principal", act("principal")],
    ["gate and limit", act("gate", ADDRESS)],
    ["bot check", act("bot", "CF-Turnstile-Response: token\r\n")],
    ["feature", act("feature")],
    ["policy, remembered", act("policy-kept")],
    ["policy, asked", act("policy")],
    ["confirm, a person", act("confirm")],
    ["confirm, asked for", send("/guarded/confirm", cookies(), BODY, machine), 403],
    ["audit, after", act("audit")],
    ["audit, required", act("audit-required")],
  ].map(([name, request, status = 200]) => {
    return { name, worker: "guarded", request, status, connections: CONNECTIONS };
  });
  await check(workerd.ports.guarded, targets);
  const measured = await inTurns(workerd, targets, extent, "no guard");
  return { part: "guards", about: "POST, forwarded, by its rule's guard", targets: measured };
}

async function limiter(workerd, user, extent) {
  const [cookie] = user.session;
  const from = (at) => `CF-Connecting-IP: 192.0.2.${at}\r\n`;
  const requests = Array.from({ length: MANY }, (_, at) =>
    send("/guarded/address", cookie, BODY, from(at)),
  );
  const target = (name, request) => {
    return { name, worker: "guarded", request, status: 200, connections: MANY };
  };
  const targets = [
    target("no limit", send("/guarded/none", cookie, BODY)),
    target("one address", requests[0]),
    target(`${MANY} addresses`, (at) => requests[at % MANY]),
  ];
  const measured = await inTurns(workerd, targets, extent, "no limit");
  return { part: "limiter", about: `${MANY} connections`, targets: measured };
}

async function audit(workerd, user, extent) {
  const [cookie] = user.session;
  const targets = [
    ["no row", "none"],
    ["a row after", "audit"],
    ["a row before and one after", "audit-required"],
  ].map(([name, path]) => {
    const request = send(`/guarded/${path}`, cookie, BODY);
    return { name, worker: "guarded", request, status: 200, connections: MANY };
  });
  const measured = await inTurns(workerd, targets, extent, "no row");
  return { part: "audit", about: `${MANY} connections`, targets: measured };
}

/** Turns the feature on. */
async function open(port, { session: [cookie] }) {
  const turn = send("/api/features/bench", cookie, JSON.stringify({ state: "on" }));
  const request = Buffer.from(turn.latin1Slice().replace(/^POST/, "PUT"), "latin1");
  await check(port, [{ name: "the feature", request, status: 200 }]);
}

/** Whether each answers as it should. */
async function check(port, targets) {
  const connection = await Connection.open(port);
  for (const { name, request, status } of targets) {
    const answer = await connection.ask(request);
    if (statusOf(answer) !== status)
      throw new Error(`"${name}" is answered otherwise:\n${answer.latin1Slice()}`);
  }
  connection.close();
}

/** Says of every token that it is good. */
async function startVerifier() {
  const { hostname } = new URL(ORIGIN);
  const answer = JSON.stringify({ success: true, hostname, action: "bench" });
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end(answer));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, stop };
}

const BODY = JSON.stringify({ to: "eve", amount: 42 });
const ADDRESS = "CF-Connecting-IP: 198.51.100.7\r\n";
