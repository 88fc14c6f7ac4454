// Whatever a rule asks for, every spelling of its path that laxer servers read as that path is asked for it too.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";
import { cookie, forge, mint, remember } from "../support/tokens.mjs";
import { TURNSTILE_SECRET } from "../support/turnstile.mjs";

const WEBHOOK_PAY_SECRET = remember("whsec.test_secret_of_the_provider");

// What a rule may ask for, and what who asks for none of it is told where the path is spelt as the rule has it:
// `ok` is the application's word.
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
  Object.entries(GUARDS).flatMap(([guard, [asked]]) =>
    [literal(area, guard), slashed(area, guard), `/${area}/${guard}/{id}/items/pay!`].map(
      (path) => ({
        path,
        access,
        ...asked,
      }),
    ),
  );
const VARIABLES = {
  ...ACCOUNTS,
  TURNSTILE_SECRET,
  // Nobody is there to ask, so nothing passes.
  BOT_CHECK: { verify_url: "http://127.0.0.1:9/" },
  POLICY_URL: "http://127.0.0.1:9/",
  RATE_LIMITS: [{ name: "few", limit: 1_000, period: "1h", by: "address" }],
  WEBHOOKS: [{ name: "pay", scheme: "stripe", path: "/hooks/pay" }],
  WEBHOOK_PAY_SECRET,
};
const opened = (ROUTES) =>
  openGateway({
    variables: { ...VARIABLES, ROUTES_1: ROUTES.slice(0, 30), ROUTES_2: ROUTES.slice(30) },
    bindings: { kvNamespaces: ["KV"] },
  });

// Each is read as the path itself by servers that fold case, decode escapes, cut `;parameters`, do not count a slash at the
// end, drop dots and spaces, or look for a query only then; or that do more than one of these.
const lax = (path) => {
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
// Refused whatever the rules say.
const hasDots = (path) => /\/(\.|%2E)/.test(path);
// Each is the path itself to everybody.
const same = (path) => [
  path,
  path.replace("/", "//"),
  path.replace("pay", "p%61y").replace("dir", "%64ir"),
  path.replace(/.\//, "$&/"),
];

const ORIGIN = { "Sec-Fetch-Site": "same-origin" };
const refusedAll = async (gateway, paths, who = NOBODY, method = "POST") => {
  for (const path of paths) {
    const response = await gateway.untouched(() =>
      gateway.ask(path, { method, headers: { ...ORIGIN, ...who.headers } }),
    );
    assert.equal(response.status, 400, `${method} ${path}: ${response.status} ${response.text}`);
    assertProblem(response, 400, "ambiguous_path");
  }
};

// Each spelling is answered as the path itself is, and goes on as it came if it does.
const alike = async (gateway, path, spellings, who = NOBODY, method = "POST", more = {}) => {
  const ask = async (path) => {
    const before = gateway.seen.length;
    const response = await gateway.ask(path, {
      method,
      headers: { ...ORIGIN, ...who.headers, ...more },
    });
    const seen = gateway.seen.slice(before).map(({ url }) => url);
    const { error } = response.status === 200 ? {} : response.json();
    return { status: response.status, error, seen };
  };
  const own = await ask(path);
  for (const spelling of spellings) {
    const { status, error, seen } = await ask(spelling);
    const wanted = hasDots(spelling) ? [400, "ambiguous_path"] : [own.status, own.error];
    assert.deepEqual([status, error], wanted, `${method} ${spelling}`);
    assert.deepEqual(seen, status === 200 ? [canonical(spelling)] : [], `${method} ${spelling}`);
  }
  return own;
};
// Escaped letters are decoded, in what decides and in what is forwarded.
const canonical = (path) =>
  path.replace(/%([46][1-9a-f]|[57][0-9a])/gi, (_, code) => String.fromCharCode(`0x${code}`));

describe("beside a rule for everything else", () => {
  let gateway;
  let task;
  let ada;
  before(async () => {
    const area = [...routes("a", "public")];
    gateway = await opened([
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
    const people = await settle(gateway);
    ada = await people.invited("ada");
    task = await people.token(ada, "mat_");
  });
  after(() => gateway.stop());

  for (const [guard, [, wanted]] of Object.entries(GUARDS)) {
    const items = `/a/${guard}/7/items/pay!`;
    const paths = [literal("a", guard), slashed("a", guard), items];

    test(`${guard}: every spelling is asked for it`, async () => {
      for (const path of paths) {
        const own = await alike(gateway, path, [...lax(path), ...same(path)]);
        assert.equal(own.error ?? "ok", wanted, path);
      }
      // Whoever it is.
      for (const who of [ada, task, { headers: { Cookie: cookie(forge(mint())) } }])
        await alike(gateway, paths[0], lax(paths[0]), who);
    });
  }

  test("confirm: every spelling waits for a person", async () => {
    for (const path of ["/b/confirm/pay!", "/b/confirm/dir/"]) {
      for (const method of ["POST", "DELETE", "PROPFIND"])
        for (const spelling of [...lax(path), ...same(path)]) {
          if (hasDots(spelling)) continue;
          const response = await gateway.untouched(() =>
            gateway.ask(spelling, { method, headers: task.headers }),
          );
          const error = response.json().error;
          // At some time too many wait.
          assert.ok(["confirmation_required", "rate_limited"].includes(error), error);
        }
    }
  });

  test("the cross-site check applies although another rule skips it", async () => {
    const path = "/c/csrf/pay!";
    const spellings = lax(path).filter((path) => path.startsWith("/c/"));
    const own = await alike(gateway, path, spellings, NOBODY, "POST", {
      "Sec-Fetch-Site": "cross-site",
    });
    assert.equal(own.error, "forbidden_origin");
  });

  test("owner: ownership is checked for every spelling whose id segment is certain", async () => {
    const path = "/o/7/go/pay!";
    const isCertain = (path) => !/\/(;|%3B|\/)/i.test(path.replace(/\/+$/, ""));
    const spellings = lax(path).filter((path) => !hasDots(path));
    for (const spelling of spellings) {
      const before = gateway.seen.length;
      const response = await gateway.ask(spelling, {
        method: "POST",
        headers: { ...ORIGIN, ...ada.headers },
      });
      const seen = gateway.seen.slice(before).map(({ method, url }) => `${method} ${url}`);
      if (isCertain(spelling)) {
        assertProblem(response, 403, "forbidden_owner");
        assert.deepEqual(seen, ["HEAD /o/7/meta"], spelling);
      } else {
        assertProblem(response, 400, "ambiguous_path");
        assert.deepEqual(seen, [], spelling);
      }
    }
  });

  test("a webhook: no other spelling", async () => {
    await refusedAll(gateway, [...lax("/hooks/pay"), "//hooks/pay", "/hooks//pay"]);
    const response = await gateway.untouched(() => gateway.ask("/hooks/pay", { method: "POST" }));
    assert.notEqual(response.json().error, "ambiguous_path");
  });

  test("our own endpoints: no other spelling", async () => {
    for (const path of ["/api/audit", "/api/audit/verify"])
      await refusedAll(gateway, [...lax(path), `/${path}`], NOBODY, "GET");
  });

  test("paths without a guard are not refused", async () => {
    for (const path of [
      ...["/Other", "/other;x=1/", "/o%21ther/", "/a/limit/else/", "/A/LIMIT/else", "/other//x/"],
      ...["/p/https://example.com/x.png", "//other", "/public/caf%C3%A9", "/;x/other"],
    ]) {
      const { response, seen } = await gateway.passed(() => gateway.ask(path));
      assert.equal(response.text, "ok", path);
      assert.equal(seen.url, path);
    }
  });

  test("a rule is for its methods", async () => {
    const own = await alike(gateway, "/m/pay!", lax("/m/pay!"));
    assert.equal(own.error, "unauthorized");
    for (const path of ["/M/PAY!", "/m/pay!/", "/m/pay!;x"]) {
      const { response } = await gateway.passed(() => gateway.ask(path));
      assert.equal(response.text, "ok", path);
    }
  });

  test("a rule written for another spelling asks for no less", async () => {
    for (const path of [
      ...["/e/Pay!", "/e/pay!/", "/e/pay!;v=1", "/e//Pay!", "/e/p%61y!/", "/e/pay!"],
      ...["/e/PAY!", "/e/Pay!/", "/e/pay!;v=2", "/E/pay!", "/e/Pay%21"],
    ]) {
      await gateway.refused(path, {}, 401, "unauthorized", "no_credential");
      await gateway.passed(() => gateway.ask(path, { headers: ada.headers }));
    }
  });

  test("what falls under a rule that asks for more is asked for more", async () => {
    for (const path of ["/w/PAY!", "/w/pay!/", "/w/pay!;x"]) {
      await gateway.refused(path, {}, 401, "unauthorized", "no_credential");
      await gateway.passed(() => gateway.ask(path, { headers: ada.headers }));
    }
  });
});

describe("where there is no rule for anything else", () => {
  const access = "authenticated";
  let gateway;
  let users;
  before(async () => {
    const confirmed = ["/a/confirm/pay!", "/a/confirm/dir/"];
    gateway = await opened([
      ...routes("a", access),
      ...confirmed.map((path) => ({ path, access, confirm: "human" })),
    ]);
    const people = await settle(gateway);
    const ada = await people.invited("ada");
    users = [ada, await people.token(ada, "mat_"), await people.token(ada, "mul_")];
  });
  after(() => gateway.stop());

  // What everything else asks for is asked for here, too.
  const NO_MORE = ["optional"];
  for (const guard of Object.keys(GUARDS).filter((name) => !NO_MORE.includes(name))) {
    test(`${guard}: every spelling is asked for it`, async () => {
      for (const who of users) {
        for (const path of [literal("a", guard), slashed("a", guard)])
          await alike(gateway, path, lax(path), who);
      }
    });
  }

  test("what nothing was said of is as it was", async () => {
    for (const path of [
      "/a/else/",
      "/A/Else",
      "/a;x/else",
      "/a//else",
      ...lax(literal("a", "authenticated")),
    ]) {
      if (hasDots(path)) continue;
      await gateway.refused(path, {}, 401, "unauthorized", "no_credential");
      const { response } = await gateway.passed(() =>
        gateway.ask(path, { headers: { ...ORIGIN, ...users[0].headers } }),
      );
      assert.equal(response.text, "ok", path);
    }
  });
});
