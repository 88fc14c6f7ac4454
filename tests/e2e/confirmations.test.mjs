// Rules with `confirm = "human"`: a machine's request needs a person's approval, for this request, once, for ten
// minutes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { now } from "../support/tokens.mjs";

const LIFETIME = 600;
const NOW = now();
const timeOf = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");

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
let approvals;
let root;
let ada;
let machine;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { ...VARIABLES, DANGER_FIXED_NOW: NOW },
    bindings: { kvNamespaces: ["KV"] },
    // A second before an approval expires.
    secondIsolate: { DANGER_FIXED_NOW: NOW + LIFETIME - 1 },
  });
  people = await setUpUsers(gateway);
  approvals = approvalsOf(gateway, people);
  root = people.root;
  ada = await people.createUser("ada");
});
after(() => gateway.stop());

let count = 0;
let path;
beforeEach(async () => {
  count += 1;
  path = `/deploys/${count}`;
  // Each test has its own machine token, so that none reaches the limit of pending approvals.
  machine = await people.createToken(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
});

const TEXT = { "Content-Type": "text/plain" };
const send = (id, { method = "POST", to = path, who = machine, request, ...more } = {}) => {
  const { body, ...headers } = { body: "body", ...more };
  return people.call(method, to, who, body, {
    headers: { ...TEXT, "Confirmation-ID": id, ...headers },
    request,
  });
};
const requestApproval = async (more) =>
  (await approvals.expectRequired(() => send(undefined, more))).confirmationId;
const createApproved = async (more) => {
  const id = await requestApproval(more);
  await approvals.expectDecided(id, "approve", ada);
  return id;
};
const countRuns = () =>
  gateway.upstreamRequests.filter(({ url }) => url.split("?")[0] === path).length;

describe("approval is required", () => {
  for (const [name, callerOf] of [
    ["a task token", () => machine],
    ["a cloud token", () => people.createToken(ada, "mcn_")],
    ["an agent", () => people.createToken(root, "mk_", { agentId: "agent_7" })],
    ["a machine credential of the operator's own kind", () => people.createToken(ada, "bot_")],
    ["an admin's machine", () => people.createToken(root, "mat_")],
  ]) {
    test(`from ${name}`, async () => {
      const caller = await callerOf();
      const { expiresAt } = await approvals.expectRequired(() => send(undefined, { who: caller }));
      assert.equal(expiresAt, timeOf(NOW + LIFETIME));
    });
  }

  test("but never accepted from a session with a machine's token, nor for an upgrade", async () => {
    const sessionWithToken = { headers: { ...ada.headers, ...machine.headers } };
    const upgrade = { method: "GET", body: undefined, Connection: "Upgrade", Upgrade: "websocket" };
    const id = await createApproved();
    for (const more of [{ who: sessionWithToken }, upgrade]) {
      for (const confirmationId of [undefined, id]) {
        const response = await gateway.expectNotForwarded(() => send(confirmationId, more));
        assertProblem(response, 403, "forbidden_human_only");
      }
    }
    await gateway.expectForwarded(() => send(id));
  });

  test("but not from people, whose own X-Confirmed-By is removed", async () => {
    const forged = { "X-Confirmed-By": "usr_mallory", X_Confirmed_By: "usr_mallory" };
    for (const who of [ada, root, await people.createToken(ada, "mul_")]) {
      const { seen } = await gateway.expectForwarded(() => send(undefined, { who, ...forged }));
      assert.doesNotMatch(JSON.stringify(seen.rawHeaders), /mallory|confirmed/i);
    }
    const { seen } = await gateway.expectForwarded(() =>
      send("x", { to: "/public", who: ANONYMOUS, ...forged }),
    );
    assert.doesNotMatch(JSON.stringify(seen.rawHeaders), /mallory|confirmed/i);
  });

  test("but not from clients whom the rule refuses", async () => {
    const anonymous = await gateway.expectNotForwarded(() => send(undefined, { who: ANONYMOUS }));
    assertProblem(anonymous, 401, "unauthorized", "no_credential");
    const byMachine = await gateway.expectNotForwarded(() => send(undefined, { to: "/admins" }));
    assertProblem(byMachine, 403, "forbidden_role");
    assert.deepEqual(
      (await approvals.listAll(root)).filter((item) => item.path === "/admins"),
      [],
    );
  });
});

describe("an approval", () => {
  const requestOtherHost = (url, options) =>
    gateway.request(url, { ...options, host: "localhost:8787" });
  // Headers that may differ between attempts.
  const IGNORED_HEADERS = {
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

  test("is pending until decided, lets the request run once, and names the approver", async () => {
    const first = await approvals.expectRequired(() => send(undefined));
    const id = first.confirmationId;
    for (const again of [undefined, id, undefined]) {
      const { confirmationId, expiresAt } = await approvals.expectRequired(() => send(again));
      assert.deepEqual([confirmationId, expiresAt], [id, first.expiresAt]);
    }
    await approvals.expectDecided(id, "approve", ada);
    const { response, seen } = await gateway.expectForwarded(() =>
      send(id, { "X-Confirmed-By": "usr_x" }),
    );
    assert.equal(response.text, "ok");
    assert.equal(seen.headers["x-confirmed-by"], ada.id);
    assert.equal(seen.headers["x-actor-source"], "task_token");
    assert.equal(String(await seen.body), "body");
    await approvals.expectInvalid("used", () => send(id));
    // The approval is used, so the same request needs a new one.
    assert.notEqual(await requestApproval(), id);
    assert.equal(countRuns(), 1);
  });

  test("lets one of fifty concurrent requests run", async () => {
    const id = await createApproved();
    const responses = await Promise.all(Array.from({ length: 50 }, () => send(id)));
    assert.equal(responses.filter(({ text }) => text === "ok").length, 1);
    for (const rejected of responses.filter(({ status }) => status !== 200))
      assertProblem(rejected, 403, "confirmation_invalid", "used");
    assert.equal(countRuns(), 1);
  });

  test("is created once for fifty concurrent requests", async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => requestApproval()));
    assert.equal(new Set(ids).size, 1);
  });

  test("is refused for a changed request, and not used up by it", async () => {
    const to = `${path}?x=1`;
    const boundHeaders = {
      "X-Tenant": "acme",
      "Content-Encoding": "identity",
      Cookie: "a=1; tenant=acme",
    };
    const id = await requestApproval({ to, ...boundHeaders });
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
      ["a type with a parameter", { to, "Content-Type": "text/plain; charset=utf-8" }],
      ["another method", { to, method: "PUT" }],
      ["another host", { to, request: requestOtherHost }],
      ["another tenant", { to, "X-Tenant": "evil" }],
      ["no tenant", { to, "X-Tenant": undefined }],
      ["an added header", { to, "X-Amount": "7" }],
      ["an added empty header", { to, "X-Dry-Run": "" }],
      ["another encoding", { to, "Content-Encoding": "br" }],
      ["no encoding", { to, "Content-Encoding": undefined }],
      ["another cookie", { to, Cookie: "a=1; tenant=evil" }],
      ["a removed cookie", { to, Cookie: "tenant=acme" }],
      ["no cookie", { to, Cookie: undefined }],
    ];
    for (const verdict of [undefined, "approve"]) {
      if (verdict) await approvals.expectDecided(id, verdict, ada);
      for (const [name, more] of CHANGES) {
        const response = await gateway.expectNotForwarded(() =>
          send(id, { ...boundHeaders, ...more }),
        );
        assert.equal(response.json().reason, "changed", name);
        assertProblem(response, 403, "confirmation_invalid", "changed");
      }
    }
    // Headers that differ between attempts are not bound.
    const { seen } = await gateway.expectForwarded(() =>
      send(id, { ...boundHeaders, ...IGNORED_HEADERS, to }),
    );
    assert.equal(seen.headers["x-tenant"], "acme");
    assert.equal(seen.headers.cookie, boundHeaders.Cookie);
  });

  test("is valid for attempts that differ in headers of tracing and the like", async () => {
    const id = await requestApproval(IGNORED_HEADERS);
    const changedHeaders = Object.fromEntries(
      Object.entries(IGNORED_HEADERS).map(([name, value]) => [name, `${value}, 2`]),
    );
    for (const more of [changedHeaders, {}]) assert.equal(await requestApproval(more), id);
    await approvals.expectDecided(id, "approve", ada);
    await gateway.expectForwarded(() => send(id, changedHeaders));
  });

  test("is refused with 400 for more than 30 headers", async () => {
    const headers = (count) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`X-Part-${i}`, `value ${i}`]));
    for (const confirmationId of [undefined, await createApproved()]) {
      const response = await gateway.expectNotForwarded(() => send(confirmationId, headers(31)));
      assert.equal(assertProblem(response, 400, "invalid_body").field, "(headers)");
    }
    const item = await approvals.item(
      await requestApproval({ ...headers(30), ...IGNORED_HEADERS }),
      ada,
    );
    assert.equal(item.headers.length, 30);
    for (const [name, value] of Object.entries(headers(30)))
      assert.ok(item.headers.some((pair) => pair.join() === `${name.toLowerCase()},${value}`));
  });

  test("is unknown to every other credential", async () => {
    const id = await createApproved();
    const bob = await people.createUser(`bob-${count}`);
    for (const who of [
      await people.createToken(ada, "mat_", { agentId: "agent_7", taskId: "task_9" }),
      await people.createToken(ada, "mcn_"),
      await people.createToken(bob, "mat_"),
      await people.createToken(root, "mk_", { agentId: "agent_7" }),
    ]) {
      await approvals.expectInvalid("unknown", () => send(id, { who }));
    }
    await gateway.expectForwarded(() => send(id));
  });

  test("is not looked up in the objects of others", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
    const other = await openGateway({ routes: ROUTES, variables: VARIABLES, folder });
    try {
      const otherPeople = await setUpUsers(other);
      const otherApprovals = approvalsOf(other, otherPeople);
      const who = await otherPeople.createToken(otherPeople.root, "mat_");
      const sendOther = (id) =>
        otherPeople.call("POST", "/deploys/1", who, "x", { headers: { "Confirmation-ID": id } });
      const { confirmationId } = await otherApprovals.expectRequired(() => sendOther(undefined));
      const stores = () =>
        readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
          ({ parentPath, name }) => /-Confirmations$/.test(parentPath) && name.endsWith(".sqlite"),
        ).length;
      const before = stores();
      assert.ok(before > 0);
      for (let i = 0; i < 10; i += 1) {
        const object = i.toString(16).padStart(16, "0");
        await otherApprovals.expectInvalid("unknown", () =>
          sendOther(`cnf_${object}.${"A".repeat(22)}`),
        );
      }
      await otherApprovals.expectRequired(() => sendOther(confirmationId));
      assert.equal(stores(), before);
    } finally {
      await other.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("is unknown under an altered or malformed id", async () => {
    const id = await createApproved();
    const [head, tail] = id.split(".");
    for (const value of [
      "x",
      "cnf_",
      head,
      `${head}.`,
      `${id}x`,
      id.slice(0, -1),
      `${head}.${tail.replace(/./, (character) => (character === "A" ? "B" : "A"))}`,
      `cnf_${"0".repeat(16)}.${tail}`,
      `cnf_${"0".repeat(16)}.${"A".repeat(tail.length)}`,
      id.toUpperCase(),
      `"${id}"`,
      `${id}, ${id}`,
      "x".repeat(5_000),
    ]) {
      await approvals.expectInvalid("unknown", () => send(value));
    }
    await gateway.expectForwarded(() => send(id));
  });

  test("cannot be used after the machine's token was revoked", async () => {
    const id = await createApproved();
    const revoked = await people.call("DELETE", `/api/agent-tokens/${machine.id}`, ada);
    assert.equal(revoked.status, 204);
    const response = await gateway.expectNotForwarded(() => send(id));
    assertProblem(response, 401, "unauthorized", "token_revoked");
  });

  test("is required for GET, too, which must not have a body", async () => {
    const getRequest = { method: "GET", body: undefined, "Content-Type": undefined };
    const id = await createApproved(getRequest);
    // A body that would not be forwarded cannot be approved.
    for (const [method, confirmationId] of [
      ["GET", undefined],
      ["GET", id],
      ["HEAD", undefined],
    ]) {
      const response = await gateway.expectNotForwarded(() =>
        send(confirmationId, { ...getRequest, method, body: "x" }),
      );
      assert.equal(response.status, 400);
      if (method === "GET")
        assert.equal(assertProblem(response, 400, "invalid_body").field, "(body)");
    }
    const { seen } = await gateway.expectForwarded(() => send(id, getRequest));
    assert.deepEqual([seen.method, seen.headers["x-confirmed-by"]], ["GET", ada.id]);
  });

  test("lets bodies pass byte for byte, up to the rule's limit", async () => {
    for (const [to, body] of [
      [path, randomBytes(1_000_000)],
      ["/large", randomBytes(4_500_000)],
      ["/small", Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
    ]) {
      const id = await createApproved({ to, body });
      const { seen } = await gateway.expectForwarded(() => send(id, { to, body }));
      assert.ok((await seen.body).equals(body), to);
    }
    const response = await gateway.expectNotForwarded(() =>
      send(undefined, { to: "/small", body: "x".repeat(1_001) }),
    );
    assertProblem(response, 413, "body_too_large");
  });

  test("is one of at most twenty pending ones of a machine", async () => {
    const ids = [];
    for (let i = 0; i < 20; i += 1) ids.push(await requestApproval({ to: `${path}/${i}` }));
    const more = { to: `${path}/more` };
    assertProblem(
      await gateway.expectNotForwarded(() => send(undefined, more)),
      429,
      "rate_limited",
    );
    assert.equal(
      await requestApproval({ to: `${path}/0` }),
      ids[0],
      "a pending approval can still be requested",
    );
    await requestApproval({ ...more, who: await people.createToken(ada, "mat_") });
    await approvals.expectDecided(ids[0], "reject", ada);
    await requestApproval(more);
  });
});

// The second isolate, whose clock is a second before the expiry of new approvals.
const nearExpiry = { request: (...given) => gateway.requestSecondIsolate(...given) };

describe("an approval with an idempotency key", () => {
  const withKey = (more) => ({ to: path, "Idempotency-Key": `key-${count}`, ...more });
  beforeEach(() => {
    path = `/keyed/${count}`;
  });

  test("lets the request run once, and then replays the response", async () => {
    const id = await createApproved(withKey());
    const { response, seen } = await gateway.expectForwarded(() => send(id, withKey()));
    assert.equal(seen.headers["x-confirmed-by"], ada.id);
    for (const _ of [1, 2]) {
      const replay = await gateway.expectNotForwarded(() => send(id, withKey()));
      assert.equal(replay.headers["idempotent-replayed"], "true");
      assert.equal(replay.text, response.text);
    }
    for (const other of [{ "Idempotency-Key": "another" }, { "Idempotency-Key": undefined }])
      await approvals.expectInvalid("used", () => send(id, withKey(other)));
    await approvals.expectInvalid("changed", () => send(id, withKey({ body: "other" })));
    // Without the id, the request needs a new approval, whatever the key.
    await approvals.expectRequired(() => send(undefined, withKey()));
    assert.equal(countRuns(), 1);
  });

  test("lets one of fifty concurrent requests run, and the others get a replay or 409", async () => {
    const id = await createApproved(withKey());
    const responses = await Promise.all(Array.from({ length: 50 }, () => send(id, withKey())));
    assert.equal(countRuns(), 1);
    const executed = responses.filter(
      ({ status, headers }) => status === 200 && !headers["idempotent-replayed"],
    );
    assert.equal(executed.length, 1);
    for (const response of responses.filter((one) => one !== executed[0])) {
      if (response.status === 409) assertProblem(response, 409, "idempotency_in_flight");
      else
        assert.deepEqual([response.text, response.headers["idempotent-replayed"]], ["ok", "true"]);
    }
    const replay = await gateway.expectNotForwarded(() => send(id, withKey()));
    assert.equal(replay.headers["idempotent-replayed"], "true");
  });

  test("does not let a request run again whose outcome is unknown", async () => {
    const id = await createApproved(withKey());
    gateway.upstream.answers[path] = (request) => request.socket.destroy();
    assertProblem(await send(id, withKey()), 502, "upstream_failed");
    const replay = await gateway.expectNotForwarded(() => send(id, withKey()));
    assertProblem(replay, 409, "idempotency_in_flight");
    assert.equal(countRuns(), 1);
  });

  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    test(`lets a ${method} request run once, and ignores its key`, async () => {
      const safeRequest = withKey({ method, body: undefined, "Content-Type": undefined });
      // Responses to HEAD have no body, and so no reason.
      const refused = async (id) => {
        if (method !== "HEAD") return approvals.expectInvalid("used", () => send(id, safeRequest));
        const response = await gateway.expectNotForwarded(() => send(id, safeRequest));
        assert.equal(response.status, 403);
      };
      const postRequest = withKey({ method: "POST" });
      let id;
      if (method === "HEAD") {
        const before = (await approvals.listAll(ada)).map((item) => item.id);
        assert.equal(
          (await gateway.expectNotForwarded(() => send(undefined, safeRequest))).status,
          403,
        );
        const created = (await approvals.listAll(ada)).filter((item) => !before.includes(item.id));
        assert.equal(created.length, 1);
        id = created[0].id;
      } else id = await requestApproval(safeRequest);
      await approvals.expectDecided(id, "approve", ada);
      await gateway.expectForwarded(() => send(id, safeRequest));
      for (const _ of [1, 2, 3]) await refused(id);
      assert.equal(countRuns(), 1);
      // The key is still unused.
      const postId = await createApproved(postRequest);
      const { response } = await gateway.expectForwarded(() => send(postId, postRequest));
      assert.equal(response.headers["idempotent-replayed"], undefined);
    });
  }

  test("is not created if the key is missing or invalid", async () => {
    const must = { to: `/must/${count}` };
    for (const confirmationId of [
      undefined,
      await createApproved({ ...must, "Idempotency-Key": "good" }),
    ]) {
      for (const [key, error] of [
        [undefined, "idempotency_key_missing"],
        ["a, b", "idempotency_key_invalid"],
        ["x".repeat(256), "idempotency_key_invalid"],
      ]) {
        const invalid = { ...must, "Idempotency-Key": key };
        assertProblem(
          await gateway.expectNotForwarded(() => send(confirmationId, invalid)),
          400,
          error,
        );
      }
    }
    const related = (await approvals.listAll(ada)).filter((item) => item.path === must.to);
    assert.equal(related.length, 1);
  });

  test("lets the request run again if upstream's status released the key", async () => {
    const id = await createApproved(withKey());
    gateway.upstream.answers[path] = { status: 500 };
    assert.equal((await send(id, withKey())).status, 500);
    delete gateway.upstream.answers[path];
    const { response } = await gateway.expectForwarded(() => send(id, withKey(nearExpiry)));
    assert.deepEqual([response.text, response.headers["idempotent-replayed"]], ["ok", undefined]);
    assert.equal(countRuns(), 2);
  });

  test("claims no key before it is given", async () => {
    const id = await requestApproval(withKey());
    await approvals.expectRequired(() => send(id, withKey()));
    await approvals.expectDecided(id, "reject", ada);
    await approvals.expectInvalid("rejected", () => send(id, withKey()));
    const byUser = await gateway.expectForwarded(() =>
      send(undefined, withKey({ who: ada, body: "another" })),
    );
    assert.equal(byUser.response.headers["idempotent-replayed"], undefined);
  });
});

describe("the lifetime of an approval", () => {
  test("is ten minutes: it is valid until the last second", async () => {
    const id = await requestApproval();
    await approvals.expectRequired(() => send(id, nearExpiry));
    await approvals.expectDecided(id, "approve", ada, nearExpiry.request);
    await gateway.expectForwarded(() => send(id, nearExpiry));
  });

  // Opens another gateway, whose second isolate is `seconds` ahead. `run` gets helpers for both.
  async function withClockAhead(seconds, run) {
    const other = await openGateway({
      routes: ROUTES,
      variables: { ...VARIABLES, DANGER_FIXED_NOW: NOW },
      secondIsolate: { DANGER_FIXED_NOW: NOW + seconds },
    });
    try {
      const otherPeople = await setUpUsers(other);
      const otherApprovals = approvalsOf(other, otherPeople);
      const who = await otherPeople.createToken(otherPeople.root, "mat_");
      const sendTo = (to, id, { request, ...headers } = {}) =>
        otherPeople.call("POST", to, who, "x", {
          headers: { "Confirmation-ID": id, ...headers },
          request,
        });
      const createApproved = async (to, more) => {
        const { confirmationId: id } = await otherApprovals.expectRequired(() =>
          sendTo(to, undefined, more),
        );
        await otherApprovals.expectDecided(id, "approve", otherPeople.root);
        return id;
      };
      await run({
        other,
        theirs: otherApprovals,
        root: otherPeople.root,
        post: sendTo,
        approved: createApproved,
        late: { request: other.requestSecondIsolate },
      });
    } finally {
      await other.stop();
    }
  }

  test("ends for approved and for pending ones", () =>
    withClockAhead(LIFETIME, async ({ theirs: otherApprovals, root, post, late }) => {
      for (const [to, verdict] of [
        ["/deploys/open", undefined],
        ["/deploys/approved", "approve"],
      ]) {
        const { confirmationId: id } = await otherApprovals.expectRequired(() => post(to));
        if (verdict) await otherApprovals.expectDecided(id, verdict, root);
        await otherApprovals.expectInvalid("expired", () => post(to, id, late));
        for (const decision of ["approve", "reject"]) {
          const response = await otherApprovals.decide(id, decision, root, late.request);
          assertProblem(response, 403, "confirmation_invalid", "expired");
        }
        assert.equal((await otherApprovals.item(id, root, late.request)).state, "expired");
        const renewed = await otherApprovals.expectRequired(() => post(to, undefined, late));
        assert.notEqual(renewed.confirmationId, id);
        assert.equal(renewed.expiresAt, timeOf(NOW + 2 * LIFETIME));
      }
    }));

  test("does not apply to rejected and used ones", () =>
    withClockAhead(
      LIFETIME,
      async ({ other, theirs: otherApprovals, root, post, approved, late }) => {
        const { confirmationId: rejectedId } = await otherApprovals.expectRequired(() =>
          post("/deploys/no"),
        );
        await otherApprovals.expectDecided(rejectedId, "reject", root);
        await otherApprovals.expectInvalid("rejected", () => post("/deploys/no", rejectedId, late));
        assert.equal((await otherApprovals.item(rejectedId, root, late.request)).state, "rejected");
        const usedId = await approved("/deploys/done");
        await other.expectForwarded(() => post("/deploys/done", usedId));
        await otherApprovals.expectInvalid("used", () => post("/deploys/done", usedId, late));
        assert.equal((await otherApprovals.item(usedId, root, late.request)).state, "used");
      },
    ));

  test("limits when a request may run, but not replays under its key", () =>
    withClockAhead(LIFETIME, async ({ other, theirs: otherApprovals, post, approved, late }) => {
      const withKey = { "Idempotency-Key": "over" };
      const usedId = await approved("/keyed/done", withKey);
      await other.expectForwarded(() => post("/keyed/done", usedId, withKey));
      const replay = await other.expectNotForwarded(() =>
        post("/keyed/done", usedId, { ...withKey, ...late }),
      );
      assert.deepEqual([replay.text, replay.headers["idempotent-replayed"]], ["ok", "true"]);

      const failed = { "Idempotency-Key": "failed" };
      const id = await approved("/keyed/failed", failed);
      other.upstream.answers["/keyed/failed"] = { status: 500 };
      for (const _ of [1, 2]) assert.equal((await post("/keyed/failed", id, failed)).status, 500);
      for (const _ of [1, 2])
        await otherApprovals.expectInvalid("expired", () =>
          post("/keyed/failed", id, { ...failed, ...late }),
        );
    }));

  test("is at most the retention of its key: afterwards the id is unknown", () =>
    withClockAhead(3_600, async ({ other, theirs: otherApprovals, root, post, approved, late }) => {
      const withKey = { "Idempotency-Key": "hour" };
      const id = await approved("/hour/x", withKey);
      await other.expectForwarded(() => post("/hour/x", id, withKey));
      await otherApprovals.expectInvalid("unknown", () =>
        post("/hour/x", id, { ...withKey, ...late }),
      );
      const response = await otherApprovals.decide(id, "approve", root, late.request);
      assertProblem(response, 404, "not_found");
      assert.deepEqual(await otherApprovals.listAll(root, "?", late.request), []);
    }));
});
