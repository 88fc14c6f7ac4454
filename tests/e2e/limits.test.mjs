// Rate limits of rules: exact across isolates, and counted by the client address that the platform reports.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";

const limit = (name, more) => ({ name, limit: 100, period: "1h", by: "address", ...more });
const rule = (name, access = "public") => ({ path: `/${name}/{*rest}`, access, limit: name });

let gateway;
before(async () => {
  gateway = await openGateway({
    secondIsolate: true,
    routes: [
      rule("hundred"),
      rule("shared"),
      { path: "/also-shared", access: "public", limit: "shared" },
      rule("mine", "user"),
      rule("open"),
      rule("five", "user"),
    ],
    variables: {
      RATE_LIMITS: [
        limit("hundred"),
        limit("shared", { limit: 3 }),
        limit("mine", { limit: 3, by: "principal" }),
        limit("open", { limit: 1, on_failure: "open" }),
        limit("five", { limit: 5 }),
      ],
    },
  });
});
after(() => gateway.stop());

let count = 0;
let address;
beforeEach(() => {
  count += 1;
  address = `192.0.2.${count}`;
});
const get = (path, headers, request = gateway.request) =>
  request(path, { headers: { "CF-Connecting-IP": address, ...headers } });
const passed = (answers) => answers.filter(({ text }) => text === "ok").length;

describe("by address", () => {
  for (const isolates of [1, 2]) {
    test(`a hundred of a thousand concurrent requests pass (isolates: ${isolates})`, async () => {
      const senders = [gateway.request, gateway.requestSecondIsolate].slice(0, isolates);
      const before = gateway.upstreamRequests.length;
      const answers = await Promise.all(
        Array.from({ length: 1_000 }, (_, at) => get(`/hundred/${at}`, {}, senders[at % isolates])),
      );
      assert.equal(passed(answers), 100);
      assert.equal(gateway.upstreamRequests.length - before, 100);
      const refused = answers.find(({ status }) => status === 429);
      assertProblem(refused, 429, "rate_limited");
      assert.ok(Number(refused.headers["retry-after"]) > 0);
      assert.equal(refused.headers["ratelimit-policy"], '"hundred";q=100;w=3600');
      assert.match(refused.headers.ratelimit, /^"hundred";r=0;t=\d+$/);
    });
  }

  test("each response has the remaining count", async () => {
    for (const left of [2, 1, 0]) {
      const { headers } = await get("/shared/x");
      assert.match(headers.ratelimit, new RegExp(`^"shared";r=${left};t=\\d+$`));
    }
    const response = await gateway.expectNotForwarded(() => get("/also-shared"));
    assertProblem(response, 429, "rate_limited");
  });

  test("forwarding headers of the client are ignored, and an IPv6 address counts as its /64", async () => {
    for (let at = 0; at < 4; at += 1) {
      const forged = { "X-Forwarded-For": `10.0.0.${at}`, "X-Real-IP": `10.0.1.${at}` };
      const { status } = await get("/shared/x", forged);
      assert.equal(status, at < 3 ? 200 : 429);
    }
    for (let at = 0; at < 4; at += 1) {
      address = `2001:db8:${count}:7:${at}::1`;
      assert.equal((await get("/shared/x")).status, at < 3 ? 200 : 429);
    }
    address = `2001:db8:${count}:8::1`;
    assert.equal((await get("/shared/x")).status, 200);
  });

  test("a request is counted before its cookie is checked, and a refusal still heals the cookie", async () => {
    const headers = { Cookie: "mk_session=x" };
    for (let at = 0; at < 5; at += 1) assert.equal((await get("/five/x", headers)).status, 401);
    const response = await gateway.expectNotForwarded(() => get("/five/x", headers));
    assertProblem(response, 429, "rate_limited");
    assert.match(response.cookies[0], /^mk_session=; Path=\/; Max-Age=0/);
  });
});

test("by principal: requests count for their principal at any address, and for no other principal", async () => {
  const as = (userId) => ({ Cookie: sessionCookies(createSessionToken({ userId })) });
  for (let at = 0; at < 4; at += 1) {
    address = `198.51.100.${at}`;
    assert.equal((await get("/mine/x", as("usr_ada"))).status, at < 3 ? 200 : 429);
  }
  assert.equal((await get("/mine/x", as("usr_bob"))).status, 200);
  // A request that is refused as unauthenticated does not count.
  assertProblem(await get("/mine/x"), 401, "unauthorized", "no_credential");
});

test("if the limiter is unavailable, on_failure decides", async () => {
  const ENTRY = `
    import worker from "./index.js";
    export * from "./index.js";
    const LIMITER = { idFromName: (name) => name, get: () => ({ command: () => Promise.reject(new Error("down")) }) };
    export default {
      fetch: (request, env, context) => worker.fetch(request, { ...env, LIMITER }, context),
    };`;
  const other = await openGateway({
    routes: [rule("open"), rule("closed")],
    variables: {
      RATE_LIMITS: [limit("open", { limit: 1, on_failure: "open" }), limit("closed", { limit: 1 })],
    },
    wrapperModules: { "entry.mjs": ENTRY },
  });
  try {
    for (let at = 0; at < 3; at += 1) assert.equal((await other.request("/open/x")).text, "ok");
    const response = await other.expectNotForwarded(() => other.request("/closed/x"));
    assertProblem(response, 503, "store_unavailable");
  } finally {
    await other.stop();
  }
});

describe("a platform gate before the exact count", () => {
  const gated = (name, more) => limit(name, { gate: "GATE", ...more });
  const routes = [rule("gated"), rule("mine", "user"), rule("brief")];
  const variables = {
    RATE_LIMITS: [
      gated("gated"),
      gated("mine", { by: "principal" }),
      gated("brief", { period: "10s", limit: 50 }),
    ],
  };
  const opened = async (t, more) => {
    const other = await openGateway({ routes, variables, ...more });
    t.after(() => other.stop());
    return other;
  };

  test("refuses what the platform refuses, with Retry-After for one window", async (t) => {
    const ratelimits = { GATE: { namespace_id: "1", simple: { limit: 2, period: 60 } } };
    const other = await opened(t, { bindings: { ratelimits } });
    for (const [path, retry] of [
      ["/gated/x", "60"],
      ["/brief/x", "10"],
    ]) {
      address = `203.0.113.${retry}`;
      let passed = 0;
      let response;
      // The start of a window is not known. Two requests pass in each, and the exact count allows many more.
      for (;;) {
        const before = other.upstreamRequests.length;
        response = await get(path, {}, other.request);
        if (response.status !== 200) {
          assert.equal(other.upstreamRequests.length, before);
          break;
        }
        passed += 1;
        assert.ok(passed <= 4, `${passed} requests have passed`);
      }
      assert.ok(passed >= 2);
      assertProblem(response, 429, "rate_limited");
      assert.equal(response.headers["retry-after"], retry);
      // Another address has another key.
      address = `203.0.113.1${retry}`;
      assert.equal((await get(path, {}, other.request)).text, "ok");
    }
  });

  // A gate that behaves as `X-Gate` says. It records its keys, and the number of calls to the exact count.
  const ENTRY = `
    import worker from "./index.js";
    export * from "./index.js";
    const calls = { keys: [], counted: 0 };
    const answers = {
      open: async () => ({ success: true }),
      shut: async () => ({ success: false }),
      failing: () => Promise.reject(new Error("down")),
      throwing: () => { throw new Error("down"); },
      silent: () => new Promise(() => {}),
      empty: async () => undefined,
      lying: async () => ({ success: "no" }),
    };
    export default {
      fetch(request, env, context) {
        if (new URL(request.url).pathname === "/cdn-cgi/calls") return Response.json(calls);
        const GATE = {
          limit({ key }) {
            calls.keys.push(key);
            return answers[request.headers.get("x-gate")]();
          },
        };
        const LIMITER = {
          idFromName: (name) => env.LIMITER.idFromName(name),
          get: (id) => ({
            command(...args) {
              calls.counted += 1;
              return env.LIMITER.get(id).command(...args);
            },
          }),
        };
        return worker.fetch(request, { ...env, GATE, LIMITER }, context);
      },
    };`;
  const wrapperModules = { "entry.mjs": ENTRY };
  const callsOf = async (other) => (await other.request("/cdn-cgi/calls")).json();

  for (const behavior of ["open", "failing", "throwing", "silent", "empty", "lying"]) {
    test(`that is ${behavior} leaves the decision to the exact count`, async (t) => {
      const RATE_LIMITS = [gated("gated", { limit: 3 }), gated("mine"), gated("brief")];
      const other = await opened(t, { wrapperModules, variables: { RATE_LIMITS } });
      const all = await Promise.all(
        Array.from({ length: 8 }, () => get("/gated/x", { "X-Gate": behavior }, other.request)),
      );
      assert.equal(passed(all), 3);
      assert.equal(other.upstreamRequests.length, 3);
      for (const response of all.filter(({ status }) => status !== 200))
        assertProblem(response, 429, "rate_limited");
      assert.equal((await callsOf(other)).keys.length, 8);
    });
  }

  test("that is shut spares the exact count, and gets the same key for the same client", async (t) => {
    const other = await opened(t, { wrapperModules });
    const shut = { "X-Gate": "shut" };
    for (const [path, headers] of [
      ["/gated/x", { "CF-Connecting-IP": "192.0.2.7" }],
      ["/gated/y", { "CF-Connecting-IP": "192.0.2.7" }],
      ["/gated/x", { "CF-Connecting-IP": "192.0.2.8" }],
      ["/gated/x", { "CF-Connecting-IP": "2001:db8:1:2::1" }],
      ["/gated/x", { "CF-Connecting-IP": "2001:db8:1:2::9" }],
      [
        "/mine/x",
        {
          Cookie: sessionCookies(createSessionToken({ userId: "usr_ada" })),
          "CF-Connecting-IP": "192.0.2.7",
        },
      ],
      [
        "/mine/y",
        {
          Cookie: sessionCookies(createSessionToken({ userId: "usr_ada" })),
          "CF-Connecting-IP": "192.0.2.8",
        },
      ],
      [
        "/mine/x",
        {
          Cookie: sessionCookies(createSessionToken({ userId: "usr_bob" })),
          "CF-Connecting-IP": "192.0.2.7",
        },
      ],
    ]) {
      const response = await other.expectNotForwarded(() =>
        get(path, { ...headers, ...shut }, other.request),
      );
      assertProblem(response, 429, "rate_limited");
      assert.equal(response.headers["retry-after"], "60");
    }
    const { keys, counted } = await callsOf(other);
    assert.equal(counted, 0);
    const firstIndexes = keys.map((key) => keys.indexOf(key));
    assert.deepEqual(firstIndexes, [0, 0, 2, 3, 3, 5, 5, 7]);
    // An unauthenticated request does not reach the gate.
    assertProblem(await get("/mine/x", shut, other.request), 401, "unauthorized", "no_credential");
    assert.equal((await callsOf(other)).keys.length, 8);
  });
});
