// Tests examples/spa/src/idempotent.js with scripted answers and a mocked clock.

import assert from "node:assert/strict";
import { after, mock, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { idempotentFetch, keyKeeper, OutcomeUnknown } from "../../examples/spa/src/idempotent.js";

const URL = "https://app.example/api/orders";
const TICK = 50;

after(() => mock.timers.reset());

const problem = (status, error, more = {}, headers = {}) =>
  new Response(JSON.stringify({ status, error, ...more }), {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
const inFlight = () => problem(409, "idempotency_in_flight", {}, { "Retry-After": "2" });
const answer = (status, headers) => () => new Response("it", { status, headers });
const networkError = () => Promise.reject(new TypeError("fetch failed"));
const hangs = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });

// Sends an order and moves the clock until it has a result. The server gives the scripted answers and repeats the last
// one. `sent` has the time, the key and the body of each attempt.
async function order(script, options = {}) {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const sent = [];
  const fetch = async (request) => {
    const { headers } = request;
    const body = await request.clone().text();
    const type = headers.get("content-type");
    sent.push({ at: Date.now(), key: headers.get("idempotency-key"), body, type });
    return script[Math.min(sent.length, script.length) - 1](request);
  };
  const init = { method: "POST", body: '{"n":1}', fetch, random: () => 0.5, ...options };
  const result = {};
  const finished = idempotentFetch(URL, init).then(
    (response) => {
      result.response = response;
    },
    (error) => {
      result.error = error;
    },
  );
  for (;;) {
    options.each?.(Date.now());
    for (let tick = 0; tick < 10; tick += 1) await setImmediate();
    if (result.response || result.error) break;
    mock.timers.tick(TICK);
  }
  await finished;
  return { ...result, sent, at: Date.now() };
}

const times = ({ sent }) => sent.map(({ at }) => at - sent[0].at);

test("returns a final answer, success or error, without a retry", async () => {
  for (const status of [200, 201, 204, 303, 400, 401, 403, 404, 409, 410, 413, 422, 500, 501]) {
    const script = [() => new Response(null, { status })];
    const { response, sent } = await order(script);
    assert.equal(response.status, status);
    assert.equal(sent.length, 1, `${status}`);
  }
  for (const [status, code] of [
    [422, "idempotency_key_reused"],
    [400, "idempotency_key_missing"],
    [409, "email_taken"],
  ]) {
    const { response, sent } = await order([() => problem(status, code)]);
    assert.equal((await response.json()).error, code, "the body can be read");
    assert.equal(sent.length, 1, code);
  }
});

test("retries with the same key and body, and waits longer each time", async () => {
  const run = await order([
    networkError,
    answer(502),
    answer(503),
    answer(504),
    answer(425),
    answer(429),
    answer(201),
  ]);
  assert.equal(run.response.status, 201);
  assert.equal(await run.response.text(), "it");
  // Half of 0.5, 1, 2, 4, 8 and 8 seconds.
  assert.deepEqual(times(run), [0, 250, 750, 1_750, 3_750, 7_750, 11_750]);
  const [{ key }] = run.sent;
  assert.match(key, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  for (const attempt of run.sent) assert.deepEqual([attempt.key, attempt.body], [key, '{"n":1}']);
});

test("generates a new key for each call, unless `key` is set", async () => {
  const first = await order([answer(201)]);
  const second = await order([answer(201)]);
  assert.notEqual(first.sent[0].key, second.sent[0].key);
  const withKey = await order([networkError, answer(201)], { key: "order-7" });
  assert.deepEqual(
    withKey.sent.map(({ key }) => key),
    ["order-7", "order-7"],
  );
});

test("sends a form with the same boundary in each attempt", async () => {
  const body = new FormData();
  body.set("n", "1");
  const { sent } = await order([networkError, answer(201)], { body });
  assert.equal(sent[0].type, sent[1].type);
  assert.equal(sent[0].body, sent[1].body);
});

test("waits for Retry-After, in seconds or as a date, plus the random part", async () => {
  const run = await order([inFlight, inFlight, answer(201)]);
  assert.deepEqual(times(run), [0, 2_250, 4_750]);
  const dated = await order([
    () => answer(503, { "Retry-After": new Date(Date.now() + 5_000).toUTCString() })(),
    answer(503, { "Retry-After": "soon" }),
    answer(201),
  ]);
  assert.deepEqual(times(dated), [0, 5_250, 5_750]);
});

test("throws OutcomeUnknown without a retry if the server does not know the outcome", async () => {
  const members = { safeToRetry: false, answered: 201, detail: "it ran" };
  const unknown = () => problem(409, "idempotency_outcome_unknown", members);
  const { error, sent } = await order([inFlight, unknown], { key: "k" });
  assert.ok(error instanceof OutcomeUnknown);
  assert.deepEqual([error.key, error.answered, error.message], ["k", 201, "it ran"]);
  assert.equal(error.problem.safeToRetry, false);
  assert.equal(sent.length, 2);
});

test("returns the last answer at the deadline if no attempt can have run", async () => {
  const { response, at } = await order([answer(503), answer(429)], { deadline: 3_000 });
  assert.equal(response.status, 429);
  assert.equal(await response.text(), "it");
  assert.ok(at < 3_000, "it waits although no retry would follow");
  const longWait = await order([answer(429, { "Retry-After": "60" })], { deadline: 9_000 });
  assert.deepEqual([longWait.response.status, longWait.sent.length, longWait.at], [429, 1, 0]);
});

test("throws OutcomeUnknown at the deadline if an attempt may have run", async () => {
  for (const first of [networkError, answer(502), answer(504), inFlight]) {
    const { error } = await order([first, answer(503)], { deadline: 3_000 });
    assert.ok(error instanceof OutcomeUnknown, `${error}`);
    assert.deepEqual([error.problem, error.answered], [undefined, undefined]);
  }
  const { error } = await order([networkError], { deadline: 3_000 });
  assert.equal(error.cause.message, "fetch failed");
});

test("stops a hanging attempt at the deadline", async () => {
  const { error, at, sent } = await order([hangs], { deadline: 2_000 });
  assert.ok(error instanceof OutcomeUnknown);
  assert.deepEqual([at, sent.length], [2_000, 1]);
});

test("a signal aborts before an attempt, during an attempt and between attempts", async () => {
  const reason = new Error("aborted");
  const early = await order([answer(201)], { signal: AbortSignal.abort(reason) });
  assert.deepEqual([early.error, early.sent.length], [reason, 0]);
  for (const [script, at] of [
    [[hangs], 1_000],
    [[() => answer(503, { "Retry-After": "9" })()], 1_000],
  ]) {
    const stop = new AbortController();
    const each = (now) => now >= at && stop.abort(reason);
    const run = await order(script, { signal: stop.signal, each });
    assert.deepEqual([run.error, run.at, run.sent.length], [reason, at, 1]);
  }
});

test("the signal of a Request object aborts, too", async () => {
  const stop = new AbortController();
  stop.abort(new Error("aborted"));
  const request = new Request(URL, { method: "POST", body: "A", signal: stop.signal });
  await assert.rejects(idempotentFetch(request, { fetch: assert.fail }), /aborted/);
});

test("an invalid request fails without an attempt", async () => {
  const fetch = () => assert.fail("sent");
  await assert.rejects(idempotentFetch("https://", { fetch }), TypeError);
  await assert.rejects(idempotentFetch(URL, { key: "a\nb", fetch }), TypeError);
});

test("keyKeeper keeps the key of the same content until an answer comes", () => {
  const keeper = keyKeeper();
  const key = keeper.keyOf("A");
  assert.equal(keeper.keyOf("A"), key);
  const other = keeper.keyOf("B");
  assert.notEqual(other, key);
  keeper.answered();
  assert.notEqual(keeper.keyOf("B"), other);
});
