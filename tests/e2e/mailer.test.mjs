// Mail to users: signed messages to a service of the operator, after the response, and the same work for every address.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { kindOf } from "../support/commands.mjs";
import { fromNewAddress } from "../support/factors.mjs";
import { assertProblem, openGateway, sessionCookieOf } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";
import { startUpstream } from "../support/upstream.mjs";

const NOW = 2_000_000_010;
const NEW = "a quite different phrase";
const KEY = Buffer.from("a key of thirty-two bytes, yes!!");
const MAILER_SECRET = `whsec_${KEY.toString("base64")}`;
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const CHROME = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36";

// Tells the mailer's server each command that a request gives to an object.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const kinds = { ACCOUNTS: ${kindOf("Accounts")}, SESSIONS: ${kindOf("Sessions")}, LIMITER: () => "" };
const counted = (store, name, seen) => ({
  idFromName: (name) => store.idFromName(name),
  get: (id) => ({
    command(command, ...more) {
      seen.push(name + " " + kinds[name](command));
      return store.get(id).command(command, ...more);
    },
  }),
});
export default {
  async fetch(request, env, context) {
    if (!request.headers.has("x-counted")) return worker.fetch(request, env, context);
    const [seen, changed] = [[], { ...env }];
    for (const name of Object.keys(kinds)) changed[name] = counted(env[name], name, seen);
    const response = await worker.fetch(request, changed, context);
    const copy = new Response(response.body, response);
    copy.headers.set("x-commands", seen.join(", "));
    return copy;
  },
};`;

// The messages that arrived, and those who wait for one. `status` answers the next messages.
const messages = [];
const waiting = [];
const statuses = [];
function receive(request, response, { body }) {
  body.then((bytes) => {
    const status = statuses.shift() ?? 204;
    response.writeHead(status).end();
    const message = { headers: request.headers, body: bytes.toString(), status };
    const resolve = waiting.shift();
    if (resolve) resolve(message);
    else messages.push(message);
  });
}
const nextMessage = () =>
  messages.length > 0
    ? Promise.resolve(messages.shift())
    : new Promise((resolve) => {
        waiting.push(resolve);
      });

// Verifies a message as a receiver has to, and returns its content.
function verify({ headers, body }) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature } = headers;
  const tag = createHmac("sha256", KEY).update(`${id}.${at}.${body}`).digest("base64");
  assert.equal(signature, `v1,${tag}`);
  assert.match(id, /^msg_[\w-]{27}$/);
  assert.equal(at, String(NOW));
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers.cookie, undefined);
  return JSON.parse(body);
}

let mailServer;
let gateway;
let people;
let call;
let trail;
before(async () => {
  mailServer = await startUpstream({ "/mail": receive });
  gateway = await openGateway({
    variables: {
      ...ACCOUNTS,
      DANGER_FIXED_NOW: NOW,
      BRANDING: { name: "Example" },
      MAILER: `${mailServer.origin}/mail`,
      MAILER_SECRET: trackSecret(MAILER_SECRET),
    },
    wrapperModules: { "entry.mjs": ENTRY },
  });
  people = await setUpUsers(gateway);
  call = people.call;
  trail = auditTrailOf(people);
});
after(() => gateway.stop());
after(() => mailServer?.stop());

const post = (path, body, caller = ANONYMOUS, headers = {}) =>
  call("POST", path, caller, body, { headers: { ...fromNewAddress(), ...headers } });
const request = (email, headers) => post("/api/auth/reset", { email }, ANONYMOUS, headers);
const logIn = (email, password, agent) =>
  post("/api/auth/login", { email, password }, ANONYMOUS, { "User-Agent": agent });
const SITE = { name: "Example", origin: "https://app.example" };

test("a reset link is mailed after the response, and works once", async () => {
  const ada = await people.createUser("ada");
  let response;
  const ask = async () => {
    response = await gateway.expectNotForwarded(() => request("Ada@Example.com"));
  };
  const [row] = await trail.rowsAddedBy(1, ask, "operation=vestibule.reset");
  // Nobody has proved to be Ada.
  assert.deepEqual([row.principal, row.detail, row.status], [null, ada.id, 202]);
  assert.equal(response.status, 202);
  const expiresAt = new Date((NOW + 3_600) * 1_000).toISOString().replace(".000", "");
  assert.deepEqual(response.json(), { expiresAt });
  const { type, timestamp, data } = verify(await nextMessage());
  const { url, ...rest } = data;
  assert.equal(type, "password_reset");
  assert.equal(Date.parse(timestamp), NOW * 1_000);
  assert.deepEqual(rest, {
    to: "ada@example.com",
    name: null,
    userId: ada.id,
    site: SITE,
    expiresAt,
  });
  const [page, token] = url.split("#reset=");
  assert.equal(page, "https://app.example/login");
  const use = () => post("/api/auth/reset/redeem", { token: trackSecret(token), newPassword: NEW });
  assert.equal((await use()).status, 204);
  const changed = verify(await nextMessage());
  assert.deepEqual(changed.type, "password_changed");
  assert.deepEqual(changed.data, {
    to: "ada@example.com",
    name: null,
    userId: ada.id,
    site: SITE,
    url: "https://app.example/login",
    at: changed.timestamp,
  });
  assertProblem(await use(), 410, "reset_unusable");
});

test("the response and the work are the same for every address, and only a user gets mail", async () => {
  const bob = await people.createUser("bob");
  const off = await people.createUser("off");
  await call("PATCH", `/api/users/${off.id}`, people.root, { status: "disabled" });
  const seen = [];
  for (const email of ["bob@example.com", "nobody@example.com", "off@example.com"]) {
    const response = await request(email, { "X-Counted": "yes" });
    // Each response has an id, a date and a duration of its own.
    for (const name of ["x-request-id", "date", "server-timing"]) delete response.headers[name];
    const { status, text, headers } = response;
    seen.push({ status, text, headers });
  }
  assert.equal(seen[0].headers["x-commands"], "LIMITER , LIMITER , LIMITER , ACCOUNTS Password");
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], seen[0]);
  assert.equal(verify(await nextMessage()).data.to, "bob@example.com");
  // The next message is about the next cause, so nobody else got one. Likewise, nobody else has a row.
  const rows = await trail.rowsAddedBy(
    1,
    () => request("bob@example.com"),
    "operation=vestibule.reset",
  );
  assert.equal(rows[0].detail, bob.id);
  assert.equal(verify(await nextMessage()).data.to, "bob@example.com");
  assert.equal(messages.length, 0);
  const { items } = await trail.page("operation=vestibule.reset&limit=100");
  assert.ok(items.every(({ detail }) => detail !== off.id && detail));
});

test("asking is limited by address and by account, also for addresses without an account", async () => {
  for (const email of ["cyd@example.com", "nobody-else@example.com"]) {
    const headers = fromNewAddress();
    for (let left = 5; left > 0; left -= 1)
      assert.equal((await request(email, headers)).status, 202);
    assertProblem(await request(email, headers), 429, "rate_limited");
    for (let left = 15; left > 0; left -= 1) assert.equal((await request(email)).status, 202);
    assertProblem(await request(email), 429, "rate_limited");
  }
  const headers = fromNewAddress();
  for (let at = 0; at < 20; at += 1)
    assert.equal((await request(`any-${at}@example.com`, headers)).status, 202);
  assertProblem(await request("any@example.com", headers), 429, "rate_limited");
});

test("a change of the password, and a sign-in with a new device, are told to the user", async () => {
  const eve = await people.createUser("eve");
  const change = { currentPassword: PASSWORD, newPassword: NEW };
  assert.equal((await post("/api/auth/password", change, eve)).status, 204);
  assert.equal(verify(await nextMessage()).type, "password_changed");

  // The first device was that of the invite, without a name.
  assert.equal((await logIn("eve@example.com", NEW, FIREFOX)).status, 200);
  const { type, data } = verify(await nextMessage());
  assert.equal(type, "sign_in_new");
  assert.deepEqual([data.to, data.device], ["eve@example.com", "Firefox on Linux"]);
  assert.equal(data.url, "https://app.example/login");
  // A known device, and a wrong password on a new one.
  assert.equal((await logIn("eve@example.com", NEW, FIREFOX)).status, 200);
  assertProblem(await logIn("eve@example.com", PASSWORD, CHROME), 401, "invalid_credentials");
  assert.equal((await logIn("eve@example.com", NEW, CHROME)).status, 200);
  assert.equal(verify(await nextMessage()).data.device, "Chrome on Windows");
});

test("a message that is not accepted is sent again, under the same id", async () => {
  statuses.push(500);
  await people.createUser("fay");
  assert.equal((await request("fay@example.com")).status, 202);
  const [first, second] = [await nextMessage(), await nextMessage()];
  assert.deepEqual([first.status, second.status], [500, 204]);
  assert.equal(first.headers["webhook-id"], second.headers["webhook-id"]);
  verify(second);
});

test("a message that is refused for good is logged, without its content", async () => {
  statuses.push(422);
  await people.createUser("gil");
  assert.equal((await request("gil@example.com")).status, 202);
  assert.equal((await nextMessage()).status, 422);
  const line = await gateway.waitForLog((line) => line.includes("mailer_failed"));
  assert.deepEqual(JSON.parse(line), { event: "mailer_failed", status: 422 });
});

describe("the configuration", () => {
  test("without a mailer, nobody can ask for mail", async (t) => {
    const other = await openGateway({ variables: ACCOUNTS });
    t.after(() => other.stop());
    const options = { request: other.request };
    const response = await call(
      "POST",
      "/api/auth/reset",
      ANONYMOUS,
      { email: "root@example.com" },
      options,
    );
    assertProblem(response, 404, "not_found");
    const settings = await call("GET", "/api/auth/settings", ANONYMOUS, undefined, options);
    assert.equal(settings.json().mailer, false);
  });

  test("a service binding gets the same messages", async (t) => {
    const got = [];
    const MAILER = async (request) => {
      got.push(new URL(request.url).hostname, request.method, await request.text());
      return new Response(null, { status: 204 });
    };
    const other = await openGateway({
      variables: { ...ACCOUNTS, DANGER_FIXED_NOW: NOW, MAILER_SECRET },
      bindings: { serviceBindings: { MAILER } },
    });
    t.after(() => other.stop());
    await setUpUsers(other);
    const options = { request: other.request };
    const body = { email: "root@example.com" };
    assert.equal((await call("POST", "/api/auth/reset", ANONYMOUS, body, options)).status, 202);
    while (got.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(got.slice(0, 2), ["mailer.invalid", "POST"]);
    trackSecret(JSON.parse(got[2]).data.url.split("#reset=")[1]);
    assert.equal(JSON.parse(got[2]).data.to, "root@example.com");
  });
});

test("a session opens although the mailer is down", async () => {
  await people.createUser("hal");
  statuses.push(500, 500, 500);
  const response = await logIn("hal@example.com", PASSWORD, FIREFOX);
  assert.equal(response.status, 200);
  assert.ok(sessionCookieOf(response).value);
  for (let left = 3; left > 0; left -= 1) assert.equal((await nextMessage()).status, 500);
});
