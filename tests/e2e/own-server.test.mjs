// Vestibule on workerd alone, as deploy/README.md says: without Cloudflare, wrangler or Miniflare.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readConfiguration } from "../../scripts/lib/configuration.mjs";
import { inProject } from "../../scripts/lib/project.mjs";
import { SECRETS, secretNames, workerdConfig, writeServer } from "../../scripts/lib/workerd.mjs";
import { request } from "../support/client.mjs";
import { startServer } from "../support/server.mjs";
import { startUpstream } from "../support/upstream.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const HOST = "app.example.com";
const SETUP_TOKEN = "sT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
const WEBHOOK_SHOP_SECRET = "w5Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe";
const ACCOUNT = { email: "root@example.com", password: "correct horse battery" };
const folder = mkdtempSync(join(tmpdir(), "vestibule-server-"));
const at = (name) => join(folder, name);

let upstream;
let configuration;
let server;

before(async () => {
  upstream = await startUpstream();
  configuration = await readConfiguration({});
  Object.assign(configuration.vars, {
    PUBLIC_ORIGINS: [`https://${HOST}`],
    UPSTREAM: upstream.origin,
    MAINTENANCE: [{ path: "/tasks/tick" }],
    WEBHOOKS: [{ name: "shop", scheme: "github", path: "/hooks/shop", delivery: "inbox" }],
    LOG_SAMPLE: 1,
  });
  writeServer(configuration, at("server"));
  mkdirSync(at("objects"));
  server = await start();
});

after(async () => {
  await server?.end("SIGKILL");
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

// Starts workerd with the secrets that a deployment needs, and no others.
const start = () =>
  startServer({
    folder: at("server"),
    storage: at("objects"),
    env: { AUTH_SECRET, UPSTREAM_SECRET, SETUP_TOKEN, WEBHOOK_SHOP_SECRET },
  });

// Sends a request as the proxy that ends TLS does.
const send = (path, { headers = {}, ...options } = {}) =>
  request(server.origin, path, {
    ...options,
    host: HOST,
    headers: {
      "X-Forwarded-Proto": "https",
      "CF-Connecting-IP": "192.0.2.7",
      "Sec-Fetch-Site": "same-origin",
      ...headers,
    },
  });
const post = (path, body, headers = {}) =>
  send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
const cookieOf = (response) => response.cookies[0].split(";")[0];

let cookie;

test("it is healthy, and serves its pages with their types", async () => {
  const health = await send("/.well-known/vestibule");
  assert.equal(health.status, 200);
  assert.equal(health.json().status, "ok");
  const page = await send("/_vestibule/sign-in");
  assert.equal(page.status, 200);
  assert.match(page.headers["content-type"], /^text\/html/);
  for (const name of readdirSync(inProject("build/assets/_vestibule/assets"))) {
    const { status, headers } = await send(`/_vestibule/assets/${name}`);
    assert.equal(status, 200);
    assert.match(
      headers["content-type"],
      name.endsWith(".css") ? /^text\/css/ : /^text\/javascript/,
    );
  }
  assert.equal((await send("/_vestibule/assets/missing.js")).status, 404);
});

test("accounts work: the cookie is Secure, and upstream gets the user and an assertion", async () => {
  const setUp = await post("/api/auth/setup", { setupToken: SETUP_TOKEN, ...ACCOUNT });
  assert.equal(setUp.status, 201, setUp.text);
  assert.match(setUp.cookies[0], /; Secure/);
  cookie = cookieOf(setUp);
  const before = upstream.seen.length;
  const { status, text } = await send("/reports", { headers: { Cookie: cookie } });
  assert.equal(status, 200, text);
  const [seen] = upstream.seen.slice(before);
  assert.equal(seen.headers["x-user-id"], setUp.json().userId);
  assert.equal(seen.headers["x-forwarded-proto"], "https");
  assert.match(seen.headers["x-vestibule-assertion"], /^eyJ/);
});

test("a request without a session does not reach upstream", async () => {
  const before = upstream.seen.length;
  const { status } = await send("/reports");
  assert.equal(status, 401);
  assert.equal(upstream.seen.length, before);
});

test("accounts, sessions and the audit trail survive a kill -9", async () => {
  // Not idle, so that something is written while it dies.
  const pending = Array.from({ length: 5 }, () => post("/api/auth/login", ACCOUNT).catch(() => {}));
  const { status } = await post("/api/auth/login", ACCOUNT);
  assert.equal(status, 200);
  await server.end("SIGKILL");
  await Promise.all(pending);
  server = await start();
  const me = await send("/api/auth/me", { headers: { Cookie: cookie } });
  assert.equal(me.status, 200, me.text);
  assert.equal(me.json().user.email, ACCOUNT.email);
  assert.equal((await post("/api/auth/login", ACCOUNT)).status, 200);
  const trail = await send("/api/audit", { headers: { Cookie: cookie } });
  const day = trail.json().items[0].at.slice(0, 10);
  const verified = await send(`/api/audit/verify?day=${day}`, { headers: { Cookie: cookie } });
  assert.equal(verified.json().ok, true, verified.text);
  assert.ok(verified.json().rows > 0);
});

test("an event in an inbox survives a kill -9, and its alarm delivers it without a request", async () => {
  upstream.answers["/hooks/shop"] = { status: 503 };
  const body = '{"order":7}';
  const signature = createHmac("sha256", WEBHOOK_SHOP_SECRET).update(body).digest("hex");
  const first = upstream.nextRequest();
  const accepted = await send("/hooks/shop", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-GitHub-Event": "push",
      "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
      "X-Hub-Signature-256": `sha256=${signature}`,
    },
    body,
  });
  assert.equal(accepted.status, 202, accepted.text);
  const { headers } = await first;
  await server.end("SIGKILL");
  delete upstream.answers["/hooks/shop"];
  const second = upstream.nextRequest();
  server = await start();
  const delivered = await second;
  assert.equal(delivered.url, "/hooks/shop");
  assert.equal(delivered.headers["idempotency-key"], headers["idempotency-key"]);
  assert.equal((await delivered.body).toString(), body);
});

test("the socket of the timer runs the maintenance, and nothing else does", async () => {
  const before = upstream.seen.length;
  assert.equal((await request(server.timer, "/", { method: "GET" })).status, 405);
  assert.equal((await send("/tasks/tick", { method: "POST" })).status, 404);
  assert.equal(upstream.seen.length, before);
  assert.equal((await request(server.timer, "/", { method: "POST" })).status, 204);
  const [tick] = upstream.seen.slice(before);
  assert.equal(`${tick.method} ${tick.url}`, "POST /tasks/tick");
  assert.match(tick.headers["x-vestibule-assertion"], /^eyJ/);
});

test("it stops when it is asked to", async () => {
  await server.end("SIGTERM");
  assert.ok(server.log.length > 0);
  for (const secret of [AUTH_SECRET, UPSTREAM_SECRET, SETUP_TOKEN, ACCOUNT.password]) {
    assert.ok(!server.log.some((line) => line.includes(secret)));
  }
  server = await start();
  assert.equal((await send("/api/auth/me", { headers: { Cookie: cookie } })).status, 200);
});

test("bindings that workerd does not have are refused", () => {
  for (const binding of ["KV", "POLICY", "limit:LOGIN_GATE"]) {
    const bindings = [...configuration.bindings, binding];
    assert.throws(
      () => workerdConfig({ ...configuration, bindings }),
      new RegExp(`workerd alone has no .*${binding.replace("limit:", "")}`),
    );
  }
});

test("each documented secret is read from the environment", () => {
  const reference = readFileSync(inProject("docs/configuration.md"), "utf8");
  const [, section] = reference.split("\n## Secrets\n");
  const names = [...section.split("\n## ")[0].matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(SECRETS.toSorted(), names.toSorted());
  const WEBHOOKS = [{ name: "my-shop" }, { name: "a", secret: "SHOP_SECRET" }];
  assert.deepEqual(secretNames({ WEBHOOKS }).slice(SECRETS.length), [
    "WEBHOOK_MY_SHOP_SECRET",
    "SHOP_SECRET",
  ]);
});

test("values are quoted as Cap'n Proto reads them", () => {
  const vars = { ...configuration.vars, BRANDING: { name: 'A "b" \\ \u00e9\n' } };
  const text = workerdConfig({ ...configuration, vars });
  assert.ok(text.includes('"{\\"name\\":\\"A \\\\\\"b\\\\\\" \\\\\\\\ \u00e9\\\\n\\"}"'));
});
