// If the store fails while an invite is redeemed, nothing changes, the response has its own code, and the log has the
// cause.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { kindOf, textOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";

// For `broken@`, the last statement of redeeming fails inside its transaction. With `X-Silent`, the object never
// replies.
const ENTRY = `
import worker, { Accounts as Original } from "./index.js";
export * from "./index.js";
const kindOf = ${kindOf("Accounts")};
const textOf = ${textOf};
export class Accounts extends Original {
  command(command, ...more) {
    const fails = kindOf(command) === "Redeem" && textOf(command).includes("broken@");
    const { sql } = this.ctx.storage;
    if (fails)
      sql.exec(
        "CREATE TRIGGER broken BEFORE UPDATE OF used_by ON invites BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
      );
    try {
      return super.command(command, ...more);
    } finally {
      if (fails) sql.exec("DROP TRIGGER broken");
    }
  }
}
export default {
  fetch(request, env, context) {
    if (!request.headers.has("x-silent")) return worker.fetch(request, env, context);
    const { ACCOUNTS } = env;
    const silent = {
      idFromName: (name) => ACCOUNTS.idFromName(name),
      get: (id) => ({
        command: (command, ...more) =>
          kindOf(command) === "Redeem" ? new Promise(() => {}) : ACCOUNTS.get(id).command(command, ...more),
      }),
    };
    return worker.fetch(request, { ...env, ACCOUNTS: silent }, context);
  },
};`;

let gateway;
let people;
let call;
before(async () => {
  gateway = await openGateway({ variables: ACCOUNTS, wrapperModules: { "entry.mjs": ENTRY } });
  people = await setUpUsers(gateway);
  ({ call } = people);
});
after(() => gateway.stop());

const redeem = (token, email, headers = undefined) =>
  call(
    "POST",
    `/api/invites/${token}/redeem`,
    ANONYMOUS,
    { email, password: PASSWORD },
    { headers },
  );

async function invite() {
  const { token } = (await call("POST", "/api/invites", people.root, { role: "user" })).json();
  return trackSecret(token);
}

async function assertFailed(response) {
  const { requestId } = assertProblem(response, 500, "invite_redeem_failed");
  assert.deepEqual(response.cookies, [], "nobody is signed in");
  const line = await gateway.waitForLog((line) => line.includes(requestId));
  const event = JSON.parse(line);
  assert.deepEqual(
    [event.decision, event.status, event.operation, event.rule],
    ["invite_redeem_failed", 500, "vestibule.invites.redeem", "/api/invites/{token}/redeem"],
  );
  return event;
}

test("a transaction that fails at its last statement leaves no user and keeps the invite", async () => {
  const token = await invite();
  await assertFailed(await redeem(token, "broken@example.com"));
  const cause = await gateway.waitForLog((line) => line.startsWith("Accounts: "));
  assert.match(cause, /the disk is full/);
  for (const line of gateway.log)
    for (const secret of [token, "broken@example.com", PASSWORD])
      assert.ok(!line.includes(secret), "a log line holds a secret");
  const { items } = (await call("GET", "/api/users", people.root)).json();
  assert.deepEqual(
    items.map(({ email }) => email),
    ["root@example.com"],
  );
  assert.equal((await redeem(token, "ada@example.com")).status, 201, "the invite is still usable");
});

test("a store that times out gives the same response", async () => {
  const token = await invite();
  await assertFailed(await redeem(token, "bob@example.com", { "X-Silent": "1" }));
  assert.equal((await redeem(token, "bob@example.com")).status, 201);
});
