// Feature flags: an admin sets a flag, KV stores it, and a rule with the feature is open or closed by it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";

// A Worker whose KV fails or never responds, as `X-KV` says. It also has an endpoint that writes to KV directly.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const broken = {
  failing: () => Promise.reject(new Error("KV is down")),
  silent: () => new Promise(() => {}),
};
const namespace = (call) => ({ get: call, getWithMetadata: call, put: call, delete: call });
export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/cdn-cgi/kv") {
      await env.KV.put(searchParams.get("key"), await request.text());
      return new Response("stored");
    }
    const call = broken[request.headers.get("x-kv")];
    return worker.fetch(request, call ? { ...env, KV: namespace(call) } : env, context);
  },
};`;

// A flag for each test, because an isolate caches flags.
const FLAGS = Array.from({ length: 40 }, (_, at) => `flag-${at}`);
const ROUTES = FLAGS.flatMap((feature) => [
  { path: `/open/${feature}`, access: "public", feature },
  { path: `/in/${feature}`, access: "authenticated", feature },
]);

let gateway;
let people;
let root;
let ada;
let bob;
before(async () => {
  gateway = await openGateway({
    routes: [],
    // One variable would be too large for all routes.
    variables: { ...ACCOUNTS, ROUTES_1: ROUTES.slice(0, 40), ROUTES_2: ROUTES.slice(40) },
    bindings: { kvNamespaces: ["KV"] },
    wrapperModules: { "entry.mjs": ENTRY },
    secondIsolate: true,
  });
  people = await setUpUsers(gateway);
  root = people.root;
  ada = await people.createUser("ada");
  bob = await people.createUser("bob");
});
after(() => gateway.stop());

let count = 0;
const flag = () => {
  count += 1;
  return FLAGS[count - 1];
};
const call = (...args) => gateway.expectNotForwarded(() => people.call(...args));
const at = (name) => `/api/features/${name}`;
const set = async (name, body, more) => {
  const response = await call("PUT", at(name), root, body, more);
  assert.equal(response.status, 200, response.text);
  return response.json();
};
const stored = (name, text) =>
  gateway.request(`/cdn-cgi/kv?key=feature:${name}`, { method: "POST", body: text });
const from = (address) => ({ headers: { "CF-Connecting-IP": address } });
const passes = async (name, caller = ANONYMOUS, path = "/in") => {
  const response = await people.call("GET", `${path}/${name}`, caller);
  if (response.text === "ok") return true;
  assertProblem(response, 403, "feature_disabled");
  return false;
};

describe("a flag", () => {
  test("is off if it was never set", async () => {
    const name = flag();
    const response = await call("GET", at(name), root);
    assert.equal(response.status, 200);
    assert.match(response.headers["cache-control"], /no-store/);
    assert.deepEqual(response.json(), { name, state: "off", percent: 0, principals: [] });
    await gateway.expectNotForwarded(() => passes(name, ada));
    assert.equal(await passes(name, ada), false);
  });

  for (const [body, expected] of [
    [{ state: "on" }, { state: "on", percent: 0, principals: [] }],
    [{ state: "off" }, { state: "off", percent: 0, principals: [] }],
    [
      { state: "percent", percent: 0 },
      { state: "percent", percent: 0, principals: [] },
    ],
    [
      { state: "percent", percent: 100, principals: [] },
      { state: "percent", percent: 100, principals: [] },
    ],
    [
      { state: "off", percent: 0, principals: ["usr_a", "~".repeat(128)] },
      { state: "off", percent: 0, principals: ["usr_a", "~".repeat(128)] },
    ],
    [
      { state: "percent", percent: 7, principals: Array.from({ length: 100 }, (_, i) => `u${i}`) },
      { state: "percent", percent: 7, principals: Array.from({ length: 100 }, (_, i) => `u${i}`) },
    ],
  ]) {
    test(`is returned as it was set: ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const name = "set-here_7";
      assert.deepEqual(await set(name, body), { name, ...expected });
      assert.deepEqual((await call("GET", at(name), root)).json(), { name, ...expected });
    });
  }

  test("keeps members that an update omits, so turning it off and on restores it", async () => {
    const name = flag();
    const flagWith = (more) => ({ name, percent: 10, principals: ["usr_1", "agt_2"], ...more });
    const open = flagWith({ state: "percent" });
    assert.deepEqual(await set(name, { ...open, name: undefined }), open);
    for (const [body, expected] of [
      [{ state: "off" }, flagWith({ state: "off" })],
      [{ state: "on" }, flagWith({ state: "on" })],
      [{ state: "percent", percent: 20 }, flagWith({ state: "percent", percent: 20 })],
      [{ state: "off", percent: 0 }, flagWith({ state: "off", percent: 0 })],
      [{ state: "percent", percent: 10 }, open],
      [{ state: "off", principals: [] }, flagWith({ state: "off", principals: [] })],
      [{ state: "on", principals: ["usr_1", "agt_2"] }, flagWith({ state: "on" })],
    ]) {
      assert.deepEqual(await set(name, body), expected);
      assert.deepEqual((await call("GET", at(name), root)).json(), expected);
    }
    // An invalid update changes nothing.
    const invalid = await call("PUT", at(name), root, { state: "off", percent: 101 });
    assertProblem(invalid, 400, "invalid_body");
    assert.deepEqual((await call("GET", at(name), root)).json(), flagWith({ state: "on" }));
  });

  test("can be read and set only by an admin", async () => {
    const name = flag();
    const agent = await people.createToken(root, "mk_", { agentId: "agent_9" });
    for (const [caller, status, error, reason] of [
      [ANONYMOUS, 401, "unauthorized", "no_credential"],
      [ada, 403, "forbidden_role"],
      [await people.createToken(ada, "mul_"), 403, "forbidden_role"],
      [agent, 403, "forbidden_kind"],
    ]) {
      assertProblem(await call("GET", at(name), caller), status, error, reason);
      const set = await call("PUT", at(name), caller, { state: "on" });
      assertProblem(set, status, error, reason);
    }
    const foreign = { headers: { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" } };
    const forged = await call("PUT", at(name), root, { state: "on" }, foreign);
    assertProblem(forged, 403, "forbidden_origin");
    assert.equal((await call("GET", at(name), root)).json().state, "off");
  });

  for (const [body, field] of [
    [{}, "state"],
    [{ state: "maybe" }, "state"],
    [{ state: true }, "state"],
    [{ state: "percent" }, "percent"],
    [{ state: "percent", percent: -1 }, "percent"],
    [{ state: "percent", percent: 101 }, "percent"],
    [{ state: "percent", percent: 1.5 }, "percent"],
    [{ state: "percent", percent: "50" }, "percent"],
    [{ state: "on", principals: "usr_a" }, "principals"],
    [{ state: "on", principals: [""] }, "principals"],
    [{ state: "on", principals: ["a b"] }, "principals"],
    [{ state: "on", principals: ["é"] }, "principals"],
    [{ state: "on", principals: [7] }, "principals"],
    [{ state: "on", principals: ["a".repeat(129)] }, "principals"],
    [{ state: "on", principals: Array(101).fill("a") }, "principals"],
    [{ state: "on", name: "other" }, "(unknown)"],
  ]) {
    test(`rejects an invalid value: ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const response = await call("PUT", at("never"), root, body);
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
      assert.equal((await call("GET", at("never"), root)).json().state, "off");
    });
  }

  for (const name of ["New", "a%20b", "a.b", "%C3%A9", "a".repeat(33), "a:b"]) {
    test(`returns 404 for an invalid name: ${name}`, async () => {
      assertProblem(await call("GET", at(name), root), 404, "not_found");
      assertProblem(await call("PUT", at(name), root, { state: "on" }), 404, "not_found");
    });
  }
});

describe("a rule with a feature", () => {
  test("is open to all callers while the flag is on, and follows a change at once in the isolate that set it", async () => {
    const name = flag();
    assert.equal(await passes(name, ada), false);
    for (const [state, open] of [
      ["on", true],
      ["off", false],
      ["on", true],
    ]) {
      await set(name, { state, principals: [ada.id] });
      for (const caller of [ada, bob]) assert.equal(await passes(name, caller), open);
      assert.equal(await passes(name, ANONYMOUS, "/open"), open);
    }
  });

  test("is open to listed principals and their tokens at any percentage", async () => {
    const name = flag();
    const agent = await people.createToken(root, "mk_", { agentId: "agent_7" });
    await set(name, { state: "percent", percent: 0, principals: [ada.id, "agent_7"] });
    for (const [caller, open] of [
      [ada, true],
      [await people.createToken(ada, "mat_"), true],
      [agent, true],
      [bob, false],
      [root, false],
      [await people.createToken(bob, "mul_"), false],
    ]) {
      assert.equal(await passes(name, caller), open);
    }
    await set(name, { state: "percent", percent: 100 });
    for (const caller of [ada, bob, agent]) assert.equal(await passes(name, caller), true);
  });

  test("is open to a share of addresses: always the same ones, and more as the percentage grows", async () => {
    const name = flag();
    const addresses = Array.from({ length: 200 }, (_, i) => `198.51.100.${i}`);
    const admitted = async () => {
      const open = await Promise.all(addresses.map((one) => passes(name, from(one), "/open")));
      return addresses.filter((_, i) => open[i]);
    };
    let previous = [];
    for (const percent of [0, 20, 50, 100]) {
      await set(name, { state: "percent", percent });
      const all = await admitted();
      assert.deepEqual(await admitted(), all);
      // The bound is five standard deviations.
      assert.ok(Math.abs(all.length - percent * 2) <= 35, `${all.length} of 200 at ${percent} %`);
      assert.ok(
        previous.every((one) => all.includes(one)),
        "an address that was admitted stays admitted",
      );
      previous = all;
    }
    assert.equal(previous.length, 200);
  });

  test("decides by principal, not by address, if the principal is known", async () => {
    const name = flag();
    await set(name, { state: "percent", percent: 50 });
    for (const caller of [ada, bob, root]) {
      const open = await passes(name, caller);
      for (let i = 0; i < 10; i += 1) {
        const elsewhere = { headers: { ...caller.headers, ...from(`203.0.113.${i}`).headers } };
        assert.equal(await passes(name, elsewhere), open);
      }
    }
  });

  for (const text of [
    "",
    "on",
    "[]",
    '["on"]',
    '["percent",100,[]]',
    ' ["on"]',
    "null",
    '"on"',
    "1",
    '{"state":"maybe"}',
    '{"state":["on"]}',
    '{"state":"percent"}',
    '{"state":"percent","percent":"100"}',
    '{"state":"percent","percent":101}',
    '{"state":"on"',
  ]) {
    test(`is closed if the stored flag is invalid: ${text}`, async () => {
      const name = flag();
      await stored(name, text);
      const closed = await gateway.expectNotForwarded(() => people.call("GET", `/open/${name}`));
      assertProblem(closed, 403, "feature_disabled");
    });
  }

  test("uses a flag that another program wrote to KV", async () => {
    const name = flag();
    await stored(name, JSON.stringify({ state: "on" }));
    assert.equal(await passes(name, ada), true);
    assert.equal((await call("GET", at(name), root)).json().state, "on");
  });

  test("checks the feature after the caller's identity", async () => {
    const response = await gateway.expectNotForwarded(() => people.call("GET", `/in/${flag()}`));
    assertProblem(response, 401, "unauthorized", "no_credential");
  });

  test("follows a change from another isolate within the cache time", async () => {
    const name = flag();
    assert.equal(await passes(name, ada), false);
    await set(name, { state: "on" }, { request: gateway.requestSecondIsolate });
    const start = performance.now();
    let open;
    do open = await passes(name, ada);
    while (!open && performance.now() - start < 100_000);
    assert.ok(open);
  });
});

for (const failure of ["failing", "silent"]) {
  describe(`a KV that is ${failure}`, () => {
    const broken = { headers: { "X-KV": failure } };
    const unavailable = (response) => {
      assertProblem(response, 503, "store_unavailable");
      assert.equal(response.headers["retry-after"], "1");
    };

    test("returns 503 and does not cache the failure as a result", async () => {
      const name = flag();
      await stored(name, JSON.stringify({ state: "on" }));
      unavailable(await call("GET", `/in/${name}`, ada, undefined, broken));
      assert.equal(await passes(name, ada), true);
    });

    test("returns 503 to reads and updates of a flag, and changes nothing", async () => {
      const name = flag();
      unavailable(await call("PUT", at(name), root, { state: "on" }, broken));
      unavailable(await call("GET", at(name), root, undefined, broken));
      assert.equal((await call("GET", at(name), root)).json().state, "off");
    });
  });
}
