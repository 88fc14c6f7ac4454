import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";
import { DEMO, hasDemoAccounts, seed, welcome } from "../lib/demo.mjs";

const site = "http://localhost:8787";
const textOf = (options) =>
  welcome({ site, isSample: true, hasAccounts: true, hasUsers: true, ...options });

test("the text of npm start fits the configuration", () => {
  const [ada, bob] = DEMO.map(({ email }) => email);
  for (const [options, shown, hidden] of [
    [{}, [`${ada}   correct horse battery   (admin)`, bob, "/account", "--empty"], ["/setup"]],
    [
      {},
      [
        `${site}/_vestibule/account#tokens`,
        `${site}/_vestibule/account#approvals`,
        "examples/agent/agent.mjs",
      ],
      [],
    ],
    [{ hasUsers: false }, [`${site}/_vestibule/setup`, "SETUP_TOKEN", "--empty"], [ada]],
    [{ hasAccounts: false }, [ada, bob, "/account"], ["(admin)", "/setup", "--empty", "agent"]],
    [
      { isSample: false, upstream: "http://127.0.0.1:3000" },
      ["127.0.0.1:3000", `curl ${site}/api/auth/setup --json '{"setupToken":"…"`, "SETUP_TOKEN"],
      [ada, "--empty", "buttons", "#setup"],
    ],
    [{ isSample: false }, ["the upstream of wrangler.toml", "break the cookie"], ["WARNING"]],
    [{ isSample: false, hasAccounts: false }, ["break the cookie"], ["setup", "SETUP_TOKEN"]],
    [
      { isSample: false, warning: "PUBLIC_ORIGINS is" },
      ["WARNING           PUBLIC_ORIGINS is"],
      [],
    ],
  ]) {
    const text = textOf(options);
    for (const part of [...shown, "not 127.0.0.1", ".wrangler/state"]) {
      assert.ok(text.includes(part), `missing ${part} in ${text}`);
    }
    for (const part of hidden) assert.ok(!text.includes(part), `unexpected ${part} in ${text}`);
  }
});

/** Starts a fake Vestibule that answers each path with a status. */
async function gateway(t, answers) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request.url);
    response.writeHead(answers[request.url] ?? 404, { "Set-Cookie": "mk_session=x; Path=/" });
    response.end(JSON.stringify({ userId: `usr_${requests.length}`, token: "mki_x" }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, requests };
}

test("seed creates the demo accounts if there are none", async (t) => {
  const redeem = "/api/invites/mki_x/redeem";
  const answers = { "/api/auth/setup": 201, "/api/invites": 201, [redeem]: 201 };
  const { origin, requests } = await gateway(t, answers);
  assert.deepEqual(await seed(origin, "token"), ["usr_1", "usr_3"]);
  assert.deepEqual(requests, Object.keys(answers));
});

for (const status of [409, 429]) {
  test(`seed creates nothing if setup answers ${status}`, async (t) => {
    const { origin, requests } = await gateway(t, { "/api/auth/setup": status });
    assert.equal(await seed(origin, "token"), undefined);
    assert.deepEqual(requests, ["/api/auth/setup"]);
  });
}

test("seed uses the path prefix of ENDPOINTS", async (t) => {
  const answers = { "/v/auth/setup": 201, "/v/invites": 201, "/v/invites/mki_x/redeem": 201 };
  const { origin, requests } = await gateway(t, answers);
  assert.equal(await hasDemoAccounts(origin, "/v"), false);
  assert.deepEqual(await seed(origin, "token", "/v"), ["usr_2", "usr_4"]);
  assert.deepEqual(requests, ["/v/auth/login", ...Object.keys(answers)]);
  assert.match(textOf({ endpoints: "/v" }), /curl -i http:\/\/localhost:8787\/v\/auth\/me /);
});

test("hasDemoAccounts signs out again", async (t) => {
  const existing = await gateway(t, { "/api/auth/login": 200, "/api/auth/logout": 204 });
  assert.equal(await hasDemoAccounts(existing.origin), true);
  assert.deepEqual(existing.requests, ["/api/auth/login", "/api/auth/logout"]);
  const { origin } = await gateway(t, { "/api/auth/login": 401 });
  assert.equal(await hasDemoAccounts(origin), false);
});
