// The module traps: a bug of ours that Rust's checks turned into a stop. The request it happened in is
// answered 500, those that waited in the same instance too, and the next ones find a new instance. At no
// time does a request get through that should not.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { cookie, mint } from "../support/tokens.mjs";

// Makes the function that `X-Trap` names stop once, in the middle of a request. `configure` is what reads the names of
// the bindings, which the module imports.
const TRAP = `
const { Instance } = WebAssembly;
export const armed = new Set();
const guarded = (name, run) => (...given) => {
  if (armed.delete(name)) throw new WebAssembly.RuntimeError("unreachable");
  return run(...given);
};
WebAssembly.Instance = function (module, imports) {
  for (const functions of Object.values(imports)) {
    const name = Object.keys(functions).find((name) => name.startsWith("__wbg_entries_"));
    if (name) functions[name] = guarded("configure", functions[name]);
  }
  const { exports } = new Instance(module, imports);
  const names = ["fetch", "resume", "unable", "ledger_command"];
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
    around: { "entry.mjs": ENTRY, "trap.mjs": TRAP },
  });
});
after(() => gateway.stop());
beforeEach(() => assertWell());

// Both sides of the door, by a request each.
async function assertWell() {
  assert.equal((await gateway.ask("/open/fine")).text, "ok");
  const Cookie = cookie(mint());
  assert.equal((await gateway.ask("/fine", { headers: { Cookie } })).text, "ok");
  await gateway.refused("/fine", {}, 401, "unauthorized", "no_credential");
}

test("before anything is decided", async () => {
  await gateway.refused("/open/x", { headers: { "X-Trap": "fetch" } }, 500, "internal");
  await assertWell();
});

test("after upstream has answered", async () => {
  const { response } = await gateway.passed(() =>
    gateway.ask("/open/x", { headers: { "X-Trap": "resume" } }),
  );
  assertProblem(response, 500, "internal");
  await assertWell();
});

test("while another request waits: that one is answered 500 when its turn comes", async () => {
  const release = Promise.withResolvers();
  gateway.upstream.answers["/open/slow"] = async (_request, response) => {
    await release.promise;
    response.end("too late");
  };
  const arrived = gateway.upstream.arrival();
  const slow = gateway.ask("/open/slow");
  await arrived;
  await gateway.refused("/open/x", { headers: { "X-Trap": "fetch" } }, 500, "internal");
  await assertWell();
  release.resolve();
  assertProblem(await slow, 500, "internal");
  await assertWell();
});

test("while many wait: each is answered 500 once, and not the ones that come after", async () => {
  const release = Promise.withResolvers();
  gateway.upstream.answers["/open/slow"] = async (_request, response) => {
    await release.promise;
    response.end("late");
  };
  const arrived = arrivals(10);
  const waiting = Array.from({ length: 10 }, () => gateway.ask("/open/slow"));
  await arrived;
  await gateway.refused("/open/x", { headers: { "X-Trap": "fetch" } }, 500, "internal");
  // These wait in the new instance while those of the old one come back.
  const again = arrivals(10);
  const fresh = Array.from({ length: 10 }, () => gateway.ask("/open/slow"));
  await again;
  release.resolve();
  for (const response of await Promise.all(waiting)) assertProblem(response, 500, "internal");
  for (const response of await Promise.all(fresh)) assert.equal(response.text, "late");
  await assertWell();
});

async function arrivals(count) {
  for (let at = 0; at < count; at += 1) await gateway.upstream.arrival();
}

test("again while it recovers: still a plain 500", async () => {
  const response = await gateway.untouched(() =>
    gateway.ask("/open/x", { headers: { "X-Trap": "fetch unable" } }),
  );
  assert.equal(response.status, 500);
  assert.equal(response.json().error, "internal");
  assert.equal(response.headers["cache-control"], "no-store");
  await assertWell();
});

test("in an object, in the middle of a command", async () => {
  const send = (more) =>
    gateway.ask("/keyed/x", {
      method: "POST",
      headers: { "Idempotency-Key": "k1", "Sec-Fetch-Site": "same-origin", ...more },
    });
  const response = await gateway.untouched(() => send({ "X-Trap": "ledger_command" }));
  assertProblem(response, 500, "internal");
  await assertWell();
  // The object goes on in the new instance, and nothing of the first command is left.
  const again = await gateway.passed(() => send({}));
  assert.equal(again.response.status, 200);
});

test("while it is configured anew: 500, and then well again", async () => {
  await gateway.untouched(async () => {
    const response = await gateway.ask("/open/x", { headers: { "X-Trap": "fetch configure" } });
    assert.equal(response.status, 500);
  });
  await assertWell();
});
