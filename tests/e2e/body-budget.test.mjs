// Bodies that are read whole share a memory budget, and give their bytes back however their request ends.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { read, responseOf, send } from "../support/client.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { residentBytes } from "../support/worker.mjs";

const MIB = 1_048_576;
const BUDGET = 48 * MIB;
const BODY = Buffer.alloc(1.5 * MIB, "a");
const FIT = BUDGET / BODY.length;

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
const keyed = (path) => {
  count += 1;
  const headers = { "Idempotency-Key": `k${count}`, "Sec-Fetch-Site": "same-origin" };
  return gateway.ask(path, { method: "POST", headers, body: BODY });
};

describe("memory is given back", () => {
  test("by requests that were answered", async () => {
    for (let time = 0; time < FIT + 4; time += 1) {
      const response = await keyed("/keyed/x");
      assert.equal(response.status, 200, response.text);
    }
  });

  test("by requests that were refused", async () => {
    for (let time = 0; time < FIT + 4; time += 1) {
      const headers = { "X-Hub-Signature-256": `sha256=${"0".repeat(64)}` };
      const refused = await gateway.untouched(() =>
        gateway.ask("/hooks", { method: "POST", headers, body: BODY }),
      );
      assertProblem(refused, 401, "invalid_signature", "mismatch");
    }
  });

  test("by clients that went away in the middle of a body", async () => {
    const all = Array.from({ length: 2 * FIT }, () => {
      const sending = send(gateway.direct, "/hooks", {
        method: "POST",
        host: "app.example",
        headers: {
          "X-Hub-Signature-256": `sha256=${"0".repeat(64)}`,
          "Content-Length": String(BODY.length + 1),
        },
      });
      sending.on("error", () => {});
      return sending;
    });
    const refused = [];
    for (const sending of all)
      sending.on("response", (response) => refused.push(response.resume()));
    await Promise.all(all.map((sending) => new Promise((done) => sending.write(BODY, done))));
    for (const sending of all) sending.destroy();
    // Until the platform has noticed, there may be no room.
    let response;
    do response = await keyed("/keyed/x");
    while (response.status === 503);
    assert.equal(response.status, 200, response.text);
  });
});

describe("when the budget is used up", () => {
  test("a request is refused with Retry-After, and the others go on", async () => {
    const waiting = [];
    gateway.upstream.answers["/keyed/slow"] = async (_, response, seen) => {
      await seen.body;
      waiting.push(response);
    };
    const before = gateway.seen.length;
    const running = Array.from({ length: FIT }, () => keyed("/keyed/slow"));
    while (gateway.seen.length < before + FIT) await gateway.upstream.arrival();
    for (const ask of [() => keyed("/keyed/x"), () => keyed("/keyed/slow")]) {
      const refused = await gateway.untouched(ask);
      assertProblem(refused, 503, "overloaded");
      assert.equal(refused.headers["retry-after"], "5");
      assert.equal(refused.json().safeToRetry, true);
    }
    // What has no body, or is not read whole, needs none of it.
    assert.equal((await gateway.ask("/x")).status, 200);
    assert.equal((await gateway.ask("/x", { method: "POST", body: BODY })).status, 200);
    while (waiting.length < FIT) await setImmediate();
    for (const response of waiting) response.end("ok");
    for (const { status, text } of await Promise.all(running)) assert.equal(status, 200, text);
    assert.equal((await keyed("/keyed/x")).status, 200);
  });

  test("a body that has been coming in for seconds gives way, and its request is refused", async () => {
    const answered = [];
    const slow = Array.from({ length: FIT }, (_, at) => {
      const sending = send(gateway.direct, "/keyed/x", {
        method: "POST",
        host: "app.example",
        headers: {
          "Idempotency-Key": `slow${at}`,
          "Sec-Fetch-Site": "same-origin",
          "Content-Length": String(BODY.length + 1),
        },
      });
      const answer = new Promise((resolve) => sending.on("response", resolve));
      answered.push(answer.then((response) => response.resume().statusCode));
      return sending;
    });
    await Promise.all(slow.map((sending) => new Promise((done) => sending.write(BODY, done))));
    // At first none of them is slow. Each of these is refused until one of them is.
    let response;
    do response = await keyed("/keyed/x");
    while (response.status === 503);
    assert.equal(response.status, 200, response.text);
    for (const sending of slow) sending.end("b");
    const statuses = await Promise.all(answered);
    assert.deepEqual(
      statuses.filter((status) => status !== 200),
      [503],
      "one was enough",
    );
  });
});

describe("a body in chunks of all sizes", () => {
  const inChunks = async (sizes) => {
    count += 1;
    const sending = send(gateway.direct, "/keyed/x", {
      method: "POST",
      host: "app.example",
      headers: { "Idempotency-Key": `chunks${count}`, "Sec-Fetch-Site": "same-origin" },
    });
    const answered = responseOf(sending);
    const sent = [];
    let at = 0;
    for (const size of sizes) {
      const chunk = Buffer.from(Array.from({ length: size }, (_, byte) => (at + byte) % 251));
      at += size;
      sent.push(chunk);
      // One write is one chunk on the wire.
      if (!sending.write(chunk)) await once(sending, "drain");
    }
    sending.end();
    assert.equal((await read(await answered)).status, 200);
    assert.ok(Buffer.concat(sent).equals(await gateway.seen.at(-1).body));
  };

  for (const sizes of [
    [1],
    [1, 1, 1],
    [1, 5_000, 1, 4_096, 4_095, 2],
    [70_000, 1, 70_000],
    Array.from({ length: 40 }, (_, at) => at * 100 + 1),
  ]) {
    test(`arrives whole: ${sizes.slice(0, 6)}${sizes.length > 6 ? ", …" : ""}`, () =>
      inChunks(sizes));
  }

  test("takes its length, not a buffer for each byte", async () => {
    await inChunks([1]);
    const before = residentBytes();
    await inChunks(Array.from({ length: 60_000 }, () => 1));
    // With a buffer of 4 KiB for each it is 240 MiB.
    assert.ok(residentBytes() - before < 100 * MIB);
  });
});
