// Repeated requests with an idempotency key: run once, replayed any number of times, and never replayed to another
// principal. The ids in brackets are those of the scenarios in VECTORS_DIR. The last test checks that each has a test.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { openResponse, read, responseOf, startRequest } from "../support/client.mjs";
import { kindOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, now, sessionCookies } from "../support/tokens.mjs";
import { readVectors, skipWithout } from "../support/vectors.mjs";

const keyed = (path, more) => ({ path, access: "public", idempotency: "optional", ...more });
const ROUTES = [
  keyed("/pay", { operation: "orders.pay" }),
  keyed("/pay/{*rest}", { timeout: "10s" }),
  keyed("/must", { idempotency: "required" }),
  keyed("/stripe", { save: "stripe" }),
  keyed("/success", { save: "success" }),
  keyed("/retry", { hold: "retry", timeout: "1s" }),
  keyed("/ask", { hold: "ask", timeout: "1s" }),
  keyed("/held", { timeout: "1s", operation: "orders.held" }),
  keyed("/small", { body_limit: 1_000 }),
  keyed("/invoked", { invocation_id: true }),
  { path: "/plain", access: "public" },
  { path: "/user/{*rest}", access: "user", idempotency: "optional" },
  { path: "/strict", access: "user", csrf: "strict", idempotency: "required" },
];

// The second isolate's clock is an hour ahead: longer than any lease, shorter than any retention.
const LATER = 3_600;
const NOW = now();

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { DANGER_FIXED_NOW: NOW, ALLOWED_ORIGINS: ["https://other.example"] },
    bindings: { kvNamespaces: ["KV"] },
    secondIsolate: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

let count = 0;
let key;
beforeEach(() => {
  count += 1;
  key = `key-${count}`;
});

const post = (path, { body = "A", request = gateway.request, method = "POST", ...headers } = {}) =>
  request(path, {
    method,
    headers: { "Content-Type": "text/plain", "Idempotency-Key": key, ...headers },
    body,
  });
const answer = (path, script) => {
  gateway.upstream.answers[path] = script;
};
const hits = (path) => gateway.upstreamRequests.filter(({ url }) => url === path).length;
const assertReplay = (again, first) => {
  assert.equal(again.headers["idempotent-replayed"], "true", again.text);
  assert.equal(again.status, first.status);
  assert.deepEqual(again.body, first.body);
  assert.equal(again.headers["content-type"], first.headers["content-type"]);
};
// Makes upstream hold back its response. Returns a function that releases it.
const holdBack = (path, status = 201) => {
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  answer(path, async (_, response) => {
    await released;
    response.writeHead(status, { "Content-Type": "text/plain" }).end("held");
  });
  return release;
};
const arrived = async (path) => {
  while (gateway.upstreamRequests.at(-1)?.url !== path) await gateway.upstream.nextRequest();
};

describe("a repeated request", () => {
  test("[id-1] gets the same response, byte for byte, and is not run again", async () => {
    const bytes = randomBytes(100_000);
    answer("/pay/bytes", async (_, response, seen) => {
      await seen.body;
      response
        .writeHead(201, ["Content-Type", "application/octet-stream", "ETag", '"e"', "X-Made", "1"])
        .end(bytes);
    });
    const body = randomBytes(5_000);
    const first = await post("/pay/bytes", { body });
    assert.equal(first.headers["idempotent-replayed"], undefined);
    assert.deepEqual(await gateway.upstreamRequests.at(-1).body, body);
    assert.equal(gateway.upstreamRequests.at(-1).headers["idempotency-key"], key);
    const again = await post("/pay/bytes", { body });
    assertReplay(again, first);
    assert.deepEqual(again.body, bytes);
    assert.deepEqual([again.headers.etag, again.headers["x-made"]], ['"e"', "1"]);
    assert.equal(hits("/pay/bytes"), 1);
  });

  test("has the same key whether it is quoted or bare", async () => {
    const first = await post("/pay/spelling");
    const again = await post("/pay/spelling", { "Idempotency-Key": `"${key}"` });
    assertReplay(again, first);
    assert.equal(hits("/pay/spelling"), 1);
  });

  test("[id-2, id-21] with another body is refused, and the stored response stays", async () => {
    const first = await post("/pay/body", { body: '{"a":1,"b":2}' });
    for (const body of ['{"a":1, "b":2}', '{"b":2,"a":1}', "", "B"]) {
      const other = await gateway.expectNotForwarded(() => post("/pay/body", { body }));
      assertProblem(other, 422, "idempotency_key_reused");
    }
    assertReplay(await post("/pay/body", { body: '{"a":1,"b":2}' }), first);
    assert.equal(hits("/pay/body"), 1);
  });

  test("[id-10, id-11, id-22, id-31] with another path, query, method or type is refused", async () => {
    await post("/pay/here?x=1");
    for (const [path, more] of [
      ["/pay/here?x=2", {}],
      ["/pay/here", {}],
      ["/pay/there?x=1", {}],
      ["/pay/here?x=1", { method: "PATCH" }],
      ["/pay/here?x=1", { "Content-Type": "text/html" }],
    ]) {
      const other = await gateway.expectNotForwarded(() => post(path, more));
      assertProblem(other, 422, "idempotency_key_reused");
    }
  });

  test("[id-5] without a key is refused if the rule requires a key", async () => {
    const response = await gateway.expectNotForwarded(() =>
      post("/must", { "Idempotency-Key": undefined }),
    );
    assertProblem(response, 400, "idempotency_key_missing");
    assert.match(response.headers.link, /rel="describedby"/);
  });

  test("[id-6] without a key runs each time if the key is optional", async () => {
    for (const times of [1, 2]) {
      const response = await post("/pay/often", { "Idempotency-Key": undefined });
      assert.equal(response.headers["idempotent-replayed"], undefined);
      assert.equal(hits("/pay/often"), times);
    }
    await post("/plain");
    await post("/plain", { body: "B" });
    assert.equal(hits("/plain"), 2, "a rule without idempotency ignores keys");
  });

  test("[id-7, id-8] with an invalid key is refused before anything is stored", async () => {
    assert.equal((await post("/pay/keys", { "Idempotency-Key": "k".repeat(255) })).status, 200);
    for (const value of [
      "k".repeat(256),
      "",
      "   ",
      '""',
      "a, b",
      "a b",
      '"a", "b"',
      '"a";p=1',
      '"a',
      "k\u00e9",
      "k\u0007",
    ]) {
      const response = await gateway
        .expectNotForwarded(() => post("/pay/keys", { "Idempotency-Key": value }))
        // The client refuses to send some of these values.
        .catch((error) => assert.match(error.code, /ERR_INVALID_CHAR/));
      if (response) assertProblem(response, 400, "idempotency_key_invalid");
    }
    const twice = await gateway.expectNotForwarded(() =>
      gateway.request("/pay/keys", {
        method: "POST",
        headers: [
          ["Idempotency-Key", "a"],
          ["Idempotency-Key", "b"],
        ],
        body: "A",
      }),
    );
    assertProblem(twice, 400, "idempotency_key_invalid");
  });

  test("may have Invocation-ID as its key if the rule allows it, but Idempotency-Key comes first", async () => {
    const invoked = (value, more) =>
      post("/invoked", { "Idempotency-Key": undefined, "Invocation-ID": value, ...more });
    const first = await invoked(key);
    assertReplay(await invoked(key), first);
    assertReplay(await invoked("another", { "Idempotency-Key": key }), first);
    assert.equal(hits("/invoked"), 1);
  });

  test("[id-23] runs again if its method is safe, and only then", async () => {
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
      for (const times of [1, 2]) {
        await post(`/pay/safe-${method}`, { method, body: undefined });
        assert.equal(hits(`/pay/safe-${method}`), times);
      }
    }
    for (const method of ["PUT", "PATCH", "DELETE"]) {
      key = `${key}-${method}`;
      const first = await post(`/pay/${method}`, { method });
      assertReplay(await post(`/pay/${method}`, { method }), first);
      assert.equal(hits(`/pay/${method}`), 1);
    }
  });

  test("[id-24, id-25] runs again after the retention", async () => {
    const other = await openGateway({
      routes: ROUTES,
      upstream: gateway.upstream.origin,
      variables: { DANGER_FIXED_NOW: NOW },
      secondIsolate: { DANGER_FIXED_NOW: NOW + 24 * 3_600 },
    });
    try {
      const first = await post("/pay/day", { request: other.request });
      assertReplay(await post("/pay/day", { request: other.request }), first);
      const fresh = await post("/pay/day", { request: other.requestSecondIsolate, body: "B" });
      assert.equal(fresh.headers["idempotent-replayed"], undefined);
      assert.equal(hits("/pay/day"), 2);
    } finally {
      await other.stop();
    }
    // Within the retention, it does not.
    const first = await post("/pay/hour");
    assertReplay(await post("/pay/hour", { request: gateway.requestSecondIsolate }), first);
  });
});

describe("at the same time", () => {
  test("[id-3] returns 409 while the first request is in flight", async () => {
    const release = holdBack("/pay/slow");
    const first = post("/pay/slow");
    await arrived("/pay/slow");
    const response = await gateway.expectNotForwarded(() => post("/pay/slow"));
    assert.equal(assertProblem(response, 409, "idempotency_in_flight").safeToRetry, true);
    assert.ok(Number(response.headers["retry-after"]) >= 1);
    const other = await gateway.expectNotForwarded(() => post("/pay/slow", { body: "B" }));
    assertProblem(other, 422, "idempotency_key_reused");
    release();
    const settled = await first;
    assertReplay(await post("/pay/slow"), settled);
    assert.equal(hits("/pay/slow"), 1);
  });

  test("[id-4] runs one of a thousand requests", async () => {
    answer("/pay/thousand", { status: 201, body: "once" });
    const isolates = [gateway.request, gateway.requestSecondIsolate];
    const all = await Promise.all(
      Array.from({ length: 1_000 }, () => post("/pay/thousand", { request: isolates[0] })),
    );
    assert.equal(hits("/pay/thousand"), 1);
    const run = all.filter(
      ({ status, headers }) => status === 201 && !headers["idempotent-replayed"],
    );
    assert.equal(run.length, 1);
    for (const other of all.filter((one) => one !== run[0])) {
      if (other.status === 409) assertProblem(other, 409, "idempotency_in_flight");
      else assertReplay(other, run[0]);
    }
    const later = await Promise.all(
      Array.from({ length: 100 }, (_, at) => post("/pay/thousand", { request: isolates[at % 2] })),
    );
    for (const one of later) assertReplay(one, run[0]);
    assert.equal(hits("/pay/thousand"), 1);
  });
});

describe("a key belongs to its principal", () => {
  const as = (userId) => ({
    Cookie: sessionCookies(createSessionToken({ userId, iat: NOW })),
    "Sec-Fetch-Site": "same-origin",
  });

  test("[id-9, id-28] a response is never replayed to another user", async () => {
    for (const [one, other] of [
      ["usr_ada", "usr_bob"],
      ["a:b", "a"],
    ]) {
      answer("/user/x", (request, response) => response.end(request.headers["x-user-id"]));
      const first = await post("/user/x", as(one));
      assert.equal(first.text, one);
      const second = await post("/user/x", as(other));
      assert.equal(second.text, other);
      assert.equal(second.headers["idempotent-replayed"], undefined);
      assertReplay(await post("/user/x", as(one)), first);
      key = `b:${key}`;
    }
  });

  test("without a user, keys belong to the client's address", async () => {
    const from = (address) => ({ "CF-Connecting-IP": address });
    await post("/pay/address", from("192.0.2.1"));
    assertReplay(await post("/pay/address", from("192.0.2.1")), {
      status: 200,
      body: Buffer.from("ok"),
      headers: { "content-type": "text/plain" },
    });
    await post("/pay/address", from("192.0.2.2"));
    assert.equal(hits("/pay/address"), 2);
  });

  test("[id-14, id-26, id-27] a caller who would be refused gets no replay", async () => {
    const first = await post("/strict", as("usr_ada"));
    assert.equal(first.status, 200);
    const anonymous = { "Sec-Fetch-Site": "same-origin" };
    assertProblem(
      await gateway.expectNotForwarded(() => post("/strict", anonymous)),
      401,
      "unauthorized",
      "no_credential",
    );
    const foreign = {
      ...as("usr_ada"),
      "Sec-Fetch-Site": "cross-site",
      Origin: "https://evil.example",
    };
    assertProblem(
      await gateway.expectNotForwarded(() => post("/strict", foreign)),
      403,
      "forbidden_origin",
    );
    const invalid = { Cookie: "mk_session=x", "Sec-Fetch-Site": "same-origin" };
    const refused = await gateway.expectNotForwarded(() => post("/strict", invalid));
    assertProblem(refused, 401, "unauthorized", "session_malformed");
    assertReplay(await post("/strict", as("usr_ada")), first);
  });
});

describe("the stored response", () => {
  test("[id-12, id-13] is kept by status: by default final results, not failures that a retry may overcome", async () => {
    for (const [path, status, isStored] of [
      ["/pay/s200", 200, true],
      ["/pay/s303", 303, true],
      ["/pay/s400", 400, true],
      ["/pay/s404", 404, true],
      ["/pay/s422", 422, true],
      ["/pay/s401", 401, false],
      ["/pay/s403", 403, false],
      ["/pay/s408", 408, false],
      ["/pay/s409", 409, false],
      ["/pay/s425", 425, false],
      ["/pay/s429", 429, false],
      ["/pay/s500", 500, false],
      ["/pay/s503", 503, false],
      ["/stripe", 500, true],
      ["/success", 201, true],
      ["/success", 422, false],
    ]) {
      key = `${key}-${status}`;
      const before = hits(path);
      answer(path, { status, body: `is ${status}` });
      const first = await post(path);
      assert.equal(first.status, status);
      const again = await post(path);
      if (isStored) assertReplay(again, first);
      else assert.equal(again.headers["idempotent-replayed"], undefined);
      assert.equal(hits(path) - before, isStored ? 1 : 2, `${path} ${status}`);
    }
  });

  test("[id-18] has no headers of a single browser, time or connection", async () => {
    answer("/pay/headers", (_, response) =>
      response
        .writeHead(200, [
          ...["Set-Cookie", "a=b", "Set-Cookie", "c=d", "Date", "Mon, 01 Jan 2024 00:00:00 GMT"],
          ...["Age", "7", "CF-Ray", "x", "Keep-Alive", "timeout=5", "Cache-Control", "max-age=5"],
          ...["X-User-ID", "usr_root", "Content-Type", "text/plain", "X-Kept", "yes"],
        ])
        .end("hello"),
    );
    const first = await post("/pay/headers");
    assert.deepEqual(first.cookies, ["a=b", "c=d"]);
    const again = await post("/pay/headers");
    assertReplay(again, first);
    assert.deepEqual(again.cookies, []);
    for (const name of ["age", "cf-ray", "x-user-id"]) assert.equal(again.headers[name], undefined);
    assert.notEqual(again.headers.date, "Mon, 01 Jan 2024 00:00:00 GMT");
    assert.deepEqual(
      [again.headers["x-kept"], again.headers["cache-control"], again.headers["content-length"]],
      ["yes", "max-age=5", "5"],
    );
  });

  test("exposes Idempotent-Replayed to scripts of other origins", async () => {
    answer("/pay/cors", {
      headers: [
        ...["Access-Control-Allow-Origin", "https://other.example"],
        ...["Access-Control-Expose-Headers", "X-Made"],
      ],
    });
    const Origin = "https://other.example";
    await post("/pay/cors", { Origin });
    const again = await post("/pay/cors", { Origin });
    assert.equal(again.headers["access-control-expose-headers"], "X-Made, Idempotent-Replayed");
  });

  test("[id-30] may have no body", async () => {
    for (const status of [204, 205, 304]) {
      key = `${key}-${status}`;
      answer("/pay/empty", (_, response) => response.writeHead(status, { "X-Made": "1" }).end());
      const first = await post("/pay/empty");
      const again = await post("/pay/empty");
      assert.deepEqual([again.status, again.text, again.headers["x-made"]], [status, "", "1"]);
      assert.equal(again.headers["idempotent-replayed"], "true");
      assert.equal(first.status, status);
    }
    assert.equal(hits("/pay/empty"), 3);
  });

  test("may have an unusual status or an encoded body", async () => {
    answer("/pay/odd", { status: 418, body: "teapot" });
    const teapot = await post("/pay/odd");
    assertReplay(await post("/pay/odd"), teapot);
    key = `${key}-gzip`;
    answer("/pay/gzip", (_, response) =>
      response
        .writeHead(200, { "Content-Encoding": "gzip", "Content-Type": "text/plain" })
        .end(gzipSync("packed")),
    );
    const plain = (headers) => fetchText("/pay/gzip", headers);
    assert.equal(await plain({}), "packed");
    assert.equal(await plain({}), "packed");
    assert.equal(hits("/pay/gzip"), 1);
  });

  // Sends a request with fetch, which decodes the body.
  async function fetchText(path, headers) {
    const response = await fetch(`${gateway.direct}${path}`, {
      method: "POST",
      headers: { "Idempotency-Key": key, ...headers },
      body: "A",
    });
    return response.text();
  }

  for (const type of ["text/event-stream", "application/x-ndjson; charset=utf-8"]) {
    test(`[id-19] is missing for a stream, which is forwarded as it arrives and not run again: ${type}`, async () => {
      let end;
      answer("/pay/events", (_, response) => {
        response.writeHead(200, { "Content-Type": type });
        response.write("data: 1\n\n");
        end = () => response.end("data: 2\n\n");
      });
      const headers = { "Idempotency-Key": key };
      const options = { method: "POST", host: "app.example", headers, body: "A" };
      const stream = await openResponse(gateway.direct, "/pay/events", options);
      const [chunk] = await new Promise((resolve) =>
        stream.once("data", (...args) => resolve(args)),
      );
      assert.equal(String(chunk), "data: 1\n\n", "the first part arrives before the end");
      await assertTombstone("/pay/events");
      end();
      for await (const _ of stream);
    });
  }

  test("is missing for a response that takes too long, which is forwarded as it arrives", async () => {
    let end;
    answer("/pay/slow-body", (_, response) => {
      response.writeHead(200, { "Content-Type": "text/plain" }).write("first ");
      end = () => response.end("last");
    });
    const headers = { "Idempotency-Key": key };
    // The gateway waits 30 seconds for the body. Then it forwards the headers and the part that has arrived.
    const stream = await openResponse(gateway.direct, "/pay/slow-body", {
      method: "POST",
      host: "app.example",
      headers,
      body: "A",
    });
    await assertTombstone("/pay/slow-body");
    end();
    assert.equal((await read(stream)).text, "first last");
  });

  async function assertTombstone(path) {
    const again = await gateway.expectNotForwarded(() => post(path, { "Content-Type": undefined }));
    const problem = assertProblem(again, 409, "idempotency_outcome_unknown");
    assert.deepEqual([problem.safeToRetry, problem.answered], [false, 200]);
  }

  test("[id-19] is in KV if it is long, and missing if it is longer than the limit", async () => {
    for (const [megabytes, isStored] of [
      [3, true],
      [10, false],
    ]) {
      for (const chunked of [false, true]) {
        key = `${key}-${megabytes}-${chunked}`;
        const bytes = randomBytes(megabytes * 1_048_576);
        answer("/pay/long", (_, response) => {
          response.writeHead(200, {
            "Content-Type": "text/plain",
            ...(chunked ? {} : { "Content-Length": bytes.length }),
          });
          response.end(bytes);
        });
        const before = hits("/pay/long");
        const first = await post("/pay/long");
        assert.ok(first.body.equals(bytes), `${megabytes} MB, chunked: ${chunked}`);
        const again = await post("/pay/long");
        if (isStored) assertReplay(again, first);
        else assertProblem(again, 409, "idempotency_outcome_unknown");
        assert.equal(hits("/pay/long") - before, 1);
      }
    }
  });

  test("is kept or missing at the exact limit, and the request is never run again", async () => {
    const other = await openGateway({ routes: ROUTES, upstream: gateway.upstream.origin });
    try {
      for (const length of [1_048_000, 1_048_566, 1_048_576, 1_048_577]) {
        key = `${key}-${length}`;
        answer("/pay/limit", { headers: ["Content-Type", "text/plain"], body: "x".repeat(length) });
        const before = hits("/pay/limit");
        const first = await post("/pay/limit", { request: other.request });
        assert.equal(first.body.length, length);
        const again = await post("/pay/limit", { request: other.request });
        if (length < 1_048_500) assertReplay(again, first);
        else assertProblem(again, 409, "idempotency_outcome_unknown");
        assert.equal(hits("/pay/limit") - before, 1);
      }
    } finally {
      await other.stop();
    }
  });

  test("is missing if upstream's response breaks off, and the request is not run again", async () => {
    answer("/pay/broken", (_, response) => {
      response.writeHead(201, { "Content-Length": "100" }).write("half");
      response.socket.end();
    });
    assertProblem(await post("/pay/broken"), 502, "upstream_failed");
    const again = await gateway.expectNotForwarded(() => post("/pay/broken"));
    assert.equal(assertProblem(again, 409, "idempotency_outcome_unknown").answered, 201);
  });

  test("[id-20] is missing for a request that is refused for its body's size", async () => {
    for (const headers of [{}, { "Content-Length": undefined, "Transfer-Encoding": "chunked" }]) {
      const request = startRequest(gateway.direct, "/small", {
        method: "POST",
        headers: {
          "Idempotency-Key": key,
          ...headers,
          ...(headers["Transfer-Encoding"] ? {} : { "Content-Length": "1001" }),
        },
      });
      const response = responseOf(request);
      request.end("x".repeat(1_001));
      assertProblem(
        await gateway.expectNotForwarded(async () => read(await response)),
        413,
        "body_too_large",
      );
    }
    assert.equal((await post("/small", { body: "x".repeat(1_000) })).text, "ok");
  });
});

describe("an unknown outcome", () => {
  const later = { request: (...args) => gateway.requestSecondIsolate(...args) };
  const disconnectAt = (path) => answer(path, (request) => request.socket.destroy());

  test("[id-15, id-16] is in flight until the lease ends, and is held from then on", async () => {
    disconnectAt("/held");
    assertProblem(await post("/held"), 502, "upstream_failed");
    answer("/held", { status: 201 });
    assertProblem(
      await gateway.expectNotForwarded(() => post("/held")),
      409,
      "idempotency_in_flight",
    );
    const held = await gateway.expectNotForwarded(() => post("/held", later));
    assert.equal(assertProblem(held, 409, "idempotency_outcome_unknown").safeToRetry, false);
    assert.equal(hits("/held"), 1);
  });

  test("[id-15] is held, too, if upstream does not respond", async () => {
    const release = holdBack("/held");
    assertProblem(await post("/held"), 504, "upstream_timeout");
    assertProblem(
      await gateway.expectNotForwarded(() => post("/held")),
      409,
      "idempotency_in_flight",
    );
    const held = await gateway.expectNotForwarded(() => post("/held", later));
    assertProblem(held, 409, "idempotency_outcome_unknown");
    release();
  });

  test("is run again if the rule has hold = retry", async () => {
    disconnectAt("/retry");
    assertProblem(await post("/retry"), 502, "upstream_failed");
    answer("/retry", { status: 201 });
    assertProblem(
      await gateway.expectNotForwarded(() => post("/retry")),
      409,
      "idempotency_in_flight",
    );
    const run = await post("/retry", later);
    assert.equal(run.status, 201);
    assert.equal(gateway.upstreamRequests.at(-1).headers["x-idempotency-recovery"], undefined);
    assertReplay(await post("/retry", later), run);
    assert.equal(hits("/retry"), 2);
  });

  test("is asked of upstream if the rule has hold = ask, with a header that only the gateway sets", async () => {
    disconnectAt("/ask");
    assertProblem(await post("/ask", { "X-Idempotency-Recovery": "1" }), 502, "upstream_failed");
    assert.equal(gateway.upstreamRequests.at(-1).headers["x-idempotency-recovery"], undefined);
    // Upstream does not know either, so the outcome stays unknown.
    answer("/ask", { status: 503 });
    assert.equal((await post("/ask", later)).status, 503);
    assert.equal(gateway.upstreamRequests.at(-1).headers["x-idempotency-recovery"], "1");
    answer("/ask", { status: 200, body: "it ran" });
    const recovered = await post("/ask", later);
    assert.equal(gateway.upstreamRequests.at(-1).headers["x-idempotency-recovery"], "1");
    assert.equal(gateway.upstreamRequests.at(-1).headers["idempotency-key"], key);
    assertReplay(await post("/ask", later), recovered);
  });

  test("a request whose client disconnects is completed, and its response is stored", async () => {
    const release = holdBack("/pay/gone");
    const request = startRequest(gateway.direct, "/pay/gone", {
      method: "POST",
      host: "app.example",
      headers: { "Idempotency-Key": key, "Content-Length": "1", "Content-Type": "text/plain" },
    });
    request.on("error", () => {});
    request.end("A");
    await arrived("/pay/gone");
    request.destroy();
    // By the end of this request, the Worker has noticed that the first client disconnected.
    assertProblem(await post("/pay/gone"), 409, "idempotency_in_flight");
    release();
    let again;
    do again = await post("/pay/gone");
    while (again.status === 409);
    assert.deepEqual([again.status, again.text], [201, "held"]);
    assert.equal(again.headers["idempotent-replayed"], "true");
    assert.equal(hits("/pay/gone"), 1);
  });

  test("[id-29] is the result if no current secret decrypts the stored response, and the request is not run again", async () => {
    const other = await openGateway({
      routes: ROUTES,
      upstream: gateway.upstream.origin,
      secondIsolate: { AUTH_SECRET: "b".repeat(16) + randomBytes(16).toString("hex") },
    });
    try {
      await post("/pay/sealed", { request: other.request });
      const again = await post("/pay/sealed", { request: other.requestSecondIsolate });
      const problem = assertProblem(again, 409, "idempotency_outcome_unknown");
      assert.equal(problem.answered, 200);
      assert.equal(hits("/pay/sealed"), 1);
    } finally {
      await other.stop();
    }
  });
});

test("[id-17, id-32, id-33] if the ledger fails, nothing is run, and the response of a completed request is returned", async () => {
  const ENTRY = `
    import worker from "./index.js";
    export * from "./index.js";
    const kindOf = ${kindOf("Ledger")};
    export default {
      fetch(request, env, context) {
        const failing = request.headers.get("x-failing");
        const lost = request.headers.get("x-lost");
        const fail = () => Promise.reject(new Error("the ledger is down"));
        const LEDGER = {
          idFromName: (name) => env.LEDGER.idFromName(name),
          get: (id) => ({
            async command(command, ...rest) {
              if (kindOf(command) === failing) return fail();
              const reply = await env.LEDGER.get(id).command(command, ...rest);
              return kindOf(command) === lost ? fail() : reply;
            },
          }),
        };
        return worker.fetch(request, { ...env, LEDGER }, context);
      },
    };`;
  const other = await openGateway({ routes: ROUTES, wrapperModules: { "entry.mjs": ENTRY } });
  try {
    const fails = (kind) => ({ request: other.request, "X-Failing": kind });
    for (const path of ["/must", "/pay/x"]) {
      const response = await other.expectNotForwarded(() => post(path, fails("Start")));
      assertProblem(response, 503, "store_unavailable");
    }
    const { response } = await other.expectForwarded(() => post("/pay/x", fails("Settle")));
    assert.equal(response.text, "ok");
    const line = await other.waitForLog((line) => line.includes('"unsettled"'));
    assert.equal(JSON.parse(line).status, 200);
    const again = await other.expectNotForwarded(() => post("/pay/x", { request: other.request }));
    assertProblem(again, 409, "idempotency_in_flight");
    // The ledger granted a claim, but its reply was lost. The claim is released, and nothing was run under it.
    key = `${key}-lost`;
    const unavailable = await other.expectNotForwarded(() =>
      post("/pay/x", { request: other.request, "X-Lost": "Start" }),
    );
    assertProblem(unavailable, 503, "store_unavailable");
    let next;
    do next = await post("/pay/x", { request: other.request });
    while (next.status === 409);
    assert.deepEqual([next.text, next.headers["idempotent-replayed"]], ["ok", undefined]);
  } finally {
    await other.stop();
  }
});

test("each scenario has a test", skipWithout(readVectors("idempotency/scenarios.json")), () => {
  // The scenarios of webhooks are in another file.
  const files = ["idempotency.test.mjs", "webhooks.test.mjs"];
  const here = files.map((name) => readFileSync(new URL(name, import.meta.url), "utf8")).join();
  const tested = new Set(here.match(/\[id-[^\]]+\]/g).flatMap((ids) => ids.match(/id-\d+/g)));
  const { tests } = readVectors("idempotency/scenarios.json");
  assert.deepEqual(
    tests.map(({ id }) => id).filter((id) => !tested.has(id)),
    [],
  );
  assert.equal(tests.length, 38);
});
