// Ids with `%2F`: rules with `encoded_slashes` forward them unchanged, and they reach no other path.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertMisconfigured, assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";

const slashRule = (path, access, members) => ({ path, access, encoded_slashes: true, ...members });
const ROUTES = [
  { path: "/{*rest}", access: "public" },
  { path: "/admin/{*rest}", access: "admin" },
  slashRule("/npm/{package}", "user"),
  slashRule("/npm/{package}/-/{*file}", "user"),
  slashRule("/api/v4/projects/{id}/{*rest}", "user"),
  slashRule("/api/queues/{vhost}/{name}", "user"),
  slashRule("/objects/{bucket}/{*key}", "public"),
  { path: "/objects/{*rest}", access: "public" },
  slashRule("/once/{id}", "user", { methods: ["POST"], idempotency: "required" }),
  slashRule("/own/{id}", "owner", { owner_from: "/own/{id}/meta" }),
  { path: "/plain/{id}", access: "public" },
];
const SAME_SITE = { "Sec-Fetch-Site": "same-origin" };

let gateway;
let ada;
before(async () => {
  gateway = await openGateway({ variables: { ...ACCOUNTS, ROUTES } });
  const people = await setUpUsers(gateway);
  ada = await people.createUser("ada");
});
after(() => gateway.stop());

const claimsOf = ({ headers }) =>
  JSON.parse(Buffer.from(headers["x-vestibule-assertion"].split(".")[1], "base64url").toString());

describe("an encoded slash under a rule with encoded_slashes", () => {
  for (const path of [
    "/npm/@scope%2Fname",
    "/npm/@scope%2fname",
    "/npm/%40scope%2Fname",
    "/npm/@scope%2Fname/-/name-1.0.0.tgz",
    "/npm/100%2525",
    "/npm/a%252Fb",
    "/npm/a%252fb%25252F",
    "/npm/x%2Fy;v=1",
    "/api/v4/projects/group%2Fsub%2Fproject/repository/files/src%2Fmain.rs/raw?ref=a%2Fb",
    "/api/queues/%2F/name",
    "/api/queues/%2f/name",
    "/api/queues/%2F/%2F",
    "/api/queues/a%2Fb/c%2Fd?x=%2e%2e%2f",
    "/npm/%2F%2F",
    "/npm/..a%2F...%2Fb",
  ]) {
    test(`is forwarded byte for byte: ${path}`, async () => {
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
      const { response, seen } = await gateway.expectForwarded(() =>
        gateway.request(path, { headers: ada.headers }),
      );
      assert.equal(response.status, 200);
      assert.equal(seen.url, path);
      assert.equal(claimsOf(seen).path, path);
    });
  }

  for (const path of ["/objects/b/a%2Fb/c", "/objects/b/%2F", "/objects/b%2Fc/d%2525"]) {
    test(`is forwarded without a session if the rule is public: ${path}`, async () => {
      const { seen } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(seen.url, path);
    });
  }

  for (const path of [
    ...["/npm/%2e%2e%2f", "/npm/%2e%2e%2fadmin%2fx", "/npm/..%2Fadmin%2Fx", "/npm/a%2F.."],
    ...["/npm/%252e%252e%252fadmin", "/npm/a%2F%2e%2Fb", "/npm/a%2F..;x%2Fb", "/npm/a%2F..%253Bx"],
    ...["/npm/a%5cb", "/npm/a%2Fb%5C", "/npm/a%255cb", "/npm/a%2F%00", "/npm/a%2500"],
    ...["/npm/a%2F%c0%ae%c0%ae%2Fb", "/npm/a%25C0%25AE", `/npm/%2F${"a".repeat(4096)}`],
    ...["/npm/a%2F%0d%0a", "/npm/a%250d", "/npm/a%2F%", "/npm/a%2Fb%zz", "/npm/%2525252F"],
  ]) {
    test(`is refused in this path: ${path}`, () =>
      gateway.expectRejected(path, { headers: ada.headers }, 400, "ambiguous_path"));
  }
});

describe("an encoded slash under other rules", () => {
  for (const path of [
    ...["/plain/a%2Fb", "/plain/%252F", "/x%2Fy", "/npm%2Fx", "/admin%2Fx", "/admin/a%2Fb"],
    ...["/%2Fadmin/x", "/NPM/a%2Fb", "//npm/a%2Fb", "/api%2Fqueues/%2F/name", "/login%2F"],
    ...["/api/auth/me%2F", "/api/auth%2Fme", "/own%2Fx"],
  ]) {
    test(`is refused in this path: ${path}`, () =>
      gateway.expectRejected(path, { headers: ada.headers }, 400, "ambiguous_path"));
  }
});

test("an idempotency key belongs to the path as it was sent", async () => {
  const post = (path, key) =>
    gateway.request(path, {
      method: "POST",
      headers: { ...SAME_SITE, ...ada.headers, "Idempotency-Key": key },
    });
  const { response, seen } = await gateway.expectForwarded(() =>
    post("/once/a%2Fb", '"slashes-0001"'),
  );
  assert.equal(response.status, 200);
  assert.equal(seen.url, "/once/a%2Fb");
  const replay = await gateway.expectNotForwarded(() => post("/once/a%2Fb", '"slashes-0001"'));
  assert.equal(replay.status, 200);
  assertProblem(
    await gateway.expectNotForwarded(() => post("/once/a%252Fb", '"slashes-0001"')),
    422,
    "idempotency_key_reused",
  );
});

test("upstream is asked for the owner with the parameter as it was sent", async () => {
  const before = gateway.upstreamRequests.length;
  gateway.upstream.answers["/own/a%2Fb/meta"] = {
    headers: ["X-Created-By", ada.id, "X-Created-By-Type", "user"],
  };
  const { status } = await gateway.request("/own/a%2Fb", { headers: ada.headers });
  assert.equal(status, 200);
  const requests = gateway.upstreamRequests
    .slice(before)
    .map(({ method, url }) => `${method} ${url}`);
  assert.deepEqual(requests, ["HEAD /own/a%2Fb/meta", "GET /own/a%2Fb"]);
  gateway.upstream.answers["/own/a%2Fb/meta"] = {
    headers: ["X-Created-By", "usr_other", "X-Created-By-Type", "user"],
  };
  const response = await gateway.request("/own/a%2Fb", { headers: ada.headers });
  assertProblem(response, 403, "forbidden_owner");
});

for (const [name, routes, at] of [
  [
    "a rule with stricter access",
    [{ path: "/npm/admin/{*rest}", access: "admin" }, slashRule("/npm/{id}", "user")],
    'ROUTES[1].encoded_slashes: expected a rule that is at least as strict as the rule for "/npm/admin/{*rest}"',
  ],
  [
    "a built-in route",
    [slashRule("/{*rest}", "user")],
    'ROUTES[0].encoded_slashes: expected a rule that is at least as strict as the rule for "/api/auth/me"',
  ],
  [
    "a path without a rule",
    [slashRule("/npm/{id}", "public")],
    "ROUTES[0].encoded_slashes: expected a rule that is at least as strict as paths without a rule",
  ],
]) {
  test(`encoded_slashes is a configuration error if decoding reaches ${name}`, () =>
    assertMisconfigured({ routes }, at));
}
