// Requests that are sent again: run once, answered as often as asked, and never answered to somebody else.
// The ids in brackets are those of the scenarios in VECTORS_DIR; the last test holds that none is left out.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { open, read, responseOf, send } from "../support/client.mjs";
import { kindOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { cookie, mint, now } from "../support/tokens.mjs";
import { needing, vectors } from "../support/vectors.mjs";

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

// The second isolate is an hour ahead: long enough for any lease, and not for any retention.
const LATER = 3_600;
const NOW = now();

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { DANGER_FIXED_NOW: NOW, ALLOWED_ORIGINS: ["https://other.example"] },
    bindings: { kvNamespaces: ["KV"] },
    twin: { DANGER_FIXED_NOW: NOW + LATER },
  });
});
after(() => gateway.stop());

let count = 0;
let key;
beforeEach(() => {
  count += 1;
  key = `key-${count}`;
});

const post = (path, { body = "A", ask = gateway.ask, method = "POST", ...headers } = {}) =>
  ask(path, {
    method,
    headers: { "Content-Type": "text/plain", "Idempotency-Key": key, ...headers },
    body,
  });
const answer = (path, script) => {
  gateway.upstream.answers[path] = script;
};
const hits = (path) => gateway.seen.filter(({ url }) => url === path).length;
const assertReplay = (again, first) => {
  assert.equal(again.headers["idempotent-replayed"], "true", again.text);
  assert.equal(again.status, first.status);
  assert.deepEqual(again.body, first.body);
  assert.equal(again.headers["content-type"], first.headers["content-type"]);
};
// Waits until upstream is asked, and holds its answer back until told to give it.
const holdBack = (path, status = 201) => {
  let give;
  const given = new Promise((resolve) => {
    give = resolve;
  });
  answer(path, async (_, response) => {
    await given;
    response.writeHead(status, { "Content-Type": "text/plain" }).end("held");
  });
  return give;
};
const arrived = async (path) => {
  while (gateway.seen.at(-1)?.url !== path) await gateway.upstream.arrival();
};

describe("sent again", () => {
  test("[id-1] it is answered as it was, byte for byte, and not run again", async () => {
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
    assert.deepEqual(await gateway.seen.at(-1).body, body);
    assert.equal(gateway.seen.at(-1).headers["idempotency-key"], key);
    const again = await post("/pay/bytes", { body });
    assertReplay(again, first);
    assert.deepEqual(again.body, bytes);
    assert.deepEqual([again.headers.etag, again.headers["x-made"]], ['"e"', "1"]);
    assert.equal(hits("/pay/bytes"), 1);
  });

  test("either spelling is the same key", async () => {
    const first = await post("/pay/spelling");
    const again = await post("/pay/spelling", { "Idempotency-Key": `"${key}"` });
    assertReplay(again, first);
    assert.equal(hits("/pay/spelling"), 1);
  });

  test("[id-2, id-21] with another body it is refused, and what was kept stays", async () => {
    const first = await post("/pay/body", { body: '{"a":1,"b":2}' });
    for (const body of ['{"a":1, "b":2}', '{"b":2,"a":1}', "", "B"]) {
      const other = await gateway.untouched(() => post("/pay/body", { body }));
      assertProblem(other, 422, "idempotency_key_reused");
    }
    assertReplay(await post("/pay/body", { body: '{"a":1,"b":2}' }), first);
    assert.equal(hits("/pay/body"), 1);
  });

  test("[id-10, id-11, id-22, id-31] elsewhere, or under another query, method or type, it is refused", async () => {
    await post("/pay/here?x=1");
    for (const [path, more] of [
      ["/pay/here?x=2", {}],
      ["/pay/here", {}],
      ["/pay/there?x=1", {}],
      ["/pay/here?x=1", { method: "PATCH" }],
      ["/pay/here?x=1", { "Content-Type": "text/html" }],
    ]) {
      const other = await gateway.untouched(() => post(path, more));
      assertProblem(other, 422, "idempotency_key_reused");
    }
  });

  test("[id-5] where a key is asked for, there must be one", async () => {
    const response = await gateway.untouched(() => post("/must", { "Idempotency-Key": undefined }));
    assertProblem(response, 400, "idempotency_key_missing");
    assert.match(response.headers.link, /rel="describedby"/);
  });

  test("[id-6] where none is asked for, it is run as often as it is sent", async () => {
    for (const times of [1, 2]) {
      const response = await post("/pay/often", { "Idempotency-Key": undefined });
      assert.equal(response.headers["idempotent-replayed"], undefined);
      assert.equal(hits("/pay/often"), times);
    }
    await post("/plain");
    await post("/plain", { body: "B" });
    assert.equal(hits("/plain"), 2, "a rule without the option knows no keys");
  });

  test("[id-7, id-8] what is no key is refused before anything is kept", async () => {
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
        .untouched(() => post("/pay/keys", { "Idempotency-Key": value }))
        // Some are no header values at all.
        .catch((error) => assert.match(error.code, /ERR_INVALID_CHAR/));
      if (response) assertProblem(response, 400, "idempotency_key_invalid");
    }
    const twice = await gateway.untouched(() =>
      gateway.ask("/pay/keys", {
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

  test("Invocation-ID serves where the rule says so, and the key goes before it", async () => {
    const invoked = (value, more) =>
      post("/invoked", { "Idempotency-Key": undefined, "Invocation-ID": value, ...more });
    const first = await invoked(key);
    assertReplay(await invoked(key), first);
    assertReplay(await invoked("another", { "Idempotency-Key": key }), first);
    assert.equal(hits("/invoked"), 1);
  });

  test("[id-23] safe methods know no key; all others do", async () => {
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

  test("[id-24, id-25] after its retention the key is free", async () => {
    const other = await openGateway({
      routes: ROUTES,
      upstream: gateway.upstream.origin,
      variables: { DANGER_FIXED_NOW: NOW },
      twin: { DANGER_FIXED_NOW: NOW + 24 * 3_600 },
    });
    try {
      const first = await post("/pay/day", { ask: other.ask });
      assertReplay(await post("/pay/day", { ask: other.ask }), first);
      const fresh = await post("/pay/day", { ask: other.askTwin, body: "B" });
      assert.equal(fresh.headers["idempotent-replayed"], undefined);
      assert.equal(hits("/pay/day"), 2);
    } finally {
      await other.stop();
    }
    // Just before, it is not.
    const first = await post("/pay/hour");
    assertReplay(await post("/pay/hour", { ask: gateway.askTwin }), first);
  });
});

describe("at the same time", () => {
  test("[id-3] while it is being run, it is in flight", async () => {
    const give = holdBack("/pay/slow");
    const first = post("/pay/slow");
    await arrived("/pay/slow");
    const response = await gateway.untouched(() => post("/pay/slow"));
    assert.equal(assertProblem(response, 409, "idempotency_in_flight").safeToRetry, true);
    assert.ok(Number(response.headers["retry-after"]) >= 1);
    const other = await gateway.untouched(() => post("/pay/slow", { body: "B" }));
    assertProblem(other, 422, "idempotency_key_reused");
    give();
    const settled = await first;
    assertReplay(await post("/pay/slow"), settled);
    assert.equal(hits("/pay/slow"), 1);
  });

  test("[id-4] of a thousand, one is run", async () => {
    answer("/pay/thousand", { status: 201, body: "once" });
    const asks = [gateway.ask, gateway.askTwin];
    const all = await Promise.all(
      Array.from({ length: 1_000 }, () => post("/pay/thousand", { ask: asks[0] })),
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
    const then = await Promise.all(
      Array.from({ length: 100 }, (_, at) => post("/pay/thousand", { ask: asks[at % 2] })),
    );
    for (const one of then) assertReplay(one, run[0]);
    assert.equal(hits("/pay/thousand"), 1);
  });
});

describe("whose it is", () => {
  const as = (userId) => ({
    Cookie: cookie(mint({ userId, iat: NOW })),
    "Sec-Fetch-Site": "same-origin",
  });

  test("[id-9, id-28] nobody is answered with what somebody else was", async () => {
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

  test("the public's keys are an address's", async () => {
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

  test("[id-14, id-26, id-27] who may not ask is refused, not answered again", async () => {
    const first = await post("/strict", as("usr_ada"));
    assert.equal(first.status, 200);
    const none = { "Sec-Fetch-Site": "same-origin" };
    assertProblem(
      await gateway.untouched(() => post("/strict", none)),
      401,
      "unauthorized",
      "no_credential",
    );
    const foreign = {
      ...as("usr_ada"),
      "Sec-Fetch-Site": "cross-site",
      Origin: "https://evil.example",
    };
    assertProblem(await gateway.untouched(() => post("/strict", foreign)), 403, "forbidden_origin");
    const dead = { Cookie: "mk_session=x", "Sec-Fetch-Site": "same-origin" };
    const refused = await gateway.untouched(() => post("/strict", dead));
    assertProblem(refused, 401, "unauthorized", "session_malformed");
    assertReplay(await post("/strict", as("usr_ada")), first);
  });
});

describe("what is kept", () => {
  test("[id-12, id-13] by default what would be the same again, and not what may go better", async () => {
    for (const [path, status, isKept] of [
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
      if (isKept) assertReplay(again, first);
      else assert.equal(again.headers["idempotent-replayed"], undefined);
      assert.equal(hits(path) - before, isKept ? 1 : 2, `${path} ${status}`);
    }
  });

  test("[id-18] not what belongs to one browser, one moment or one connection", async () => {
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

  test("scripts of other origins are told that it was", async () => {
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

  test("[id-30] answers without a body", async () => {
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

  test("odd statuses, and bodies that were encoded", async () => {
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

  // As a client that understands encodings.
  async function fetchText(path, headers) {
    const response = await fetch(`${gateway.direct}${path}`, {
      method: "POST",
      headers: { "Idempotency-Key": key, ...headers },
      body: "A",
    });
    return response.text();
  }

  for (const type of ["text/event-stream", "application/x-ndjson; charset=utf-8"]) {
    test(`[id-19] a stream is passed on as it comes, and never run again: ${type}`, async () => {
      let end;
      answer("/pay/events", (_, response) => {
        response.writeHead(200, { "Content-Type": type });
        response.write("data: 1\n\n");
        end = () => response.end("data: 2\n\n");
      });
      const headers = { "Idempotency-Key": key };
      const options = { method: "POST", host: "app.example", headers, body: "A" };
      const stream = await open(gateway.direct, "/pay/events", options);
      const [chunk] = await new Promise((resolve) =>
        stream.once("data", (...args) => resolve(args)),
      );
      assert.equal(String(chunk), "data: 1\n\n", "it comes before the end is there");
      await assertTombstone("/pay/events");
      end();
      for await (const _ of stream);
    });
  }

  test("an answer that takes too long is passed on as it comes, too", async () => {
    let end;
    answer("/pay/slow-body", (_, response) => {
      response.writeHead(200, { "Content-Type": "text/plain" }).write("first ");
      end = () => response.end("last");
    });
    const headers = { "Idempotency-Key": key };
    // It has half a minute; then its headers are there, and what has come of it.
    const stream = await open(gateway.direct, "/pay/slow-body", {
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
    const again = await gateway.untouched(() => post(path, { "Content-Type": undefined }));
    const problem = assertProblem(again, 409, "idempotency_outcome_unknown");
    assert.deepEqual([problem.safeToRetry, problem.answered], [false, 200]);
  }

  test("[id-19] long answers are kept elsewhere, longer ones not at all", async () => {
    for (const [megabytes, isKept] of [
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
        if (isKept) assertReplay(again, first);
        else assertProblem(again, 409, "idempotency_outcome_unknown");
        assert.equal(hits("/pay/long") - before, 1);
      }
    }
  });

  test("an answer at the very limit is kept or not, and never run again", async () => {
    const other = await openGateway({ routes: ROUTES, upstream: gateway.upstream.origin });
    try {
      for (const length of [1_048_000, 1_048_566, 1_048_576, 1_048_577]) {
        key = `${key}-${length}`;
        answer("/pay/limit", { headers: ["Content-Type", "text/plain"], body: "x".repeat(length) });
        const before = hits("/pay/limit");
        const first = await post("/pay/limit", { ask: other.ask });
        assert.equal(first.body.length, length);
        const again = await post("/pay/limit", { ask: other.ask });
        if (length < 1_048_500) assertReplay(again, first);
        else assertProblem(again, 409, "idempotency_outcome_unknown");
        assert.equal(hits("/pay/limit") - before, 1);
      }
    } finally {
      await other.stop();
    }
  });

  test("an answer that breaks off has been run all the same", async () => {
    answer("/pay/broken", (_, response) => {
      response.writeHead(201, { "Content-Length": "100" }).write("half");
      response.socket.end();
    });
    assertProblem(await post("/pay/broken"), 502, "upstream_failed");
    const again = await gateway.untouched(() => post("/pay/broken"));
    assert.equal(assertProblem(again, 409, "idempotency_outcome_unknown").answered, 201);
  });

  test("[id-20] a body beyond the limit is refused, and nothing is kept", async () => {
    for (const headers of [{}, { "Content-Length": undefined, "Transfer-Encoding": "chunked" }]) {
      const sending = send(gateway.direct, "/small", {
        method: "POST",
        headers: {
          "Idempotency-Key": key,
          ...headers,
          ...(headers["Transfer-Encoding"] ? {} : { "Content-Length": "1001" }),
        },
      });
      const response = responseOf(sending);
      sending.end("x".repeat(1_001));
      assertProblem(
        await gateway.untouched(async () => read(await response)),
        413,
        "body_too_large",
      );
    }
    assert.equal((await post("/small", { body: "x".repeat(1_000) })).text, "ok");
  });
});

describe("what nobody knows", () => {
  const later = { ask: (...args) => gateway.askTwin(...args) };
  const broken = (path) => answer(path, (request) => request.socket.destroy());

  test("[id-15, id-16] is in flight until its lease is over, and held from then on", async () => {
    broken("/held");
    assertProblem(await post("/held"), 502, "upstream_failed");
    answer("/held", { status: 201 });
    assertProblem(await gateway.untouched(() => post("/held")), 409, "idempotency_in_flight");
    const held = await gateway.untouched(() => post("/held", later));
    assert.equal(assertProblem(held, 409, "idempotency_outcome_unknown").safeToRetry, false);
    assert.equal(hits("/held"), 1);
  });

  test("[id-15] also where upstream does not answer", async () => {
    const give = holdBack("/held");
    assertProblem(await post("/held"), 504, "upstream_timeout");
    assertProblem(await gateway.untouched(() => post("/held")), 409, "idempotency_in_flight");
    const held = await gateway.untouched(() => post("/held", later));
    assertProblem(held, 409, "idempotency_outcome_unknown");
    give();
  });

  test("is run again where the rule says so", async () => {
    broken("/retry");
    assertProblem(await post("/retry"), 502, "upstream_failed");
    answer("/retry", { status: 201 });
    assertProblem(await gateway.untouched(() => post("/retry")), 409, "idempotency_in_flight");
    const run = await post("/retry", later);
    assert.equal(run.status, 201);
    assert.equal(gateway.seen.at(-1).headers["x-idempotency-recovery"], undefined);
    assertReplay(await post("/retry", later), run);
    assert.equal(hits("/retry"), 2);
  });

  test("is asked of upstream where the rule says so, by a mark that only we make", async () => {
    broken("/ask");
    assertProblem(await post("/ask", { "X-Idempotency-Recovery": "1" }), 502, "upstream_failed");
    assert.equal(gateway.seen.at(-1).headers["x-idempotency-recovery"], undefined);
    // It does not know either: it stays a question.
    answer("/ask", { status: 503 });
    assert.equal((await post("/ask", later)).status, 503);
    assert.equal(gateway.seen.at(-1).headers["x-idempotency-recovery"], "1");
    answer("/ask", { status: 200, body: "it ran" });
    const asked = await post("/ask", later);
    assert.equal(gateway.seen.at(-1).headers["x-idempotency-recovery"], "1");
    assert.equal(gateway.seen.at(-1).headers["idempotency-key"], key);
    assertReplay(await post("/ask", later), asked);
  });

  test("a client that goes away loses nothing", async () => {
    const give = holdBack("/pay/gone");
    const sending = send(gateway.direct, "/pay/gone", {
      method: "POST",
      host: "app.example",
      headers: { "Idempotency-Key": key, "Content-Length": "1", "Content-Type": "text/plain" },
    });
    sending.on("error", () => {});
    sending.end("A");
    await arrived("/pay/gone");
    sending.destroy();
    // Long after the Worker knows of it.
    assertProblem(await post("/pay/gone"), 409, "idempotency_in_flight");
    give();
    let again;
    do again = await post("/pay/gone");
    while (again.status === 409);
    assert.deepEqual([again.status, again.text], [201, "held"]);
    assert.equal(again.headers["idempotent-replayed"], "true");
    assert.equal(hits("/pay/gone"), 1);
  });

  test("[id-29] an answer that no secret opens any more is not known, and not run again", async () => {
    const other = await openGateway({
      routes: ROUTES,
      upstream: gateway.upstream.origin,
      twin: { AUTH_SECRET: "b".repeat(16) + randomBytes(16).toString("hex") },
    });
    try {
      await post("/pay/sealed", { ask: other.ask });
      const again = await post("/pay/sealed", { ask: other.askTwin });
      const problem = assertProblem(again, 409, "idempotency_outcome_unknown");
      assert.equal(problem.answered, 200);
      assert.equal(hits("/pay/sealed"), 1);
    } finally {
      await other.stop();
    }
  });
});

test("[id-17, id-32, id-33] a ledger that fails: nothing is run, and what was run is answered", async () => {
  const ENTRY = `
    import worker from "./index.js";
    export * from "./index.js";
    const kindOf = ${kindOf("Ledger")};
    export default {
      fetch(request, env, context) {
        const failing = request.headers.get("x-failing");
        const unheard = request.headers.get("x-unheard");
        const fail = () => Promise.reject(new Error("the ledger is down"));
        const LEDGER = {
          idFromName: (name) => env.LEDGER.idFromName(name),
          get: (id) => ({
            async command(command, ...rest) {
              if (kindOf(command) === failing) return fail();
              const reply = await env.LEDGER.get(id).command(command, ...rest);
              return kindOf(command) === unheard ? fail() : reply;
            },
          }),
        };
        return worker.fetch(request, { ...env, LEDGER }, context);
      },
    };`;
  const other = await openGateway({ routes: ROUTES, around: { "entry.mjs": ENTRY } });
  try {
    const fails = (what) => ({ ask: other.ask, "X-Failing": what });
    for (const path of ["/must", "/pay/x"]) {
      const response = await other.untouched(() => post(path, fails("Start")));
      assertProblem(response, 503, "store_unavailable");
    }
    const { response } = await other.passed(() => post("/pay/x", fails("Settle")));
    assert.equal(response.text, "ok");
    const line = await other.logged((line) => line.includes('"unsettled"'));
    assert.equal(JSON.parse(line).status, 200);
    const again = await other.untouched(() => post("/pay/x", { ask: other.ask }));
    assertProblem(again, 409, "idempotency_in_flight");
    // A claim that was granted and not heard of is given back: nothing was run under it.
    key = `${key}-unheard`;
    const lost = await other.untouched(() =>
      post("/pay/x", { ask: other.ask, "X-Unheard": "Start" }),
    );
    assertProblem(lost, 503, "store_unavailable");
    let next;
    do next = await post("/pay/x", { ask: other.ask });
    while (next.status === 409);
    assert.deepEqual([next.text, next.headers["idempotent-replayed"]], ["ok", undefined]);
  } finally {
    await other.stop();
  }
});

test("no scenario is left out", needing(vectors("idempotency/scenarios.json")), () => {
  // Those of webhooks are in a file of their own.
  const files = ["idempotency.test.mjs", "webhooks.test.mjs"];
  const here = files.map((name) => readFileSync(new URL(name, import.meta.url), "utf8")).join();
  const tested = new Set(here.match(/\[id-[^\]]+\]/g).flatMap((ids) => ids.match(/id-\d+/g)));
  const { tests } = vectors("idempotency/scenarios.json");
  assert.deepEqual(
    tests.map(({ id }) => id).filter((id) => !tested.has(id)),
    [],
  );
  assert.equal(tests.length, 38);
});
