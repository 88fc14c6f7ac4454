// `access = "owner"`: Vestibule asks upstream for the owner before it forwards a request.

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
beforeEach(() => gateway.upstreamRequests.splice(0));

const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };
const cookieOf = ({ headers }) => headers["set-cookie"][0].split(";")[0];
const post = (path, body, headers = {}) =>
  gateway.request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...SAME_SITE, ...headers },
    body: JSON.stringify(body),
  });
const setOwner = (id, type, status = 200) => {
  gateway.upstream.answers["/api/mockups/7/meta"] = {
    status,
    headers: ["X-Created-By", id, "X-Created-By-Type", type],
  };
};
const update = (headers) =>
  gateway.request("/api/mockups/7?x=1", {
    method: "PUT",
    headers: { ...SAME_SITE, "X-User-ID": "usr_mallory", "X-Created-By": adaId, ...headers },
    body: "new",
  });
const upstreamRequests = () =>
  gateway.upstreamRequests.map(({ method, url }) => `${method} ${url}`);
const tokenOf = async (Cookie, prefix) => {
  const created = await post("/api/agent-tokens", { name: "t", prefix }, { Cookie });
  return { Authorization: `Bearer ${created.json().plaintext}` };
};
const claimsOf = ({ headers }) =>
  JSON.parse(Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString());

test("admits the owner, by session and by any token that acts for them", async () => {
  setOwner(adaId, "user");
  for (const headers of [
    { Cookie: ada },
    await tokenOf(ada, "mul_"),
    await tokenOf(ada, "mat_"),
    await tokenOf(ada, "mcn_"),
  ]) {
    gateway.upstreamRequests.splice(0);
    assert.equal((await update(headers)).text, "ok");
    assert.deepEqual(upstreamRequests(), ["HEAD /api/mockups/7/meta", "PUT /api/mockups/7?x=1"]);
    const [ownerRequest, request] = gateway.upstreamRequests;
    assert.equal((await request.body).toString(), "new");
    // The owner request is Vestibule's own: it is signed and carries nothing from the client.
    assert.equal(ownerRequest.headers["x-user-id"], adaId);
    assert.equal(ownerRequest.headers["x-created-by"], undefined);
    assert.equal(ownerRequest.headers.cookie, undefined);
    assert.equal(ownerRequest.headers.authorization, undefined);
    const claims = claimsOf(ownerRequest);
    assert.deepEqual(
      [claims.method, claims.path, claims.userId],
      ["HEAD", "/api/mockups/7/meta", adaId],
    );
    assert.equal(claims.requestId, ownerRequest.headers["x-request-id"]);
    assert.equal(claimsOf(request).path, "/api/mockups/7?x=1");
  }
});

test("admits an admin without asking for the owner", async () => {
  setOwner("usr_somebody", "user");
  assert.equal((await update({ Cookie: root })).text, "ok");
  assert.deepEqual(upstreamRequests(), ["PUT /api/mockups/7?x=1"]);
});

test("rejects an agent even if upstream names it as the owner", async () => {
  const created = await post(
    "/api/agent-tokens",
    { name: "t", prefix: "mk_", agentId: "agent_7" },
    { Cookie: root },
  );
  setOwner("agent_7", "agent");
  const response = await update({ Authorization: `Bearer ${created.json().plaintext}` });
  assertProblem(response, 403, "forbidden_kind");
  assert.deepEqual(upstreamRequests(), []);
});

for (const [label, prepare, status, error] of [
  ["names another user", () => setOwner("usr_other", "user"), 403, "forbidden_owner"],
  ["names an agent with the same id", () => setOwner(adaId, "agent"), 403, "forbidden_owner"],
  ["names nobody", () => setOwner("", ""), 403, "forbidden_owner"],
  ["names the user twice", () => setOwner(`${adaId}, ${adaId}`, "user"), 403, "forbidden_owner"],
  ["is 404", () => setOwner(adaId, "user", 404), 404, "not_found"],
  ["is a redirect", () => setOwner(adaId, "user", 302), 502, "upstream_failed"],
  ["is 500", () => setOwner(adaId, "user", 500), 502, "upstream_failed"],
  [
    "breaks off",
    () => {
      gateway.upstream.answers["/api/mockups/7/meta"] = (request) => request.socket.destroy();
    },
    502,
    "upstream_failed",
  ],
  [
    "does not come",
    () => {
      gateway.upstream.answers["/api/mockups/7/meta"] = () => {};
    },
    504,
    "upstream_timeout",
  ],
]) {
  test(`returns ${status} if upstream's answer ${label}`, async () => {
    prepare();
    assertProblem(await update({ Cookie: ada }), status, error);
    assert.ok(!upstreamRequests().includes("PUT /api/mockups/7?x=1"), "the request was forwarded");
  });
}

test("returns 401 without a credential before upstream is asked", async () => {
  assertProblem(await update({}), 401, "unauthorized", "no_credential");
  assert.deepEqual(upstreamRequests(), []);
});
