import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";
import { DEMO, hasDemo, seed, welcome } from "../lib/demo.mjs";

const site = "http://localhost:8787";
const said = (facts) =>
  welcome({ site, isSample: true, hasAccounts: true, hasPeople: true, ...facts });

test("who may come in is said as it is", () => {
  const [ada, bob] = DEMO.map(({ email }) => email);
  for (const [facts, shown, hidden] of [
    [{}, [`${ada}   correct horse battery   an admin`, bob, "/account", "--empty"], ["#setup"]],
    [{}, [`${site}/account#tokens`, `${site}/account#approvals`, "examples/agent/agent.mjs"], []],
    [{ hasPeople: false }, [`${site}/login#setup`, "SETUP_TOKEN", "--empty"], [ada]],
    [{ hasAccounts: false }, [ada, bob, "/account"], ["an admin", "#setup", "--empty", "agent"]],
    [
      { isSample: false, upstream: "http://127.0.0.1:3000" },
      ["127.0.0.1:3000", `curl ${site}/api/auth/setup --json '{"setupToken":"…"`, "SETUP_TOKEN"],
      [ada, "--empty", "buttons", "#setup"],
    ],
    [{ isSample: false }, ["what wrangler.toml says", "break the cookie"], ["WARNING"]],
    [{ isSample: false, hasAccounts: false }, ["break the cookie"], ["setup", "SETUP_TOKEN"]],
    [
      { isSample: false, warning: "PUBLIC_ORIGINS is" },
      ["WARNING           PUBLIC_ORIGINS is"],
      [],
    ],
  ]) {
    const text = said(facts);
    for (const part of [...shown, "not 127.0.0.1", ".wrangler/state"]) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
    for (const part of hidden) assert.ok(!text.includes(part), `no ${part} in ${text}`);
  }
});

/** Plays a Vestibule that answers each path with a status. */
async function gateway(t, answers) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(answers[request.url] ?? 404, { "Set-Cookie": "mk_session=x; Path=/" });
    response.end(JSON.stringify({ userId: `usr_${asked.length}`, token: "mki_x" }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, asked };
}

test("the demo's people are made where nobody is", async (t) => {
  const redeem = "/api/invites/mki_x/redeem";
  const answers = { "/api/auth/setup": 201, "/api/invites": 201, [redeem]: 201 };
  const { origin, asked } = await gateway(t, answers);
  assert.deepEqual(await seed(origin, "token"), ["usr_1", "usr_3"]);
  assert.deepEqual(asked, Object.keys(answers));
});

for (const status of [409, 429]) {
  test(`and are not where setting up answers ${status}`, async (t) => {
    const { origin, asked } = await gateway(t, { "/api/auth/setup": status });
    assert.equal(await seed(origin, "token"), undefined);
    assert.deepEqual(asked, ["/api/auth/setup"]);
  });
}

test("and below ENDPOINTS, where that says another path", async (t) => {
  const answers = { "/v/auth/setup": 201, "/v/invites": 201, "/v/invites/mki_x/redeem": 201 };
  const { origin, asked } = await gateway(t, answers);
  assert.equal(await hasDemo(origin, "/v"), false);
  assert.deepEqual(await seed(origin, "token", "/v"), ["usr_2", "usr_4"]);
  assert.deepEqual(asked, ["/v/auth/login", ...Object.keys(answers)]);
  assert.match(said({ endpoints: "/v" }), /curl -i http:\/\/localhost:8787\/v\/auth\/me /);
});

test("whoever is there is signed out again", async (t) => {
  const there = await gateway(t, { "/api/auth/login": 200, "/api/auth/logout": 204 });
  assert.equal(await hasDemo(there.origin), true);
  assert.deepEqual(there.asked, ["/api/auth/login", "/api/auth/logout"]);
  const { origin } = await gateway(t, { "/api/auth/login": 401 });
  assert.equal(await hasDemo(origin), false);
});
