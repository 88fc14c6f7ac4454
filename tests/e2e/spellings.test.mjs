// The requirements of a rule apply to every spelling that some server reads as its path.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import {
  breakSignature,
  createSessionToken,
  sessionCookies,
  trackSecret,
} from "../support/tokens.mjs";
import { TURNSTILE_SECRET } from "../support/turnstile.mjs";

const WEBHOOK_PAY_SECRET = trackSecret("whsec.test_secret_of_the_provider");

// For each guard: members of its rule, and the code for an anonymous request to the path as written. `ok` is the body
// from upstream.
const GUARDS = {
  optional: [{ access: "optional" }, "ok"],
  authenticated: [{ access: "authenticated" }, "unauthorized"],
  user: [{ access: "user" }, "unauthorized"],
  human: [{ access: "human" }, "unauthorized"],
  agent: [{ access: "agent" }, "unauthorized"],
  admin: [{ access: "admin" }, "unauthorized"],
  limit: [{ limit: "few" }, "ok"],
  bot_check: [{ bot_check: "pay" }, "bot_check_failed"],
  feature: [{ feature: "pay" }, "feature_disabled"],
  policy: [{ policy: "pay" }, "forbidden_policy"],
  audit: [{ audit: "best_effort" }, "ok"],
  audited: [{ audit: "required" }, "ok"],
  csrf: [{ csrf: "strict" }, "ok"],
  keyed: [{ idempotency: "required" }, "idempotency_key_missing"],
};
const literal = (area, guard) => `/${area}/${guard}/pay!`;
const slashed = (area, guard) => `/${area}/${guard}/dir/`;
const routes = (area, access) =>
  Object.entries(GUARDS).flatMap(([guard, [requirement]]) =>
    [literal(area, guard), slashed(area, guard), `/${area}/${guard}/{id}/items/pay!`].map(
      (path) => ({
        path,
        access,
        ...requirement,
      }),
    ),
  );
const VARIABLES = {
  ...ACCOUNTS,
  TURNSTILE_SECRET,
  // Nothing listens at this address, so no request passes.
  BOT_CHECK: { verify_url: "http://127.0.0.1:9/" },
  POLICY_URL: "http://127.0.0.1:9/",
  RATE_LIMITS: [{ name: "few", limit: 1_000, period: "1h", by: "address" }],
  WEBHOOKS: [{ name: "pay", scheme: "stripe", path: "/hooks/pay" }],
  WEBHOOK_PAY_SECRET,
};
const openWith = (ROUTES) =>
  openGateway({
    variables: { ...VARIABLES, ROUTES_1: ROUTES.slice(0, 30), ROUTES_2: ROUTES.slice(30) },
    bindings: { kvNamespaces: ["KV"] },
  });

// Spellings that are read as `path` by servers that fold case, decode escapes, remove `;parameters`, ignore a final
// slash, drop dots and spaces, find the query after decoding, or do several of these.
const laxSpellings = (path) => {
  const upper = path.toUpperCase();
  const within = path.lastIndexOf("/", path.length - 2);
  const [head, tail] = [path.slice(0, within), path.slice(within)];
  return [
    upper,
    path.replace(/^\/[a-z]/, (start) => start.toUpperCase()),
    head + tail.toUpperCase(),
    ...(path.includes("!") ? [path.replace("!", "%21"), upper.replace("!", "%21")] : []),
    path.replace(/\/?$/, ";v=1$&"),
    path.replace(/\/?$/, ";$&"),
    ...["%3F", "%23", "%3Fa=1/b", ";v%23", "%20%3F"].map((end) => path + end),
    ...[".", "..", "%20", ".%20;x"].map((end) => path.replace(/\/?$/, `${end}$&`)),
    `${head}.${tail}`,
    `${head}%20${tail}%23`,
    `${head}/x/..%20${tail}`,
    `${head};x=1;y=2${tail}`,
    `${head}%3Bx${tail}`,
    `${head.toUpperCase()};${tail}`,
    `${head}/;x${tail}`,
    `/;x${path}`,
    `${head}/.;${tail}`,
    `${head}/.;x=1${tail}`,
    `${head}/x/..;${tail}`,
    `${head}/x/%2E%2E;v=1${tail}`,
    `${head}/x/..%3Bv=1${tail}`,
    ...(path.endsWith("/")
      ? [path.slice(0, -1), upper.slice(0, -1), `${path.slice(0, -1)};x`]
      : [`${path}/`, `${upper}/`, `${path};x/`, `${path}/;x`, `${path}//`, `${path}/.;`]),
  ];
};
// Such a path is rejected under any rule.
const hasDots = (path) => /\/(\.|%2E)/.test(path);
// Spellings that every server reads as `path`.
const sameSpellings = (path) => [
  path,
  path.replace("/", "//"),
  path.replace("pay", "p%61y").replace("dir", "%64ir"),
  path.replace(/.\//, "$&/"),
];

const ORIGIN = { "Sec-Fetch-Site": "same-origin" };
const assertAmbiguous = async (gateway, paths, caller = ANONYMOUS, method = "POST") => {
  for (const path of paths) {
    const response = await gateway.expectNotForwarded(() =>
      gateway.request(path, { method, headers: { ...ORIGIN, ...caller.headers } }),
    );
    assert.equal(response.status, 400, `${method} ${path}: ${response.status} ${response.text}`);
    assertProblem(response, 400, "ambiguous_path");
  }
};

// Asserts that each spelling gets the same response as `path`, and is forwarded unchanged or not at all. Returns the
// response.
const assertAlike = async (
  gateway,
  path,
  spellings,
  caller = ANONYMOUS,
  method = "POST",
  more = {},
) => {
  const request = async (path) => {
    const before = gateway.upstreamRequests.length;
    const response = await gateway.request(path, {
      method,
      headers: { ...ORIGIN, ...caller.headers, ...more },
    });
    const seen = gateway.upstreamRequests.slice(before).map(({ url }) => url);
    const { error } = response.status === 200 ? {} : response.json();
    return { status: response.status, error, seen };
  };
  const own = await request(path);
  for (const spelling of spellings) {
    const { status, error, seen } = await request(spelling);
    const expected = hasDots(spelling) ? [400, "ambiguous_path"] : [own.status, own.error];
    assert.deepEqual([status, error], expected, `${method} ${spelling}`);
    assert.deepEqual(seen, status === 200 ? [canonical(spelling)] : [], `${method} ${spelling}`);
  }
  return own;
};
// Escaped letters are decoded for the decision and in the forwarded path.
const canonical = (path) =>
  path.replace(/%([46][1-9a-f]|[57][0-9a])/gi, (_, code) => String.fromCharCode(`0x${code}`));

describe("with a public rule for all other paths", () => {
  let gateway;
  let task;
  let ada;
  before(async () => {
    const area = [...routes("a", "public")];
    gateway = await openWith([
      { path: "/{*rest}", access: "public" },
      ...area,
      { path: "/b/{*rest}", access: "authenticated" },
      { path: "/b/confirm/pay!", access: "authenticated", confirm: "human" },
      { path: "/b/confirm/dir/", access: "authenticated", confirm: "human" },
      { path: "/c/{*rest}", access: "public", insecure_skip_csrf: true },
      { path: "/c/csrf/pay!", access: "public" },
      { path: "/o/{id}/go/pay!", access: "owner", owner_from: "/o/{id}/meta" },
      { path: "/m/pay!", access: "user", methods: ["POST"] },
      { path: "/e/pay!", access: "user" },
      { path: "/e/Pay!", access: "public" },
      { path: "/e/pay!/", access: "public" },
      { path: "/e/pay!;v=1", access: "public" },
      { path: "/w/{*rest}", access: "user" },
      { path: "/w/pay!", access: "authenticated" },
    ]);
    const people = await setUpUsers(gateway);
    ada = await people.createUser("ada");
    task = await people.createToken(ada, "mat_");
  });
  after(() => gateway.stop());

  for (const [guard, [, expected]] of Object.entries(GUARDS)) {
    const items = `/a/${guard}/7/items/pay!`;
    const paths = [literal("a", guard), slashed("a", guard), items];

    test(`${guard}: applies to every spelling`, async () => {
      for (const path of paths) {
        const own = await assertAlike(gateway, path, [
          ...laxSpellings(path),
          ...sameSpellings(path),
        ]);
        assert.equal(own.error ?? "ok", expected, path);
      }
      // Likewise for every caller.
      for (const caller of [
        ada,
        task,
        { headers: { Cookie: sessionCookies(breakSignature(createSessionToken())) } },
      ])
        await assertAlike(gateway, paths[0], laxSpellings(paths[0]), caller);
    });
  }

  test("confirm: every spelling needs an approval", async () => {
    for (const path of ["/b/confirm/pay!", "/b/confirm/dir/"]) {
      for (const method of ["POST", "DELETE", "PROPFIND"])
        for (const spelling of [...laxSpellings(path), ...sameSpellings(path)]) {
          if (hasDots(spelling)) continue;
          const response = await gateway.expectNotForwarded(() =>
            gateway.request(spelling, { method, headers: task.headers }),
          );
          const error = response.json().error;
          // After 20 requests, too many approvals are open.
          assert.ok(["confirmation_required", "rate_limited"].includes(error), error);
        }
    }
  });

  test("csrf: the check applies although another rule skips it", async () => {
    const path = "/c/csrf/pay!";
    const spellings = laxSpellings(path).filter((path) => path.startsWith("/c/"));
    const own = await assertAlike(gateway, path, spellings, ANONYMOUS, "POST", {
      "Sec-Fetch-Site": "cross-site",
    });
    assert.equal(own.error, "forbidden_origin");
  });

  test("owner: ownership is checked for every spelling whose id segment is certain", async () => {
    const path = "/o/7/go/pay!";
    const isCertain = (path) => !/\/(;|%3B|\/)/i.test(path.replace(/\/+$/, ""));
    const spellings = laxSpellings(path).filter((path) => !hasDots(path));
    for (const spelling of spellings) {
      const before = gateway.upstreamRequests.length;
      const response = await gateway.request(spelling, {
        method: "POST",
        headers: { ...ORIGIN, ...ada.headers },
      });
      const seen = gateway.upstreamRequests
        .slice(before)
        .map(({ method, url }) => `${method} ${url}`);
      if (isCertain(spelling)) {
        assertProblem(response, 403, "forbidden_owner");
        assert.deepEqual(seen, ["HEAD /o/7/meta"], spelling);
      } else {
        assertProblem(response, 400, "ambiguous_path");
        assert.deepEqual(seen, [], spelling);
      }
    }
  });

  test("webhooks: every other spelling is rejected", async () => {
    await assertAmbiguous(gateway, [...laxSpellings("/hooks/pay"), "//hooks/pay", "/hooks//pay"]);
    const response = await gateway.expectNotForwarded(() =>
      gateway.request("/hooks/pay", { method: "POST" }),
    );
    assert.notEqual(response.json().error, "ambiguous_path");
  });

  test("endpoints: every other spelling is rejected", async () => {
    for (const path of ["/api/audit", "/api/audit/verify"])
      await assertAmbiguous(gateway, [...laxSpellings(path), `/${path}`], ANONYMOUS, "GET");
  });

  test("paths without requirements are not rejected", async () => {
    for (const path of [
      ...["/Other", "/other;x=1/", "/o%21ther/", "/a/limit/else/", "/A/LIMIT/else", "/other//x/"],
      ...["/p/https://example.com/x.png", "//other", "/public/caf%C3%A9", "/;x/other"],
    ]) {
      const { response, seen } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(response.text, "ok", path);
      assert.equal(seen.url, path);
    }
  });

  test("a rule applies only to its methods", async () => {
    const own = await assertAlike(gateway, "/m/pay!", laxSpellings("/m/pay!"));
    assert.equal(own.error, "unauthorized");
    for (const path of ["/M/PAY!", "/m/pay!/", "/m/pay!;x"]) {
      const { response } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(response.text, "ok", path);
    }
  });

  test("a rule for another spelling does not lower the requirements", async () => {
    for (const path of [
      ...["/e/Pay!", "/e/pay!/", "/e/pay!;v=1", "/e//Pay!", "/e/p%61y!/", "/e/pay!"],
      ...["/e/PAY!", "/e/Pay!/", "/e/pay!;v=2", "/E/pay!", "/e/Pay%21"],
    ]) {
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
      await gateway.expectForwarded(() => gateway.request(path, { headers: ada.headers }));
    }
  });

  test("a spelling under a stricter rule must meet the stricter rule", async () => {
    for (const path of ["/w/PAY!", "/w/pay!/", "/w/pay!;x"]) {
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
      await gateway.expectForwarded(() => gateway.request(path, { headers: ada.headers }));
    }
  });
});

describe("without a rule for all other paths", () => {
  const access = "authenticated";
  let gateway;
  let users;
  before(async () => {
    const confirmed = ["/a/confirm/pay!", "/a/confirm/dir/"];
    gateway = await openWith([
      ...routes("a", access),
      ...confirmed.map((path) => ({ path, access, confirm: "human" })),
    ]);
    const people = await setUpUsers(gateway);
    const ada = await people.createUser("ada");
    users = [ada, await people.createToken(ada, "mat_"), await people.createToken(ada, "mul_")];
  });
  after(() => gateway.stop());

  // Other spellings of an `optional` path need what every path without a rule needs.
  const EXCEPT = ["optional"];
  for (const guard of Object.keys(GUARDS).filter((name) => !EXCEPT.includes(name))) {
    test(`${guard}: applies to every spelling`, async () => {
      for (const caller of users) {
        for (const path of [literal("a", guard), slashed("a", guard)])
          await assertAlike(gateway, path, laxSpellings(path), caller);
      }
    });
  }

  test("paths without a rule need a session, in every spelling", async () => {
    for (const path of [
      "/a/else/",
      "/A/Else",
      "/a;x/else",
      "/a//else",
      ...laxSpellings(literal("a", "authenticated")),
    ]) {
      if (hasDots(path)) continue;
      await gateway.expectRejected(path, {}, 401, "unauthorized", "no_credential");
      const { response } = await gateway.expectForwarded(() =>
        gateway.request(path, { headers: { ...ORIGIN, ...users[0].headers } }),
      );
      assert.equal(response.text, "ok", path);
    }
  });
});
