// Bodies that are read whole share a memory budget, and give their bytes back however their request ends.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { bytesOf } from "../../src/edge/bodies.js";
import { read, responseOf, send } from "../support/client.mjs";
import { assertProblem, openHouse } from "../support/house.mjs";

const MIB = 1_048_576;
const BUDGET = 48 * MIB;
const BODY = Buffer.alloc(1.5 * MIB, "a");
const FIT = BUDGET / BODY.length;

let house;
before(async () => {
  house = await openHouse({
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
after(() => house.stop());

let count = 0;
const keyed = (path) => {
  count += 1;
  const headers = { "Idempotency-Key": `k${count}`, "Sec-Fetch-Site": "same-origin" };
  return house.ask(path, { method: "POST", headers, body: BODY });
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
      const refused = await house.untouched(() =>
        house.ask("/hooks", { method: "POST", headers, body: BODY }),
      );
      assertProblem(refused, 401, "invalid_signature", "mismatch");
    }
  });

  test("by clients that went away in the middle of a body", async () => {
    const all = Array.from({ length: 2 * FIT }, () => {
      const sending = send(house.direct, "/hooks", {
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
    house.upstream.answers["/keyed/slow"] = async (_, response, seen) => {
      await seen.body;
      waiting.push(response);
    };
    // Bodies whose chunks are shorter than the platform's buffers take a little more than their length.
    const running = [];
    for (let room = true; room; ) {
      const arrived = house.upstream.arrival().then(() => true);
      const asked = keyed("/keyed/slow");
      room = await Promise.race([arrived, asked.then(({ status }) => status !== 503)]);
      if (room) running.push(asked);
    }
    assert.ok(running.length > 0.8 * FIT && running.length <= FIT, `${running.length} fit`);
    for (const ask of [() => keyed("/keyed/x"), () => keyed("/keyed/slow")]) {
      const refused = await house.untouched(ask);
      assertProblem(refused, 503, "overloaded");
      assert.equal(refused.headers["retry-after"], "5");
      assert.equal(refused.json().safeToRetry, true);
    }
    // What has no body, or is not read whole, needs none of it.
    assert.equal((await house.ask("/x")).status, 200);
    assert.equal((await house.ask("/x", { method: "POST", body: BODY })).status, 200);
    while (waiting.length < running.length) await setImmediate();
    for (const response of waiting) response.end("ok");
    for (const { status, text } of await Promise.all(running)) assert.equal(status, 200, text);
    assert.equal((await keyed("/keyed/x")).status, 200);
  });
});

test("a body that is sent a byte at a time is refused before it takes thousands of times its length", async () => {
  const sending = send(house.direct, "/keyed/x", {
    method: "POST",
    host: "app.example",
    headers: { "Idempotency-Key": "dribble", "Sec-Fetch-Site": "same-origin" },
  });
  const answered = responseOf(sending);
  let refused;
  answered.then((response) => {
    refused = response;
  });
  let sent = 0;
  // One write is one chunk on the wire. A body that is allowed would be read up to body_limit.
  for (; !refused && sent < 100_000; sent += 1) {
    if (!sending.write("a")) await Promise.race([once(sending, "drain"), answered]);
  }
  assertProblem(await read(await answered), 503, "overloaded");
  assert.ok(sent < 100_000);
  sending.destroy();
  assert.equal((await keyed("/keyed/x")).status, 200);
});

describe("a body that is read", () => {
  const visitor = (...chunks) => ({
    request: { headers: new Headers(), body: chunks.map((chunk) => Buffer.from(chunk)) },
  });
  const granted = () => 0;

  test("is kept as it came", async () => {
    const reader = visitor("a", "bc");
    assert.deepEqual(Buffer.from(await bytesOf(reader, 1, 3, granted)).toString(), "abc");
    assert.equal(await bytesOf(reader, 1, 2, granted), "large", "the second time, too");
    assert.equal(await bytesOf(visitor("a", "bc"), 1, 2, granted), "large");
    assert.equal((await bytesOf(visitor(), 1, 2, granted)).byteLength, 0);
  });

  test("has memory for each chunk, or is refused", async () => {
    const asked = [];
    const reserve = (bytes) => (asked.push(bytes) < 3 ? 0 : -1);
    assert.equal(await bytesOf(visitor("a", "bc", "d", "e"), 1, 9, reserve), "busy");
    assert.deepEqual(asked, [1, 2, 1]);
  });

  test("is dropped, and its memory is freed at once", async () => {
    let next;
    const slow = visitor();
    slow.request.body = (async function* () {
      yield Buffer.from("slow");
      await new Promise((resolve) => {
        next = resolve;
      });
    })();
    let asked = 0;
    const first = bytesOf(slow, 7, 9, () => {
      asked += 1;
      return 0;
    });
    while (!next) await Promise.resolve();
    const told = [7, 0];
    assert.equal((await bytesOf(visitor("x"), 8, 9, () => told.shift())).byteLength, 1);
    assert.deepEqual(told, [], "asked again, once the other had given way");
    next();
    assert.equal(await first, "busy");
    assert.equal(asked, 1);
  });
});
