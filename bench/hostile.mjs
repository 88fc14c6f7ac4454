/**
 * Measures what honest clients see while others attack, in workerd:
 *
 *     node bench/hostile.mjs [--seconds 10] [--only passwords,cookies]
 *
 * Build the Worker first (`npm run build`). Honest clients send a request, wait for its answer, and send the next one
 * fifty milliseconds later. Attackers do not wait. All of them, the gateway and upstream share this machine, so read
 * the figures beside those of `saturation`, which sends as many ordinary requests as the attackers do.
 */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openGateway } from "../tests/support/gateway.mjs";
import { ACCOUNTS, callerOf, PASSWORD, setUpUsers } from "../tests/support/people.mjs";
import { residentBytes } from "../tests/support/worker.mjs";
import { Connection, statusOf } from "./load.mjs";
import { quantile } from "./measure.mjs";
import { signatureOf } from "./soak/acts.mjs";
import { WEBHOOK_SECRET } from "./soak/deployment.mjs";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    only: { type: "string" },
    connections: { type: "string", default: "32" },
  },
});
const MILLISECONDS = 1_000 * Number(values.seconds);
const CONNECTIONS = Number(values.connections);

const gateway = await openGateway({
  routes: [
    { path: "/open/{*rest}", access: "public" },
    { path: "/app/{*rest}", access: "user" },
    { path: "/any/{*rest}", access: "authenticated" },
    { path: "/pay/{*rest}", methods: ["POST"], access: "user", idempotency: "required" },
    { path: "/limited/{*rest}", access: "public", limit: "ten" },
    { path: "/upload", methods: ["POST"], access: "public" },
    { path: "/keyed", methods: ["POST"], access: "public", idempotency: "required" },
  ],
  variables: {
    ...ACCOUNTS,
    SESSION: { login: "accounts" },
    LOG_SAMPLE: 1_000_000,
    RATE_LIMITS: [{ name: "ten", limit: 10, period: "10s", by: "address" }],
    WEBHOOKS: [{ name: "hook", scheme: "stripe", path: "/hook" }],
    WEBHOOK_HOOK_SECRET: WEBHOOK_SECRET,
  },
});
const port = Number(new URL(gateway.direct).port);

const hex = (bytes) => randomBytes(bytes).toString("hex");
const address = () => `10.${[...randomBytes(3)].join(".")}`;
const fromAnywhere = (path, { headers, ...options } = {}) =>
  gateway.request(path, { ...options, headers: { "CF-Connecting-IP": address(), ...headers } });
const call = callerOf({ request: fromAnywhere });
const people = await setUpUsers({ request: fromAnywhere });
const ada = await people.createUser("ada");
const eve = await people.createUser("eve");
const token = await people.createToken(ada, "mul_");

/** What honest clients do. Each must succeed. */
const HONEST = {
  page: () => call("GET", `/app/${hex(4)}`, ada),
  token: () => call("GET", `/any/${hex(4)}`, token),
  public: () => call("GET", `/open/${hex(4)}`),
  write: () => call("POST", `/pay/${hex(4)}`, ada, "x", { headers: { "Idempotency-Key": hex(8) } }),
  webhook() {
    const body = JSON.stringify({ id: `evt_${hex(8)}`, type: "charge.refunded" });
    return call("POST", "/hook", undefined, body, { headers: signatureOf(body) });
  },
};

/** Returns the bytes of a request. */
function bytes(method, path, headers = {}, body = "") {
  const all = {
    Host: "app.example",
    "CF-Connecting-IP": address(),
    "Sec-Fetch-Site": "same-origin",
    "Content-Length": Buffer.byteLength(body),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

const JSON_TYPE = { "Content-Type": "application/json" };
const EVENT = JSON.stringify({
  id: "evt_forged",
  type: "charge.refunded",
  more: "x".repeat(50_000),
});
const login = (email) => JSON.stringify({ email, password: `${PASSWORD} wrong` });
const [head, claims] = ada.headers.Cookie.split(".");

/** Floods: each function makes one request. */
const FLOODS = {
  saturation: () => bytes("GET", `/open/${hex(4)}`),
  "wrong passwords": () =>
    bytes("POST", "/api/auth/login", JSON_TYPE, login(`${hex(6)}@example.com`)),
  "random session cookies": () => bytes("GET", "/app/x", { Cookie: `mk_session=${hex(100)}` }),
  "session cookies with a wrong signature": () =>
    bytes("GET", "/app/x", {
      Cookie: `${head}.${claims}.${randomBytes(32).toString("base64url")}`,
    }),
  "random tokens": () => bytes("GET", "/any/x", { Authorization: `Bearer mul_${hex(20)}` }),
  "unsigned webhooks of 50 KB": () => bytes("POST", "/hook", JSON_TYPE, EVENT),
  "webhooks with a wrong signature": () =>
    bytes("POST", "/hook", signatureOf(EVENT, "whsec_another_secret"), EVENT),
  "keys of one user": () =>
    bytes("POST", `/pay/${hex(4)}`, { ...eve.headers, "Idempotency-Key": hex(16) }, "x"),
  "keys of strangers": () => bytes("POST", "/keyed", { "Idempotency-Key": hex(16) }, "x"),
  "a limit, from many addresses": () => bytes("GET", "/limited/x"),
  "a limit, from one address": () =>
    bytes("GET", "/limited/x", { "CF-Connecting-IP": "192.0.2.1" }),
  "headers of 60 KB": () => bytes("GET", "/app/x", { "X-Large": "x".repeat(60_000) }),
  "random paths and queries": () => bytes("GET", `/open/${hex(500)}?${hex(500)}`),
};

/** Clients that send one byte a second, to a path. */
const SLOW = {
  "1,000 slow bodies to upstream": "/upload",
  "1,000 slow bodies under a key": "/keyed",
  "1,000 slow bodies of webhooks": "/hook",
};

/** Sends requests of a flood until `isOver`. Returns the number of answers by status. */
async function flood(make, isOver) {
  const statuses = new Map();
  const send = async () => {
    let connection = await Connection.open(port);
    while (!isOver()) {
      if (connection.closed) connection = await Connection.open(port);
      const status = await connection.send(make()).then(statusOf, () => "broken");
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, send));
  return statuses;
}

/** Holds connections open, with a byte a second. Returns how many are left at the end. */
async function drip(path, isOver) {
  const headers = { "Content-Length": 100_000, "Idempotency-Key": hex(16), ...JSON_TYPE };
  const connections = [];
  for (let at = 0; at < 1_000 && !isOver(); at += 1) {
    const connection = await Connection.open(port);
    const request = bytes("POST", path, { ...headers, "Idempotency-Key": hex(16) });
    connection.send(request).catch(() => {});
    connections.push(connection);
  }
  while (!isOver()) {
    await sleep(1_000);
    for (const connection of connections) if (!connection.closed) connection.write("x");
  }
  const left = connections.filter(({ closed }) => !closed).length;
  for (const connection of connections) connection.close();
  return new Map([["open", left]]);
}

/** Runs honest clients until `isOver`. */
async function honest(isOver) {
  const result = { times: [], failed: new Map(), sent: 0 };
  const work = async (name) => {
    while (!isOver()) {
      const began = performance.now();
      const response = await HONEST[name]().catch(({ code }) => ({ status: code }));
      result.times.push(performance.now() - began);
      result.sent += 1;
      if (response.status !== 200) {
        const label = `${name} ${response.status}`;
        result.failed.set(label, (result.failed.get(label) ?? 0) + 1);
      }
      await sleep(50);
    }
  };
  await Promise.all(Object.keys(HONEST).flatMap((name) => [work(name), work(name)]));
  return result;
}

async function measure(attack) {
  const end = performance.now() + MILLISECONDS;
  const isOver = () => performance.now() > end;
  const [result, answers] = await Promise.all([honest(isOver), attack(isOver)]);
  return { ...result, answers, resident: residentBytes() };
}

const only = values.only?.split(",");
const attacks = [
  ...Object.entries(FLOODS).map(([name, make]) => [name, (isOver) => flood(make, isOver)]),
  ...Object.entries(SLOW).map(([name, path]) => [name, (isOver) => drip(path, isOver)]),
].filter(([name]) => !only || only.some((word) => name.includes(word)));
const shown = (map) => [...map].map(([name, count]) => `${count} × ${name}`).join(", ") || "–";

try {
  await measure(async () => new Map());
  const calm = await measure(async () => new Map());
  const baseline = quantile(calm.times, 0.99);
  console.log(
    "| attack | answers to attackers | honest: sent | failed | p50 ms | p99 ms | p99 × calm | MiB |",
  );
  console.log("|---|---|---:|---|---:|---:|---:|---:|");
  const print = (name, { times, failed, sent, answers, resident }) => {
    const [p50, p99] = [0.5, 0.99].map((share) => quantile(times, share));
    const cells = [name, shown(answers), sent, shown(failed), p50.toFixed(0), p99.toFixed(0)];
    console.log(
      `| ${[...cells, (p99 / baseline).toFixed(1), (resident / 1_048_576).toFixed(0)].join(" | ")} |`,
    );
  };
  print("none", calm);
  for (const [name, attack] of attacks) {
    print(name, await measure(attack));
    // Waits until the last requests of the attack have ended.
    await sleep(1_000);
  }
} finally {
  await gateway.stop();
}
