// What the edge counts: in workerd, with flushes that get lost, and read by a client of Prometheus.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { openResponse, withTimeout } from "../support/client.mjs";
import { openGateway } from "../support/gateway.mjs";
import { METERED, metersOf } from "../support/metered.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { pythonWith } from "../support/python.mjs";

const SECRET = "wh8Nf4Wc6Ry1Td9Kb3Vh5Xs7Jg2LpZeQm";
const ROUTES = [
  { path: "/open/{*rest}", access: "public" },
  { path: "/user/{*rest}", access: "user", operation: "user.read" },
  { path: "/keyed", access: "public", idempotency: "optional" },
  { path: "/flush", access: "public" },
];

let gateway;
let users;
let meters;
let user;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: {
      ...ACCOUNTS,
      WEBHOOKS: [{ name: "github", scheme: "github", path: "/hooks/github" }],
      WEBHOOK_GITHUB_SECRET: SECRET,
    },
    metrics: true,
    wrapperModules: METERED,
  });
  users = await setUpUsers(gateway);
  user = await users.createUser("ada");
  meters = metersOf(gateway, users.call, users.root);
});
after(() => gateway.stop());

/** Returns what requests add to the counts of a rule. */
async function countsOf(rule, send) {
  await meters.flush();
  await send();
  await meters.flush();
  return meters.until(
    () => meters.sum(rule),
    ({ requests }) => requests > 0,
  );
}

test("requests are counted by decision, reason, status, principal and rule", async () => {
  const found = await countsOf("/user/{*rest}", async () => {
    const bad = { headers: { Cookie: "mk_session=forged" } };
    for (const caller of [user, user, ANONYMOUS, bad]) await users.call("GET", "/user/x", caller);
  });
  assert.deepEqual(
    { ...found, start: undefined, upstream: found.upstream.count },
    {
      start: undefined,
      requests: 4,
      byDecision: { allow: 2, unauthorized: 2 },
      byReason: { no_credential: 1, session_malformed: 1 },
      byStatus: { "2xx": 2, "4xx": 2 },
      byPrincipal: { user: 2, anonymous: 2 },
      byRule: { "/user/{*rest}": 4 },
      heals: 1,
      replays: 0,
      duplicates: 0,
      upstream: 2,
    },
  );
  assert.equal(
    found.upstream.buckets.reduce((sum, count) => sum + count),
    2,
  );
  const { bounds } = await meters.read();
  assert.equal(bounds.length + 1, found.upstream.buckets.length);
});

test("replays and duplicates are counted", async () => {
  const keyed = await countsOf("/keyed", async () => {
    for (let time = 0; time < 3; time += 1) {
      await users.call("POST", "/keyed", ANONYMOUS, "x", { headers: { "Idempotency-Key": "k1" } });
    }
  });
  assert.deepEqual([keyed.requests, keyed.replays, keyed.upstream.count], [3, 2, 1]);
  const body = '{"zen":"once"}';
  const headers = {
    "Content-Type": "application/json",
    "X-GitHub-Event": "push",
    "X-GitHub-Delivery": "d1",
    "X-Hub-Signature-256": `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
  };
  const hook = await countsOf("/hooks/github", async () => {
    for (let time = 0; time < 2; time += 1) {
      await gateway.request("/hooks/github", { method: "POST", headers, body });
    }
  });
  assert.deepEqual([hook.requests, hook.duplicates, hook.byPrincipal], [2, 1, { webhook: 2 }]);
});

test("a batch that was lost, and one whose reply was lost, are counted once", async () => {
  await meters.flush();
  await meters.control({ "x-metrics": "lost unanswered" });
  for (const path of ["/open/1", "/open/2", "/open/3"]) {
    await gateway.request(path);
    // Each time the next attempt: lost, unanswered, answered.
    await meters.flush();
    await meters.until(
      () => meters.control({}),
      (left) => left <= { "/open/1": 1, "/open/2": 0, "/open/3": 0 }[path],
    );
  }
  await meters.flush();
  const found = await meters.until(
    () => meters.sum("/open/{*rest}"),
    ({ requests }) => requests >= 3,
  );
  assert.equal(found.requests, 3);
});

test("only admins read the counts", async () => {
  for (const path of ["/api/metrics", "/api/metrics/tail"]) {
    for (const [caller, status] of [
      [ANONYMOUS, 401],
      [user, 403],
    ]) {
      const send = () => users.call("GET", path, caller);
      assert.equal((await gateway.expectNotForwarded(send)).status, status, path);
    }
  }
});

test("invalid parameters are refused", async () => {
  for (const query of [
    "step=day",
    "from=yesterday",
    "to=1",
    "since=2026-01-01T00:00:00Z",
    "from=2020-01-01T00:00:00Z",
    "step=hour&from=2020-01-01T00:00:00Z",
  ]) {
    const response = await users.call("GET", `/api/metrics?${query}`, users.root);
    assert.equal(response.status, 400, query);
  }
  for (const query of ["status=9xx", "status=x", "rules=/a", `rule=${"a".repeat(201)}`]) {
    const response = await users.call("GET", `/api/metrics/tail?${query}`, users.root);
    assert.equal(response.status, 400, query);
  }
});

const python = pythonWith("prometheus_client", "0.26.0");
const PARSE = `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps([[f.name, f.type, f.unit, [[s.name, s.labels, s.value] for s in f.samples]] for f in families]))
`;
const OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

test("a client of Prometheus reads the totals", {
  skip: python.program ? false : python.missing,
}, async () => {
  const headers = { Accept: OPEN_METRICS };
  const response = await users.call("GET", "/api/metrics", users.root, undefined, { headers });
  assert.equal(
    response.headers["content-type"],
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
  );
  const families = JSON.parse(
    execFileSync(python.program, ["-c", PARSE], { input: response.text, encoding: "utf8" }),
  );
  assert.deepEqual(
    families.map(([name, type, unit]) => [name, type, unit]),
    [
      ["vestibule_requests", "counter", ""],
      ["vestibule_session_heals", "counter", ""],
      ["vestibule_replays", "counter", ""],
      ["vestibule_webhook_duplicates", "counter", ""],
      ["vestibule_upstream_duration_seconds", "histogram", "seconds"],
    ],
  );
  const samples = new Map(families.map(([name, , , samples]) => [name, samples]));
  const sum = (rule) =>
    samples
      .get("vestibule_requests")
      .filter(([, labels]) => labels.rule === rule)
      .reduce((sum, [, , value]) => sum + value, 0);
  for (const rule of ["/user/{*rest}", "/keyed"]) {
    assert.equal(sum(rule), (await meters.sum(rule)).requests, rule);
  }
});

test("each request is a data point with its members in their documented places", async () => {
  const path = "/user/point";
  await users.call("GET", path, user);
  const line = await gateway.waitForLog(
    (line) => line.includes("data_point") && line.includes("user.read"),
  );
  const { indexes, blobs, doubles } = JSON.parse(line);
  const [rule, ...rest] = blobs;
  assert.deepEqual([indexes, rule], [["/user/{*rest}"], "/user/{*rest}"]);
  assert.deepEqual(rest.slice(0, 3), ["allow", "", "user"]);
  assert.deepEqual(rest.slice(3, 6), ["GET", "user.read", ""]);
  assert.match(rest[6], /^req_/);
  assert.equal(doubles.length, 6);
  assert.deepEqual([doubles[0], ...doubles.slice(3)], [200, 0, 0, 0]);
});

/** Opens a tail. `next` resolves to the next event of a kind, `ended` when the stream ends. */
async function openTail(caller, query = "", headers = {}) {
  const response = await openResponse(gateway.direct, `/api/metrics/tail${query}`, {
    host: "app.example",
    headers: { ...caller.headers, ...headers },
  });
  const events = [];
  const waiting = [];
  const ended = Promise.withResolvers();
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (chunk) => {
    text += chunk;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts.filter((part) => !part.startsWith(":"))) {
      const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s)));
      const event = { ...fields, data: JSON.parse(fields.data) };
      const taker = waiting.findIndex(({ test }) => test(event));
      if (taker >= 0) waiting.splice(taker, 1)[0].resolve(event);
      else events.push(event);
    }
  });
  response.on("end", ended.resolve);
  response.on("error", ended.resolve);
  return {
    response,
    ended: () => withTimeout(ended.promise, "the end of the tail"),
    next(test) {
      const at = events.findIndex(test);
      if (at >= 0) return events.splice(at, 1)[0];
      const { promise, resolve } = Promise.withResolvers();
      waiting.push({ test, resolve });
      return withTimeout(promise, "an event of the tail");
    },
    close: () => response.destroy(),
  };
}

test("the tail has the decisions that its filter wants", async (t) => {
  // The flush of the request that opens the tail is due. So the isolate learns of the tail at once.
  await meters.moveClock();
  const tail = await openTail(users.root, "?decision=unauthorized");
  t.after(tail.close);
  assert.equal(tail.response.headers["content-type"], "text/event-stream");
  let refusal;
  const next = tail
    .next(() => true)
    .then((event) => {
      refusal = event;
    });
  await meters.until(
    async () => {
      await users.call("GET", "/user/tail", user);
      await users.call("GET", "/user/tail", ANONYMOUS);
      return refusal;
    },
    (event) => event,
  );
  await next;
  assert.equal(refusal.event, "decision");
  const { decision, rule, status } = refusal.data;
  assert.deepEqual([decision, rule, status], ["unauthorized", "/user/{*rest}", 401]);
  const again = await openTail(users.root, "?decision=allow", { "Last-Event-ID": refusal.id });
  t.after(again.close);
  assert.equal(again.response.statusCode, 200);
});

test("the tail ends when its reader is no longer an admin", async (t) => {
  const admin = await users.createUser("eve", "admin");
  const tail = await openTail(admin);
  t.after(tail.close);
  const demoted = await users.call("PATCH", `/api/users/${admin.id}`, users.root, { role: "user" });
  assert.equal(demoted.status, 200, demoted.text);
  // The next check is due at once.
  await meters.moveClock();
  await tail.ended();

  const line = await gateway.waitForLog((line) => line.includes("stream_ended"));
  assert.equal(JSON.parse(line).reason, "forbidden_role");
});

test("without the binding, the paths belong to upstream", async (t) => {
  const plain = await openGateway({
    routes: [{ path: "/{*rest}", access: "public" }],
    variables: ACCOUNTS,
  });
  t.after(() => plain.stop());
  await plain.expectForwarded(() => plain.request("/api/metrics"));
});
