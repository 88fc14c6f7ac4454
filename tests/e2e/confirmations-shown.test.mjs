// What people see of their machines' acts: as items, as a list, and on a page where they decide.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { consentOf } from "../support/consent.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, NOBODY, settle } from "../support/people.mjs";
import { now } from "../support/tokens.mjs";

const NOW = now();
const at = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");

let gateway;
let people;
let consent;
let root;
let ada;
let bob;
let task;
let agent;
before(async () => {
  const rule = { access: "authenticated", confirm: "human" };
  gateway = await openGateway({
    routes: [
      { path: "/deploys/{*rest}", operation: "deploys.create", ...rule },
      { path: "/plain", ...rule },
    ],
    variables: { ...ACCOUNTS, DANGER_FIXED_NOW: NOW },
    twin: { DANGER_FIXED_NOW: NOW + 1 },
  });
  people = await settle(gateway);
  consent = consentOf(gateway, people);
  root = people.root;
  ada = await people.invited("ada");
  bob = await people.invited("bob");
});
after(() => gateway.stop());

let count = 0;
let path;
beforeEach(async () => {
  count += 1;
  path = `/deploys/${count}`;
  task = await people.token(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  agent = await people.token(root, "mk_", { agentId: "agent_7" });
});

const TEXT = "text/plain";
const asked = async (who, { to = path, method = "POST", ask, headers: given, ...more } = {}) => {
  const { body, type } = { body: "body", type: TEXT, ...more };
  const headers = { "Content-Type": type, ...given };
  const sending = () => people.call(method, to, who, body, { headers, ask });
  return (await consent.asked(sending)).confirmationId;
};
const beside = (person, machine) => ({ headers: { ...person.headers, ...machine.headers } });

describe("an act is shown", () => {
  const long = "é".repeat(3_000);
  for (const [what, to, body, type, preview, previewCut] of [
    ["with what it says", "?x=1&y=%3Cb%3E", '{"a":"é"}', "application/json", '{"a":"é"}', false],
    ["as far as it goes", "", "x".repeat(4_097), TEXT, "x".repeat(4_096), true],
    ["to its end", "", "x".repeat(4_096), TEXT, "x".repeat(4_096), false],
    ["without half a letter", "", `x${long}`, TEXT, `x${"é".repeat(2_047)}`, true],
    ["but not where it is no text", "", Buffer.from([0xff, 0xfe, 0x00]), "image/png", null, false],
  ]) {
    test(what, async () => {
      const id = await asked(task, { to: `${path}${to}`, body, type, method: "PUT" });
      const item = await consent.item(id, ada);
      assert.deepEqual(item, {
        id,
        state: "pending",
        operation: "deploys.create",
        method: "PUT",
        path: `${path}${to}`,
        principal: { kind: "user", id: ada.id },
        actor: {
          ...{ source: "task_token", tokenId: task.id, tokenName: "a token" },
          ...{ agentId: "agent_7", taskId: "task_9" },
        },
        contentType: type,
        headers: [],
        preview,
        previewCut,
        bodySha256: createHash("sha256").update(body).digest("hex"),
        createdAt: at(NOW),
        expiresAt: at(NOW + 600),
        decidedBy: null,
      });
      const listed = await consent.listed(ada);
      assert.deepEqual(
        listed.find((one) => one.id === id),
        item,
      );
      // A person's own token may look.
      assert.deepEqual(await consent.item(id, await people.token(ada, "mul_")), item);
      await consent.decided(id, "reject", ada);
    });
  }

  test("by what it has, where it has little", async () => {
    const id = await asked(agent, {
      to: "/plain",
      body: undefined,
      type: undefined,
      method: "GET",
    });
    const { operation, contentType, principal, actor, preview, previewCut, bodySha256 } =
      await consent.item(id, root);
    assert.deepEqual([operation, contentType, previewCut], [null, null, false]);
    assert.equal(preview, null);
    assert.deepEqual(principal, { kind: "agent", id: "agent_7" });
    assert.deepEqual(
      [actor.source, actor.tokenId, actor.tokenName],
      ["agent_token", agent.id, "a token"],
    );
    assert.equal(bodySha256, createHash("sha256").digest("hex"));
  });

  test("by its headers, and not what other cookies hold", async () => {
    const headers = {
      ...{ "X-Tenant": "acme", "X-Zoë": undefined, Cookie: "a=secret-of-another; b=2" },
      ...{ "Content-Encoding": "identity", "If-Match": '"1"', "X-Empty": "" },
    };
    const id = await asked(task, { headers });
    const item = await consent.item(id, ada);
    assert.deepEqual(
      item.headers.filter(([name]) => name !== "x-empty"),
      [
        ["content-encoding", "identity"],
        ["cookie", "(not shown)"],
        ["if-match", '"1"'],
        ["x-tenant", "acme"],
      ],
    );
    assert.equal(item.preview, "body");
    assert.ok(!JSON.stringify(item).includes("secret-of-another"));
  });

  for (const encoding of ["gzip", "br", "identity, gzip", "x"]) {
    test(`but not what it says in another encoding: ${encoding}`, async () => {
      const id = await asked(task, { headers: { "Content-Encoding": encoding } });
      const item = await consent.item(id, ada);
      assert.equal(item.preview, null);
      assert.equal(item.bodySha256, createHash("sha256").update("body").digest("hex"));
      assert.deepEqual(item.headers, [["content-encoding", encoding]]);
    });
  }

  test("as far as it may be read, where it is very long", async () => {
    const id = await asked(task, {
      to: `${path}?q=${"x".repeat(5_000)}`,
      type: `text/plain; x=${"y".repeat(1_000)}`,
      headers: { "X-Long": "z".repeat(1_000) },
    });
    const item = await consent.item(id, ada);
    const cut = (text, most) => `${text.slice(0, most)}… (cut)`;
    assert.equal(item.path, cut(`${path}?q=${"x".repeat(5_000)}`, 2_048));
    assert.equal(item.contentType, cut(`text/plain; x=${"y".repeat(1_000)}`, 255));
    assert.deepEqual(item.headers, [["x-long", cut("z".repeat(1_000), 255)]]);
  });

  test("to whose it is, and to admins", async () => {
    const [ours, theirs] = [await asked(task), await asked(agent, { to: `${path}/agent` })];
    const bobs = await asked(await people.token(bob, "mcn_"), { to: `${path}/bob` });
    const idsOf = async (who, query) => (await consent.listed(who, query)).map(({ id }) => id);
    const has = (ids, ...wanted) =>
      assert.deepEqual(
        [ours, theirs, bobs].map((id) => ids.includes(id)),
        wanted,
      );
    has(await idsOf(ada), true, false, false);
    has(await idsOf(bob), false, false, true);
    has(await idsOf(root), false, true, false);
    has(await idsOf(root, `?user=${ada.id}`), true, false, false);
    const peek = await people.call("GET", `/api/confirmations?user=${ada.id}`, bob);
    assertProblem(peek, 403, "forbidden_role");
    for (const id of [ours, theirs]) {
      const response = await people.call("GET", `/api/confirmations/${id}`, bob);
      assertProblem(response, 404, "not_found");
    }
    for (const machine of [task, agent, beside(ada, task)]) {
      for (const of of ["", `/${ours}`]) {
        const response = await people.call("GET", `/api/confirmations${of}`, machine);
        assertProblem(response, 403, "forbidden_human_only");
      }
    }
    assertProblem(
      await people.call("GET", "/api/confirmations"),
      401,
      "unauthorized",
      "no_credential",
    );
  });

  test("the newest first, page by page, each once", async () => {
    const carol = await people.invited(`carol-${count}`, "admin");
    const machine = await people.token(carol, "mat_");
    const wanted = [];
    for (let one = 0; one < 3; one += 1) {
      const [ours, theirs] = [machine, agent];
      wanted.unshift(await asked(ours, { to: `${path}/older/${one}` }));
      wanted.unshift(await asked(theirs, { to: `${path}/agent/${one}` }));
    }
    const newer = await asked(machine, { to: `${path}/newer`, ask: gateway.askTwin });
    wanted.unshift(newer);
    const all = await consent.listed(carol);
    assert.equal(all[0].id, newer);
    const mine = all.filter(({ id }) => wanted.includes(id));
    assert.deepEqual(mine.map(({ id }) => id).sort(), [...wanted].sort());
    const times = all.map(({ createdAt }) => createdAt);
    assert.deepEqual(times, [...times].sort().reverse());
    for (const limit of [1, 2, 3, 100]) {
      assert.deepEqual(await consent.listed(carol, `?limit=${limit}`), all);
      const { items, next } = await consent.page(carol, `?limit=${limit}`);
      assert.equal(items.length, Math.min(limit, all.length));
      assert.equal(next === null, all.length <= limit);
    }
    // What comes in meanwhile moves nothing.
    const { next } = await consent.page(carol, "?limit=2");
    await asked(machine, { to: `${path}/meanwhile`, ask: gateway.askTwin });
    const rest = await consent.listed(carol, `?limit=2&cursor=${encodeURIComponent(next)}`);
    assert.deepEqual(rest, all.slice(2));
  });

  test("fifty at a time, where nothing else is said", async () => {
    const carol = await people.invited(`carol-${count}`);
    const machines = await Promise.all([1, 2, 3].map(() => people.token(carol, "mat_")));
    await Promise.all(
      machines.flatMap((machine) =>
        Array.from({ length: 18 }, (_, one) => asked(machine, { to: `${path}/${one}` })),
      ),
    );
    const { items, next } = await consent.page(carol);
    assert.deepEqual([items.length, typeof next], [50, "string"]);
    assert.equal((await consent.listed(carol)).length, 54);
  });

  for (const query of ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=-1%20x", "cursor="]) {
    test(`by what can be read: ${query}`, async () => {
      const response = await people.call("GET", `/api/confirmations?${query}`, ada);
      const { field } = assertProblem(response, 400, "invalid_body");
      assert.equal(field, query.split("=")[0]);
    });
  }
});

// What nobody sees.
const UNSEEN =
  /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{1d159}]/u;
const HIDDEN = Array.from({ length: 0x11_0000 }, (_, code) => code)
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code))
  .filter((character) => UNSEEN.test(character));

describe("in a browser", () => {
  const PAGE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };
  const visit = (method, to, who, body) =>
    gateway.untouched(() =>
      people.call(method, `/api/confirmations/${to}`, who, body, {
        headers: { ...PAGE, ...(body && { "Content-Type": "application/x-www-form-urlencoded" }) },
      }),
    );
  const formsOf = ({ text }) =>
    [...text.matchAll(/<form[^>]*\baction="([^"]*)"/g)].map(
      ([, action]) =>
        new URL(action.replaceAll("&amp;", "&"), "https://app.example/api/confirmations/x")
          .pathname,
    );

  for (const [button, state] of [
    ["approve", "approved"],
    ["reject", "rejected"],
  ]) {
    test(`a page shows what it is about, and a button to ${button} it`, async () => {
      // What would be read otherwise than it is, too.
      const body = `"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\u0007`;
      const headers = { "X-Tenant": "<b>acme</b>" };
      const id = await asked(task, { to: `${path}?q=%22%3Cscript%3E`, body, headers });
      const page = await visit("GET", id, ada);
      assert.equal(page.status, 200);
      assert.match(page.headers["content-type"], /^text\/html/);
      assert.match(page.headers["cache-control"], /no-store/);
      assert.match(
        page.headers["content-security-policy"],
        /frame-ancestors 'none'|default-src 'none'/,
      );
      assert.ok(page.text.includes("&lt;script&gt;alert(1)"), "the body is shown as text");
      assert.ok(!page.text.includes("<script>alert(1)") && !page.text.includes("<img src=x"));
      assert.ok(page.text.includes("deploys.create"));
      assert.ok(page.text.includes("x-tenant: &lt;b&gt;acme&lt;/b&gt;"), page.text);
      assert.ok(page.text.includes(`you (${ada.id})`) && page.text.includes("a token"));
      assert.doesNotMatch(page.text, UNSEEN);
      const others = await visit("GET", id, root);
      assert.ok(others.text.includes(ada.id) && !others.text.includes("you ("));
      const action = `/api/confirmations/${id}/${button}`;
      assert.ok(formsOf(page).includes(action), formsOf(page).join());
      const done = await visit("POST", `${id}/${button}`, ada, "x=1");
      assert.equal(done.status, 303);
      assert.equal(
        new URL(done.headers.location, "https://app.example").pathname,
        `/api/confirmations/${id}`,
      );
      assert.equal((await consent.item(id, ada)).state, state);
      const after = await visit("GET", id, ada);
      assert.deepEqual(
        formsOf(after).filter((one) => one.startsWith("/api/confirmations")),
        [],
      );
    });
  }

  test("once it was used, the page says no more than that", async () => {
    const id = await asked(task);
    await consent.decided(id, "approve", ada);
    gateway.upstream.answers[path] = { status: 400 };
    const headers = { "Content-Type": TEXT, "Confirmation-ID": id };
    assert.equal((await people.call("POST", path, task, "body", { headers })).status, 400);
    const page = await visit("GET", id, ada);
    assert.ok(page.text.includes("Approved, and used"), page.text);
    assert.doesNotMatch(page.text, /done/);
  });

  test("whatever nobody would see is spelt out", async () => {
    assert.ok(HIDDEN.length > 4_000);
    for (let at = 0; at < HIDDEN.length; at += 1_000) {
      const some = HIDDEN.slice(at, at + 1_000);
      const id = await asked(task, { to: `${path}/${at}`, body: some.join("") });
      assert.equal((await consent.item(id, ada)).preview, some.join(""));
      const page = await visit("GET", id, ada);
      assert.doesNotMatch(page.text, UNSEEN);
      const spelt = some.map((one) => `\\u{${one.codePointAt(0).toString(16)}}`).join("");
      // Written so that nothing in it names a place in the page.
      assert.ok(page.text.replaceAll("&#123;", "{").includes(spelt), `from ${at} on`);
    }
  });

  test("it says of nothing that it is nothing", async () => {
    const id = await asked(task, { body: undefined, type: undefined, method: "DELETE" });
    assert.ok((await visit("GET", id, ada)).text.includes("It has no body."));
  });

  test("who is not signed in is led to the login, and back", async () => {
    const id = await asked(task);
    const response = await visit("GET", id, NOBODY);
    assert.equal(response.status, 302);
    const to = new URL(response.headers.location, "https://app.example");
    assert.equal(to.pathname, "/login");
    assert.equal(to.searchParams.get("next"), `/api/confirmations/${id}`);
  });

  test("what is another's is not there", async () => {
    const id = await asked(task);
    assert.equal((await visit("GET", id, bob)).status, 404);
    assert.equal((await visit("POST", `${id}/approve`, bob, "x=1")).status, 404);
    assert.equal((await consent.item(id, ada)).state, "pending");
  });
});
