/**
 * Measures the cost of each guard of a rule, compared with the same request without a guard. All run in one workerd.
 *
 * 1. `guards`: a forwarded POST, under rules that differ by one guard.
 * 2. `limiter`: a limit by address, with one address and with 64 addresses, on 64 connections.
 * 3. `audit`: the same POST, with an audit row after it, and with rows before and after it, on 64 connections.
 *
 * The verifier of bot checks is a server in this process, so its CPU is not counted. The external policy is a Worker
 * behind a service binding, so its CPU is counted.
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

/** Measures all three parts. */
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
    await enableFeature(workerd.ports.guarded, user);
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
  const post = (path, more = "") => send(`/guarded/${path}`, cookie, BODY, more);
  const [, machine] = user.task;
  const targets = [
    ["no guard", post("none")],
    ["limit by address", post("address", ADDRESS)],
    ["limit by principal", post("principal")],
    ["gate and limit", post("gate", ADDRESS)],
    ["bot check", post("bot", "CF-Turnstile-Response: token\r\n")],
    ["feature", post("feature")],
    ["policy, cached", post("policy-cached")],
    ["policy, called", post("policy")],
    ["confirm, a person", post("confirm")],
    ["confirm, a machine", send("/guarded/confirm", cookies(), BODY, machine), 403],
    ["audit, after", post("audit")],
    ["audit, required", post("audit-required")],
  ].map(([name, request, status = 200]) => {
    return { name, worker: "guarded", request, status, connections: CONNECTIONS };
  });
  await check(workerd.ports.guarded, targets);
  const measured = await inTurns(workerd, targets, extent, "no guard");
  return { part: "guards", about: "POST, forwarded, by the guard of its rule", targets: measured };
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
async function enableFeature(port, { session: [cookie] }) {
  const post = send("/api/features/bench", cookie, JSON.stringify({ state: "on" }));
  const request = Buffer.from(post.latin1Slice().replace(/^POST/, "PUT"), "latin1");
  await check(port, [{ name: "the feature", request, status: 200 }]);
}

/** Checks that each target answers with the expected status. */
async function check(port, targets) {
  const connection = await Connection.open(port);
  for (const { name, request, status } of targets) {
    const answer = await connection.send(request);
    if (statusOf(answer) !== status)
      throw new Error(`unexpected answer to "${name}":\n${answer.latin1Slice()}`);
  }
  connection.close();
}

/** Starts a server that accepts every bot check token. */
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
