// Features: rules that are open to some, as a flag says that an admin sets and KV keeps.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";

// KV that does as `X-KV` says: fails, or never answers. And a way past the gateway to what KV has.
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
      return new Response("kept");
    }
    const call = broken[request.headers.get("x-kv")];
    return worker.fetch(request, call ? { ...env, KV: namespace(call) } : env, context);
  },
};`;

// A flag for each test: an isolate remembers.
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
    // More than one variable may hold.
    variables: { ...ACCOUNTS, ROUTES_1: ROUTES.slice(0, 40), ROUTES_2: ROUTES.slice(40) },
    bindings: { kvNamespaces: ["KV"] },
    around: { "entry.mjs": ENTRY },
    twin: true,
  });
  people = await settle(gateway);
  root = people.root;
  ada = await people.invited("ada");
  bob = await people.invited("bob");
});
after(() => gateway.stop());

let count = 0;
const flag = () => {
  count += 1;
  return FLAGS[count - 1];
};
const call = (...given) => gateway.untouched(() => people.call(...given));
const at = (name) => `/api/features/${name}`;
const set = async (name, body, more) => {
  const response = await call("PUT", at(name), root, body, more);
  assert.equal(response.status, 200, response.text);
  return response.json();
};
const stored = (name, text) =>
  gateway.ask(`/cdn-cgi/kv?key=feature:${name}`, { method: "POST", body: text });
const from = (address) => ({ headers: { "CF-Connecting-IP": address } });
const passes = async (name, who = NOBODY, path = "/in") => {
  const response = await people.call("GET", `${path}/${name}`, who);
  if (response.text === "ok") return true;
  assertProblem(response, 403, "feature_disabled");
  return false;
};

describe("a flag", () => {
  test("that nobody has set is off", async () => {
    const name = flag();
    const response = await call("GET", at(name), root);
    assert.equal(response.status, 200);
    assert.match(response.headers["cache-control"], /no-store/);
    assert.deepEqual(response.json(), { name, state: "off", percent: 0, principals: [] });
    await gateway.untouched(() => passes(name, ada));
    assert.equal(await passes(name, ada), false);
  });

  for (const [body, is] of [
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
    test(`is as it was set: ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const name = "set-here_7";
      assert.deepEqual(await set(name, body), { name, ...is });
      assert.deepEqual((await call("GET", at(name), root)).json(), { name, ...is });
    });
  }

  test("keeps what is not said, and so is turned off and on again as it was", async () => {
    const name = flag();
    const is = (more) => ({ name, percent: 10, principals: ["usr_1", "agt_2"], ...more });
    const open = is({ state: "percent" });
    assert.deepEqual(await set(name, { ...open, name: undefined }), open);
    for (const [body, wanted] of [
      [{ state: "off" }, is({ state: "off" })],
      [{ state: "on" }, is({ state: "on" })],
      [{ state: "percent", percent: 20 }, is({ state: "percent", percent: 20 })],
      [{ state: "off", percent: 0 }, is({ state: "off", percent: 0 })],
      [{ state: "percent", percent: 10 }, open],
      [{ state: "off", principals: [] }, is({ state: "off", principals: [] })],
      [{ state: "on", principals: ["usr_1", "agt_2"] }, is({ state: "on" })],
    ]) {
      assert.deepEqual(await set(name, body), wanted);
      assert.deepEqual((await call("GET", at(name), root)).json(), wanted);
    }
    // What is not set changes nothing either.
    const wrong = await call("PUT", at(name), root, { state: "off", percent: 101 });
    assertProblem(wrong, 400, "invalid_body");
    assert.deepEqual((await call("GET", at(name), root)).json(), is({ state: "on" }));
  });

  test("is an admin's to see and to set", async () => {
    const name = flag();
    const agent = await people.token(root, "mk_", { agentId: "agent_9" });
    for (const [who, status, error, reason] of [
      [NOBODY, 401, "unauthorized", "no_credential"],
      [ada, 403, "forbidden_role"],
      [await people.token(ada, "mul_"), 403, "forbidden_role"],
      [agent, 403, "forbidden_kind"],
    ]) {
      assertProblem(await call("GET", at(name), who), status, error, reason);
      const set = await call("PUT", at(name), who, { state: "on" });
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
    test(`is not set to what is none: ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const response = await call("PUT", at("never"), root, body);
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
      assert.equal((await call("GET", at("never"), root)).json().state, "off");
    });
  }

  for (const name of ["New", "a%20b", "a.b", "%C3%A9", "a".repeat(33), "a:b"]) {
    test(`has a name that is one: ${name}`, async () => {
      assertProblem(await call("GET", at(name), root), 404, "not_found");
      assertProblem(await call("PUT", at(name), root, { state: "on" }), 404, "not_found");
    });
  }
});

describe("a rule of a feature", () => {
  test("is open to all when it is on, at once where it was set, and closed again when off", async () => {
    const name = flag();
    assert.equal(await passes(name, ada), false);
    for (const [state, open] of [
      ["on", true],
      ["off", false],
      ["on", true],
    ]) {
      await set(name, { state, principals: [ada.id] });
      for (const who of [ada, bob]) assert.equal(await passes(name, who), open);
      assert.equal(await passes(name, NOBODY, "/open"), open);
    }
  });

  test("is open to those who are named, whatever the percentage, and to their tokens", async () => {
    const name = flag();
    const agent = await people.token(root, "mk_", { agentId: "agent_7" });
    await set(name, { state: "percent", percent: 0, principals: [ada.id, "agent_7"] });
    for (const [who, open] of [
      [ada, true],
      [await people.token(ada, "mat_"), true],
      [agent, true],
      [bob, false],
      [root, false],
      [await people.token(bob, "mul_"), false],
    ]) {
      assert.equal(await passes(name, who), open);
    }
    await set(name, { state: "percent", percent: 100 });
    for (const who of [ada, bob, agent]) assert.equal(await passes(name, who), true);
  });

  test("is open to a share of addresses: the same ones each time, and more as it grows", async () => {
    const name = flag();
    const addresses = Array.from({ length: 200 }, (_, i) => `198.51.100.${i}`);
    const letIn = async () => {
      const open = await Promise.all(addresses.map((one) => passes(name, from(one), "/open")));
      return addresses.filter((_, i) => open[i]);
    };
    let fewer = [];
    for (const percent of [0, 20, 50, 100]) {
      await set(name, { state: "percent", percent });
      const all = await letIn();
      assert.deepEqual(await letIn(), all);
      // Five times the deviation that chance would have.
      assert.ok(Math.abs(all.length - percent * 2) <= 35, `${all.length} of 200 at ${percent} %`);
      assert.ok(
        fewer.every((one) => all.includes(one)),
        "who was in stays in",
      );
      fewer = all;
    }
    assert.equal(fewer.length, 200);
  });

  test("of a principal does not go by where they ask from", async () => {
    const name = flag();
    await set(name, { state: "percent", percent: 50 });
    for (const who of [ada, bob, root]) {
      const open = await passes(name, who);
      for (let i = 0; i < 10; i += 1) {
        const elsewhere = { headers: { ...who.headers, ...from(`203.0.113.${i}`).headers } };
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
    test(`is closed where the flag is nothing readable: ${text}`, async () => {
      const name = flag();
      await stored(name, text);
      const closed = await gateway.untouched(() => people.call("GET", `/open/${name}`));
      assertProblem(closed, 403, "feature_disabled");
    });
  }

  test("goes by what another wrote, too", async () => {
    const name = flag();
    await stored(name, JSON.stringify({ state: "on" }));
    assert.equal(await passes(name, ada), true);
    assert.equal((await call("GET", at(name), root)).json().state, "on");
  });

  test("is found out after who is asking", async () => {
    const response = await gateway.untouched(() => people.call("GET", `/in/${flag()}`));
    assertProblem(response, 401, "unauthorized", "no_credential");
  });

  test("follows what another isolate was told, within its time", async () => {
    const name = flag();
    assert.equal(await passes(name, ada), false);
    await set(name, { state: "on" }, { ask: gateway.askTwin });
    const asked = performance.now();
    let open;
    do open = await passes(name, ada);
    while (!open && performance.now() - asked < 100_000);
    assert.ok(open);
  });
});

for (const how of ["failing", "silent"]) {
  describe(`a KV that is ${how}`, () => {
    const broken = { headers: { "X-KV": how } };
    const unavailable = (response) => {
      assertProblem(response, 503, "store_unavailable");
      assert.equal(response.headers["retry-after"], "1");
    };

    test("closes the rule for now, and is not taken for an answer", async () => {
      const name = flag();
      await stored(name, JSON.stringify({ state: "on" }));
      unavailable(await call("GET", `/in/${name}`, ada, undefined, broken));
      assert.equal(await passes(name, ada), true);
    });

    test("sets nothing and shows nothing", async () => {
      const name = flag();
      unavailable(await call("PUT", at(name), root, { state: "on" }, broken));
      unavailable(await call("GET", at(name), root, undefined, broken));
      assert.equal((await call("GET", at(name), root)).json().state, "off");
    });
  });
}
