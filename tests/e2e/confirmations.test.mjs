// Rules whose acts a machine may only do with a person's consent: to this act, once, for a while.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";
import { now } from "../support/tokens.mjs";

const SPAN = 600;
const NOW = now();
const at = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");

const rule = (path, more) => ({ path, access: "authenticated", confirm: "human", ...more });
const ROUTES = [
  rule("/deploys/{*rest}", { operation: "deploys.create" }),
  rule("/keyed/{*rest}", { idempotency: "optional" }),
  rule("/must/{*rest}", { idempotency: "required" }),
  rule("/hour/{*rest}", { idempotency: "required", retention: "1h" }),
  rule("/small", { body_limit: 1_000 }),
  rule("/large", { body_limit: 5_000_000 }),
  rule("/admins", { access: "admin" }),
  { path: "/public", access: "public" },
];
const VARIABLES = {
  ...ACCOUNTS,
  CREDENTIALS: [
    { prefix: "mul_", kind: "user", machine: false },
    { prefix: "mat_", kind: "user", source: "task_token", machine: true },
    { prefix: "mcn_", kind: "user", source: "cloud_pat", machine: true },
    { prefix: "mk_", kind: "agent", source: "agent_token", machine: true },
    { prefix: "bot_", kind: "user", source: "build_bot", machine: true },
  ],
};

let gateway;
let people;
let consent;
let root;
let ada;
let machine;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { ...VARIABLES, DANGER_FIXED_NOW: NOW },
    bindings: { kvNamespaces: ["KV"] },
    // A second before an act is forgotten.
    twin: { DANGER_FIXED_NOW: NOW + SPAN - 1 },
  });
  people = await settle(gateway);
  consent = consentOf(gateway, people);
  root = people.root;
  ada = await people.invited("ada");
});
after(() => gateway.stop());

let count = 0;
let path;
beforeEach(async () => {
  count += 1;
  path = `/deploys/${count}`;
  // Each test has a machine of its own, so that none has too many open.
  machine = await people.token(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
});

const TEXT = { "Content-Type": "text/plain" };
const send = (id, { method = "POST", to = path, who = machine, ask, ...more } = {}) => {
  const { body, ...headers } = { body: "body", ...more };
  return people.call(method, to, who, body, {
    headers: { ...TEXT, "Confirmation-ID": id, ...headers },
    ask,
  });
};
const asked = async (more) => (await consent.asked(() => send(undefined, more))).confirmationId;
const approved = async (more) => {
  const id = await asked(more);
  await consent.decided(id, "approve", ada);
  return id;
};
const hits = () => gateway.seen.filter(({ url }) => url.split("?")[0] === path).length;

describe("who has to ask", () => {
  for (const [what, who] of [
    ["a task token", () => machine],
    ["a cloud token", () => people.token(ada, "mcn_")],
    ["an agent", () => people.token(root, "mk_", { agentId: "agent_7" })],
    ["a machine of the operator's own", () => people.token(ada, "bot_")],
    ["an admin's machine", () => people.token(root, "mat_")],
  ]) {
    test(`${what}: has to`, async () => {
      const as = await who();
      const { expiresAt } = await consent.asked(() => send(undefined, { who: as }));
      assert.equal(expiresAt, at(NOW + SPAN));
    });
  }

  test("a session with a machine beside it, or what goes on by another protocol, is refused", async () => {
    const beside = { headers: { ...ada.headers, ...machine.headers } };
    const upgrade = { method: "GET", body: undefined, Connection: "Upgrade", Upgrade: "websocket" };
    const id = await approved();
    for (const more of [{ who: beside }, upgrade]) {
      for (const offered of [undefined, id]) {
        const response = await gateway.untouched(() => send(offered, more));
        assertProblem(response, 403, "forbidden_human_only");
      }
    }
    await gateway.passed(() => send(id));
  });

  test("people in person do not, and nobody says for them that they did", async () => {
    const forged = { "X-Confirmed-By": "usr_mallory", X_Confirmed_By: "usr_mallory" };
    for (const who of [ada, root, await people.token(ada, "mul_")]) {
      const { seen } = await gateway.passed(() => send(undefined, { who, ...forged }));
      assert.doesNotMatch(JSON.stringify(seen.rawHeaders), /mallory|confirmed/i);
    }
    const { seen } = await gateway.passed(() =>
      send("x", { to: "/public", who: NOBODY, ...forged }),
    );
    assert.doesNotMatch(JSON.stringify(seen.rawHeaders), /mallory|confirmed/i);
  });

  test("who may not come in at all is not put before anybody", async () => {
    const nobody = await gateway.untouched(() => send(undefined, { who: NOBODY }));
    assertProblem(nobody, 401, "unauthorized", "no_credential");
    const small = await gateway.untouched(() => send(undefined, { to: "/admins" }));
    assertProblem(small, 403, "forbidden_role");
    assert.deepEqual(
      (await consent.listed(root)).filter((item) => item.path === "/admins"),
      [],
    );
  });
});

describe("an act", () => {
  const elsewhere = (url, options) => gateway.ask(url, { ...options, host: "localhost:8787" });
  // What differs from one attempt to the next.
  const MEANINGLESS = {
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "a=1",
    Baggage: "a=1",
    B3: "1-1-1",
    "X-B3-TraceId": "1",
    "Sentry-Trace": "1",
    "Uber-Trace-Id": "1",
    Newrelic: "1",
    "X-Datadog-Trace-Id": "1",
    "X-Amzn-Trace-Id": "Root=1",
    "X-Stainless-Retry-Count": "1",
    "User-Agent": "agent/1",
    Accept: "text/plain",
    "Accept-Language": "de",
    "Cache-Control": "no-cache",
    DNT: "1",
    "CF-Ray": "1",
    "Sec-Fetch-Mode": "cors",
    Priority: "u=1",
    Referer: "https://app.example/x",
  };

  test("waits until somebody consents, is done once, and says by whom", async () => {
    const first = await consent.asked(() => send(undefined));
    const id = first.confirmationId;
    for (const again of [undefined, id, undefined]) {
      const { confirmationId, expiresAt } = await consent.asked(() => send(again));
      assert.deepEqual([confirmationId, expiresAt], [id, first.expiresAt]);
    }
    await consent.decided(id, "approve", ada);
    const { response, seen } = await gateway.passed(() => send(id, { "X-Confirmed-By": "usr_x" }));
    assert.equal(response.text, "ok");
    assert.equal(seen.headers["x-confirmed-by"], ada.id);
    assert.equal(seen.headers["x-actor-source"], "task_token");
    assert.equal(String(await seen.body), "body");
    await consent.invalid("used", () => send(id));
    // What is done is not open any more: to do it again is another act.
    assert.notEqual(await asked(), id);
    assert.equal(hits(), 1);
  });

  test("with consent, of fifty at once, is done once", async () => {
    const id = await approved();
    const all = await Promise.all(Array.from({ length: 50 }, () => send(id)));
    assert.equal(all.filter(({ text }) => text === "ok").length, 1);
    for (const other of all.filter(({ status }) => status !== 200))
      assertProblem(other, 403, "confirmation_invalid", "used");
    assert.equal(hits(), 1);
  });

  test("of fifty at once is asked about once", async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => asked()));
    assert.equal(new Set(all).size, 1);
  });

  test("that was changed is not what was consented to, and costs nothing", async () => {
    const to = `${path}?x=1`;
    const said = { "X-Tenant": "acme", "Content-Encoding": "identity", Cookie: "a=1; tenant=acme" };
    const id = await asked({ to, ...said });
    const CHANGES = [
      ["another body", { to, body: "bodY" }],
      ["a longer body", { to, body: "body\n" }],
      ["no body", { to, body: "" }],
      ["another path", { to: `${path}0?x=1` }],
      ["another query", { to: `${path}?x=2` }],
      ["no query", { to: path }],
      ["a query in another order", { to: `${path}?x=1&` }],
      ["a run of slashes", { to: to.replace("deploys/", "deploys//") }],
      ["another type", { to, "Content-Type": "application/json" }],
      ["a finer type", { to, "Content-Type": "text/plain; charset=utf-8" }],
      ["another method", { to, method: "PUT" }],
      ["another host", { to, ask: elsewhere }],
      ["another tenant", { to, "X-Tenant": "evil" }],
      ["no tenant", { to, "X-Tenant": undefined }],
      ["a header more", { to, "X-Amount": "7" }],
      ["a header more that is empty", { to, "X-Dry-Run": "" }],
      ["another encoding", { to, "Content-Encoding": "br" }],
      ["no encoding", { to, "Content-Encoding": undefined }],
      ["another cookie", { to, Cookie: "a=1; tenant=evil" }],
      ["a cookie less", { to, Cookie: "tenant=acme" }],
      ["no cookie", { to, Cookie: undefined }],
    ];
    for (const verdict of [undefined, "approve"]) {
      if (verdict) await consent.decided(id, verdict, ada);
      for (const [what, more] of CHANGES) {
        const response = await gateway.untouched(() => send(id, { ...said, ...more }));
        assert.equal(response.json().reason, "changed", what);
        assertProblem(response, 403, "confirmation_invalid", "changed");
      }
    }
    // What differs between attempts says nothing of what is done.
    const { seen } = await gateway.passed(() => send(id, { ...said, ...MEANINGLESS, to }));
    assert.equal(seen.headers["x-tenant"], "acme");
    assert.equal(seen.headers.cookie, said.Cookie);
  });

  test("may be sent again by a client that tells each attempt apart", async () => {
    const id = await asked(MEANINGLESS);
    const others = Object.fromEntries(
      Object.entries(MEANINGLESS).map(([name, value]) => [name, `${value}, 2`]),
    );
    for (const more of [others, {}]) assert.equal(await asked(more), id);
    await consent.decided(id, "approve", ada);
    await gateway.passed(() => send(id, others));
  });

  test("says at most what a person can read", async () => {
    const headers = (count) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`X-Part-${i}`, `value ${i}`]));
    for (const offered of [undefined, await approved()]) {
      const response = await gateway.untouched(() => send(offered, headers(31)));
      assert.equal(assertProblem(response, 400, "invalid_body").field, "(headers)");
    }
    const item = await consent.item(await asked({ ...headers(30), ...MEANINGLESS }), ada);
    assert.equal(item.headers.length, 30);
    for (const [name, value] of Object.entries(headers(30)))
      assert.ok(item.headers.some((pair) => pair.join() === `${name.toLowerCase()},${value}`));
  });

  test("of somebody else's is not known", async () => {
    const id = await approved();
    const bob = await people.invited(`bob-${count}`);
    for (const who of [
      await people.token(ada, "mat_", { agentId: "agent_7", taskId: "task_9" }),
      await people.token(ada, "mcn_"),
      await people.token(bob, "mat_"),
      await people.token(root, "mk_", { agentId: "agent_7" }),
    ]) {
      await consent.invalid("unknown", () => send(id, { who }));
    }
    await gateway.passed(() => send(id));
  });

  test("of somebody else's is not looked for", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
    const other = await openGateway({ routes: ROUTES, variables: VARIABLES, folder });
    try {
      const town = await settle(other);
      const theirs = consentOf(other, town);
      const who = await town.token(town.root, "mat_");
      const post = (id) =>
        town.call("POST", "/deploys/1", who, "x", { headers: { "Confirmation-ID": id } });
      const { confirmationId } = await theirs.asked(() => post(undefined));
      const stores = () =>
        readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
          ({ parentPath, name }) => /-Confirmations$/.test(parentPath) && name.endsWith(".sqlite"),
        ).length;
      const before = stores();
      assert.ok(before > 0);
      for (let one = 0; one < 10; one += 1) {
        const object = one.toString(16).padStart(16, "0");
        await theirs.invalid("unknown", () => post(`cnf_${object}.${"A".repeat(22)}`));
      }
      await theirs.asked(() => post(confirmationId));
      assert.equal(stores(), before);
    } finally {
      await other.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("is not known by what is no id", async () => {
    const id = await approved();
    const [head, tail] = id.split(".");
    for (const value of [
      "x",
      "cnf_",
      head,
      `${head}.`,
      `${id}x`,
      id.slice(0, -1),
      `${head}.${tail.replace(/./, (first) => (first === "A" ? "B" : "A"))}`,
      `cnf_${"0".repeat(16)}.${tail}`,
      `cnf_${"0".repeat(16)}.${"A".repeat(tail.length)}`,
      id.toUpperCase(),
      `"${id}"`,
      `${id}, ${id}`,
      "x".repeat(5_000),
    ]) {
      await consent.invalid("unknown", () => send(value));
    }
    await gateway.passed(() => send(id));
  });

  test("whose machine was shut out is not done, consent or not", async () => {
    const id = await approved();
    const gone = await people.call("DELETE", `/api/agent-tokens/${machine.id}`, ada);
    assert.equal(gone.status, 204);
    const response = await gateway.untouched(() => send(id));
    assertProblem(response, 401, "unauthorized", "token_revoked");
  });

  test("that reads is one as well", async () => {
    const reading = { method: "GET", body: undefined, "Content-Type": undefined };
    const id = await approved(reading);
    // A body that would not go on is not put before anybody.
    for (const [method, offered] of [
      ["GET", undefined],
      ["GET", id],
      ["HEAD", undefined],
    ]) {
      const odd = await gateway.untouched(() => send(offered, { ...reading, method, body: "x" }));
      assert.equal(odd.status, 400);
      if (method === "GET") assert.equal(assertProblem(odd, 400, "invalid_body").field, "(body)");
    }
    const { seen } = await gateway.passed(() => send(id, reading));
    assert.deepEqual([seen.method, seen.headers["x-confirmed-by"]], ["GET", ada.id]);
  });

  test("comes through byte for byte, however large", async () => {
    for (const [to, body] of [
      [path, randomBytes(1_000_000)],
      ["/large", randomBytes(4_500_000)],
      ["/small", Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
    ]) {
      const id = await approved({ to, body });
      const { seen } = await gateway.passed(() => send(id, { to, body }));
      assert.ok((await seen.body).equals(body), to);
    }
    const long = await gateway.untouched(() =>
      send(undefined, { to: "/small", body: "x".repeat(1_001) }),
    );
    assertProblem(long, 413, "body_too_large");
  });

  test("is one of twenty at most", async () => {
    const ids = [];
    for (let one = 0; one < 20; one += 1) ids.push(await asked({ to: `${path}/${one}` }));
    const more = { to: `${path}/more` };
    assertProblem(await gateway.untouched(() => send(undefined, more)), 429, "rate_limited");
    assert.equal(await asked({ to: `${path}/0` }), ids[0], "what is open is asked about still");
    await asked({ ...more, who: await people.token(ada, "mat_") });
    await consent.decided(ids[0], "reject", ada);
    await asked(more);
  });
});

// A second before the end of what is asked for now.
const late = { ask: (...given) => gateway.askTwin(...given) };

describe("with an idempotency key", () => {
  const keyed = (more) => ({ to: path, "Idempotency-Key": `key-${count}`, ...more });
  beforeEach(() => {
    path = `/keyed/${count}`;
  });

  test("it is done once, and answered as often as it is asked for", async () => {
    const id = await approved(keyed());
    const { response, seen } = await gateway.passed(() => send(id, keyed()));
    assert.equal(seen.headers["x-confirmed-by"], ada.id);
    for (const _ of [1, 2]) {
      const again = await gateway.untouched(() => send(id, keyed()));
      assert.equal(again.headers["idempotent-replayed"], "true");
      assert.equal(again.text, response.text);
    }
    for (const other of [{ "Idempotency-Key": "another" }, { "Idempotency-Key": undefined }])
      await consent.invalid("used", () => send(id, keyed(other)));
    await consent.invalid("changed", () => send(id, keyed({ body: "other" })));
    // Without the id it is another act, whatever the key.
    await consent.asked(() => send(undefined, keyed()));
    assert.equal(hits(), 1);
  });

  test("of fifty at once it is done once, and each is told so or to wait", async () => {
    const id = await approved(keyed());
    const all = await Promise.all(Array.from({ length: 50 }, () => send(id, keyed())));
    assert.equal(hits(), 1);
    const run = all.filter(
      ({ status, headers }) => status === 200 && !headers["idempotent-replayed"],
    );
    assert.equal(run.length, 1);
    for (const other of all.filter((one) => one !== run[0])) {
      if (other.status === 409) assertProblem(other, 409, "idempotency_in_flight");
      else assert.deepEqual([other.text, other.headers["idempotent-replayed"]], ["ok", "true"]);
    }
    const then = await gateway.untouched(() => send(id, keyed()));
    assert.equal(then.headers["idempotent-replayed"], "true");
  });

  test("what never came to be known is not done again", async () => {
    const id = await approved(keyed());
    gateway.upstream.answers[path] = (request) => request.socket.destroy();
    assertProblem(await send(id, keyed()), 502, "upstream_failed");
    const again = await gateway.untouched(() => send(id, keyed()));
    assertProblem(again, 409, "idempotency_in_flight");
    assert.equal(hits(), 1);
  });

  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    test(`under ${method} no key counts: it is done once, key or not`, async () => {
      const reading = keyed({ method, body: undefined, "Content-Type": undefined });
      // HEAD is answered without a body, and so without a word.
      const refused = async (id) => {
        if (method !== "HEAD") return consent.invalid("used", () => send(id, reading));
        const response = await gateway.untouched(() => send(id, reading));
        assert.equal(response.status, 403);
      };
      const post = keyed({ method: "POST" });
      let id;
      if (method === "HEAD") {
        const before = (await consent.listed(ada)).map((item) => item.id);
        assert.equal((await gateway.untouched(() => send(undefined, reading))).status, 403);
        const fresh = (await consent.listed(ada)).filter((item) => !before.includes(item.id));
        assert.equal(fresh.length, 1);
        id = fresh[0].id;
      } else id = await asked(reading);
      await consent.decided(id, "approve", ada);
      await gateway.passed(() => send(id, reading));
      for (const _ of [1, 2, 3]) await refused(id);
      assert.equal(hits(), 1);
      // The key is as good as new.
      const own = await approved(post);
      const { response } = await gateway.passed(() => send(own, post));
      assert.equal(response.headers["idempotent-replayed"], undefined);
    });
  }

  test("what is missing or none is told before anybody is asked", async () => {
    const must = { to: `/must/${count}` };
    for (const offered of [undefined, await approved({ ...must, "Idempotency-Key": "good" })]) {
      for (const [key, error] of [
        [undefined, "idempotency_key_missing"],
        ["a, b", "idempotency_key_invalid"],
        ["x".repeat(256), "idempotency_key_invalid"],
      ]) {
        const odd = { ...must, "Idempotency-Key": key };
        assertProblem(await gateway.untouched(() => send(offered, odd)), 400, error);
      }
    }
    const about = (await consent.listed(ada)).filter((item) => item.path === must.to);
    assert.equal(about.length, 1);
  });

  test("what upstream gave back is done again within its time", async () => {
    const id = await approved(keyed());
    gateway.upstream.answers[path] = { status: 500 };
    assert.equal((await send(id, keyed())).status, 500);
    delete gateway.upstream.answers[path];
    const { response } = await gateway.passed(() => send(id, keyed(late)));
    assert.deepEqual([response.text, response.headers["idempotent-replayed"]], ["ok", undefined]);
    assert.equal(hits(), 2);
  });

  test("before consent, no key is claimed", async () => {
    const id = await asked(keyed());
    await consent.asked(() => send(id, keyed()));
    await consent.decided(id, "reject", ada);
    await consent.invalid("rejected", () => send(id, keyed()));
    const person = await gateway.passed(() =>
      send(undefined, keyed({ who: ada, body: "another" })),
    );
    assert.equal(person.response.headers["idempotent-replayed"], undefined);
  });
});

describe("its time", () => {
  test("is ten minutes less nothing: a second before it is over it is good", async () => {
    const id = await asked();
    await consent.asked(() => send(id, late));
    await consent.decided(id, "approve", ada, late.ask);
    await gateway.passed(() => send(id, late));
  });

  // Another gateway, whose second isolate is so many seconds ahead. `run` is given ways to ask of both.
  async function ahead(seconds, run) {
    const other = await openGateway({
      routes: ROUTES,
      variables: { ...VARIABLES, DANGER_FIXED_NOW: NOW },
      twin: { DANGER_FIXED_NOW: NOW + seconds },
    });
    try {
      const town = await settle(other);
      const theirs = consentOf(other, town);
      const who = await town.token(town.root, "mat_");
      const post = (to, id, { ask, ...headers } = {}) =>
        town.call("POST", to, who, "x", { headers: { "Confirmation-ID": id, ...headers }, ask });
      const approved = async (to, more) => {
        const { confirmationId: id } = await theirs.asked(() => post(to, undefined, more));
        await theirs.decided(id, "approve", town.root);
        return id;
      };
      await run({ other, theirs, root: town.root, post, approved, late: { ask: other.askTwin } });
    } finally {
      await other.stop();
    }
  }

  test("is over for what was consented to and for what was open", () =>
    ahead(SPAN, async ({ theirs, root, post, late }) => {
      for (const [to, verdict] of [
        ["/deploys/open", undefined],
        ["/deploys/approved", "approve"],
      ]) {
        const { confirmationId: id } = await theirs.asked(() => post(to));
        if (verdict) await theirs.decided(id, verdict, root);
        await theirs.invalid("expired", () => post(to, id, late));
        for (const say of ["approve", "reject"]) {
          const response = await theirs.decide(id, say, root, late.ask);
          assertProblem(response, 403, "confirmation_invalid", "expired");
        }
        assert.equal((await theirs.item(id, root, late.ask)).state, "expired");
        const fresh = await theirs.asked(() => post(to, undefined, late));
        assert.notEqual(fresh.confirmationId, id);
        assert.equal(fresh.expiresAt, at(NOW + 2 * SPAN));
      }
    }));

  test("changes nothing of what was rejected or done", () =>
    ahead(SPAN, async ({ other, theirs, root, post, approved, late }) => {
      const { confirmationId: no } = await theirs.asked(() => post("/deploys/no"));
      await theirs.decided(no, "reject", root);
      await theirs.invalid("rejected", () => post("/deploys/no", no, late));
      assert.equal((await theirs.item(no, root, late.ask)).state, "rejected");
      const done = await approved("/deploys/done");
      await other.passed(() => post("/deploys/done", done));
      await theirs.invalid("used", () => post("/deploys/done", done, late));
      assert.equal((await theirs.item(done, root, late.ask)).state, "used");
    }));

  test("over, what was done under a key is answered again, and not done again", () =>
    ahead(SPAN, async ({ other, theirs, post, approved, late }) => {
      const keyed = { "Idempotency-Key": "over" };
      const done = await approved("/keyed/done", keyed);
      await other.passed(() => post("/keyed/done", done, keyed));
      const again = await other.untouched(() => post("/keyed/done", done, { ...keyed, ...late }));
      assert.deepEqual([again.text, again.headers["idempotent-replayed"]], ["ok", "true"]);

      const failed = { "Idempotency-Key": "failed" };
      const id = await approved("/keyed/failed", failed);
      other.upstream.answers["/keyed/failed"] = { status: 500 };
      for (const _ of [1, 2]) assert.equal((await post("/keyed/failed", id, failed)).status, 500);
      for (const _ of [1, 2])
        await theirs.invalid("expired", () => post("/keyed/failed", id, { ...failed, ...late }));
    }));

  test("is forgotten with its key, whether or not anybody has swept", () =>
    ahead(3_600, async ({ other, theirs, root, post, approved, late }) => {
      const keyed = { "Idempotency-Key": "hour" };
      const id = await approved("/hour/x", keyed);
      await other.passed(() => post("/hour/x", id, keyed));
      await theirs.invalid("unknown", () => post("/hour/x", id, { ...keyed, ...late }));
      const found = await theirs.decide(id, "approve", root, late.ask);
      assertProblem(found, 404, "not_found");
      assert.deepEqual(await theirs.listed(root, "?", late.ask), []);
    }));
});
