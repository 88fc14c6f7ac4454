// Admins who lost their role: their requests in flight change nothing, and their tokens and invites depend on the role.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { kindOf } from "../support/commands.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { startUpstream } from "../support/upstream.mjs";

const CLASSES = ["Accounts", "Sessions", "Tokens", "Confirmations", "Ledger", "Inbox", "Checkouts"];

// Holds write commands to the object that `X-Held` names until the test releases them. The object that `X-Failing`
// names fails commands about ended sessions.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const kinds = {${CLASSES.map((name) => `${name.toUpperCase()}: ${kindOf(name)}`)}};
const failing = (store, name) => ({
  idFromName: (name) => store.idFromName(name),
  get: (id) => ({
    command(command, ...more) {
      if (/^(RecentlyEnded|EndedSessions)$/.test(kinds[name](command)))
        return Promise.reject(new Error("the store is down"));
      return store.get(id).command(command, ...more);
    },
  }),
});
const held = (store, name, env) => ({
  idFromName: (name) => store.idFromName(name),
  get: (id) => ({
    async command(command, ...more) {
      if (/^(Write|End|Decide|Resolve|Redeliver|Cancel|Own)$/.test(kinds[name](command)))
        await fetch(env.HOLD + "/hold/" + name);
      return store.get(id).command(command, ...more);
    },
  }),
});
export default {
  fetch(request, env, context) {
    const name = request.headers.get("x-held");
    const down = request.headers.get("x-failing");
    const changed = { ...env };
    if (name) changed[name] = held(env[name], name, env);
    if (down) changed[down] = failing(env[down], down);
    return worker.fetch(request, changed, context);
  },
};`;

// Each entry releases one held command.
const heldCommands = [];
const answers = {
  "/hold/ACCOUNTS": (_request, response) => heldCommands.push(() => response.writeHead(204).end()),
  "/hold/SESSIONS": (_request, response) => heldCommands.push(() => response.writeHead(204).end()),
  "/hold/CONFIRMATIONS": (_request, response) =>
    heldCommands.push(() => response.writeHead(204).end()),
  "/hold/TOKENS": (_request, response) => heldCommands.push(() => response.writeHead(204).end()),
};

let holdServer;
let gateway;
let people;
let root;
let call;
let approvals;
before(async () => {
  holdServer = await startUpstream(answers);
  gateway = await openGateway({
    routes: [
      { path: "/any/{*rest}", access: "authenticated" },
      { path: "/admin/{*rest}", access: "admin" },
      { path: "/deploys/{*rest}", access: "authenticated", confirm: "human" },
    ],
    variables: { ...ACCOUNTS, HOLD: holdServer.origin },
    wrapperModules: { "entry.mjs": ENTRY },
  });
  people = await setUpUsers(gateway);
  ({ root, call } = people);
  approvals = approvalsOf(gateway, people);
});
after(() => gateway.stop());
after(() => holdServer?.stop());

// A new user. Each redeems from another address, because redeeming is limited by address.
let count = 0;
async function createUser(role) {
  count += 1;
  const headers = { "CF-Connecting-IP": `192.0.2.${count % 250}` };
  const { token } = (await call("POST", "/api/invites", root, { role })).json();
  const body = { email: `person-${count}@example.com`, password: PASSWORD };
  const path = `/api/invites/${trackSecret(token)}/redeem`;
  const response = await call("POST", path, ANONYMOUS, body, { headers });
  assert.equal(response.status, 201, response.text);
  const [Cookie] = response.cookies[0].split(";");
  trackSecret(Cookie.slice(Cookie.indexOf("=") + 1));
  return { id: response.json().userId, headers: { Cookie } };
}

const changeUser = (id, change, caller = root, more = undefined) =>
  call("PATCH", `/api/users/${id}`, caller, change, more);
const roleAndStatusOf = async (id) => {
  const { role, status } = (await call("GET", `/api/users/${id}`, root)).json();
  return `${role} ${status}`;
};

const ENDS = {
  "is demoted": {
    end: (id) => changeUser(id, { role: "user" }),
    left: "user active",
    status: 403,
    error: "forbidden_role",
  },
  "is disabled": {
    end: (id) => changeUser(id, { status: "disabled" }),
    left: "admin disabled",
    status: 401,
    error: "unauthorized",
    reason: "session_revoked",
  },
  "is deleted": {
    end: (id) => call("DELETE", `/api/users/${id}`, root),
    status: 401,
    error: "unauthorized",
    reason: "session_revoked",
  },
};

describe("commands in flight of an admin who is demoted, disabled or deleted", {
  concurrency: false,
}, () => {
  for (const [ending, { end, left: remains, status, error, reason }] of Object.entries(ENDS)) {
    test(`change nothing: the admin ${ending}`, async () => {
      const bee = await createUser("admin");
      const other = await createUser("user");
      const invite = (await call("POST", "/api/invites", root, { role: "user" })).json();
      const agentToken = await people.createToken(root, "mk_", { agentId: "agent_7" });
      const requests = [
        ["PATCH", `/api/users/${bee.id}`, { role: "admin", status: "active" }],
        ["PATCH", `/api/users/${root.id}`, { role: "user" }],
        ["PATCH", `/api/users/${other.id}`, { role: "admin" }],
        ["DELETE", `/api/users/${other.id}`],
        ["POST", "/api/invites", { role: "admin" }],
        ["PATCH", `/api/invites/${invite.id}`, { role: "admin" }],
        ["DELETE", `/api/invites/${invite.id}`],
        ["POST", "/api/agent-tokens", { name: "x", prefix: "mk_" }],
        ["DELETE", `/api/agent-tokens/${agentToken.id}`],
        ["POST", `/api/agent-tokens/${agentToken.id}/take-over`],
      ];
      const requestsInFlight = requests.map(([method, path, body]) =>
        call(method, path, bee, body, { headers: { "X-Held": "ACCOUNTS" } }),
      );
      await waitForHeld(requests.length);
      const before = await listAll();
      const ended = await end(bee.id);
      assert.ok([200, 204].includes(ended.status), ended.text);
      releaseAll();
      for (const [at, response] of (await Promise.all(requestsInFlight)).entries()) {
        const [method, path] = requests[at];
        // On a busy machine, a command may be held for longer than a call to a store may take.
        if (response.status === 503) continue;
        // To users who are not admins, tokens of others do not exist.
        if (method === "DELETE" && path.includes("agent-tokens") && status === 403) {
          assertProblem(response, 404, "not_found");
          continue;
        }
        assertProblem(response, status, error, reason);
        const lines = response.cookies.filter((line) => line.startsWith("mk_session="));
        const healed = status === 401 ? ["mk_session=; Path=/; Max-Age=0"] : [];
        assert.deepEqual(lines, healed, "the cookie is cleared with the session only");
      }
      const exceptBee = (user) => (user.id === bee.id ? [] : [user]);
      const now = await listAll();
      assert.deepEqual(now.users.flatMap(exceptBee), before.users.flatMap(exceptBee));
      assert.deepEqual(now.invites, before.invites);
      assert.deepEqual(now.tokens, before.tokens);
      if (remains) assert.equal(await roleAndStatusOf(bee.id), remains);
      else assert.equal((await call("GET", `/api/users/${bee.id}`, root)).status, 404);
      const { response } = await gateway.expectForwarded(() =>
        gateway.request("/any/x", { headers: agentToken.headers }),
      );
      assert.equal(response.text, "ok");
    });
  }

  test("do not end other sessions after their own session ended", async () => {
    const ada = await createUser("user");
    const secondSession = await signIn(count);
    const requestInFlight = call("DELETE", "/api/sessions", ada, undefined, {
      headers: { "X-Held": "SESSIONS" },
    });
    await waitForHeld(1);
    assert.equal((await call("DELETE", "/api/sessions", secondSession)).json().revoked, 1);
    releaseAll();
    assertProblem(await requestInFlight, 401, "unauthorized", "session_revoked");
    assert.equal((await call("GET", "/api/auth/me", secondSession)).status, 200);
  });
});

async function signIn(number) {
  const body = { email: `person-${number}@example.com`, password: PASSWORD };
  const headers = { "CF-Connecting-IP": "198.51.100.7" };
  const response = await call("POST", "/api/auth/login", ANONYMOUS, body, { headers });
  assert.equal(response.status, 200, response.text);
  const [Cookie] = response.cookies[0].split(";");
  trackSecret(Cookie.slice(Cookie.indexOf("=") + 1));
  return { headers: { Cookie } };
}

// Waits until `number` commands are held.
async function waitForHeld(number) {
  while (heldCommands.length < number) await holdServer.nextRequest();
}

function releaseAll() {
  for (const go of heldCommands.splice(0)) go();
}

async function listAll() {
  const list = async (path) => {
    const items = [];
    let cursor = "";
    do {
      const page = (await call("GET", `${path}?limit=100${cursor}`, root)).json();
      items.push(...page.items);
      cursor = page.next && `&cursor=${page.next}`;
    } while (cursor);
    return items.map(({ lastUsedAt, ...item }) => item);
  };
  const [users, invites, tokens] = await Promise.all(
    ["/api/users", "/api/invites", "/api/agent-tokens"].map(list),
  );
  return { users, invites, tokens };
}

// Reproduces a past bug: eight loops of requests, and one PATCH by another admin.
describe("an admin cannot undo a demotion by requests in a loop", { concurrency: false }, () => {
  const LOOPS = {
    "PATCH of own role": (bee) => changeUser(bee.id, { role: "admin", status: "active" }, bee),
    "POST of admin invites": (bee) => call("POST", "/api/invites", bee, { role: "admin" }),
    "POST of agent tokens": (bee) =>
      call("POST", "/api/agent-tokens", bee, { name: "x", prefix: "mk_" }),
  };
  for (const [name, sendOnce] of Object.entries(LOOPS)) {
    for (let round = 0; round < 12; round += 1) {
      const [ending, { end, left: remains }] = Object.entries(ENDS)[round % 2];
      test(`${name}, round ${round}: ${ending}`, async () => {
        const bee = await createUser("admin");
        const created = [];
        let isOver = false;
        const loop = async () => {
          let remaining = 2;
          // Sends two more requests after the demotion.
          while (remaining > 0) {
            const response = await sendOnce(bee);
            if (response.status === 201) created.push(response.json());
            if (isOver) remaining -= 1;
          }
        };
        const loops = Array.from({ length: 8 }, loop);
        const first = await sendOnce(bee);
        assert.ok([200, 201, 403].includes(first.status), first.text);
        assert.equal((await end(bee.id)).status, 200);
        isOver = true;
        await Promise.all(loops);
        assert.equal(await roleAndStatusOf(bee.id), remains, "the change was undone");
        const { invites } = await listAll();
        const usable = invites.filter(
          (invite) => invite.createdBy === bee.id && invite.status === "unused",
        );
        assert.deepEqual(usable, [], "an invite is still usable");
        for (const { token, plaintext } of created.slice(-3)) {
          if (token) {
            const body = { email: `eve-${token.slice(4, 12)}@example.com`, password: PASSWORD };
            const path = `/api/invites/${trackSecret(token)}/redeem`;
            const headers = { "CF-Connecting-IP": "203.0.113.9" };
            const redeemed = await call("POST", path, ANONYMOUS, body, { headers });
            assertProblem(redeemed, 410, "invite_unusable");
          } else {
            const headers = { Authorization: `Bearer ${trackSecret(plaintext)}` };
            const response = await gateway.expectNotForwarded(() =>
              gateway.request("/any/x", { headers }),
            );
            assertProblem(response, 401, "unauthorized", "token_revoked");
          }
        }
      });
    }
  }
});

// Ways to end a session of `bee`. `again` is her other session.
const SIGN_OUTS = {
  "an admin ends all sessions": ({ bee }) => call("DELETE", `/api/sessions?user=${bee.id}`, root),
  "an admin ends the session": async ({ bee, session }) =>
    call("DELETE", `/api/sessions/${session}?user=${bee.id}`, root),
  "the user ends all other sessions": ({ again }) => call("DELETE", "/api/sessions", again),
  "the user ends it from another session": ({ again, session }) =>
    call("DELETE", `/api/sessions/${session}`, again),
  "the user signs out": ({ bee }) => call("POST", "/api/auth/logout", bee),
  "the user is disabled and enabled again": async ({ bee }) => {
    assert.equal((await changeUser(bee.id, { status: "disabled" })).status, 200);
    return changeUser(bee.id, { status: "active" });
  },
};

async function signedInTwice() {
  const bee = await createUser("admin");
  const number = count;
  const again = await signIn(number);
  const session = (await call("GET", "/api/auth/me", bee)).json().sessionId;
  return { bee, again, session, number };
}

async function endSession(end, signedIn) {
  const response = await end(signedIn);
  assert.ok([200, 204, 303].includes(response.status), response.text);
}

const assertSessionRevoked = (response) =>
  assertProblem(response, 401, "unauthorized", "session_revoked");

describe("commands in flight of a session that ended", { concurrency: false }, () => {
  for (const [name, end] of Object.entries(SIGN_OUTS)) {
    test(`change no user, invite or token: ${name}`, async () => {
      const signedIn = await signedInTwice();
      const { bee } = signedIn;
      const other = await createUser("user");
      const agentToken = await people.createToken(root, "mk_", { agentId: "agent_7" });
      const requests = [
        ["PATCH", `/api/users/${other.id}`, { role: "admin" }],
        ["DELETE", `/api/users/${other.id}`],
        ["POST", "/api/invites", { role: "admin" }],
        ["POST", "/api/agent-tokens", { name: "x", prefix: "mk_" }],
        ["DELETE", `/api/agent-tokens/${agentToken.id}`],
        ["DELETE", `/api/sessions?user=${other.id}`],
      ];
      const headers = { "X-Held": "ACCOUNTS" };
      const requestsInFlight = requests.map(([method, path, body]) =>
        call(method, path, bee, body, { headers }),
      );
      await waitForHeld(requests.length);
      const before = await listAll();
      await endSession(end, signedIn);
      releaseAll();
      for (const response of await Promise.all(requestsInFlight))
        if (response.status !== 503) assertSessionRevoked(response);
      const now = await listAll();
      assert.deepEqual(now, before);
      assert.equal((await call("GET", "/api/auth/me", other)).status, 200);
      const newSession = await signIn(signedIn.number);
      const response = await call("POST", "/api/invites", newSession, { role: "user" });
      assert.equal(response.status, 201, "a new session works at once");
    });

    test(`decide no approval: ${name}`, async () => {
      const signedIn = await signedInTwice();
      const agent = await people.createToken(root, "mk_", { agentId: "agent_7" });
      const task = await people.createToken(root, "mat_", { agentId: "agent_7", taskId: "task_9" });
      const decisionsInFlight = [];
      const ids = [];
      for (const machine of [agent, task]) {
        for (const verdict of ["approve", "reject"]) {
          const send = () => call("POST", `/deploys/${verdict}`, machine, "body");
          const id = (await approvals.expectRequired(send)).confirmationId;
          const path = `/api/confirmations/${id}/${verdict}`;
          ids.push(id);
          decisionsInFlight.push(
            call("POST", path, signedIn.bee, undefined, { headers: { "X-Held": "CONFIRMATIONS" } }),
          );
        }
      }
      await waitForHeld(decisionsInFlight.length);
      await endSession(end, signedIn);
      releaseAll();
      for (const response of await Promise.all(decisionsInFlight))
        if (response.status !== 503) assertSessionRevoked(response);
      for (const id of ids) assert.equal((await approvals.item(id, root)).state, "pending");
      const newSession = await signIn(signedIn.number);
      assert.equal(
        (await approvals.expectDecided(ids[0], "approve", newSession)).state,
        "approved",
      );
    });
  }

  // Eight loops of requests, and one request that ends the session.
  for (let round = 0; round < 12; round += 1) {
    const [name, end] = Object.entries(SIGN_OUTS)[round % 6];
    test(`create no invites in a loop, round ${round}: ${name}`, async () => {
      const signedIn = await signedInTwice();
      let isOver = false;
      const loop = async () => {
        let remaining = 2;
        while (remaining > 0) {
          await call("POST", "/api/invites", signedIn.bee, { role: "admin" });
          if (isOver) remaining -= 1;
        }
      };
      const loops = Array.from({ length: 8 }, loop);
      await call("POST", "/api/invites", signedIn.bee, { role: "admin" });
      await endSession(end, signedIn);
      const before = (await listAll()).invites;
      isOver = true;
      await Promise.all(loops);
      assert.deepEqual((await listAll()).invites, before);
    });
  }

  for (const [store, binding] of [
    ["Accounts", "ACCOUNTS"],
    ["Sessions", "SESSIONS"],
  ]) {
    test(`ending another user's sessions returns 503 if ${store} is not told, and can be repeated`, async () => {
      const { bee } = await signedInTwice();
      const headers = { "X-Failing": binding };
      const path = `/api/sessions?user=${bee.id}`;
      const failed = await call("DELETE", path, root, undefined, { headers });
      assertProblem(failed, 503, "store_unavailable");
      const otherRequest = call("POST", "/api/invites", root, { role: "user" });
      assert.equal((await otherRequest).status, 201);
      assert.equal((await call("DELETE", path, root)).status, 200, "the repeated request succeeds");
    });

    test(`logout returns 503 if ${store} is not told, and can be repeated`, async () => {
      const { bee } = await signedInTwice();
      const before = await gateway.expectForwarded(() =>
        gateway.request("/any/x", { headers: bee.headers }),
      );
      assert.equal(before.response.text, "ok");
      const headers = { "X-Failing": binding };
      const failed = await call("POST", "/api/auth/logout", bee, undefined, { headers });
      assertProblem(failed, 503, "store_unavailable");
      assert.deepEqual(failed.cookies, [], "the cookie stays, so that the request can be repeated");
      assertSessionRevoked(
        await gateway.expectNotForwarded(() => gateway.request("/any/x", { headers: bee.headers })),
      );
      const again = await call("POST", "/api/auth/logout", bee);
      assert.equal(again.status, 204);
      assert.equal(again.cookies.length, 1, "the repeated request clears the cookie");
    });
  }

  test("are refused after a failed request to end the session was repeated", async () => {
    const { bee } = await signedInTwice();
    const requestInFlight = call(
      "POST",
      "/api/invites",
      bee,
      { role: "admin" },
      { headers: { "X-Held": "ACCOUNTS" } },
    );
    await waitForHeld(1);
    const path = `/api/sessions?user=${bee.id}`;
    const headers = { "X-Failing": "ACCOUNTS" };
    assertProblem(
      await call("DELETE", path, root, undefined, { headers }),
      503,
      "store_unavailable",
    );
    assert.equal(
      (await call("DELETE", path, root)).json().revoked,
      0,
      "the sessions had already ended",
    );
    releaseAll();
    assertSessionRevoked(await requestInFlight);
  });
});

test("an admin who was demoted, disabled or deleted ends no sessions of others", async () => {
  for (const [ending, { end, status, error, reason }] of Object.entries(ENDS)) {
    const bee = await createUser("admin");
    const other = await createUser("user");
    const session = (await call("GET", "/api/auth/me", other)).json().sessionId;
    const headers = { "X-Held": "ACCOUNTS" };
    const requestsInFlight = ["", `/${session}`].map((suffix) =>
      call("DELETE", `/api/sessions${suffix}?user=${other.id}`, bee, undefined, { headers }),
    );
    await waitForHeld(2);
    await end(bee.id);
    releaseAll();
    for (const response of await Promise.all(requestsInFlight))
      if (response.status !== 503) assertProblem(response, status, error, reason);
    assert.equal((await call("GET", "/api/auth/me", other)).status, 200, ending);
  }
});

describe("tokens and invites depend on the user who made them", { concurrency: false }, () => {
  const use = (token) => gateway.request("/any/x", { headers: token.headers });
  const assertTokenRevoked = async (token) =>
    assertProblem(
      await gateway.expectNotForwarded(() => use(token)),
      401,
      "unauthorized",
      "token_revoked",
    );

  for (const [ending, { end }] of Object.entries(ENDS)) {
    test(`an agent's token is refused while its owner ${ending}, and can be taken over`, async () => {
      const bee = await createUser("admin");
      const token = await people.createToken(bee, "mk_", { agentId: "agent_9" });
      assert.equal((await use(token)).text, "ok");
      await end(bee.id);
      await assertTokenRevoked(token);
      if (ending !== "is deleted") {
        await changeUser(bee.id, { role: "admin", status: "active" });
        assert.equal((await use(token)).text, "ok", "the token works again with its owner");
        await end(bee.id);
        await assertTokenRevoked(token);
      }
      const path = `/api/agent-tokens/${token.id}/take-over`;
      const takeover = await call("POST", path, root);
      assert.equal(takeover.status, 200, takeover.text);
      assert.equal(takeover.json().owner, root.id);
      assert.equal(takeover.json().plaintext, undefined);
      const { seen } = await gateway.expectForwarded(() => use(token));
      assert.equal(seen.headers["x-author-id"], "agent_9");
      const { tokens } = await listAll();
      assert.equal(tokens.find(({ id }) => id === token.id).owner, root.id);
    });
  }

  test("a delayed take-over does not override a later one", async () => {
    const bee = await createUser("admin");
    const token = await people.createToken(root, "mk_", { agentId: "agent_9" });
    const path = `/api/agent-tokens/${token.id}/take-over`;
    const lateTakeover = call("POST", path, bee, undefined, { headers: { "X-Held": "TOKENS" } });
    await waitForHeld(1);
    assert.equal((await call("POST", path, root)).json().owner, root.id);
    assert.equal((await changeUser(bee.id, { role: "user" })).status, 200);
    releaseAll();
    assert.equal((await lateTakeover).json().owner, root.id);
    assert.equal((await use(token)).text, "ok");
  });

  test("a token that only admins make is not created if its owner is demoted meanwhile", async () => {
    const ownGateway = await openGateway({
      variables: { ...ACCOUNTS, HOLD: holdServer.origin, TOKEN_MAKERS: "admins" },
      wrapperModules: { "entry.mjs": ENTRY },
    });
    try {
      const { root, call, createUser, createToken } = await setUpUsers(ownGateway);
      const bee = await createUser("bee", "admin");
      for (const prefix of ["mul_", "mat_"]) {
        await call("PATCH", `/api/users/${bee.id}`, root, { role: "admin" });
        const body = { name: "x", prefix };
        const headers = { "X-Held": "ACCOUNTS" };
        const requestInFlight = call("POST", "/api/agent-tokens", bee, body, { headers });
        await waitForHeld(1);
        await call("PATCH", `/api/users/${bee.id}`, root, { role: "user" });
        releaseAll();
        assertProblem(await requestInFlight, 403, "forbidden_role");
      }
      assert.ok((await createToken(root, "mul_")).id, "an admin can make them");
    } finally {
      await ownGateway.stop();
    }
  });

  test("only an admin with a session can take over, and only an agent's token", async () => {
    const bee = await createUser("admin");
    const ada = await createUser("user");
    const agentToken = await people.createToken(bee, "mk_");
    const path = (id) => `/api/agent-tokens/${id}/take-over`;
    const taskToken = await people.createToken(root, "mat_");
    const personalToken = await people.createToken(root, "mul_");
    for (const [caller, status, error] of [
      [ada, 403, "forbidden_role"],
      [taskToken, 403, "forbidden_human_only"],
      [personalToken, 403, "forbidden_human_only"],
      [agentToken, 403, "forbidden_kind"],
    ])
      assertProblem(await call("POST", path(agentToken.id), caller), status, error);
    for (const { id } of [await people.createToken(bee, "mul_"), { id: "tok_unknown" }])
      assertProblem(await call("POST", path(id), root), 404, "not_found");
    assertProblem(await call("GET", path(agentToken.id), root), 405, "method_not_allowed");
    await call("DELETE", `/api/agent-tokens/${agentToken.id}`, root);
    assertProblem(await call("POST", path(agentToken.id), root), 404, "not_found");
    await assertTokenRevoked(agentToken);
  });

  test("an invite that a token made is revoked with the token", async () => {
    const personalToken = await people.createToken(root, "mul_");
    const created = await call("POST", "/api/invites", personalToken, { role: "admin" });
    assert.equal(created.status, 201, created.text);
    const inPerson = (await call("POST", "/api/invites", root, { role: "user" })).json();
    assert.equal((await call("DELETE", `/api/agent-tokens/${personalToken.id}`, root)).status, 204);
    const { token, id } = created.json();
    const { invites } = await listAll();
    assert.equal(invites.find((invite) => invite.id === id).status, "revoked");
    const redeem = (value, email) =>
      call(
        "POST",
        `/api/invites/${trackSecret(value)}/redeem`,
        ANONYMOUS,
        { email, password: PASSWORD },
        { headers: { "CF-Connecting-IP": "203.0.113.10" } },
      );
    assertProblem(await redeem(token, "mallory@example.com"), 410, "invite_unusable");
    assert.equal((await redeem(inPerson.token, "zoe@example.com")).status, 201);
  });

  test("requests in flight of a revoked token create no invite", async () => {
    const bee = await createUser("admin");
    const personalToken = await people.createToken(bee, "mul_");
    const requestInFlight = call(
      "POST",
      "/api/invites",
      personalToken,
      { role: "admin" },
      {
        headers: { "X-Held": "ACCOUNTS" },
      },
    );
    await waitForHeld(1);
    assert.equal((await call("DELETE", `/api/agent-tokens/${personalToken.id}`, root)).status, 204);
    releaseAll();
    assertProblem(await requestInFlight, 401, "unauthorized", "token_revoked");
  });
});
