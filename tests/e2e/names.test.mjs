// Names of users: headers and claims for upstream if the operator enables them, and a lookup. Also the time at which an
// invite was used.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { payloadOf, trackSecret } from "../support/tokens.mjs";

const NAME = "Zoë O'Neil, 100%";
const EMAIL = "zoe+x@example.com";
const ROUTES = [
  { path: "/api/{*rest}", access: "authenticated" },
  { path: "/public", access: "public" },
  { path: "/optional", access: "optional" },
];
const FORGED = {
  "X-User-Name": "Mallory",
  X_User_Name: "Mallory",
  "X.User.Email": "mallory@evil.example",
  "x-user-email": "mallory@evil.example",
};

let gateway;
let people;
let root;
let zoe;
let agent;
before(async () => {
  gateway = await openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, USER_HEADERS: "name, email" },
    secondIsolate: { USER_HEADERS: ["name"] },
  });
  people = await setUpUsers(gateway);
  root = people.root;
  agent = await people.createToken(root, "mk_");
  const { token } = (await people.call("POST", "/api/invites", root, { role: "user" })).json();
  const body = { email: EMAIL, password: PASSWORD, name: NAME };
  const redeemed = await people.call(
    "POST",
    `/api/invites/${trackSecret(token)}/redeem`,
    ANONYMOUS,
    body,
  );
  const [Cookie] = redeemed.cookies[0].split(";");
  trackSecret(Cookie.split("=")[1]);
  zoe = { id: redeemed.json().userId, headers: { Cookie } };
});
after(() => gateway.stop());

const seenOf = async (path, caller, request) => {
  const { seen } = await gateway.expectForwarded(() =>
    people.call("GET", path, caller, undefined, { headers: FORGED, request }),
  );
  assert.doesNotMatch(JSON.stringify(seen.headers), /mallory/i);
  const { name, email } = payloadOf(seen.headers["x-vestibule-assertion"]);
  return { headers: [seen.headers["x-user-name"], seen.headers["x-user-email"]], name, email };
};

describe("upstream receives", () => {
  test("name and address, encoded as headers and plainly in the assertion", async () => {
    const { plaintext } = await people.createToken(zoe, "mat_");
    const token = { headers: { Authorization: `Bearer ${plaintext}` } };
    for (const caller of [zoe, zoe, token, token]) {
      const { headers, name, email } = await seenOf("/api/x", caller);
      assert.deepEqual(headers.map(decodeURIComponent), [NAME, EMAIL]);
      assert.match(headers[0], /^[\w.~%@-]+$/);
      assert.deepEqual([name, email], [NAME, EMAIL]);
    }
    const { headers } = await seenOf("/optional", zoe);
    assert.deepEqual(headers.map(decodeURIComponent), [NAME, EMAIL]);
  });

  test("only the members that USER_HEADERS lists", async () => {
    const { headers, name, email } = await seenOf("/api/x", zoe, gateway.requestSecondIsolate);
    assert.deepEqual([decodeURIComponent(headers[0]), headers[1]], [NAME, undefined]);
    assert.deepEqual([name, email], [NAME, undefined]);
  });

  test("no name for users without one, agents or anonymous requests", async () => {
    const without = await seenOf("/api/x", root);
    assert.deepEqual(without.headers, [undefined, "root@example.com"]);
    for (const [path, caller] of [
      ["/api/x", agent],
      ["/public", zoe],
      ["/optional", ANONYMOUS],
    ]) {
      const { headers, name, email } = await seenOf(path, caller);
      assert.deepEqual([...headers, name, email], [undefined, undefined, undefined, undefined]);
    }
  });

  test("nothing without USER_HEADERS, and a client's own headers never pass", async () => {
    const plain = await openGateway({ routes: ROUTES, variables: ACCOUNTS });
    try {
      const { call, root } = await setUpUsers(plain);
      const { seen } = await plain.expectForwarded(() =>
        call("GET", "/api/x", root, undefined, { headers: FORGED }),
      );
      assert.doesNotMatch(JSON.stringify(seen.headers), /mallory|root@example/i);
    } finally {
      await plain.stop();
    }
  });
});

describe("GET /api/users/names", () => {
  const names = (ids, caller = zoe) => people.call("GET", `/api/users/names?ids=${ids}`, caller);

  test("returns the names of existing users to any principal, and nothing else", async () => {
    const machine = await people.createToken(zoe, "mat_");
    for (const caller of [zoe, root, agent, machine]) {
      const response = await names(`${zoe.id},usr_nobody,${root.id},${zoe.id}`, caller);
      assert.equal(response.status, 200, response.text);
      assert.deepEqual(response.json(), { names: { [zoe.id]: NAME, [root.id]: null } });
    }
    assertProblem(await names(zoe.id, ANONYMOUS), 401, "unauthorized", "no_credential");
  });

  test("omits deleted users", async () => {
    const gone = await people.createUser("gone");
    assert.deepEqual((await names(gone.id)).json(), { names: { [gone.id]: null } });
    assert.equal((await people.call("DELETE", `/api/users/${gone.id}`, root)).status, 204);
    assert.deepEqual((await names(gone.id)).json(), { names: {} });
  });

  for (const [what, query] of [
    ["no ids", ""],
    ["an empty id", "?ids="],
    ["an invalid id", `?ids=${encodeURIComponent("a b")}`],
    ["a hundred and one ids", `?ids=${Array(101).fill("usr_1").join(",")}`],
    ["an unknown parameter", "?ids=usr_1&fields=email"],
  ]) {
    test(`rejects ${what}`, async () => {
      const response = await people.call("GET", `/api/users/names${query}`, zoe);
      assertProblem(response, 400, "invalid_body");
    });
  }

  test("accepts a hundred ids", async () => {
    const ids = Array.from({ length: 99 }, (_, at) => `usr_${at}`);
    const response = await names([zoe.id, ...ids].join(","));
    assert.deepEqual(response.json(), { names: { [zoe.id]: NAME } });
  });
});

test("an invite has the time at which it was used", async () => {
  const before = Math.floor(Date.now() / 1000) * 1000;
  const unused = (await people.call("POST", "/api/invites", root, { role: "user" })).json();
  assert.equal(unused.usedAt, null);
  const used = await people.createUser("used");
  const { items } = (await people.call("GET", "/api/invites?limit=100", root)).json();
  const invite = items.find(({ usedBy }) => usedBy === used.id);
  assert.ok(Date.parse(invite.usedAt) >= before && Date.parse(invite.usedAt) <= Date.now());
  assert.equal(items.find(({ id }) => id === unused.id).usedAt, null);
});
