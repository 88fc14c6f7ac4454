// Vestibule accepts what the providers' own libraries sign, and rejects what these libraries reject. The second half
// generates hundreds of requests: signed, changed a little, and verified by both. A disagreement that
// tests/support/providers does not list is a failure.
//
// MUTATIONS is the number of requests for each provider, SEED is the seed of the random numbers.

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { after, before, describe, mock, test } from "node:test";
import twilio from "twilio";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { BODIES, mutate, randomGenerator, signingPlan } from "../support/mutations.mjs";
import { NOW, PROVIDERS } from "../support/providers/index.mjs";
import { startWorker } from "../support/worker.mjs";

const MUTATIONS = Number(process.env.MUTATIONS ?? 300);
const SEED = Number(process.env.SEED ?? 1);
const BATCH = 100;

// No library here supports Ed25519.
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const ED25519 = { name: "ed25519", scheme: "standard", path: "/hooks/ed25519" };
const rawKey = publicKey.export({ type: "spki", format: "der" }).subarray(-32);

const variables = {
  DANGER_FIXED_NOW: NOW,
  WEBHOOKS: [
    ...PROVIDERS.map(({ name, path, endpoint }) => ({ name, path, ...endpoint })),
    ED25519,
  ],
  WEBHOOK_ED25519_SECRET: `whpk_${rawKey.toString("base64")}`,
  ...Object.fromEntries(
    PROVIDERS.map(({ name, secrets }) => [
      `WEBHOOK_${name.toUpperCase()}_SECRET`,
      secrets.join(","),
    ]),
  ),
};

// Handles many requests in one, so that they need not cross the network. Upstream accepts all of them.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
class Upstream {
  fetch() { return Promise.resolve(new Response(null, { status: 204 })); }
}
const UPSTREAM = new Upstream();
const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
export default {
  async fetch(request, env, context) {
    const answers = [];
    for (const { url, headers, body } of await request.json()) {
      const options = { method: "POST", headers, body: bytes(body), redirect: "manual" };
      const one = new Request(url, options);
      const response = await worker.fetch(one, { ...env, UPSTREAM }, context);
      answers.push([response.status, response.status === 204 ? "" : await response.text()]);
    }
    return Response.json(answers);
  },
};`;

// The libraries read the clock, so it is fixed for them, too.
before(() => mock.timers.enable({ apis: ["Date"], now: NOW * 1_000 }));
after(() => mock.timers.reset());

describe("a request that the provider's own library signs", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ variables });
  });
  after(() => gateway.stop());
  const send = (provider, { headers, body, query }) =>
    gateway.request(provider.path + query, { method: "POST", headers, body });

  for (const provider of PROVIDERS) {
    test(`${provider.name}: is forwarded once, and rejected with another body`, async () => {
      for (const secret of provider.secrets) {
        const body = Buffer.from(JSON.stringify({ id: `evt_${secret}`, event_id: secret }));
        const request = asReceived(await provider.sdk(body, secret));
        if (!provider.missing) assert.equal(await provider.accepts(request, secret), true);
        const { seen } = await gateway.expectForwarded(() => send(provider, request));
        assert.deepEqual(await seen.body, request.body);
        const again = await gateway.expectNotForwarded(() => send(provider, request));
        assert.equal(again.headers["x-webhook-duplicate"], "true");
        const other = { ...request, body: Buffer.concat([request.body, Buffer.from("x")]) };
        const refused = await gateway.expectNotForwarded(() => send(provider, other));
        assertProblem(refused, 401, "invalid_signature", "mismatch");
      }
    });
  }

  test("standard: may be signed with a private key", async () => {
    const body = JSON.stringify({ type: "thing.done" });
    const tag = sign(null, `msg_1.${NOW}.${body}`, privateKey).toString("base64");
    const headers = {
      "webhook-id": "msg_1",
      "webhook-timestamp": NOW,
      "webhook-signature": `v1,AAAA v1a,${tag}`,
    };
    const { seen } = await gateway.expectForwarded(() =>
      send(ED25519, { headers, body, query: "" }),
    );
    assert.equal(seen.headers["x-webhook-event-id"], "msg_1");
    const other = { headers, body: `${body} `, query: "" };
    const refused = await gateway.expectNotForwarded(() => send(ED25519, other));
    assertProblem(refused, 401, "invalid_signature", "mismatch");
  });

  for (const [label, query, signedUrl] of [
    ["as it stands", "?q=it's", "https://app.example/hooks/twilio?q=it's"],
    ["with its port", "?q=1", "https://app.example:443/hooks/twilio?q=1"],
    ["with a quote escaped", "?q=it's", "https://app.example/hooks/twilio?q=it%27s"],
    ["with a quote not escaped", "?q=it%27s", "https://app.example/hooks/twilio?q=it's"],
  ]) {
    test(`twilio: may be signed over the URL ${label}`, async () => {
      const { path, secrets } = PROVIDERS.find(({ name }) => name === "twilio");
      const form = { MessageSid: `SM ${label}`, Body: "Grüße" };
      const request = {
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "x-twilio-signature": twilio.getExpectedTwilioSignature(secrets[0], signedUrl, form),
        },
        body: new URLSearchParams(form).toString(),
        query,
      };
      const { seen } = await gateway.expectForwarded(() => send({ path }, request));
      assert.equal(seen.headers["x-webhook-event-id"], undefined);
      assert.equal(seen.headers["idempotency-key"].length, 64);
      // The signature also fits another order of the fields, which is still a duplicate.
      const reordered = new URLSearchParams(Object.entries(form).toReversed()).toString();
      const again = await gateway.expectNotForwarded(() =>
        send({ path }, { ...request, body: reordered }),
      );
      assert.equal(again.headers["x-webhook-duplicate"], "true");
    });
  }
});

describe("a request that was changed a little", () => {
  let worker;
  before(async () => {
    worker = await startWorker({ variables, wrapperModules: { "entry.mjs": ENTRY } });
  });
  after(() => worker.stop());

  // Returns Vestibule's reason for rejecting each request, or undefined.
  async function verify({ path }, requests) {
    const list = requests.map(({ headers, body, query }) => ({
      url: `http://app.example${path}${query}`,
      headers,
      body: body.toString("base64"),
    }));
    const response = await fetch(worker.direct, { method: "POST", body: JSON.stringify(list) });
    return (await response.json()).map(([status, text]) => {
      if (status === 204 || (status === 200 && text === "")) return undefined;
      const { error, reason } = JSON.parse(text);
      assert.deepEqual([status, error], [401, "invalid_signature"], text);
      return reason;
    });
  }

  for (const provider of PROVIDERS) {
    const { name, secrets, bodies = BODIES, differences, missing } = provider;
    const options = missing ? { skip: missing } : {};
    const listed = (by, request, reason) =>
      differences.find((row) => row.by === by && row.when(request, reason));

    const acceptedByLibrary = async (request) => {
      for (const secret of secrets) {
        const accepted = await attempt(() => provider.accepts(request, secret));
        if (accepted) return true;
      }
      return false;
    };

    test(`${name}: Vestibule and the library differ as listed`, options, async () => {
      for (const [at, row] of differences.entries()) {
        const body = Buffer.from(JSON.stringify({ id: `example-${at}` }));
        const request = asReceived(row.example(body));
        const [reason] = await verify(provider, [request]);
        assert.deepEqual(
          [reason === undefined, await acceptedByLibrary(request)],
          [row.by === "ours", row.by === "theirs"],
          `${row.what}: ${reason}`,
        );
        assert.equal(listed(row.by, request, reason)?.what, row.what);
        if (row.by === "ours") assert.ok(provider.proves(request), row.what);
      }
    });

    test(`${name}: is accepted if the library accepts it`, options, async (t) => {
      const random = randomGenerator(SEED);
      const tally = { both: 0, neither: 0 };
      const counts = new Map(differences.map((row) => [row, 0]));
      for (let made = 0; made < MUTATIONS; made += BATCH) {
        const requests = Array.from({ length: Math.min(BATCH, MUTATIONS - made) }, (_, at) => {
          const id = `${name}-${made + at}`;
          const signed = provider.sign(
            random,
            signingPlan(random, { now: NOW, id, secrets, bodies }),
          );
          return asReceived(mutate(random, signed));
        });
        const reasons = await verify(provider, requests);
        for (const [at, request] of requests.entries()) {
          const reason = reasons[at];
          const [ours, other] = [reason === undefined, await acceptedByLibrary(request)];
          if (ours === other) {
            tally[ours ? "both" : "neither"] += 1;
            continue;
          }
          const row = listed(ours ? "ours" : "theirs", request, reason);
          const { headers, query, body } = request;
          const shown = JSON.stringify({
            ours: reason ?? "accepted",
            theirs: other,
            headers,
            query,
          });
          assert.ok(row, `not listed: ${shown} ${body.toString("base64")}`);
          assert.ok(!ours || provider.proves(request), `not proven: ${shown}`);
          counts.set(row, counts.get(row) + 1);
        }
      }
      const sum = [...counts.values()].reduce((a, b) => a + b, 0);
      t.diagnostic(
        `${name}: ${MUTATIONS} (seed ${SEED}), both accept ${tally.both}, both reject ${tally.neither}, listed ${sum}`,
      );
      for (const [{ by, what }, count] of counts)
        t.diagnostic(`  ${count} by ${by} alone: ${what}`);
    });
  }
});

/** Returns the request with its header values as a server reads them. */
function asReceived(request) {
  return { query: "", ...request, headers: Object.fromEntries(new Headers(request.headers)) };
}

/** Returns the result of the task, or false if it throws. */
async function attempt(task) {
  try {
    return await task();
  } catch {
    return false;
  }
}
