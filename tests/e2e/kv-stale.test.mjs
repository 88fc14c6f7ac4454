// KV is eventually consistent: another location may not see a value for a minute after it was written.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";

// With `X-Stale`, KV has no value yet.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
let isStale = false;
let isWatched = false;
const watch = (store) => {
  if (isWatched) return;
  isWatched = true;
  const own = Object.getPrototypeOf(store);
  const { get } = own;
  own.get = function (...args) {
    return isStale ? Promise.resolve(null) : get.apply(this, args);
  };
};
export default {
  fetch(request, env, context) {
    watch(env.KV);
    isStale = request.headers.has("x-stale");
    return worker.fetch(request, env, context);
  },
};`;

const LONG = Buffer.alloc(2 * 1_048_576, "x");

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [{ path: "/pay", methods: ["POST"], access: "user", idempotency: "required" }],
    bindings: { kvNamespaces: ["KV"] },
    wrapperModules: { "entry.mjs": ENTRY },
    answers: { "/pay": (_request, response) => response.writeHead(201).end(LONG) },
  });
});
after(() => gateway.stop());

test("a stored response that KV does not show yet gets 503 and runs nothing", async () => {
  const Cookie = sessionCookies(createSessionToken());
  const headers = { Cookie, "Sec-Fetch-Site": "same-origin", "Idempotency-Key": "one" };
  const pay = (more) =>
    gateway.request("/pay", { method: "POST", headers: { ...headers, ...more }, body: "1" });

  const { response: first } = await gateway.expectForwarded(() => pay());
  assert.equal(first.status, 201);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const early = await gateway.expectNotForwarded(() => pay({ "X-Stale": "1" }));
    assertProblem(early, 503, "store_unavailable");
    assert.equal(early.headers["retry-after"], "1");
  }
  const replayed = await gateway.expectNotForwarded(() => pay());
  assert.equal(replayed.status, 201);
  assert.equal(replayed.headers["idempotent-replayed"], "true");
  assert.ok(replayed.body.equals(LONG));
});
