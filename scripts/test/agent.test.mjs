// Tests examples/agent/agent.mjs with scripted answers and a mocked clock.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { afterEach, mock, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { ExitError, main } from "../../examples/agent/agent.mjs";
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
const created = () => json(201, { number: 1 });
const networkError = () => Promise.reject(new TypeError("fetch failed"));
const waitingForApproval =
  (id = "cnf_1") =>
  () => {
    const members = { confirmationId: id, approveUrl: `${SITE}/${id}`, expiresAt: "soon" };
    return json(403, { error: "confirmation_required", ...members }, { "Retry-After": "5" });
  };
const notConfirmed = (reason) => () => json(403, { error: "confirmation_invalid", reason });
const problem = (status, error) => () => json(status, { error }, { "Retry-After": "2" });

// Runs the agent and moves the clock until it ends. The server gives the scripted answers and repeats the last one.
async function run(script, { env = ENV, args = ["carol", "250"], operations = [OPERATION] } = {}) {
  reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const [sent, messages] = [[], []];
  // Node prints its warning about mocked timers here, too.
  mock.method(console, "error", (text) => /^\(node:/.test(text) || messages.push(text));
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
      end = error instanceof ExitError ? { code: error.code, message: error.message } : { error };
    },
  );
  for (;;) {
    for (let tick = 0; tick < 20; tick += 1) await setImmediate();
    if (end) break;
    mock.timers.tick(TICK);
  }
  assert.ok(!`${messages}${end.message}`.includes(ENV.VESTIBULE_TOKEN), "prints the token");
  return { ...end, sent, messages, at: Date.now() };
}

test("makes a transfer that needs no approval at once", async () => {
  const { data, sent, messages } = await run([created]);
  assert.deepEqual([data, messages], [{ number: 1 }, []]);
  const [{ url, method, headers, body, redirect }] = sent;
  assert.deepEqual([method, url, redirect], ["POST", `${SITE}/api/transfers`, "manual"]);
  assert.equal(headers.Authorization, "Bearer mat_secret");
  assert.match(headers["Idempotency-Key"], /^[\da-f-]{36}$/);
  assert.deepEqual(JSON.parse(body), { to: "carol", amount: 250 });
});

test("waits for approval, and sends the same request with the same key and the confirmation id", async () => {
  const { code, sent, messages } = await run([
    waitingForApproval(),
    waitingForApproval(),
    waitingForApproval(),
    created,
  ]);
  assert.equal(code, 0);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [0, 5_000, 10_000, 15_000],
  );
  assert.equal(messages.length, 1, "prints one message");
  assert.match(messages[0], /https:\/\/app\.example\/cnf_1$/);
  const [first, ...others] = sent;
  assert.equal(first.headers["Confirmation-ID"], undefined);
  for (const { headers, body } of others) {
    assert.deepEqual(headers, { ...first.headers, "Confirmation-ID": "cnf_1" });
    assert.equal(body, first.body);
  }
});

test("stops when the transfer is rejected, expires or cannot be confirmed", async () => {
  for (const [reason, expected] of [
    ["rejected", 3],
    ["expired", 4],
    ["unknown", 1],
    ["used", 1],
    ["changed", 1],
  ]) {
    const { code, message, sent } = await run([waitingForApproval(), notConfirmed(reason)]);
    assert.deepEqual([code, sent.length], [expected, 2], reason);
    assert.match(message, /\w/);
  }
});

test("retries temporary errors, before and after the approval", async () => {
  const { code, sent } = await run([
    networkError,
    problem(503, "store_unavailable"),
    problem(429, "rate_limited"),
    waitingForApproval(),
    networkError,
    problem(409, "idempotency_in_flight"),
    problem(504, "upstream_timeout"),
    created,
  ]);
  assert.equal(code, 0);
  assert.deepEqual(
    sent.map(({ at }) => at),
    [0, 5_000, 7_000, 9_000, 14_000, 19_000, 21_000, 23_000],
  );
  assert.equal(new Set(sent.map(({ headers }) => headers["Idempotency-Key"])).size, 1);
  assert.equal(sent.at(-1).headers["Confirmation-ID"], "cnf_1");
});

test("stops retrying after two minutes, and says if the transfer may have been made", async () => {
  for (const [script, expected] of [
    [[networkError], 5],
    [[waitingForApproval(), problem(502, "upstream_failed"), problem(503, "store_unavailable")], 5],
    [[problem(503, "store_unavailable")], 1],
  ]) {
    const { code, at } = await run(script);
    assert.equal(code, expected);
    assert.ok(at >= 120_000 && at < 150_000, `${at}`);
  }
});

test("stops at a refusal, and at an unknown outcome", async () => {
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

test("sends nothing if the catalogue does not offer the operation", async () => {
  for (const operations of [
    [],
    [{ ...OPERATION, credentials: ["session", "mul_"] }],
    [{ ...OPERATION, idempotency: null }],
  ]) {
    const { code, message, sent } = await run([created], { operations });
    assert.deepEqual([code, sent.length], [1, 0]);
    assert.match(message, /transfers\.create/);
  }
});

test("sends nothing if a variable or an argument is missing or invalid", async () => {
  for (const [options, expected] of [
    [{ env: { ...ENV, VESTIBULE_URL: undefined } }, /VESTIBULE_URL/],
    [{ env: { ...ENV, VESTIBULE_URL: "http://app.example" } }, /VESTIBULE_URL/],
    [{ env: { ...ENV, VESTIBULE_TOKEN: "" } }, /VESTIBULE_TOKEN/],
    [{ args: ["carol"] }, /TO AMOUNT/],
    [{ args: ["carol", "-1"] }, /TO AMOUNT/],
    [{ args: ["carol", "1", "2"] }, /TO AMOUNT/],
  ]) {
    const { code, message, sent } = await run([created], options);
    assert.deepEqual([code, sent.length], [2, 0]);
    assert.match(message, expected);
  }
});

test("as a program, it exits with the code of the error", async () => {
  const node = promisify(execFile)(process.execPath, [inProject("examples/agent/agent.mjs")], {
    env: {},
  });
  await assert.rejects(node, ({ code, stdout, stderr }) => {
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /^VESTIBULE_URL.*\n$/);
    return true;
  });
});
