// The counts are right: mixed requests through four isolates, two of which are killed. What the object has is compared
// with what clients saw. METRICS_REQUESTS sets the number of requests.

import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "../support/client.mjs";
import { openGateway } from "../support/gateway.mjs";
import { METERED, metersOf } from "../support/metered.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";

const REQUESTS = Number(process.env.METRICS_REQUESTS ?? 400);
const NAMES = ["b", "c", "d"];
const ISOLATES = ["a", ...NAMES];
const CONCURRENT = 4;

/** Requests of a kind, and the decision that each is counted under. */
const KINDS = [
  { path: "open", decision: "allow", status: 200 },
  { path: "user", decision: "unauthorized", status: 401 },
  { path: "user", decision: "unauthorized", status: 401, headers: { Cookie: "mk_session=x" } },
  { path: "broken", decision: "allow", status: 500 },
  { path: "admin", decision: "unauthorized", status: 401 },
];

test("four isolates count each request once, and lose only what a killed one had not flushed", async (t) => {
  const gateway = await openGateway({
    routes: [
      ...ISOLATES.flatMap((name) => [
        { path: `/${name}/open`, access: "public" },
        { path: `/${name}/broken`, access: "public" },
        { path: `/${name}/user`, access: "user" },
        { path: `/${name}/admin`, access: "admin" },
      ]),
      { path: "/flush", access: "public" },
    ],
    answers: Object.fromEntries(
      ISOLATES.map((name) => [`/${name}/broken`, (_, response) => response.writeHead(500).end()]),
    ),
    variables: { ...ACCOUNTS, LOG_SAMPLE: 1_000_000 },
    metrics: true,
    others: Object.fromEntries(NAMES.map((name) => [name, {}])),
    wrapperModules: METERED,
  });
  t.after(() => gateway.stop());
  const users = await setUpUsers(gateway);
  const meters = metersOf(gateway, users.call, users.root);
  const sendTo = Object.fromEntries(
    ISOLATES.map((name) => {
      const origin = name === "a" ? gateway.direct : gateway.others[name];
      return [name, (path, options) => request(origin, path, { host: "app.example", ...options })];
    }),
  );
  const isKilled = (name) => name === "b" || name === "d";

  /** The number of responses by isolate and decision. */
  const seen = Object.fromEntries(ISOLATES.map((name) => [name, {}]));
  const sum = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
  const load = async (name, count) => {
    let left = count;
    const worker = async () => {
      while (left > 0) {
        const { path, decision, status, headers } = KINDS[left % KINDS.length];
        left -= 1;
        const response = await sendTo[name](`/${name}/${path}`, { headers });
        assert.equal(response.status, status, response.text);
        seen[name][decision] = (seen[name][decision] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT }, worker));
  };
  /** Returns what the object has of each isolate, by decision. */
  const stored = async () => {
    const found = Object.fromEntries(ISOLATES.map((name) => [name, {}]));
    for (const name of ISOLATES) {
      for (const path of ["open", "broken", "user", "admin"]) {
        const { byDecision = {} } = await meters.sum(`/${name}/${path}`);
        for (const [decision, count] of Object.entries(byDecision)) {
          found[name][decision] = (found[name][decision] ?? 0) + count;
        }
      }
    }
    return found;
  };

  const each = Math.ceil(REQUESTS / ISOLATES.length / 2);
  await Promise.all(ISOLATES.map((name) => load(name, each)));
  const before = await stored();
  const atKill = structuredClone(seen);
  for (const name of ISOLATES.filter(isKilled)) {
    await meters.control({ "x-kill": "1" }, sendTo[name]);
    assert.equal((await sendTo[name](`/${name}/open`)).status, 500, "the isolate was killed");
  }
  await Promise.all(ISOLATES.map((name) => load(name, each)));

  for (const name of ISOLATES) await meters.flush(sendTo[name]);
  const isComplete = (found) =>
    ISOLATES.every((name) => {
      const after = sum(seen[name]) - sum(atKill[name]);
      return sum(found[name]) >= (isKilled(name) ? sum(before[name]) + after : sum(seen[name]));
    });
  const found = await meters.until(stored, isComplete);
  for (const name of ISOLATES) {
    if (isKilled(name)) {
      const lost = sum(seen[name]) - sum(found[name]);
      const unsaved = sum(atKill[name]) - sum(before[name]);
      assert.ok(lost >= 0, `${name}: a request was counted twice`);
      assert.ok(lost <= unsaved, `${name}: lost ${lost} of ${unsaved} that were not flushed`);
      t.diagnostic(`${name}: killed, lost ${lost} of ${sum(seen[name])} requests`);
    } else {
      assert.deepEqual(found[name], seen[name], name);
      t.diagnostic(`${name}: all ${sum(seen[name])} requests counted`);
    }
  }
});
