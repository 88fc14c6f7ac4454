// Buffered bodies share a memory budget, and release their bytes however their request ends.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { read, responseOf, startRequest } from "../support/client.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { residentBytes } from "../support/worker.mjs";

const MIB = 1_048_576;
const BUDGET = 48 * MIB;
const BODY = Buffer.alloc(1.5 * MIB, "a");
const BODIES_IN_BUDGET = BUDGET / BODY.length;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/keyed/{*rest}", access: "public", idempotency: "optional", body_limit: 2 * MIB },
      { path: "/{*rest}", access: "public" },
    ],
    variables: {
      WEBHOOKS: [{ name: "hub", scheme: "github", path: "/hooks", body_limit: 2 * MIB }],
      WEBHOOK_HUB_SECRET: "secret_of_the_provider",
    },
  });
});
after(() => gateway.stop());

let count = 0;
const sendKeyed = (path) => {
  count += 1;
  const headers = { "Idempotency-Key": `k${count}`, "Sec-Fetch-Site": "same-origin" };
  return gateway.request(path, { method: "POST", headers, body: BODY });
};

describe("a request releases its memory", () => {
  test("after it was answered", async () => {
    for (let time = 0; time < BODIES_IN_BUDGET + 4; time += 1) {
      const response = await sendKeyed("/keyed/x");
      assert.equal(response.status, 200, response.text);
    }
  });

  test("after it was refused", async () => {
    for (let time = 0; time < BODIES_IN_BUDGET + 4; time += 1) {
      const headers = { "X-Hub-Signature-256": `sha256=${"0".repeat(64)}` };
      const response = await gateway.expectNotForwarded(() =>
        gateway.request("/hooks", { method: "POST", headers, body: BODY }),
      );
      assertProblem(response, 401, "invalid_signature", "mismatch");
    }
  });

  test("after its client disconnected in the middle of the body", async () => {
    const requests = Array.from({ length: 2 * BODIES_IN_BUDGET }, () => {
      const request = startRequest(gateway.direct, "/hooks", {
        method: "POST",
        host: "app.example",
        headers: {
          "X-Hub-Signature-256": `sha256=${"0".repeat(64)}`,
          "Content-Length": String(BODY.length + 1),
        },
      });
      request.on("error", () => {});
      return request;
    });
    const responses = [];
    for (const request of requests)
      request.on("response", (response) => responses.push(response.resume()));
    await Promise.all(requests.map((request) => new Promise((done) => request.write(BODY, done))));
    for (const request of requests) request.destroy();
    // The budget may be used up until the platform notices the disconnects.
    let response;
    do response = await sendKeyed("/keyed/x");
    while (response.status === 503);
    assert.equal(response.status, 200, response.text);
  });
});

describe("if the budget is used up", () => {
  test("a request gets 503 with Retry-After, and running requests continue", async () => {
    const waiting = [];
    gateway.upstream.answers["/keyed/slow"] = async (_, response, seen) => {
      await seen.body;
      waiting.push(response);
    };
    const before = gateway.upstreamRequests.length;
    const requests = Array.from({ length: BODIES_IN_BUDGET }, () => sendKeyed("/keyed/slow"));
    while (gateway.upstreamRequests.length < before + BODIES_IN_BUDGET)
      await gateway.upstream.nextRequest();
    for (const request of [() => sendKeyed("/keyed/x"), () => sendKeyed("/keyed/slow")]) {
      const response = await gateway.expectNotForwarded(request);
      assertProblem(response, 503, "overloaded");
      assert.equal(response.headers["retry-after"], "5");
      assert.equal(response.json().safeToRetry, true);
    }
    // Requests without a body, or whose body is not buffered, need no budget.
    assert.equal((await gateway.request("/x")).status, 200);
    assert.equal((await gateway.request("/x", { method: "POST", body: BODY })).status, 200);
    while (waiting.length < BODIES_IN_BUDGET) await setImmediate();
    for (const response of waiting) response.end("ok");
    for (const { status, text } of await Promise.all(requests)) assert.equal(status, 200, text);
    assert.equal((await sendKeyed("/keyed/x")).status, 200);
  });

  test("a body that is still arriving after seconds is dropped, and its request gets 503", async () => {
    const statusPromises = [];
    const slowRequests = Array.from({ length: BODIES_IN_BUDGET }, (_, i) => {
      const request = startRequest(gateway.direct, "/keyed/x", {
        method: "POST",
        host: "app.example",
        headers: {
          "Idempotency-Key": `slow${i}`,
          "Sec-Fetch-Site": "same-origin",
          "Content-Length": String(BODY.length + 1),
        },
      });
      const responsePromise = new Promise((resolve) => request.on("response", resolve));
      statusPromises.push(responsePromise.then((response) => response.resume().statusCode));
      return request;
    });
    await Promise.all(
      slowRequests.map((request) => new Promise((done) => request.write(BODY, done))),
    );
    // This is refused until the first of them counts as slow.
    let response;
    do response = await sendKeyed("/keyed/x");
    while (response.status === 503);
    assert.equal(response.status, 200, response.text);
    for (const request of slowRequests) request.end("b");
    const statuses = await Promise.all(statusPromises);
    assert.deepEqual(
      statuses.filter((status) => status !== 200),
      [503],
      "only one slow body is dropped",
    );
  });
});

describe("a body in chunks", () => {
  const sendInChunks = async (sizes) => {
    count += 1;
    const request = startRequest(gateway.direct, "/keyed/x", {
      method: "POST",
      host: "app.example",
      headers: { "Idempotency-Key": `chunks${count}`, "Sec-Fetch-Site": "same-origin" },
    });
    const responsePromise = responseOf(request);
    const chunks = [];
    let at = 0;
    for (const size of sizes) {
      const chunk = Buffer.from(Array.from({ length: size }, (_, byte) => (at + byte) % 251));
      at += size;
      chunks.push(chunk);
      // Each write is one chunk on the wire.
      if (!request.write(chunk)) await once(request, "drain");
    }
    request.end();
    assert.equal((await read(await responsePromise)).status, 200);
    assert.ok(Buffer.concat(chunks).equals(await gateway.upstreamRequests.at(-1).body));
  };

  for (const sizes of [
    [1],
    [1, 1, 1],
    [1, 5_000, 1, 4_096, 4_095, 2],
    [70_000, 1, 70_000],
    Array.from({ length: 40 }, (_, i) => i * 100 + 1),
  ]) {
    test(`is forwarded complete: ${sizes.slice(0, 6)}${sizes.length > 6 ? ", …" : ""}`, () =>
      sendInChunks(sizes));
  }

  test("uses memory by its length, not by its number of chunks", async () => {
    await sendInChunks([1]);
    const before = residentBytes();
    await sendInChunks(Array.from({ length: 60_000 }, () => 1));
    // With a buffer of 4 KiB for each chunk, it would use 240 MiB.
    assert.ok(residentBytes() - before < 100 * MIB);
  });
});
