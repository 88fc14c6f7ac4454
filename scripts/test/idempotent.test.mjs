// www/src/idempotent.js, before a server that is a script and a clock that is moved by hand.

import assert from "node:assert/strict";
import { after, mock, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { idempotentFetch, keeper, OutcomeUnknown } from "../../www/src/idempotent.js";

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
const broken = () => Promise.reject(new TypeError("fetch failed"));
const never = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });

// Sends an order to a server that answers as scripted, the last one over and over; moves the clock until
// something came of it. `sent` is when, under what key and with what body each attempt was made.
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
  const came = {};
  const asked = idempotentFetch(URL, init).then(
    (response) => {
      came.response = response;
    },
    (error) => {
      came.error = error;
    },
  );
  for (;;) {
    options.each?.(Date.now());
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    if (came.response || came.error) break;
    mock.timers.tick(TICK);
  }
  await asked;
  return { ...came, sent, at: Date.now() };
}

const times = ({ sent }) => sent.map(({ at }) => at - sent[0].at);

test("what is answered is answered, good or bad, and not sent again", async () => {
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
    assert.equal((await response.json()).error, code, "its body is there to be read");
    assert.equal(sent.length, 1, code);
  }
});

test("what may go better is sent again: the same key, the same bytes, later each time", async () => {
  const run = await order([
    broken,
    answer(502),
    answer(503),
    answer(504),
    answer(425),
    answer(429),
    answer(201),
  ]);
  assert.equal(run.response.status, 201);
  assert.equal(await run.response.text(), "it");
  // Half of 0.5, 1, 2, 4, 8 and again 8 seconds.
  assert.deepEqual(times(run), [0, 250, 750, 1_750, 3_750, 7_750, 11_750]);
  const [{ key }] = run.sent;
  assert.match(key, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  for (const one of run.sent) assert.deepEqual([one.key, one.body], [key, '{"n":1}']);
});

test("each act has a key of its own, or the one that it is given", async () => {
  const first = await order([answer(201)]);
  const second = await order([answer(201)]);
  assert.notEqual(first.sent[0].key, second.sent[0].key);
  const given = await order([broken, answer(201)], { key: "order-7" });
  assert.deepEqual(
    given.sent.map(({ key }) => key),
    ["order-7", "order-7"],
  );
});

test("a form has the same boundary each time", async () => {
  const body = new FormData();
  body.set("n", "1");
  const { sent } = await order([broken, answer(201)], { body });
  assert.equal(sent[0].type, sent[1].type);
  assert.equal(sent[0].body, sent[1].body);
});

test("Retry-After is waited for, in seconds and as a date, and a little longer", async () => {
  const run = await order([inFlight, inFlight, answer(201)]);
  assert.deepEqual(times(run), [0, 2_250, 4_750]);
  const dated = await order([
    () => answer(503, { "Retry-After": new Date(Date.now() + 5_000).toUTCString() })(),
    answer(503, { "Retry-After": "soon" }),
    answer(201),
  ]);
  assert.deepEqual(times(dated), [0, 5_250, 5_750]);
});

test("what the server does not know is told as such, and not sent again", async () => {
  const facts = { safeToRetry: false, answered: 201, detail: "it ran" };
  const unknown = () => problem(409, "idempotency_outcome_unknown", facts);
  const { error, sent } = await order([inFlight, unknown], { key: "k" });
  assert.ok(error instanceof OutcomeUnknown);
  assert.deepEqual([error.key, error.answered, error.message], ["k", 201, "it ran"]);
  assert.equal(error.problem.safeToRetry, false);
  assert.equal(sent.length, 2);
});

test("at the deadline the last answer is given where nothing has run", async () => {
  const { response, at } = await order([answer(503), answer(429)], { deadline: 3_000 });
  assert.equal(response.status, 429);
  assert.equal(await response.text(), "it");
  assert.ok(at < 3_000, "it does not wait for an end that it will not use");
  const asked = await order([answer(429, { "Retry-After": "60" })], { deadline: 9_000 });
  assert.deepEqual([asked.response.status, asked.sent.length, asked.at], [429, 1, 0]);
});

test("at the deadline it is unknown where any attempt may have run", async () => {
  for (const first of [broken, answer(502), answer(504), inFlight]) {
    const { error } = await order([first, answer(503)], { deadline: 3_000 });
    assert.ok(error instanceof OutcomeUnknown, `${error}`);
    assert.deepEqual([error.problem, error.answered], [undefined, undefined]);
  }
  const { error } = await order([broken], { deadline: 3_000 });
  assert.equal(error.cause.message, "fetch failed");
});

test("an attempt that hangs ends at the deadline", async () => {
  const { error, at, sent } = await order([never], { deadline: 2_000 });
  assert.ok(error instanceof OutcomeUnknown);
  assert.deepEqual([at, sent.length], [2_000, 1]);
});

test("a signal ends it: before, while it is sent and while it waits", async () => {
  const ended = new Error("enough");
  const early = await order([answer(201)], { signal: AbortSignal.abort(ended) });
  assert.deepEqual([early.error, early.sent.length], [ended, 0]);
  for (const [script, at] of [
    [[never], 1_000],
    [[() => answer(503, { "Retry-After": "9" })()], 1_000],
  ]) {
    const stop = new AbortController();
    const each = (now) => now >= at && stop.abort(ended);
    const run = await order(script, { signal: stop.signal, each });
    assert.deepEqual([run.error, run.at, run.sent.length], [ended, at, 1]);
  }
});

test("a request with a signal of its own is ended by that", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  const request = new Request(URL, { method: "POST", body: "A", signal: stop.signal });
  await assert.rejects(idempotentFetch(request, { fetch: assert.fail }), /enough/);
});

test("what cannot be sent at all is no question of trying again", async () => {
  const fetch = () => assert.fail("sent");
  await assert.rejects(idempotentFetch("https://", { fetch }), TypeError);
  await assert.rejects(idempotentFetch(URL, { key: "a\nb", fetch }), TypeError);
});

test("an act that is tried again by hand keeps its key until it is answered", () => {
  const act = keeper();
  const key = act.keyOf("A");
  assert.equal(act.keyOf("A"), key);
  const other = act.keyOf("B");
  assert.notEqual(other, key);
  act.answered();
  assert.notEqual(act.keyOf("B"), other);
});
