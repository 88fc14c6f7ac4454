// Admins who lost their role: their requests in flight change nothing, and what they made depends on their role.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { kindOf } from "../support/commands.mjs";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, PASSWORD, settle } from "../support/people.mjs";
import { remember } from "../support/tokens.mjs";
import { startUpstream } from "../support/upstream.mjs";

const CLASSES = ["Accounts", "Sessions", "Tokens", "Confirmations", "Ledger", "Inbox", "Checkouts"];

// Holds what is written at the store that `X-Held` names until the test lets it go on. The store that `X-Failing` names
// cannot be asked or told which sessions ended.
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

// What is held, and the way to let it go.
const held = [];
const answers = {
  "/hold/ACCOUNTS": (_request, response) => held.push(() => response.writeHead(204).end()),
  "/hold/SESSIONS": (_request, response) => held.push(() => response.writeHead(204).end()),
  "/hold/CONFIRMATIONS": (_request, response) => held.push(() => response.writeHead(204).end()),
  "/hold/TOKENS": (_request, response) => held.push(() => response.writeHead(204).end()),
};

let holder;
let gateway;
let people;
let root;
let call;
let consent;
before(async () => {
  holder = await startUpstream(answers);
  gateway = await openGateway({
    routes: [
      { path: "/any/{*rest}", access: "authenticated" },
      { path: "/admin/{*rest}", access: "admin" },
      { path: "/deploys/{*rest}", access: "authenticated", confirm: "human" },
    ],
    variables: { ...ACCOUNTS, HOLD: holder.origin },
    around: { "entry.mjs": ENTRY },
  });
  people = await settle(gateway);
  ({ root, call } = people);
  consent = consentOf(gateway, people);
});
after(() => gateway.stop());
after(() => holder?.stop());

// A new person behind an address of their own: redeeming is limited by address.
let count = 0;
async function invited(role) {
  count += 1;
  const headers = { "CF-Connecting-IP": `192.0.2.${count % 250}` };
  const { token } = (await call("POST", "/api/invites", root, { role })).json();
  const body = { email: `person-${count}@example.com`, password: PASSWORD };
  const path = `/api/invites/${remember(token)}/redeem`;
  const response = await call("POST", path, NOBODY, body, { headers });
  assert.equal(response.status, 201, response.text);
  const [Cookie] = response.cookies[0].split(";");
  remember(Cookie.slice(Cookie.indexOf("=") + 1));
  return { id: response.json().userId, headers: { Cookie } };
}

const set = (id, change, who = root, more = undefined) =>
  call("PATCH", `/api/users/${id}`, who, change, more);
const standingOf = async (id) => {
  const { role, status } = (await call("GET", `/api/users/${id}`, root)).json();
  return `${role} ${status}`;
};

const ENDS = {
  "is demoted": {
    end: (id) => set(id, { role: "user" }),
    left: "user active",
    status: 403,
    error: "forbidden_role",
  },
  "is disabled": {
    end: (id) => set(id, { status: "disabled" }),
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

describe("commands of an admin who lost the role in the meantime", { concurrency: false }, () => {
  for (const [what, { end, left, status, error, reason }] of Object.entries(ENDS)) {
    test(`change nothing: an admin ${what}`, async () => {
      const bee = await invited("admin");
      const other = await invited("user");
      const invite = (await call("POST", "/api/invites", root, { role: "user" })).json();
      const mine = await people.token(root, "mk_", { agentId: "agent_7" });
      const requests = [
        ["PATCH", `/api/users/${bee.id}`, { role: "admin", status: "active" }],
        ["PATCH", `/api/users/${root.id}`, { role: "user" }],
        ["PATCH", `/api/users/${other.id}`, { role: "admin" }],
        ["DELETE", `/api/users/${other.id}`],
        ["POST", "/api/invites", { role: "admin" }],
        ["PATCH", `/api/invites/${invite.id}`, { role: "admin" }],
        ["DELETE", `/api/invites/${invite.id}`],
        ["POST", "/api/agent-tokens", { name: "x", prefix: "mk_" }],
        ["DELETE", `/api/agent-tokens/${mine.id}`],
        ["POST", `/api/agent-tokens/${mine.id}/take-over`],
      ];
      const sent = requests.map(([method, path, body]) =>
        call(method, path, bee, body, { headers: { "X-Held": "ACCOUNTS" } }),
      );
      await arrivals(requests.length);
      const before = await everything();
      const ended = await end(bee.id);
      assert.ok([200, 204].includes(ended.status), ended.text);
      letGo();
      for (const [at, response] of (await Promise.all(sent)).entries()) {
        const [method, path] = requests[at];
        // On a machine that is very busy: held for longer than a store may take.
        if (response.status === 503) continue;
        // A token of somebody else's is not there for whoever is no admin.
        if (method === "DELETE" && path.includes("agent-tokens") && status === 403) {
          assertProblem(response, 404, "not_found");
          continue;
        }
        assertProblem(response, status, error, reason);
        const lines = response.cookies.filter((line) => line.startsWith("mk_session="));
        const healed = status === 401 ? ["mk_session=; Path=/; Max-Age=0"] : [];
        assert.deepEqual(lines, healed, "the cookie goes with the session");
      }
      const changed = (user) => (user.id === bee.id ? [] : [user]);
      const now = await everything();
      assert.deepEqual(now.users.flatMap(changed), before.users.flatMap(changed));
      assert.deepEqual(now.invites, before.invites);
      assert.deepEqual(now.tokens, before.tokens);
      if (left) assert.equal(await standingOf(bee.id), left);
      else assert.equal((await call("GET", `/api/users/${bee.id}`, root)).status, 404);
      const { response } = await gateway.passed(() =>
        gateway.ask("/any/x", { headers: mine.headers }),
      );
      assert.equal(response.text, "ok");
    });
  }

  test("do not end other sessions: their own session was ended", async () => {
    const ada = await invited("user");
    const again = await signIn(count);
    const sent = call("DELETE", "/api/sessions", ada, undefined, {
      headers: { "X-Held": "SESSIONS" },
    });
    await arrivals(1);
    assert.equal((await call("DELETE", "/api/sessions", again)).json().revoked, 1);
    letGo();
    assertProblem(await sent, 401, "unauthorized", "session_revoked");
    assert.equal((await call("GET", "/api/auth/me", again)).status, 200);
  });
});

async function signIn(number) {
  const body = { email: `person-${number}@example.com`, password: PASSWORD };
  const headers = { "CF-Connecting-IP": "198.51.100.7" };
  const response = await call("POST", "/api/auth/login", NOBODY, body, { headers });
  assert.equal(response.status, 200, response.text);
  const [Cookie] = response.cookies[0].split(";");
  remember(Cookie.slice(Cookie.indexOf("=") + 1));
  return { headers: { Cookie } };
}

// Waits until so many commands are held.
async function arrivals(many) {
  while (held.length < many) await holder.arrival();
}

function letGo() {
  for (const go of held.splice(0)) go();
}

async function everything() {
  const all = async (path) => {
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
    ["/api/users", "/api/invites", "/api/agent-tokens"].map(all),
  );
  return { users, invites, tokens };
}

// As it was found: eight at a time, for as long as it takes, and one PATCH of the other admin's.
describe("an admin in a loop cannot undo a demotion", { concurrency: false }, () => {
  const LOOPS = {
    "PATCH of themselves": (bee) => set(bee.id, { role: "admin", status: "active" }, bee),
    "POST of admin invites": (bee) => call("POST", "/api/invites", bee, { role: "admin" }),
    "POST of agents' tokens": (bee) =>
      call("POST", "/api/agent-tokens", bee, { name: "x", prefix: "mk_" }),
  };
  for (const [what, once] of Object.entries(LOOPS)) {
    for (let round = 0; round < 12; round += 1) {
      const [how, { end, left }] = Object.entries(ENDS)[round % 2];
      test(`${what}, round ${round}: ${how}`, async () => {
        const bee = await invited("admin");
        const got = [];
        let isOver = false;
        const loop = async () => {
          let more = 2;
          // On for a while after it is over.
          while (more > 0) {
            const response = await once(bee);
            if (response.status === 201) got.push(response.json());
            if (isOver) more -= 1;
          }
        };
        const loops = Array.from({ length: 8 }, loop);
        const first = await once(bee);
        assert.ok([200, 201, 403].includes(first.status), first.text);
        assert.equal((await end(bee.id)).status, 200);
        isOver = true;
        await Promise.all(loops);
        assert.equal(await standingOf(bee.id), left, "it was undone");
        const { invites } = await everything();
        const usable = invites.filter(
          (invite) => invite.createdBy === bee.id && invite.status === "unused",
        );
        assert.deepEqual(usable, [], "an invite is left");
        for (const { token, plaintext } of got.slice(-3)) {
          if (token) {
            const body = { email: `eve-${token.slice(4, 12)}@example.com`, password: PASSWORD };
            const path = `/api/invites/${remember(token)}/redeem`;
            const headers = { "CF-Connecting-IP": "203.0.113.9" };
            const redeemed = await call("POST", path, NOBODY, body, { headers });
            assertProblem(redeemed, 410, "invite_unusable");
          } else {
            const headers = { Authorization: `Bearer ${remember(plaintext)}` };
            const response = await gateway.untouched(() => gateway.ask("/any/x", { headers }));
            assertProblem(response, 401, "unauthorized", "token_revoked");
          }
        }
      });
    }
  }
});

// Ways in which a session of `bee` ends; `again` is another one of hers.
const SIGN_OUTS = {
  "an admin ends all": ({ bee }) => call("DELETE", `/api/sessions?user=${bee.id}`, root),
  "an admin ends one": async ({ bee, session }) =>
    call("DELETE", `/api/sessions/${session}?user=${bee.id}`, root),
  "she ends all others": ({ again }) => call("DELETE", "/api/sessions", again),
  "she ends it from elsewhere": ({ again, session }) =>
    call("DELETE", `/api/sessions/${session}`, again),
  "she signs out": ({ bee }) => call("POST", "/api/auth/logout", bee),
  "she is disabled and enabled again": async ({ bee }) => {
    assert.equal((await set(bee.id, { status: "disabled" })).status, 200);
    return set(bee.id, { status: "active" });
  },
};

async function signedInTwice() {
  const bee = await invited("admin");
  const number = count;
  const again = await signIn(number);
  const session = (await call("GET", "/api/auth/me", bee)).json().sessionId;
  return { bee, again, session, number };
}

async function ends(end, who) {
  const response = await end(who);
  assert.ok([200, 204, 303].includes(response.status), response.text);
}

const revoked = (response) => assertProblem(response, 401, "unauthorized", "session_revoked");

describe("commands in flight of a session that ended", { concurrency: false }, () => {
  for (const [what, end] of Object.entries(SIGN_OUTS)) {
    test(`change no user, invite or token: ${what}`, async () => {
      const who = await signedInTwice();
      const { bee } = who;
      const other = await invited("user");
      const mine = await people.token(root, "mk_", { agentId: "agent_7" });
      const requests = [
        ["PATCH", `/api/users/${other.id}`, { role: "admin" }],
        ["DELETE", `/api/users/${other.id}`],
        ["POST", "/api/invites", { role: "admin" }],
        ["POST", "/api/agent-tokens", { name: "x", prefix: "mk_" }],
        ["DELETE", `/api/agent-tokens/${mine.id}`],
        ["DELETE", `/api/sessions?user=${other.id}`],
      ];
      const headers = { "X-Held": "ACCOUNTS" };
      const sent = requests.map(([method, path, body]) =>
        call(method, path, bee, body, { headers }),
      );
      await arrivals(requests.length);
      const before = await everything();
      await ends(end, who);
      letGo();
      for (const response of await Promise.all(sent))
        if (response.status !== 503) revoked(response);
      const now = await everything();
      assert.deepEqual(now, before);
      assert.equal((await call("GET", "/api/auth/me", other)).status, 200);
      const anew = await signIn(who.number);
      const made = await call("POST", "/api/invites", anew, { role: "user" });
      assert.equal(made.status, 201, "a new session counts at once");
    });

    test(`decide nothing: ${what}`, async () => {
      const who = await signedInTwice();
      const agent = await people.token(root, "mk_", { agentId: "agent_7" });
      const task = await people.token(root, "mat_", { agentId: "agent_7", taskId: "task_9" });
      const sent = [];
      const ids = [];
      for (const machine of [agent, task]) {
        for (const verdict of ["approve", "reject"]) {
          const send = () => call("POST", `/deploys/${verdict}`, machine, "body");
          const id = (await consent.asked(send)).confirmationId;
          const path = `/api/confirmations/${id}/${verdict}`;
          ids.push(id);
          sent.push(
            call("POST", path, who.bee, undefined, { headers: { "X-Held": "CONFIRMATIONS" } }),
          );
        }
      }
      await arrivals(sent.length);
      await ends(end, who);
      letGo();
      for (const response of await Promise.all(sent))
        if (response.status !== 503) revoked(response);
      for (const id of ids) assert.equal((await consent.item(id, root)).state, "pending");
      const anew = await signIn(who.number);
      assert.equal((await consent.decided(ids[0], "approve", anew)).state, "approved");
    });
  }

  // Eight at a time, and one request that ends the session.
  for (let round = 0; round < 12; round += 1) {
    const [what, end] = Object.entries(SIGN_OUTS)[round % 6];
    test(`make no invites in a loop, round ${round}: ${what}`, async () => {
      const who = await signedInTwice();
      let isOver = false;
      const loop = async () => {
        let more = 2;
        while (more > 0) {
          await call("POST", "/api/invites", who.bee, { role: "admin" });
          if (isOver) more -= 1;
        }
      };
      const loops = Array.from({ length: 8 }, loop);
      await call("POST", "/api/invites", who.bee, { role: "admin" });
      await ends(end, who);
      const before = (await everything()).invites;
      isOver = true;
      await Promise.all(loops);
      assert.deepEqual((await everything()).invites, before);
    });
  }

  for (const [store, binding] of [
    ["Accounts", "ACCOUNTS"],
    ["Sessions", "SESSIONS"],
  ]) {
    test(`are not said to be refused if ${store} cannot be told`, async () => {
      const { bee } = await signedInTwice();
      const headers = { "X-Failing": binding };
      const path = `/api/sessions?user=${bee.id}`;
      const failed = await call("DELETE", path, root, undefined, { headers });
      assertProblem(failed, 503, "store_unavailable");
      const late = call("POST", "/api/invites", root, { role: "user" });
      assert.equal((await late).status, 201);
      assert.equal((await call("DELETE", path, root)).status, 200, "and can be told again");
    });

    test(`are not said to be refused to who signs out if ${store} cannot be told`, async () => {
      const { bee } = await signedInTwice();
      const passed = await gateway.passed(() => gateway.ask("/any/x", { headers: bee.headers }));
      assert.equal(passed.response.text, "ok");
      const headers = { "X-Failing": binding };
      const failed = await call("POST", "/api/auth/logout", bee, undefined, { headers });
      assertProblem(failed, 503, "store_unavailable");
      assert.deepEqual(failed.cookies, [], "the cookie stays, so that it can be sent again");
      revoked(await gateway.untouched(() => gateway.ask("/any/x", { headers: bee.headers })));
      const again = await call("POST", "/api/auth/logout", bee);
      assert.equal(again.status, 204);
      assert.equal(again.cookies.length, 1, "and goes then");
    });
  }

  test("a request that failed halfway can be sent again, and what is in flight is refused", async () => {
    const { bee } = await signedInTwice();
    const sent = call(
      "POST",
      "/api/invites",
      bee,
      { role: "admin" },
      { headers: { "X-Held": "ACCOUNTS" } },
    );
    await arrivals(1);
    const path = `/api/sessions?user=${bee.id}`;
    const headers = { "X-Failing": "ACCOUNTS" };
    assertProblem(
      await call("DELETE", path, root, undefined, { headers }),
      503,
      "store_unavailable",
    );
    assert.equal((await call("DELETE", path, root)).json().revoked, 0, "they had ended");
    letGo();
    revoked(await sent);
  });
});

test("an admin who was demoted ends no sessions of others", async () => {
  for (const [what, { end, status, error, reason }] of Object.entries(ENDS)) {
    const bee = await invited("admin");
    const other = await invited("user");
    const session = (await call("GET", "/api/auth/me", other)).json().sessionId;
    const headers = { "X-Held": "ACCOUNTS" };
    const sent = ["", `/${session}`].map((one) =>
      call("DELETE", `/api/sessions${one}?user=${other.id}`, bee, undefined, { headers }),
    );
    await arrivals(2);
    await end(bee.id);
    letGo();
    for (const response of await Promise.all(sent))
      if (response.status !== 503) assertProblem(response, status, error, reason);
    assert.equal((await call("GET", "/api/auth/me", other)).status, 200, what);
  }
});

describe("tokens and invites depend on their author", { concurrency: false }, () => {
  const asked = (token) => gateway.ask("/any/x", { headers: token.headers });
  const revoked = async (token) =>
    assertProblem(
      await gateway.untouched(() => asked(token)),
      401,
      "unauthorized",
      "token_revoked",
    );

  for (const [how, { end }] of Object.entries(ENDS)) {
    test(`an agent's token is refused while its owner ${how}, and can be taken over`, async () => {
      const bee = await invited("admin");
      const token = await people.token(bee, "mk_", { agentId: "agent_9" });
      assert.equal((await asked(token)).text, "ok");
      await end(bee.id);
      await revoked(token);
      if (how !== "is deleted") {
        await set(bee.id, { role: "admin", status: "active" });
        assert.equal((await asked(token)).text, "ok", "it works again with them");
        await end(bee.id);
        await revoked(token);
      }
      const path = `/api/agent-tokens/${token.id}/take-over`;
      const taken = await call("POST", path, root);
      assert.equal(taken.status, 200, taken.text);
      assert.equal(taken.json().owner, root.id);
      assert.equal(taken.json().plaintext, undefined);
      const { seen } = await gateway.passed(() => asked(token));
      assert.equal(seen.headers["x-author-id"], "agent_9");
      const { tokens } = await everything();
      assert.equal(tokens.find(({ id }) => id === token.id).owner, root.id);
    });
  }

  test("a take-over that arrives late undoes no later one", async () => {
    const bee = await invited("admin");
    const token = await people.token(root, "mk_", { agentId: "agent_9" });
    const path = `/api/agent-tokens/${token.id}/take-over`;
    const late = call("POST", path, bee, undefined, { headers: { "X-Held": "TOKENS" } });
    await arrivals(1);
    assert.equal((await call("POST", path, root)).json().owner, root.id);
    assert.equal((await set(bee.id, { role: "user" })).status, 200);
    letGo();
    assert.equal((await late).json().owner, root.id);
    assert.equal((await asked(token)).text, "ok");
  });

  test("a token that only admins make, in flight while its maker is demoted", async () => {
    const own = await openGateway({
      variables: { ...ACCOUNTS, HOLD: holder.origin, TOKEN_MAKERS: "admins" },
      around: { "entry.mjs": ENTRY },
    });
    try {
      const { root, call, invited, token } = await settle(own);
      const bee = await invited("bee", "admin");
      for (const prefix of ["mul_", "mat_"]) {
        await call("PATCH", `/api/users/${bee.id}`, root, { role: "admin" });
        const body = { name: "x", prefix };
        const headers = { "X-Held": "ACCOUNTS" };
        const sent = call("POST", "/api/agent-tokens", bee, body, { headers });
        await arrivals(1);
        await call("PATCH", `/api/users/${bee.id}`, root, { role: "user" });
        letGo();
        assertProblem(await sent, 403, "forbidden_role");
      }
      assert.ok((await token(root, "mul_")).id, "an admin makes them");
    } finally {
      await own.stop();
    }
  });

  test("only an admin in person can take over, and only an agent's own token", async () => {
    const bee = await invited("admin");
    const ada = await invited("user");
    const agents = await people.token(bee, "mk_");
    const path = (id) => `/api/agent-tokens/${id}/take-over`;
    const machine = await people.token(root, "mat_");
    const script = await people.token(root, "mul_");
    for (const [who, status, error] of [
      [ada, 403, "forbidden_role"],
      [machine, 403, "forbidden_human_only"],
      [script, 403, "forbidden_human_only"],
      [agents, 403, "forbidden_kind"],
    ])
      assertProblem(await call("POST", path(agents.id), who), status, error);
    for (const { id } of [await people.token(bee, "mul_"), { id: "tok_unknown" }])
      assertProblem(await call("POST", path(id), root), 404, "not_found");
    assertProblem(await call("GET", path(agents.id), root), 405, "method_not_allowed");
    await call("DELETE", `/api/agent-tokens/${agents.id}`, root);
    assertProblem(await call("POST", path(agents.id), root), 404, "not_found");
    await revoked(agents);
  });

  test("an invite that a token made is revoked with the token", async () => {
    const script = await people.token(root, "mul_");
    const made = await call("POST", "/api/invites", script, { role: "admin" });
    assert.equal(made.status, 201, made.text);
    const inPerson = (await call("POST", "/api/invites", root, { role: "user" })).json();
    assert.equal((await call("DELETE", `/api/agent-tokens/${script.id}`, root)).status, 204);
    const { token, id } = made.json();
    const { invites } = await everything();
    assert.equal(invites.find((invite) => invite.id === id).status, "revoked");
    const redeem = (value, email) =>
      call(
        "POST",
        `/api/invites/${remember(value)}/redeem`,
        NOBODY,
        { email, password: PASSWORD },
        { headers: { "CF-Connecting-IP": "203.0.113.10" } },
      );
    assertProblem(await redeem(token, "mallory@example.com"), 410, "invite_unusable");
    assert.equal((await redeem(inPerson.token, "zoe@example.com")).status, 201);
  });

  test("a revoked token's requests in flight make nothing", async () => {
    const bee = await invited("admin");
    const script = await people.token(bee, "mul_");
    const sent = call(
      "POST",
      "/api/invites",
      script,
      { role: "admin" },
      {
        headers: { "X-Held": "ACCOUNTS" },
      },
    );
    await arrivals(1);
    assert.equal((await call("DELETE", `/api/agent-tokens/${script.id}`, root)).status, 204);
    letGo();
    assertProblem(await sent, 401, "unauthorized", "token_revoked");
  });
});
