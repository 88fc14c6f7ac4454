// Rules for owners: whose an entity of upstream's is, upstream is asked before anything is let in.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const PASSWORD = "correct horse battery";

let gateway;
let root; // an admin's cookie
let ada; // a user's
let adaId;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/api/login", methods: ["POST"], access: "public" },
      {
        path: "/api/mockups/{id}",
        access: "owner",
        owner_from: "/api/mockups/{id}/meta",
        timeout: "1s",
      },
    ],
    variables: { SESSION: { login: "accounts", check_ttl: "0s" }, SETUP_TOKEN },
  });
  const first = { setupToken: SETUP_TOKEN, email: "root@example.com", password: PASSWORD };
  root = cookieOf(await post("/api/auth/setup", first));
  const { token } = (await post("/api/invites", { role: "user" }, { Cookie: root })).json();
  const redeemed = await post(`/api/invites/${token}/redeem`, {
    email: "ada@example.com",
    password: PASSWORD,
  });
  ada = cookieOf(redeemed);
  adaId = redeemed.json().userId;
});
after(() => gateway.stop());
beforeEach(() => gateway.seen.splice(0));

const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };
const cookieOf = ({ headers }) => headers["set-cookie"][0].split(";")[0];
const post = (path, body, headers = {}) =>
  gateway.ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });
const says = (id, type, status = 200) => {
  gateway.upstream.answers["/api/mockups/7/meta"] = {
    status,
    headers: ["X-Created-By", id, "X-Created-By-Type", type],
  };
};
const change = (headers) =>
  gateway.ask("/api/mockups/7?x=1", {
    method: "PUT",
    headers: { ...SAME_SITE, "X-User-ID": "usr_mallory", "X-Created-By": adaId, ...headers },
    body: "new",
  });
const asked = () => gateway.seen.map(({ method, url }) => `${method} ${url}`);
const tokenOf = async (Cookie, prefix) => {
  const made = await post("/api/agent-tokens", { name: "t", prefix }, { Cookie });
  return { Authorization: `Bearer ${made.json().plaintext}` };
};
const claimsOf = ({ headers }) =>
  JSON.parse(Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString());

test("the owner comes in, in person and by any token that acts for them", async () => {
  says(adaId, "user");
  for (const headers of [
    { Cookie: ada },
    await tokenOf(ada, "mul_"),
    await tokenOf(ada, "mat_"),
    await tokenOf(ada, "mcn_"),
  ]) {
    gateway.seen.splice(0);
    assert.equal((await change(headers)).text, "ok");
    assert.deepEqual(asked(), ["HEAD /api/mockups/7/meta", "PUT /api/mockups/7?x=1"]);
    const [question, request] = gateway.seen;
    assert.equal((await request.body).toString(), "new");
    // The question is ours: signed, and nothing of the client's.
    assert.equal(question.headers["x-user-id"], adaId);
    assert.equal(question.headers["x-created-by"], undefined);
    assert.equal(question.headers.cookie, undefined);
    assert.equal(question.headers.authorization, undefined);
    const claims = claimsOf(question);
    assert.deepEqual(
      [claims.method, claims.path, claims.userId],
      ["HEAD", "/api/mockups/7/meta", adaId],
    );
    assert.equal(claims.requestId, question.headers["x-request-id"]);
    assert.equal(claimsOf(request).path, "/api/mockups/7?x=1");
  }
});

test("an admin comes in without a question", async () => {
  says("usr_somebody", "user");
  assert.equal((await change({ Cookie: root })).text, "ok");
  assert.deepEqual(asked(), ["PUT /api/mockups/7?x=1"]);
});

test("an agent owns nothing, whatever upstream says", async () => {
  const made = await post(
    "/api/agent-tokens",
    { name: "t", prefix: "mk_", agentId: "agent_7" },
    { Cookie: root },
  );
  says("agent_7", "agent");
  const response = await change({ Authorization: `Bearer ${made.json().plaintext}` });
  assertProblem(response, 403, "forbidden_kind");
  assert.deepEqual(asked(), []);
});

for (const [what, say, status, error] of [
  ["somebody else's", () => says("usr_other", "user"), 403, "forbidden_owner"],
  ["an agent's of the same id", () => says(adaId, "agent"), 403, "forbidden_owner"],
  ["nobody's", () => says("", ""), 403, "forbidden_owner"],
  ["named twice", () => says(`${adaId}, ${adaId}`, "user"), 403, "forbidden_owner"],
  ["not there", () => says(adaId, "user", 404), 404, "not_found"],
  ["elsewhere", () => says(adaId, "user", 302), 502, "upstream_failed"],
  ["a failure", () => says(adaId, "user", 500), 502, "upstream_failed"],
  [
    "a broken line",
    () => {
      gateway.upstream.answers["/api/mockups/7/meta"] = (request) => request.socket.destroy();
    },
    502,
    "upstream_failed",
  ],
  [
    "silence",
    () => {
      gateway.upstream.answers["/api/mockups/7/meta"] = () => {};
    },
    504,
    "upstream_timeout",
  ],
]) {
  test(`what is ${what} is not let through`, async () => {
    say();
    assertProblem(await change({ Cookie: ada }), status, error);
    assert.ok(!asked().includes("PUT /api/mockups/7?x=1"), "upstream was asked to do it");
  });
}

test("nobody is asked to sign in before upstream is asked", async () => {
  assertProblem(await change({}), 401, "unauthorized", "no_credential");
  assert.deepEqual(asked(), []);
});
