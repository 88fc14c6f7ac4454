// Two isolates with the same Durable Objects: a change in one reaches the other within the documented time.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";
const AGENT = `mk_${"a7".repeat(20)}`;
const CHANGED = `mk_${"c9".repeat(20)}`;
const LATE = `mk_${"d0".repeat(20)}`;
const OTHER = `mk_${"b8".repeat(20)}`;

let gateway;
let root;
before(async () => {
  gateway = await openGateway({
    secondIsolate: { AGENT_TOKENS: `deploy:${AGENT},nightly:${OTHER},late:${CHANGED}` },
    routes: [
      { path: "/user/{*rest}", access: "user" },
      { path: "/any/{*rest}", access: "authenticated" },
      { path: "/admin/{*rest}", access: "admin" },
    ],
    variables: {
      SESSION: { login: "accounts", check_ttl: "2s" },
      SETUP_TOKEN,
      AGENT_TOKENS: `deploy:${AGENT}, nightly:${OTHER},late:${LATE}`,
    },
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
  root = cookieOf(await send(gateway.request, "/api/auth/setup", first));
});
after(() => gateway.stop());

const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };
const cookieOf = ({ headers }) => headers["set-cookie"][0].split(";")[0];
const send = (request, path, body, headers = {}) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });
const signIn = async () =>
  cookieOf(
    await send(gateway.request, "/api/auth/login", {
      email: "root@example.com",
      password: PASSWORD,
    }),
  );
const idOf = async (Cookie) =>
  (await gateway.request("/api/auth/me", { headers: { Cookie } })).json().sessionId;

describe("a forced logout", () => {
  test("takes effect in another isolate at once on admin rules", async () => {
    const Cookie = await signIn();
    assert.equal(
      (await gateway.requestSecondIsolate("/admin/x", { headers: { Cookie } })).text,
      "ok",
    );
    const id = await idOf(Cookie);
    const headers = { Cookie: root, ...SAME_SITE };
    const ended = await gateway.request(`/api/sessions/${id}`, { method: "DELETE", headers });
    assert.equal(ended.status, 204);
    const response = await gateway.expectNotForwarded(() =>
      gateway.requestSecondIsolate("/admin/x", { headers: { Cookie } }),
    );
    assertProblem(response, 401, "unauthorized", "session_revoked");
  });

  test("takes effect in the same isolate at once, and in another within check_ttl", async () => {
    const Cookie = await signIn();
    assert.equal(
      (await gateway.requestSecondIsolate("/user/x", { headers: { Cookie } })).text,
      "ok",
    );
    const id = await idOf(Cookie);
    const ended = performance.now();
    const headers = { Cookie: root, ...SAME_SITE };
    await gateway.request(`/api/sessions/${id}`, { method: "DELETE", headers });
    const here = await gateway.expectNotForwarded(() =>
      gateway.request("/user/x", { headers: { Cookie } }),
    );
    assertProblem(here, 401, "unauthorized", "session_revoked");
    // The other isolate may accept the session until check_ttl is over.
    let there;
    let start;
    do {
      start = performance.now();
      there = await gateway.requestSecondIsolate("/user/x", { headers: { Cookie } });
    } while (there.status === 200 && start - ended < 20_000);
    assertProblem(there, 401, "unauthorized", "session_revoked");
  });
});

describe("tokens in AGENT_TOKENS", () => {
  const headers = { Authorization: `Bearer ${AGENT}` };
  const listed = async () => {
    const list = await gateway.request("/api/agent-tokens?limit=100", {
      headers: { Cookie: root },
    });
    return list.json().items.filter(({ owner }) => owner === "AGENT_TOKENS");
  };

  test("are created once by concurrent requests in two isolates", async () => {
    const isolates = [gateway.request, gateway.requestSecondIsolate];
    const before = gateway.upstreamRequests.length;
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, at) => isolates[at % 2](`/any/${at}`, { headers })),
    );
    assert.deepEqual([...new Set(answers.map(({ text }) => text))], ["ok"]);
    const received = gateway.upstreamRequests.slice(before).map(({ headers }) => headers);
    const ids = new Set(received.map((headers) => headers["x-agent-token-id"]));
    assert.equal(ids.size, 1, "one token");
    assert.ok(
      received.every(
        (headers) =>
          headers["x-author-id"] === "deploy" && headers["x-actor-source"] === "agent_token",
      ),
    );
    const items = await listed();
    assert.deepEqual(items.map(({ name }) => name).sort(), ["deploy", "late", "nightly"]);
    assert.ok(ids.has(items.find(({ name }) => name === "deploy").id));
  });

  test("do not count as a user", async () => {
    assertProblem(await gateway.request("/user/x", { headers }), 403, "forbidden_kind");
  });

  test("stay revoked", async () => {
    const { id } = (await listed()).find(({ name }) => name === "nightly");
    const options = { method: "DELETE", headers: { Cookie: root, ...SAME_SITE } };
    assert.equal((await gateway.request(`/api/agent-tokens/${id}`, options)).status, 204);
    const bearer = { Authorization: `Bearer ${OTHER}` };
    for (const request of [gateway.request, gateway.requestSecondIsolate]) {
      const response = await gateway.expectNotForwarded(() =>
        request("/any/x", { headers: bearer }),
      );
      assertProblem(response, 401, "unauthorized", "token_revoked");
    }
    assert.deepEqual((await listed()).map(({ name }) => name).sort(), ["deploy", "late"]);
  });

  test("are not replaced by another value under the same name, and the log has the name", async () => {
    const late = { Authorization: `Bearer ${LATE}` };
    assert.equal((await gateway.request("/any/x", { headers: late })).text, "ok");
    const changed = { Authorization: `Bearer ${CHANGED}` };
    const response = await gateway.expectNotForwarded(() =>
      gateway.requestSecondIsolate("/any/x", { headers: changed }),
    );
    assertProblem(response, 401, "unauthorized", "token_unknown");
    const line = await gateway.waitForLog((line) => line.includes('"agentToken"'));
    assert.equal(JSON.parse(line).agentToken, "late");
    assert.equal((await listed()).filter(({ name }) => name === "late").length, 1);
    // After the known token is revoked, the name is free.
    const { id } = (await listed()).find(({ name }) => name === "late");
    await gateway.request(`/api/agent-tokens/${id}`, {
      method: "DELETE",
      headers: { Cookie: root, ...SAME_SITE },
    });
    assert.equal((await gateway.requestSecondIsolate("/any/x", { headers: changed })).text, "ok");
    const old = await gateway.expectNotForwarded(() =>
      gateway.request("/any/x", { headers: late }),
    );
    assertProblem(old, 401, "unauthorized", "token_revoked");
  });
});
