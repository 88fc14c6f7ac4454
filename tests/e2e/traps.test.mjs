// The module traps: one of Rust's checks stopped it because of a bug. The request in which that happened gets 500, as
// do those that wait in the same instance. Later requests use a new instance. At no time does a request pass that
// should not.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";

// Makes each function that `X-Trap` names trap once, during a request. `configure` is the imported function that reads
// the names of the bindings.
const TRAP = `
const { Instance } = WebAssembly;
export const armed = new Set();
const guarded = (name, run) => (...args) => {
  if (armed.delete(name)) throw new WebAssembly.RuntimeError("unreachable");
  return run(...args);
};
WebAssembly.Instance = function (module, imports) {
  for (const functions of Object.values(imports)) {
    const name = Object.keys(functions).find((name) => name.startsWith("__wbg_entries_"));
    if (name) functions[name] = guarded("configure", functions[name]);
  }
  const { exports } = new Instance(module, imports);
  const names = ["fetch", "resume", "internal_error", "ledger_command"];
  return {
    exports: {
      ...exports,
      ...Object.fromEntries(names.map((name) => [name, guarded(name, exports[name])])),
    },
  };
};`;

const ENTRY = `
import { armed } from "./trap.mjs";
import worker from "./index.js";
export * from "./index.js";
export default {
  fetch(request, env, context) {
    for (const name of request.headers.get("x-trap")?.split(" ") ?? []) armed.add(name);
    return worker.fetch(request, env, context);
  },
};`;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/open/{*rest}", access: "public" },
      { path: "/keyed/{*rest}", access: "public", idempotency: "optional" },
    ],
    wrapperModules: { "entry.mjs": ENTRY, "trap.mjs": TRAP },
  });
});
after(() => gateway.stop());
beforeEach(() => assertHealthy());

// Asserts that requests are admitted and rejected as usual.
async function assertHealthy() {
  assert.equal((await gateway.request("/open/fine")).text, "ok");
  const Cookie = sessionCookies(createSessionToken());
  assert.equal((await gateway.request("/fine", { headers: { Cookie } })).text, "ok");
  await gateway.expectRejected("/fine", {}, 401, "unauthorized", "no_credential");
}

test("a trap before the decision returns 500", async () => {
  await gateway.expectRejected("/open/x", { headers: { "X-Trap": "fetch" } }, 500, "internal");
  await assertHealthy();
});

test("a trap after upstream's response returns 500", async () => {
  const { response } = await gateway.expectForwarded(() =>
    gateway.request("/open/x", { headers: { "X-Trap": "resume" } }),
  );
  assertProblem(response, 500, "internal");
  await assertHealthy();
});

test("a request that waits in the instance gets 500 when it resumes", async () => {
  const release = Promise.withResolvers();
  gateway.upstream.answers["/open/slow"] = async (_request, response) => {
    await release.promise;
    response.end("too late");
  };
  const arrived = gateway.upstream.nextRequest();
  const slow = gateway.request("/open/slow");
  await arrived;
  await gateway.expectRejected("/open/x", { headers: { "X-Trap": "fetch" } }, 500, "internal");
  await assertHealthy();
  release.resolve();
  assertProblem(await slow, 500, "internal");
  await assertHealthy();
});

test("each of many waiting requests gets 500 once, and later requests do not", async () => {
  const release = Promise.withResolvers();
  gateway.upstream.answers["/open/slow"] = async (_request, response) => {
    await release.promise;
    response.end("late");
  };
  const arrived = arrivals(10);
  const waiting = Array.from({ length: 10 }, () => gateway.request("/open/slow"));
  await arrived;
  await gateway.expectRejected("/open/x", { headers: { "X-Trap": "fetch" } }, 500, "internal");
  // These wait in the new instance while the requests of the old one resume.
  const again = arrivals(10);
  const fresh = Array.from({ length: 10 }, () => gateway.request("/open/slow"));
  await again;
  release.resolve();
  for (const response of await Promise.all(waiting)) assertProblem(response, 500, "internal");
  for (const response of await Promise.all(fresh)) assert.equal(response.text, "late");
  await assertHealthy();
});

async function arrivals(count) {
  for (let at = 0; at < count; at += 1) await gateway.upstream.nextRequest();
}

test("a second trap during recovery returns a plain 500", async () => {
  const response = await gateway.expectNotForwarded(() =>
    gateway.request("/open/x", { headers: { "X-Trap": "fetch internal_error" } }),
  );
  assert.equal(response.status, 500);
  assert.equal(response.json().error, "internal");
  assert.equal(response.headers["cache-control"], "no-store");
  await assertHealthy();
});

test("a trap during a command of an object returns 500, and the next command works", async () => {
  const send = (more) =>
    gateway.request("/keyed/x", {
      method: "POST",
      headers: { "Idempotency-Key": "k1", "Sec-Fetch-Site": "same-origin", ...more },
    });
  const response = await gateway.expectNotForwarded(() => send({ "X-Trap": "ledger_command" }));
  assertProblem(response, 500, "internal");
  await assertHealthy();
  // The object works in the new instance, and the first command left nothing behind.
  const again = await gateway.expectForwarded(() => send({}));
  assert.equal(again.response.status, 200);
});

test("a trap while the new instance is configured returns 500, and the next request works", async () => {
  await gateway.expectNotForwarded(async () => {
    const response = await gateway.request("/open/x", { headers: { "X-Trap": "fetch configure" } });
    assert.equal(response.status, 500);
  });
  await assertHealthy();
});
