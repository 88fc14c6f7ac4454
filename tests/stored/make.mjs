// Writes the databases of a deployment as this build stores them: `node tests/stored/make.mjs 3`. Run it before a
// release that adds a migration, with the next number. The files stay in the repository, and every later version must
// open them.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { approvalsOf } from "../support/approvals.mjs";
import { devicesOf } from "../support/factors.mjs";
import { PUBLIC } from "../support/gateway.mjs";
import { newPasskey } from "../support/passkeys.mjs";
import { PASSWORD, setUpUsers } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import {
  deliver,
  dump,
  MADE_AT,
  NEW_PASSWORD,
  openDeployment,
  requestsOfHour,
  STORED,
} from "../support/stored.mjs";

const [, , number] = process.argv;
assert.match(number ?? "", /^\d+$/, "expected a number, such as 2");

const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
const gateway = await openDeployment(folder);
const known = await use(gateway);
await gateway.stop();
const to = join(STORED, number);
mkdirSync(to);
dump(folder, to);
writeFileSync(join(to, "known.json"), `${JSON.stringify(known, null, 2)}\n`);
rmSync(folder, { recursive: true });

async function enrollPasskey(devices, caller) {
  const passkey = newPasskey({ origin: PUBLIC });
  const options = await devices.post("/api/auth/passkeys/options", {}, caller);
  const { ceremony, publicKey } = options.json();
  const body = { ceremony, name: "a passkey", passkey: passkey.create(publicKey) };
  const added = await devices.post("/api/auth/passkeys", body, caller);
  assert.equal(added.status, 201, added.text);
  return passkey.save();
}

// Uses every feature that stores something. Returns the ids and secrets that its users know afterwards.
async function use(gateway) {
  const people = await setUpUsers(gateway);
  const { call, root } = people;
  const approvals = approvalsOf(gateway, people);
  const ada = await people.createUser("ada");
  const gone = await people.createUser("gone");
  const token = await people.createToken(ada, "mul_");
  const machine = await people.createToken(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  const revoked = await people.createToken(ada, "mul_");
  const scoped = await people.createToken(ada, "mul_", { operations: ["orders.*"] });
  const agent = await people.createToken(root, "mk_", { agentId: "agent_7" });
  const expectStatus = async (status, sent) => {
    const response = await sent;
    assert.equal(response.status, status, response.text);
    return response;
  };
  const post = (path, caller, body, headers) => call("POST", path, caller, body, { headers });

  const devices = devicesOf(call, MADE_AT);
  const fay = await people.createUser("fay");
  const { secret, recoveryCodes } = await devices.enroll(fay);
  Object.assign(fay, { secret, recoveryCodes, passkey: await enrollPasskey(devices, fay) });
  const gus = await people.createUser("gus");
  const change = { currentPassword: PASSWORD, newPassword: NEW_PASSWORD };
  await expectStatus(204, post("/api/auth/password", gus, change));
  const reset = await expectStatus(201, post(`/api/users/${fay.id}/reset`, root));
  const again = { email: "gus@example.com", password: NEW_PASSWORD };
  const signedIn = await expectStatus(200, post("/api/auth/login", undefined, again));
  gus.headers.Cookie = signedIn.cookies[0].split(";")[0];

  await expectStatus(204, call("DELETE", `/api/agent-tokens/${revoked.id}`, ada));
  await expectStatus(200, call("PATCH", `/api/users/${gone.id}`, root, { status: "disabled" }));
  const invite = (await expectStatus(201, post("/api/invites", root, { role: "admin" }))).json();

  await expectStatus(201, post("/orders", ada, { n: 1 }, { "Idempotency-Key": "order-1" }));
  await expectStatus(
    201,
    post("/checkouts", ada, { id: "cs_open" }, { "Idempotency-Key": "co-1" }),
  );
  await expectStatus(
    201,
    post("/checkouts", ada, { id: "cs_paid" }, { "Idempotency-Key": "co-2" }),
  );
  const paid = (data) => deliver(gateway, "/hooks/shop", { id: `evt_${data}`, type: "paid", data });
  await expectStatus(200, paid("cs_paid"));
  await expectStatus(200, paid("cs_early"));
  await expectStatus(202, deliver(gateway, "/hooks/later", { id: "evt_later", type: "told" }));

  const requested = (path) => approvals.expectRequired(() => post(path, machine, {}));
  const open = (await requested("/deploys/open")).confirmationId;
  const approved = (await requested("/deploys/approved")).confirmationId;
  await approvals.expectDecided(approved, "approve", ada);

  const address = { "CF-Connecting-IP": "192.0.2.1" };
  for (let at = 0; at < 2; at += 1)
    await expectStatus(200, gateway.request("/limited", { headers: address }));
  const requests = await requestsOfHour(call, root);
  // Rows are written after the response.
  const rows = await pollUntil(
    async () => (await expectStatus(200, call("GET", "/api/audit", root))).json().items,
    ({ length }) => length >= 4,
    "four rows of the audit trail",
  );
  return {
    root,
    ada,
    gone,
    token,
    machine,
    revoked,
    agent,
    scopes: { [scoped.id]: { operations: ["orders.*"], methods: null, addresses: null } },
    invite,
    fay,
    gus,
    reset: reset.json(),
    open,
    approved,
    rows: rows.length,
    requests,
  };
}
