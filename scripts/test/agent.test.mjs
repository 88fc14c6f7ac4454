// examples/agent/agent.mjs, before a server that is a script and a clock that is moved by hand.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { afterEach, mock, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { End, main } from "../../examples/agent/agent.mjs";
import { inProject } from "../lib/project.mjs";

const SITE = "https://app.example";
const ENV = { VESTIBULE_URL: SITE, VESTIBULE_TOKEN: "mat_secret" };
const OPERATION = {
  operation: "transfers.create",
  methods: ["POST"],
  path: "/api/transfers",
  credentials: ["session", "mul_", "mat_"],
  idempotency: { header: "Idempotency-Key", required: true, retentionSeconds: 86_400 },
  confirmation: "human",
};
const TICK = 500;

const reset = () => {
  mock.timers.reset();
  mock.restoreAll();
};
afterEach(reset);

const json = (status, body, headers = {}) => Response.json(body, { status, headers });
const made = () => json(201, { number: 1 });
const broken = () => Promise.reject(new TypeError("fetch failed"));
const waiting =
  (id = "cnf_1") =>
  () => {
    const facts = { confirmationId: id, approveUrl: `${SITE}/${id}`, expiresAt: "soon" };
    return json(403, { error: "confirmation_required", ...facts }, { "Retry-After": "5" });
  };
const refused = (reason) => () => json(403, { error: "confirmation_invalid", reason });
const problem = (status, error) => () => json(status, { error }, { "Retry-After": "2" });

// Runs it against a site that answers as scripted, the last one over and over; the clock runs until it ends.
async function run(script, { env = ENV, args = ["carol", "250"], operations = [OPERATION] } = {}) {
  reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const [sent, told] = [[], []];
  // Node's own warning of the moved clock comes this way, too.
  mock.method(console, "error", (text) => /^\(node:/.test(text) || told.push(text));
  mock.method(globalThis, "fetch", async (url, init) => {
    if (url.pathname === "/.well-known/agent-operations") return json(200, { operations });
    sent.push({ at: Date.now(), url: url.href, ...init, headers: { ...init.headers } });
    return script[Math.min(sent.length, script.length) - 1]();
  });
  let end;
  main(env, args).then(
    (data) => {
      end = { data, code: 0 };
    },
    (error) => {
      end = error instanceof End ? { code: error.code, message: error.message } : { error };
    },
  );
  for (;;) {
    for (let turn = 0; turn < 20; turn += 1) await setImmediate();
    if (end) break;
    mock.timers.tick(TICK);
  }
  assert.ok(!`${told}${end.message}`.includes(ENV.VESTIBULE_TOKEN), "the token is told");
  return { ...end, sent, told, at: Date.now() };
}

test("what needs nobody is made at once", async () => {
  const { data, sent, told } = await run([made]);
  assert.deepEqual([data, told], [{ number: 1 }, []]);
  const [{ url, method, headers, body, redirect }] = sent;
  assert.deepEqual([method, url, redirect], ["POST", `${SITE}/api/transfers`, "manual"]);
  assert.equal(headers.Authorization, "Bearer mat_secret");
  assert.match(headers["Idempotency-Key"], /^[\da-f-]{36}$/);
  assert.deepEqual(JSON.parse(body), { to: "carol", amount: 250 });
});

test("it waits for a person: the same request, the same key, and the id", async () => {
  const { code, sent, told } = await run([waiting(), waiting(), waiting(), made]);
  assert.equal(code, 0);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [0, 5_000, 10_000, 15_000],
  );
  assert.equal(told.length, 1, "it says so once");
  assert.match(told[0], /https:\/\/app\.example\/cnf_1$/);
  const [first, ...others] = sent;
  assert.equal(first.headers["Confirmation-ID"], undefined);
  for (const { headers, body } of others) {
    assert.deepEqual(headers, { ...first.headers, "Confirmation-ID": "cnf_1" });
    assert.equal(body, first.body);
  }
});

test("what a person or the clock says is final", async () => {
  for (const [reason, expected] of [
    ["rejected", 3],
    ["expired", 4],
    ["unknown", 1],
    ["used", 1],
    ["changed", 1],
  ]) {
    const { code, message, sent } = await run([waiting(), refused(reason)]);
    assert.deepEqual([code, sent.length], [expected, 2], reason);
    assert.match(message, /\w/);
  }
});

test("what may go better is sent again, approved or not", async () => {
  const { code, sent } = await run([
    broken,
    problem(503, "store_unavailable"),
    problem(429, "rate_limited"),
    waiting(),
    broken,
    problem(409, "idempotency_in_flight"),
    problem(504, "upstream_timeout"),
    made,
  ]);
  assert.equal(code, 0);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [0, 5_000, 7_000, 9_000, 14_000, 19_000, 21_000, 23_000],
  );
  assert.equal(new Set(sent.map(({ headers }) => headers["Idempotency-Key"])).size, 1);
  assert.equal(sent.at(-1).headers["Confirmation-ID"], "cnf_1");
});

test("but not for ever; and whether it may have run is told apart", async () => {
  for (const [script, expected] of [
    [[broken], 5],
    [[waiting(), problem(502, "upstream_failed"), problem(503, "store_unavailable")], 5],
    [[problem(503, "store_unavailable")], 1],
  ]) {
    const { code, at } = await run(script);
    assert.equal(code, expected);
    assert.ok(at >= 120_000 && at < 150_000, `${at}`);
  }
});

test("a refusal ends it, and so does what nobody knows", async () => {
  for (const [answer, expected] of [
    [problem(401, "unauthorized"), 1],
    [problem(403, "forbidden_kind"), 1],
    [problem(422, "idempotency_key_reused"), 1],
    [() => new Response(null, { status: 303, headers: { Location: "https://evil.example/" } }), 1],
    [() => new Response("<h1>500</h1>", { status: 500 }), 5],
    [problem(409, "idempotency_outcome_unknown"), 5],
  ]) {
    const { code, sent } = await run([answer]);
    assert.deepEqual([code, sent.length], [expected, 1]);
  }
});

test("what the catalogue does not offer is not tried", async () => {
  for (const operations of [
    [],
    [{ ...OPERATION, credentials: ["session", "mul_"] }],
    [{ ...OPERATION, idempotency: null }],
  ]) {
    const { code, message, sent } = await run([made], { operations });
    assert.deepEqual([code, sent.length], [1, 0]);
    assert.match(message, /transfers\.create/);
  }
});

test("it is told how, where it was not", async () => {
  for (const [given, about] of [
    [{ env: { ...ENV, VESTIBULE_URL: undefined } }, /VESTIBULE_URL/],
    [{ env: { ...ENV, VESTIBULE_URL: "http://app.example" } }, /VESTIBULE_URL/],
    [{ env: { ...ENV, VESTIBULE_TOKEN: "" } }, /VESTIBULE_TOKEN/],
    [{ args: ["carol"] }, /TO AMOUNT/],
    [{ args: ["carol", "-1"] }, /TO AMOUNT/],
    [{ args: ["carol", "1", "2"] }, /TO AMOUNT/],
  ]) {
    const { code, message, sent } = await run([made], given);
    assert.deepEqual([code, sent.length], [2, 0]);
    assert.match(message, about);
  }
});

test("as a program it ends with that code", async () => {
  const node = promisify(execFile)(process.execPath, [inProject("examples/agent/agent.mjs")], {
    env: {},
  });
  await assert.rejects(node, ({ code, stdout, stderr }) => {
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /^VESTIBULE_URL.*\n$/);
    return true;
  });
});
