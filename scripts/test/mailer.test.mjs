// Tests examples/mailer/mailer.mjs.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mock, test } from "node:test";
import mailer from "../../examples/mailer/mailer.mjs";

const KEY = Buffer.alloc(32, 7);
const MAILER_SECRET = `whsec_${KEY.toString("base64")}`;
const DATA = {
  to: "ada@example.com",
  name: "Ada",
  site: { name: null, origin: "https://app.example" },
  url: "https://app.example/reset#reset=mkr_x",
  expiresAt: "2033-05-18T04:33:20Z",
};

function message(type, { at = Math.floor(Date.now() / 1_000), change = (body) => body } = {}) {
  const body = JSON.stringify({ type, data: DATA });
  const tag = createHmac("sha256", KEY).update(`msg_1.${at}.${body}`).digest("base64");
  const headers = {
    "webhook-id": "msg_1",
    "webhook-timestamp": `${at}`,
    "webhook-signature": `v1,${tag}`,
  };
  return new Request("https://mailer.invalid/", { method: "POST", headers, body: change(body) });
}

test("refuses what Vestibule did not sign, or signed long ago", async () => {
  const env = { MAILER_SECRET };
  const log = mock.method(console, "log", () => {});
  for (const refused of [
    message("password_reset", { change: (body) => body.replace("ada", "eve") }),
    message("password_reset", { at: 1_700_000_000 }),
    new Request("https://mailer.invalid/", { method: "POST", body: "{}" }),
  ])
    assert.equal((await mailer.fetch(refused, env)).status, 401);
  assert.equal(log.mock.callCount(), 0);
  assert.equal((await mailer.fetch(message("password_reset"), env)).status, 204);
  assert.ok(log.mock.calls[0].arguments[0].includes("mkr_x"));
  log.mock.restore();
});

test("sends mail by an API, and passes its failure on", async () => {
  const env = { MAILER_SECRET, MAIL_API: "https://mail.example/", MAIL_FROM: "a@b", MAIL_KEY: "k" };
  const answers = [new Response("{}"), new Response("{}", { status: 503 })];
  const fetching = mock.method(globalThis, "fetch", async () => answers.shift());
  for (const [type, status] of [
    ["password_changed", 204],
    ["sign_in_new", 503],
    ["of_a_later_version", 204],
  ])
    assert.equal((await mailer.fetch(message(type), env)).status, status);
  assert.equal(fetching.mock.callCount(), 2);
  const [url, { headers, body }] = fetching.mock.calls[0].arguments;
  assert.equal(url, env.MAIL_API);
  assert.equal(headers.Authorization, "Bearer k");
  assert.equal(headers["Idempotency-Key"], "msg_1");
  const mail = JSON.parse(body);
  assert.deepEqual([mail.from, mail.to], ["a@b", "ada@example.com"]);
  assert.match(mail.subject, /app\.example was changed/);
  fetching.mock.restore();
});
