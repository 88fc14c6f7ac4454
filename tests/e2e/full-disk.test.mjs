// The disk is full: the databases of the objects cannot grow. What cannot be written is refused, what was acknowledged
// stays, and everything works again when there is room.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readConfiguration } from "../../scripts/lib/configuration.mjs";
import { writeServer } from "../../scripts/lib/workerd.mjs";
import { request } from "../support/client.mjs";
import { assertProblem } from "../support/gateway.mjs";
import { callerOf, SETUP_TOKEN, setUpUsers } from "../support/people.mjs";
import { startServer } from "../support/server.mjs";
import { startUpstream } from "../support/upstream.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const HOST = "app.example.com";
const BODY = "paid ".repeat(40_000);
// Above what the objects need before the test writes, and below what it writes.
const FULL = 3_000_000;
const KEYS = Array.from({ length: 40 }, (_, count) => `key-${count}`);

const folder = mkdtempSync(join(tmpdir(), "vestibule-disk-"));
const at = (name) => join(folder, name);
let upstream;
let server;
before(async () => {
  upstream = await startUpstream({ "/pay": { body: BODY } });
  const configuration = await readConfiguration({});
  Object.assign(configuration.vars, {
    PUBLIC_ORIGINS: [`https://${HOST}`],
    UPSTREAM: upstream.origin,
    ROUTES: [
      { path: "/pay", methods: ["POST"], access: "user", idempotency: "required" },
      { path: "/read", access: "user" },
    ],
  });
  writeServer(configuration, at("server"));
  mkdirSync(at("objects"));
});
after(async () => {
  await server?.end("SIGKILL");
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

const start = (maxFileBytes) =>
  startServer({
    folder: at("server"),
    storage: at("objects"),
    env: { AUTH_SECRET, UPSTREAM_SECRET, SETUP_TOKEN },
    maxFileBytes,
  });

let addresses = 0;
const send = (path, { headers, ...options } = {}) => {
  addresses += 1;
  const address = `192.0.2.${addresses & 255}`;
  const own = { "X-Forwarded-Proto": "https", "CF-Connecting-IP": address };
  return request(server.origin, path, { host: HOST, ...options, headers: { ...own, ...headers } });
};
const call = callerOf({ request: send });

test("a full disk loses nothing that was acknowledged, and runs nothing twice", async () => {
  server = await start(FULL);
  const people = await setUpUsers({ request: send });
  const ada = await people.createUser("ada");
  const pay = (key) => call("POST", "/pay", ada, "x", { headers: { "Idempotency-Key": key } });

  const payAll = async (found) => {
    for (const key of KEYS) found.set(key, await gatewayAnswer(() => pay(key)));
    return found;
  };
  const full = await payAll(new Map());
  const statuses = [...full.values()].map(({ status }) => status);
  assert.deepEqual([...new Set(statuses)], [200, 503], "the disk is full in the midst of them");
  for (const { status, ran, response } of full.values()) {
    assert.equal(ran, status === 200 ? 1 : 0);
    if (status === 503) assertProblem(response, 503, "store_unavailable");
  }
  // What does not write works.
  assert.equal((await call("GET", "/read", ada)).status, 200);
  assert.equal((await pay(KEYS[0])).headers["idempotent-replayed"], "true");

  await server.end("SIGKILL");
  server = await start();
  for (const [key, { status, ran, response }] of await payAll(new Map())) {
    const isAnswered = full.get(key).status === 200;
    assert.equal(ran, isAnswered ? 0 : 1, `${key} ran once`);
    if (status === 409) {
      // It was answered, and there was no room for the answer.
      assert.ok(isAnswered);
      assertProblem(response, 409, "idempotency_outcome_unknown");
    } else {
      assert.equal(response.text, BODY);
      assert.equal(response.headers["idempotent-replayed"], isAnswered ? "true" : undefined);
    }
  }
});

// Sends a payment. Returns its answer, and how often upstream ran it.
async function gatewayAnswer(send) {
  const before = upstream.seen.length;
  const response = await send();
  return { response, status: response.status, ran: upstream.seen.length - before };
}
