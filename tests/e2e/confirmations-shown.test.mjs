// How approvals are shown: as an item, in the list, and on the page where users decide.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { approvalsOf } from "../support/approvals.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, setUpUsers } from "../support/people.mjs";
import { now } from "../support/tokens.mjs";

const NOW = now();
const timeOf = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");

let gateway;
let people;
let approvals;
let root;
let ada;
let bob;
let taskToken;
let agentToken;
before(async () => {
  const rule = { access: "authenticated", confirm: "human" };
  gateway = await openGateway({
    routes: [
      { path: "/deploys/{*rest}", operation: "deploys.create", ...rule },
      { path: "/plain", ...rule },
    ],
    variables: { ...ACCOUNTS, DANGER_FIXED_NOW: NOW },
    secondIsolate: { DANGER_FIXED_NOW: NOW + 1 },
  });
  people = await setUpUsers(gateway);
  approvals = approvalsOf(gateway, people);
  root = people.root;
  ada = await people.createUser("ada");
  bob = await people.createUser("bob");
});
after(() => gateway.stop());

let count = 0;
let path;
beforeEach(async () => {
  count += 1;
  path = `/deploys/${count}`;
  taskToken = await people.createToken(ada, "mat_", { agentId: "agent_7", taskId: "task_9" });
  agentToken = await people.createToken(root, "mk_", { agentId: "agent_7" });
});

const TEXT = "text/plain";
const requestApproval = async (
  caller,
  { to = path, method = "POST", request, headers: extraHeaders, ...more } = {},
) => {
  const { body, type } = { body: "body", type: TEXT, ...more };
  const headers = { "Content-Type": type, ...extraHeaders };
  const run = () => people.call(method, to, caller, body, { headers, request });
  return (await approvals.expectRequired(run)).confirmationId;
};
const withMachine = (person, machine) => ({ headers: { ...person.headers, ...machine.headers } });

describe("an approval shows its request", () => {
  const long = "é".repeat(3_000);
  for (const [name, to, body, type, preview, previewCut] of [
    [
      "with a preview of the body",
      "?x=1&y=%3Cb%3E",
      '{"a":"é"}',
      "application/json",
      '{"a":"é"}',
      false,
    ],
    ["with a preview cut after 4,096 bytes", "", "x".repeat(4_097), TEXT, "x".repeat(4_096), true],
    ["with a full preview of 4,096 bytes", "", "x".repeat(4_096), TEXT, "x".repeat(4_096), false],
    [
      "with a preview cut between two characters",
      "",
      `x${long}`,
      TEXT,
      `x${"é".repeat(2_047)}`,
      true,
    ],
    [
      "without a preview of a binary body",
      "",
      Buffer.from([0xff, 0xfe, 0x00]),
      "image/png",
      null,
      false,
    ],
  ]) {
    test(name, async () => {
      const id = await requestApproval(taskToken, {
        to: `${path}${to}`,
        body,
        type,
        method: "PUT",
      });
      const item = await approvals.item(id, ada);
      assert.deepEqual(item, {
        id,
        state: "pending",
        operation: "deploys.create",
        method: "PUT",
        path: `${path}${to}`,
        principal: { kind: "user", id: ada.id },
        actor: {
          ...{ source: "task_token", tokenId: taskToken.id, tokenName: "a token" },
          ...{ agentId: "agent_7", taskId: "task_9" },
        },
        contentType: type,
        headers: [],
        preview,
        previewCut,
        bodySha256: createHash("sha256").update(body).digest("hex"),
        createdAt: timeOf(NOW),
        expiresAt: timeOf(NOW + 600),
        decidedBy: null,
      });
      const listed = await approvals.listAll(ada);
      assert.deepEqual(
        listed.find((one) => one.id === id),
        item,
      );
      // The user's personal token can read it, too.
      assert.deepEqual(await approvals.item(id, await people.createToken(ada, "mul_")), item);
      await approvals.expectDecided(id, "reject", ada);
    });
  }

  test("with null for what the request does not have", async () => {
    const id = await requestApproval(agentToken, {
      to: "/plain",
      body: undefined,
      type: undefined,
      method: "GET",
    });
    const { operation, contentType, principal, actor, preview, previewCut, bodySha256 } =
      await approvals.item(id, root);
    assert.deepEqual([operation, contentType, previewCut], [null, null, false]);
    assert.equal(preview, null);
    assert.deepEqual(principal, { kind: "agent", id: "agent_7" });
    assert.deepEqual(
      [actor.source, actor.tokenId, actor.tokenName],
      ["agent_token", agentToken.id, "a token"],
    );
    assert.equal(bodySha256, createHash("sha256").digest("hex"));
  });

  test("with its headers, but without the values of its cookies", async () => {
    const headers = {
      ...{ "X-Tenant": "acme", "X-Zoë": undefined, Cookie: "a=secret-of-another; b=2" },
      ...{ "Content-Encoding": "identity", "If-Match": '"1"', "X-Empty": "" },
    };
    const id = await requestApproval(taskToken, { headers });
    const item = await approvals.item(id, ada);
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
    test(`without a preview if the body is encoded: ${encoding}`, async () => {
      const id = await requestApproval(taskToken, { headers: { "Content-Encoding": encoding } });
      const item = await approvals.item(id, ada);
      assert.equal(item.preview, null);
      assert.equal(item.bodySha256, createHash("sha256").update("body").digest("hex"));
      assert.deepEqual(item.headers, [["content-encoding", encoding]]);
    });
  }

  test("with long paths and headers cut", async () => {
    const id = await requestApproval(taskToken, {
      to: `${path}?q=${"x".repeat(5_000)}`,
      type: `text/plain; x=${"y".repeat(1_000)}`,
      headers: { "X-Long": "z".repeat(1_000) },
    });
    const item = await approvals.item(id, ada);
    const cut = (text, most) => `${text.slice(0, most)}… (cut)`;
    assert.equal(item.path, cut(`${path}?q=${"x".repeat(5_000)}`, 2_048));
    assert.equal(item.contentType, cut(`text/plain; x=${"y".repeat(1_000)}`, 255));
    assert.deepEqual(item.headers, [["x-long", cut("z".repeat(1_000), 255)]]);
  });

  test("to its user and to admins only", async () => {
    const [idOfAda, idOfAgent] = [
      await requestApproval(taskToken),
      await requestApproval(agentToken, { to: `${path}/agent` }),
    ];
    const idOfBob = await requestApproval(await people.createToken(bob, "mcn_"), {
      to: `${path}/bob`,
    });
    const idsOf = async (caller, query) =>
      (await approvals.listAll(caller, query)).map(({ id }) => id);
    const has = (ids, ...expectedHas) =>
      assert.deepEqual(
        [idOfAda, idOfAgent, idOfBob].map((id) => ids.includes(id)),
        expectedHas,
      );
    has(await idsOf(ada), true, false, false);
    has(await idsOf(bob), false, false, true);
    has(await idsOf(root), false, true, false);
    has(await idsOf(root, `?user=${ada.id}`), true, false, false);
    const response = await people.call("GET", `/api/confirmations?user=${ada.id}`, bob);
    assertProblem(response, 403, "forbidden_role");
    for (const id of [idOfAda, idOfAgent]) {
      const response = await people.call("GET", `/api/confirmations/${id}`, bob);
      assertProblem(response, 404, "not_found");
    }
    for (const machine of [taskToken, agentToken, withMachine(ada, taskToken)]) {
      for (const suffix of ["", `/${idOfAda}`]) {
        const response = await people.call("GET", `/api/confirmations${suffix}`, machine);
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

  test("in a list, page by page, the newest first and each once", async () => {
    const carol = await people.createUser(`carol-${count}`, "admin");
    const machine = await people.createToken(carol, "mat_");
    const expectedIds = [];
    for (let i = 0; i < 3; i += 1) {
      const [adaMachine, theirs] = [machine, agentToken];
      expectedIds.unshift(await requestApproval(adaMachine, { to: `${path}/older/${i}` }));
      expectedIds.unshift(await requestApproval(theirs, { to: `${path}/agent/${i}` }));
    }
    const newer = await requestApproval(machine, {
      to: `${path}/newer`,
      request: gateway.requestSecondIsolate,
    });
    expectedIds.unshift(newer);
    const all = await approvals.listAll(carol);
    assert.equal(all[0].id, newer);
    const known = all.filter(({ id }) => expectedIds.includes(id));
    assert.deepEqual(known.map(({ id }) => id).sort(), [...expectedIds].sort());
    const times = all.map(({ createdAt }) => createdAt);
    assert.deepEqual(times, [...times].sort().reverse());
    for (const limit of [1, 2, 3, 100]) {
      assert.deepEqual(await approvals.listAll(carol, `?limit=${limit}`), all);
      const { items, next } = await approvals.page(carol, `?limit=${limit}`);
      assert.equal(items.length, Math.min(limit, all.length));
      assert.equal(next === null, all.length <= limit);
    }
    // New approvals do not shift the following pages.
    const { next } = await approvals.page(carol, "?limit=2");
    await requestApproval(machine, {
      to: `${path}/meanwhile`,
      request: gateway.requestSecondIsolate,
    });
    const rest = await approvals.listAll(carol, `?limit=2&cursor=${encodeURIComponent(next)}`);
    assert.deepEqual(rest, all.slice(2));
  });

  test("in pages of fifty by default", async () => {
    const carol = await people.createUser(`carol-${count}`);
    const machines = await Promise.all([1, 2, 3].map(() => people.createToken(carol, "mat_")));
    await Promise.all(
      machines.flatMap((machine) =>
        Array.from({ length: 18 }, (_, i) => requestApproval(machine, { to: `${path}/${i}` })),
      ),
    );
    const { items, next } = await approvals.page(carol);
    assert.deepEqual([items.length, typeof next], [50, "string"]);
    assert.equal((await approvals.listAll(carol)).length, 54);
  });

  for (const query of ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=-1%20x", "cursor="]) {
    test(`but returns 400 for an invalid query: ${query}`, async () => {
      const response = await people.call("GET", `/api/confirmations?${query}`, ada);
      const { field } = assertProblem(response, 400, "invalid_body");
      assert.equal(field, query.split("=")[0]);
    });
  }
});

// Characters that a browser does not show.
const INVISIBLE =
  /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{1d159}]/u;
const INVISIBLE_CHARACTERS = Array.from({ length: 0x11_0000 }, (_, code) => code)
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code))
  .filter((character) => INVISIBLE.test(character));

describe("the approval page", () => {
  const PAGE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };
  const openPage = (method, to, caller, body) =>
    gateway.expectNotForwarded(() =>
      people.call(method, `/api/confirmations/${to}`, caller, body, {
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
    test(`shows the request as text, and a button to ${button} it`, async () => {
      // Includes characters that change how the text reads.
      const body = `"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\u0007`;
      const headers = { "X-Tenant": "<b>acme</b>" };
      const id = await requestApproval(taskToken, {
        to: `${path}?q=%22%3Cscript%3E`,
        body,
        headers,
      });
      const page = await openPage("GET", id, ada);
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
      assert.doesNotMatch(page.text, INVISIBLE);
      const pageOfAdmin = await openPage("GET", id, root);
      assert.ok(pageOfAdmin.text.includes(ada.id) && !pageOfAdmin.text.includes("you ("));
      const action = `/api/confirmations/${id}/${button}`;
      assert.ok(formsOf(page).includes(action), formsOf(page).join());
      const decision = await openPage("POST", `${id}/${button}`, ada, "x=1");
      assert.equal(decision.status, 303);
      assert.equal(
        new URL(decision.headers.location, "https://app.example").pathname,
        `/api/confirmations/${id}`,
      );
      assert.equal((await approvals.item(id, ada)).state, state);
      const pageAfter = await openPage("GET", id, ada);
      assert.deepEqual(
        formsOf(pageAfter).filter((one) => one.startsWith("/api/confirmations")),
        [],
      );
    });
  }

  test("says that an approval was used, and nothing about the outcome", async () => {
    const id = await requestApproval(taskToken);
    await approvals.expectDecided(id, "approve", ada);
    gateway.upstream.answers[path] = { status: 400 };
    const headers = { "Content-Type": TEXT, "Confirmation-ID": id };
    assert.equal((await people.call("POST", path, taskToken, "body", { headers })).status, 400);
    const page = await openPage("GET", id, ada);
    assert.ok(page.text.includes("Approved and used"), page.text);
    assert.doesNotMatch(page.text, /done/);
  });

  test("shows invisible characters of the body as escapes", async () => {
    assert.ok(INVISIBLE_CHARACTERS.length > 4_000);
    for (let at = 0; at < INVISIBLE_CHARACTERS.length; at += 1_000) {
      const characters = INVISIBLE_CHARACTERS.slice(at, at + 1_000);
      const id = await requestApproval(taskToken, {
        to: `${path}/${at}`,
        body: characters.join(""),
      });
      assert.equal((await approvals.item(id, ada)).preview, characters.join(""));
      const page = await openPage("GET", id, ada);
      assert.doesNotMatch(page.text, INVISIBLE);
      const escaped = characters.map((one) => `\\u{${one.codePointAt(0).toString(16)}}`).join("");
      // A page may write the braces of the escapes as entities.
      assert.ok(page.text.replaceAll("&#123;", "{").includes(escaped), `from ${at} on`);
    }
  });

  test("says that a request has no body", async () => {
    const id = await requestApproval(taskToken, {
      body: undefined,
      type: undefined,
      method: "DELETE",
    });
    assert.ok((await openPage("GET", id, ada)).text.includes("The request has no body."));
  });

  test("redirects to the login page without a session, and returns afterwards", async () => {
    const id = await requestApproval(taskToken);
    const response = await openPage("GET", id, ANONYMOUS);
    assert.equal(response.status, 302);
    const location = new URL(response.headers.location, "https://app.example");
    assert.equal(location.pathname, "/login");
    assert.equal(location.searchParams.get("next"), `/api/confirmations/${id}`);
  });

  test("returns 404 to other users", async () => {
    const id = await requestApproval(taskToken);
    assert.equal((await openPage("GET", id, bob)).status, 404);
    assert.equal((await openPage("POST", `${id}/approve`, bob, "x=1")).status, 404);
    assert.equal((await approvals.item(id, ada)).state, "pending");
  });
});
