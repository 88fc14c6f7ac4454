// Audit rows of Vestibule's own endpoints: each change has one, with its principal and without secrets.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import {
  breakSignature,
  createSessionToken,
  knownSecrets,
  now,
  payloadOf,
  sessionCookies,
  trackSecret,
} from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";

// A minute ago, so that by the real clock, which alarms use, leases from then have ended.
const NOW = now() - 60;
const LATER = 3_600;
const WEBHOOK_HOOKS_SECRET = trackSecret("whsec.test_secret_of_the_provider");

let folder;
let gateway;
let people;
let trail;
let approvals;
let root;
let ada;
let taskToken;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  gateway = await openGateway({
    routes: [
      { path: "/note/{id}", access: "user", audit: "best_effort", operation: "notes.write" },
      { path: "/confirmed/{id}", access: "user", confirm: "human" },
      { path: "/held", access: "user", idempotency: "required", timeout: "1s" },
      { path: "/gated", access: "user", feature: "some" },
      {
        path: "/orders",
        access: "user",
        idempotency: "required",
        checkout: { provider: "hooks", ref: "/id" },
      },
    ],
    variables: {
      ...ACCOUNTS,
      DANGER_FIXED_NOW: NOW,
      WEBHOOKS: [{ name: "hooks", scheme: "stripe", path: "/hooks", delivery: "inbox" }],
      WEBHOOK_HOOKS_SECRET,
      CHECKOUT_PROVIDERS: [{ provider: "hooks", confirm: [{ event: "x", ref: "/id" }] }],
    },
    bindings: { kvNamespaces: ["KV"] },
    secondIsolate: { DANGER_FIXED_NOW: NOW + LATER },
    folder,
  });
  people = await setUpUsers(gateway);
  trail = auditTrailOf(people);
  approvals = approvalsOf(gateway, people);
  root = people.root;
  ada = await people.createUser("ada");
  taskToken = await people.createToken(ada, "mat_");
  // Rows of setup, invite, redemption and token.
  await trail.waitForRows(4);
});
after(async () => {
  await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
let address;
beforeEach(() => {
  count += 1;
  address = `192.0.2.${count}`;
});
const call = (method, path, caller, body, headers, request) =>
  people.call(method, path, caller, body, {
    headers: { "CF-Connecting-IP": address, ...headers },
    request,
  });
const succeeds = async (...args) => {
  const response = await call(...args);
  assert.ok(response.status < 400, response.text);
  return response;
};

const json = async (...args) => (await succeeds(...args)).json();
// Asserts that `run` leaves one row by the user that `principalOf` returns. `expected` is its operation, method, rule
// and status.
const assertRow = async (expected, principalOf, run) => {
  const [row] = await trail.rowsAddedBy(1, run);
  assert.equal(`${row.operation} ${row.method} ${row.rule} ${row.status}`, expected);
  assert.deepEqual([row.decision, row.phase], ["allow", "done"]);
  assert.deepEqual([row.principal.kind, row.principal.id], ["user", principalOf().id]);
  return row;
};
const signedIn = ({ cookies }, id) => {
  const [Cookie] = cookies[0].split(";");
  trackSecret(Cookie.split("=")[1]);
  return { id, headers: { Cookie } };
};

describe("an own endpoint", () => {
  test("records each change of invites, users, sessions, tokens and features with its principal", async () => {
    const [byRoot, byCarol] = [() => root, () => carol];
    const login = { email: "carol@example.com", password: PASSWORD };
    let [carol, secondSession, invite, token] = [];
    const createInvite = async () => {
      invite = await json("POST", "/api/invites", root, { role: "user" });
      trackSecret(invite.token);
    };
    const sessionOf = (caller) => payloadOf(caller.headers.Cookie.split("=")[1]).sessionId;
    for (const [expected, principalOf, run, detail] of [
      [
        "vestibule.invites.create POST /api/invites 201",
        byRoot,
        createInvite,
        () => `${invite.id} user`,
      ],
      [
        "vestibule.invites.change PATCH /api/invites/{id} 200",
        byRoot,
        () => succeeds("PATCH", `/api/invites/${invite.id}`, root, { status: "disabled" }),
        () => "user disabled",
      ],
      [
        "vestibule.invites.delete DELETE /api/invites/{id} 204",
        byRoot,
        () => succeeds("DELETE", `/api/invites/${invite.id}`, root),
      ],
      [
        "vestibule.invites.create POST /api/invites 201",
        byRoot,
        createInvite,
        () => `${invite.id} user`,
      ],
      [
        "vestibule.invites.redeem POST /api/invites/{token}/redeem 201",
        byCarol,
        async () => {
          const path = `/api/invites/${invite.token}/redeem`;
          const response = await succeeds("POST", path, ANONYMOUS, login);
          carol = signedIn(response, response.json().userId);
        },
        () => sessionOf(carol),
      ],
      [
        "vestibule.tokens.create POST /api/agent-tokens 201",
        byCarol,
        async () => {
          token = await people.createToken(carol, "mul_");
        },
        () => `mul_ ${token.id}`,
      ],
      [
        "vestibule.tokens.revoke DELETE /api/agent-tokens/{id} 204",
        byCarol,
        () => succeeds("DELETE", `/api/agent-tokens/${token.id}`, carol),
      ],
      [
        "vestibule.tokens.create POST /api/agent-tokens 201",
        byRoot,
        async () => {
          token = await people.createToken(root, "mk_");
        },
        () => `mk_ ${token.id}`,
      ],
      [
        "vestibule.tokens.take_over POST /api/agent-tokens/{id}/take-over 200",
        byRoot,
        () => succeeds("POST", `/api/agent-tokens/${token.id}/take-over`, root),
        () => `mk_ ${token.id}`,
      ],
      [
        "vestibule.login POST /api/auth/login 200",
        byCarol,
        async () => {
          secondSession = signedIn(await succeeds("POST", "/api/auth/login", ANONYMOUS, login));
        },
        () => sessionOf(secondSession),
      ],
      [
        "vestibule.logout POST /api/auth/logout 204",
        byCarol,
        () => succeeds("POST", "/api/auth/logout", secondSession),
      ],
      [
        "vestibule.sessions.revoke_others DELETE /api/sessions 200",
        byCarol,
        () => succeeds("DELETE", "/api/sessions", carol),
        () => `${carol.id} 0`,
      ],
      [
        "vestibule.sessions.revoke_others DELETE /api/sessions 200",
        byRoot,
        () => succeeds("DELETE", `/api/sessions?user=${carol.id}`, root),
        () => `${carol.id} 1`,
      ],
      [
        "vestibule.users.change PATCH /api/users/{id} 200",
        byRoot,
        () => succeeds("PATCH", `/api/users/${carol.id}`, root, { role: "admin" }),
        () => "admin",
      ],
      [
        "vestibule.users.change PATCH /api/users/{id} 200",
        byRoot,
        () =>
          succeeds("PATCH", `/api/users/${carol.id}`, root, { role: "user", status: "disabled" }),
        () => "user disabled",
      ],
      [
        "vestibule.users.delete DELETE /api/users/{id} 204",
        byRoot,
        () => succeeds("DELETE", `/api/users/${carol.id}`, root),
      ],
      [
        "vestibule.features.write PUT /api/features/{name} 200",
        byRoot,
        () => succeeds("PUT", "/api/features/some", root, { state: "percent", percent: 7 }),
        () => "percent 7%",
      ],
    ]) {
      const row = await assertRow(expected, principalOf, run);
      assert.equal(row.detail, detail?.(), expected);
      if (expected.includes("redeem")) assert.equal(row.path, "/api/invites/(invite)/redeem");
    }
  });

  test("records each decision on an approval", async () => {
    for (const verdict of ["approve", "reject"]) {
      const { confirmationId: id } = await approvals.expectRequired(() =>
        call("POST", `/confirmed/${verdict}`, taskToken, "x"),
      );
      const expected = `vestibule.confirmations.${verdict} POST /api/confirmations/{id}/${verdict} 200`;
      await assertRow(
        expected,
        () => ada,
        () => approvals.expectDecided(id, verdict, ada),
      );
    }
  });

  test("records resolved keys, cancelled checkouts and redelivered webhooks", async () => {
    const callLater = (...args) => gateway.requestSecondIsolate(...args);
    gateway.upstream.answers["/held"] = (request) => request.socket.destroy();
    const keyedRequest = ["POST", "/held", ada, "x", { "Idempotency-Key": "held" }];
    assert.equal((await call(...keyedRequest)).status, 502);
    assert.equal((await call(...keyedRequest, callLater)).status, 409);
    const listUnknown = ["GET", "/api/idempotency?state=unknown", root, undefined, {}, callLater];
    let items;
    do ({ items } = await json(...listUnknown));
    while (items.length === 0);
    const resolved = await assertRow(
      "vestibule.idempotency.resolve POST /api/idempotency/{id}/resolve 204",
      () => root,
      () => succeeds("POST", `/api/idempotency/${items[0].id}/resolve`, root, { outcome: "ran" }),
    );
    assert.equal(resolved.detail, "ran");

    const headers = ["Content-Type", "application/json"];
    gateway.upstream.answers["/orders"] = { status: 201, headers, body: '{"id":"cs_1"}' };
    await succeeds("POST", "/orders", ada, "{}", { "Idempotency-Key": "order" });
    await assertRow(
      "vestibule.checkouts.cancel POST /api/checkouts/{ref}/cancel 200",
      () => ada,
      () => succeeds("POST", "/api/checkouts/cs_1/cancel", ada),
    );

    const event = JSON.stringify({ id: "evt_1", type: "x" });
    const mac = createHmac("sha256", WEBHOOK_HOOKS_SECRET).update(`${NOW}.${event}`).digest("hex");
    await succeeds("POST", "/hooks", ANONYMOUS, event, {
      "Stripe-Signature": `t=${NOW},v1=${mac}`,
    });
    const [{ id }] = (await json("GET", "/api/webhooks", root)).items;
    await assertRow(
      "vestibule.webhooks.redeliver POST /api/webhooks/{id}/redeliver 202",
      () => root,
      () => succeeds("POST", `/api/webhooks/${id}/redeliver`, root),
    );
  });

  test("records the setup", async () => {
    const { items } = await trail.allRows("limit=100&operation=vestibule.setup");
    assert.deepEqual(
      items.map(({ principal, detail }) => [principal.id, detail]),
      [[root.id, payloadOf(root.headers.Cookie.split("=")[1]).sessionId]],
    );
  });

  test("records no logout without a live session", async () => {
    const dora = await people.createUser(`dora-${count}`);
    const login = { email: `dora-${count}@example.com`, password: PASSWORD };
    const signedOut = signedIn(await succeeds("POST", "/api/auth/login", ANONYMOUS, login));
    await succeeds("POST", "/api/auth/logout", signedOut);
    await succeeds("PATCH", `/api/users/${dora.id}`, root, { status: "disabled" });
    await trail.rowsAddedBy(1, async () => {
      for (const caller of [
        ANONYMOUS,
        signedOut,
        dora,
        { headers: { Cookie: sessionCookies(breakSignature(createSessionToken())) } },
        {
          headers: {
            Cookie: sessionCookies(createSessionToken({ userId: root.id, sessionId: "ses_none" })),
          },
        },
        await people.createToken(ada, "mat_"),
      ]) {
        for (const _ of [1, 2]) await succeeds("POST", "/api/auth/logout", caller);
      }
    });
    // One row is the creation of the token, so none is a logout.
    const { items } = await trail.allRows(
      `limit=100&operation=vestibule.logout&principal=${dora.id}`,
    );
    assert.equal(items.length, 1);
  });

  test("records no rejected request, no change without effect and no read", async () => {
    const wrongPassword = { email: "ada@example.com", password: "no such password" };
    const [onlyRow] = await trail.rowsAddedBy(1, async () => {
      assert.equal((await call("POST", "/api/auth/login", ANONYMOUS, wrongPassword)).status, 401);
      assert.equal((await call("POST", "/api/invites", root, { role: "king" })).status, 400);
      assert.equal((await call("POST", "/api/invites", ada, { role: "user" })).status, 403);
      assert.equal((await call("POST", "/api/auth/logout")).status, 204);
      for (const path of ["/api/users", "/api/invites", "/api/audit", "/api/audit/verify"])
        await succeeds("GET", path, root);
      await succeeds("POST", "/api/explain", root, {
        method: "GET",
        url: "https://app.example/held",
      });
      await succeeds("PUT", "/api/features/other", root, { state: "on" });
    });
    assert.equal(onlyRow.operation, "vestibule.features.write");
  });
});

test("no row and no file of the audit trail contains a secret, a token or a body", async () => {
  const secrets = ["query-secret", PASSWORD, ...knownSecrets].filter(
    (secret) => !secret.startsWith("cnf_"),
  );
  await call(
    "POST",
    "/note/9?token=query-secret",
    await people.createToken(ada, "mat_"),
    "the.secret-of-a-body",
    {
      "X-Mine": trackSecret("header.secret-of-somebody"),
      "Idempotency-Key": trackSecret("key.of-somebody-and-nobody-else"),
    },
  );
  const { items } = await trail.allRows();
  assert.ok(items.length > 15);
  const contents = readdirSync(folder, { recursive: true, withFileTypes: true })
    // SQLite removes the index of its log (`-shm`) at any time. It has no rows.
    .filter(
      (entry) => entry.isFile() && /-Audit$/.test(entry.parentPath) && !entry.name.endsWith("-shm"),
    )
    .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"));
  assert.ok(
    contents.some((text) => text.includes("notes.write")),
    "no file contains the audit rows",
  );
  for (const text of [JSON.stringify(items), ...contents]) {
    for (const secret of [...secrets, "the.secret-of-a-body", ...knownSecrets]) {
      if (secret.startsWith("cnf_")) continue;
      const part = secret.includes(".") ? secret.split(".").at(-1) : secret;
      assert.ok(part.length < 8 || !text.includes(part), `found ${secret}`);
    }
  }
});
