// What a request costs in billed operations of the platform: calls of objects and their alarms, rows that they read and
// write, and reads and writes of KV. docs/scale.md has the same numbers, and the prices that follow from them.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { COUNTING } from "../support/counting.mjs";
import { openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import { now } from "../support/tokens.mjs";

const SECRET = "whsec_test_secret_of_the_provider";
const WEBHOOK = { scheme: "stripe", timeout: "60s" };
const OPTIONS = {
  routes: [
    { path: "/open", access: "public" },
    { path: "/user", access: "user" },
    { path: "/pay", methods: ["POST"], access: "user", idempotency: "required" },
    { path: "/noted", access: "user", audit: "best_effort" },
    { path: "/audited", access: "user", audit: "required" },
    { path: "/limited", access: "public", limit: "all" },
  ],
  bindings: { kvNamespaces: ["KV"] },
  wrapperModules: { "entry.mjs": COUNTING },
};
const VARIABLES = {
  ...ACCOUNTS,
  RATE_LIMITS: [{ name: "all", limit: 1_000, period: "1h", by: "address" }],
  WEBHOOKS: [
    { ...WEBHOOK, name: "now", path: "/hooks/now" },
    { ...WEBHOOK, name: "later", path: "/hooks/later", delivery: "inbox" },
  ],
  WEBHOOK_NOW_SECRET: SECRET,
  WEBHOOK_LATER_SECRET: SECRET,
};

// The rows of the table in docs/scale.md, by act.
const page = readFileSync(new URL("../../docs/scale.md", import.meta.url), "utf8");
const table = page.split("<!-- counted: begin -->")[1].split("<!-- counted: end -->")[0];
const rows = new Map(
  table
    .trim()
    .split("\n")
    .slice(2)
    .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("**", "")))
    .map(([, act, ...cells]) => [act, cells]),
);
const unused = new Set(rows.keys());

// Prices in dollars for a million, of the page's table of prices.
const PRICES = {
  request: 0.3,
  cpuMs: 0.02,
  call: 0.15,
  read: 0.001,
  written: 1,
  kvRead: 0.5,
  kvWrite: 5,
};
// What the page assumes of time: an object is billed for 128 MB during 5 ms of each call.
const DURATION = (0.128 * 0.005 * 12.5).toFixed(4);

// Asserts that the page has these counts for an act, and the price that follows from them.
function assertPage(act, { calls, alarms, read, written, kvReads, kvWrites }) {
  unused.delete(act);
  const cells = rows.get(act);
  assert.ok(cells, `docs/scale.md lacks a row for ${act}`);
  const [cpu, ...counted] = cells.slice(0, 6).map(Number);
  assert.deepEqual(
    { act, counted },
    { act, counted: [calls + alarms, read, written, kvReads, kvWrites] },
  );
  const invocations = calls + alarms;
  const price =
    PRICES.request +
    cpu * PRICES.cpuMs +
    invocations * (PRICES.call + Number(DURATION)) +
    read * PRICES.read +
    written * PRICES.written +
    kvReads * PRICES.kvRead +
    kvWrites * PRICES.kvWrite;
  assert.equal(cells[6], `$${price.toFixed(2)}`, act);
}

// Returns a function that measures an act of this gateway.
function measureOf(gateway) {
  const take = async () => (await gateway.request("/test/costs")).json();
  return async (act, settled = () => true) => {
    await take();
    const response = await act();
    assert.ok(response.status < 300, response.text);
    const total = await take();
    // What comes after the response counts as well.
    await pollUntil(
      async () => {
        for (const [name, value] of Object.entries(await take())) total[name] += value;
        return total;
      },
      settled,
      "the end of the act",
    );
    return total;
  };
}

// Returns a function that measures an act until no object starts during it: one that starts also reads its version.
const runningOf = (measure) => async (act, settled) => {
  for (;;) {
    const costs = await measure(act, settled);
    if (costs.started === 0) return costs;
  }
};

describe("an act costs what docs/scale.md says", { concurrency: false }, () => {
  test("in objects that run, for users and tokens", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
    const NOW = now();
    const open = (later) =>
      openGateway({
        ...OPTIONS,
        folder,
        variables: { ...VARIABLES, DANGER_FIXED_NOW: NOW + later },
      });
    let gateway = await open(0);
    t.after(async () => {
      await gateway.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    let measure = measureOf(gateway);
    const people = await setUpUsers({ request: (...args) => gateway.request(...args) });
    const { call } = people;
    const ada = await people.createUser("ada");
    const token = await people.createToken(ada, "mul_");
    const as = (caller, path) => () => call("GET", path, caller);

    const running = runningOf((...args) => measure(...args));
    const check = async (name, act, settled) => assertPage(name, await running(act, settled));

    await check("public path", as(undefined, "/open"));
    await check("session, checked", as(ada, "/user"));
    await call("GET", "/user", token);
    await check("token, checked", as(token, "/user"));

    // A request's row is in one of four objects.
    const audited = ({ calls }) => calls >= 2;
    const trails = async () => (await gateway.request("/test/trails")).json();
    while ((await trails()) < 4) await measure(as(ada, "/noted"), audited);
    await check("audited act, best effort", as(ada, "/noted"), audited);
    await check("audited act, required", as(ada, "/audited"), ({ calls }) => calls >= 3);
    await check("rate limit", as(undefined, "/limited"));

    const signIn = () =>
      call("POST", "/api/auth/login", undefined, { email: "ada@example.com", password: PASSWORD });
    // The user has one other session, and the limits have counted before.
    await signIn();
    await call("DELETE", "/api/sessions", ada);
    await check("sign-in", signIn, ({ calls }) => calls >= 7);

    // More than a minute later, in the same stores.
    await gateway.stop();
    gateway = await open(61);
    measure = measureOf(gateway);
    for (const [name, caller] of [
      ["session, first in a minute", ada],
      ["token, first in a minute", token],
    ]) {
      // The root's session starts what has to start.
      await call("GET", "/user", people.root);
      const first = await measure(as(caller, "/user"));
      const second = await running(as(caller, "/user"));
      assert.ok(first.written > second.written, name);
      assertPage(name, { ...second, calls: first.calls, written: first.written });
    }
  });

  // With a clock that runs, because a set alarm is left alone while it is early enough.
  test("for keyed writes and webhooks", async (t) => {
    const gateway = await openGateway({ ...OPTIONS, variables: VARIABLES });
    t.after(() => gateway.stop());
    const measure = measureOf(gateway);
    const running = runningOf(measure);
    const people = await setUpUsers(gateway);
    const ada = await people.createUser("ada");
    let count = 0;
    const pay = () =>
      people.call("POST", "/pay", ada, "x", { headers: { "Idempotency-Key": `key-${count}` } });
    const payAgain = () => {
      count += 1;
      return pay();
    };
    await payAgain();
    assertPage("keyed write", await running(payAgain));
    assertPage("keyed write, replayed", await running(pay));

    const deliver = (path) => () => {
      count += 1;
      const body = JSON.stringify({ id: `evt_${count}`, type: "charge.refunded" });
      const at = Math.floor(Date.now() / 1_000);
      const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
      const headers = {
        "Content-Type": "application/json",
        "Stripe-Signature": `t=${at},v1=${mac}`,
      };
      return gateway.request(path, { method: "POST", headers, body });
    };
    // An object of the ledger has a sixteenth of the events, and starts with its first one.
    assertPage("webhook, forwarded at once", await running(deliver("/hooks/now")));
    // Stored, then delivered by an alarm; a second alarm looks for what is left.
    const delivered = ({ alarms, read, written }) => alarms >= 2 && read >= 37 && written >= 14;
    const later = await running(deliver("/hooks/later"), delivered);
    assertPage("webhook, through an inbox", later);
    assert.deepEqual(await measure(deliver("/hooks/later"), delivered), later, "nothing came late");
  });

  test("and every row of the page was measured", () => assert.deepEqual([...unused], []));
});
