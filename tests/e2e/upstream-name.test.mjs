// The `Host` that upstream gets, changes of a URL by the runtime, and hints about upstream's origin checks.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { request } from "../support/client.mjs";
import { assertNoSecretsLogged, openGateway } from "../support/gateway.mjs";
import { startUpstream } from "../support/upstream.mjs";
import { startWorker } from "../support/worker.mjs";

const ROUTES = [
  { path: "/{*rest}", access: "public" },
  { path: "/keyed", methods: ["POST"], access: "public", idempotency: "optional" },
];

// docs/upstream.md lists what the runtime changes.
const TARGETS = [
  "/p?a=%27%2f+%20b&&=;",
  "/p?",
  "/p?a[]=1&b[c]={d}|e^f`g",
  "/p?a=\\b",
  "/p?q=%zz%",
  "/caf%C3%A9?q=%e9",
];

describe("across the network", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: ROUTES });
  });
  after(() => gateway.stop());

  for (const target of TARGETS) {
    test(`${target} reaches upstream byte for byte`, async () => {
      const { seen } = await gateway.expectForwarded(() => gateway.request(target));
      assert.equal(seen.url, target);
      assert.equal(seen.headers.host, new URL(gateway.upstream.origin).host);
      assert.equal(seen.headers["x-forwarded-host"], "app.example");
    });
  }

  test("the runtime escapes a `'` in a query", async () => {
    const { seen } = await gateway.expectForwarded(() => gateway.request("/p?a='b'"));
    assert.equal(seen.url, "/p?a=%27b%27");
  });
});

describe("a service binding", () => {
  let worker;
  let upstream;
  before(async () => {
    upstream = await startUpstream();
    const address = upstream.origin.slice("http://".length);
    worker = await startWorker({
      variables: { ROUTES },
      bindings: { serviceBindings: { UPSTREAM: { external: { address, http: {} } } } },
    });
  });
  after(async () => {
    await worker.stop();
    await upstream.stop();
    assertNoSecretsLogged(worker.log);
  });

  for (const target of [...TARGETS, "/p?a='b'"]) {
    test(`${target} reaches upstream byte for byte, under the public name`, async () => {
      const index = upstream.seen.length;
      assert.equal((await request(worker.direct, target, { host: "app.example" })).status, 200);
      assert.equal(upstream.seen.length, index + 1);
      assert.equal(upstream.seen[index].url, target);
      assert.equal(upstream.seen[index].headers.host, "app.example");
    });
  }

  for (const [label, path, body] of [
    ["that streams", "/p?a='b'", "sent"],
    ["that was read", "/keyed?a='b'", "sent"],
    ["that was read and is empty", "/keyed?a=b", ""],
  ]) {
    test(`a request with a body ${label} keeps its URL byte for byte`, async () => {
      const index = upstream.seen.length;
      const headers = { "idempotency-key": `key-${label.replaceAll(" ", "-")}` };
      const options = { method: "POST", host: "app.example", headers, body };
      assert.equal((await request(worker.direct, path, options)).status, 200);
      assert.equal(upstream.seen.length, index + 1);
      assert.equal(upstream.seen[index].url, path);
      assert.equal(String(await upstream.seen[index].body), body);
    });
  }
});

test('`host = "public"` resolves the public name to the origin\'s host', async (t) => {
  const requests = [];
  const worker = await startWorker({
    variables: { ROUTES, UPSTREAM: { origin: "https://origin.example", host: "public" } },
    bindings: {
      outboundService: (request) => {
        requests.push({ url: request.url, cf: request.cf });
        return new Response("ok");
      },
    },
  });
  t.after(async () => {
    await worker.stop();
    assertNoSecretsLogged(worker.log);
  });
  const response = await request(worker.direct, "/p?a=1", { host: "app.example" });
  assert.equal(response.status, 200);
  assert.equal(requests.length, 1);
  assert.equal(requests[0].url, "http://app.example/p?a=1");
  assert.equal(requests[0].cf.resolveOverride, "origin.example");
});

describe("an origin check of upstream's", () => {
  const CHECKS = {
    "/sveltekit": [403, "Cross-site POST form submissions are forbidden", /SvelteKit/],
    "/django": [403, "<p>Origin checking failed - https://a does not match</p>", /Django/],
    "/next": [500, "Error: Invalid Server Actions request.", /Next\.js/],
    "/other": [403, "you may not", null],
    "/fine": [200, "Origin checking failed", null],
  };
  for (const [environment, PUBLIC_ORIGINS, isHinted] of [
    ["development", ["http://app.example"], true],
    ["production", ["https://app.example"], false],
  ]) {
    test(`${isHinted ? "has a hint" : "has no hint"} in the log in ${environment}`, async (t) => {
      const answers = Object.fromEntries(
        Object.entries(CHECKS).map(([path, [status, body]]) => [path, { status, body }]),
      );
      const variables = { ENVIRONMENT: environment, PUBLIC_ORIGINS };
      const gateway = await openGateway({ routes: ROUTES, answers, variables });
      t.after(() => gateway.stop());
      const origin = PUBLIC_ORIGINS[0];
      for (const [path, [status, body, hint]] of Object.entries(CHECKS)) {
        const headers = { origin, "content-type": "application/x-www-form-urlencoded" };
        const options = { method: "POST", headers, body: "a=1" };
        const before = gateway.log.length;
        const response = await gateway.requestUrl(`${origin}${path}`, options);
        assert.equal(response.status, status, path);
        assert.equal(response.text, body, `${path}: the response passes unchanged`);
        const line = await gateway.waitForLog((line) => gateway.log.indexOf(line) >= before);
        const { hint: found } = JSON.parse(line);
        if (isHinted && hint) assert.match(found, hint, path);
        else assert.equal(found, undefined, path);
      }
    });
  }
});
