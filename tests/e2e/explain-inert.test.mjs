// Explain (dry run) changes nothing, and is for admins only.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { approvalsOf, unknownId } from "../support/approvals.mjs";
import { openExplainGateway } from "../support/explained.mjs";
import { assertProblem } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies, trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";

let setup;
let gateway;
let people;
let root;
let headersOf;
before(async () => {
  setup = await openExplainGateway();
  ({ gateway, people, root, headersOf } = setup);
});
after(() => setup.stop());

describe("explaining a request changes nothing", () => {
  test("counts against no rate limit", async () => {
    const client = { "CF-Connecting-IP": "192.0.2.77" };
    for (let i = 0; i < 10; i += 1) {
      await setup.explained("GET", "/limited", client);
      await setup.explained("GET", "/mine", headersOf["a personal token"]);
    }
    for (const [path, headers] of [
      ["/limited", client],
      ["/mine", headersOf["a personal token"]],
    ]) {
      for (const status of [200, 200, 200, 429])
        assert.equal((await gateway.request(path, { headers })).status, status, path);
      // The explanation shows that the limit is reached.
      const { decision, status } = await setup.explained("GET", path, headers);
      assert.deepEqual([decision, status], ["rate_limited", 429]);
    }
  });

  test("creates no approval, claims no key and writes no audit row", async () => {
    // This machine's rate limit is not reached.
    const taskHeaders = headersOf["an admin's task"];
    const trail = auditTrailOf(people);
    const withKey = { "Idempotency-Key": "told" };
    const { id } = (await setup.explained("GET", "/user", taskHeaders)).principal;
    const withApproval = { "Confirmation-ID": unknownId(id) };
    const userCaller = { headers: { ...headersOf["a user"], ...withKey } };
    const isFromThisTest = ({ rule }) =>
      ["/all", "/audited", "/confirmed", "/keyed"].includes(rule);
    const countRows = async () => (await trail.allRows()).items.filter(isFromThisTest).length;
    const before = await countRows();
    for (const [path, headers, decision, ...assumed] of [
      ["/confirmed", taskHeaders, "confirmation_required"],
      ["/all", { ...taskHeaders, ...withKey }, "confirmation_required", "bot_check", "policy"],
      ["/confirmed", { ...taskHeaders, ...withApproval }, "allow", "confirmation"],
      [
        ...["/all", { ...taskHeaders, ...withKey, ...withApproval }, "allow"],
        ...["bot_check", "policy", "confirmation", "audit", "claim"],
      ],
      ["/audited", userCaller.headers, "allow", "audit"],
      ["/keyed", userCaller.headers, "allow", "claim"],
    ]) {
      const explanation = await setup.explained("POST", path, headers);
      assert.equal(explanation.decision, decision, path);
      const assumedSteps = explanation.steps.filter(({ outcome }) => outcome === "assumed");
      assert.deepEqual(
        assumedSteps.map(({ step }) => step),
        assumed,
        path,
      );
    }
    assert.deepEqual(await approvalsOf(gateway, people).listAll(root, `?user=${id}`), []);
    const response = await people.call("POST", "/keyed", userCaller, "x");
    assert.deepEqual([response.text, response.headers["idempotent-replayed"]], ["ok", undefined]);
    // A real request leaves two rows. They would come after any row of an explanation.
    await trail.rowsAddedBy(2, () => people.call("POST", "/audited", userCaller, "x"));
    assert.equal(await countRows(), before + 2);
  });

  test("uses up no approval", async () => {
    const taskCaller = { headers: headersOf["a task"] };
    const approvals = approvalsOf(gateway, people);
    const send = (id, body = "x") =>
      people.call("POST", "/confirmed", taskCaller, body, { headers: { "Confirmation-ID": id } });
    const { confirmationId } = await approvals.expectRequired(() => send(undefined));
    await approvals.expectDecided(confirmationId, "approve", root);
    const headers = { ...taskCaller.headers, "Confirmation-ID": confirmationId };
    for (const _ of [1, 2]) await setup.explained("POST", "/confirmed", headers);
    assert.equal((await send(confirmationId)).text, "ok");
  });

  test("runs no endpoint of Vestibule's", async () => {
    const users = (await people.call("GET", "/api/users", root)).text;
    for (const [method, path] of [
      ["DELETE", "/api/sessions"],
      ["POST", "/api/auth/logout"],
      ["DELETE", `/api/users/${root.id}`],
      ["POST", "/api/invites"],
      ["PUT", "/api/features/on"],
    ]) {
      const { decision } = await setup.explained(method, path, root.headers);
      assert.equal(decision, "allow", path);
    }
    assert.equal((await people.call("GET", "/api/users", root)).text, users);
    assert.equal((await people.call("GET", "/on", root)).text, "ok");
  });

  test("neither returns nor logs the described credentials", async () => {
    const secret = trackSecret("described.secret-of-somebody");
    const headers = {
      Authorization: `Bearer ${secret}`,
      Cookie: sessionCookies(createSessionToken({ userId: "usr_z" })),
    };
    const { text, cookies } = await setup.explain("GET", "/user", headers);
    for (const hidden of ["secret-of-somebody", headers.Cookie.split("=")[1]])
      assert.ok(!text.includes(hidden), text);
    assert.ok(
      cookies.every((line) => !line.startsWith("mk_session=;")),
      "the admin's cookie was cleared",
    );
  });
});

describe("the explain endpoint", () => {
  test("is for admins only", async () => {
    for (const [name, status, error, reason] of [
      ["no credential", 401, "unauthorized", "no_credential"],
      ["a user", 403, "forbidden_role"],
      ["a task", 403, "forbidden_role"],
      ["an agent", 403, "forbidden_kind"],
    ]) {
      const response = await setup.explain("GET", "/open/x", {}, { headers: headersOf[name] });
      assertProblem(response, status, error, reason);
    }
    const crossSiteHeaders = { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" };
    const crossSite = { headers: { ...root.headers, ...crossSiteHeaders } };
    assertProblem(await setup.explain("GET", "/open/x", {}, crossSite), 403, "forbidden_origin");
    assertProblem(await people.call("GET", "/api/explain", root), 405, "method_not_allowed");
  });

  for (const [body, field] of [
    [{ url: "/open/x" }, "method"],
    [{ method: "", url: "/open/x" }, "method"],
    [{ method: 7, url: "/open/x" }, "method"],
    [{ method: "GET" }, "url"],
    [{ method: "GET", url: "" }, "url"],
    [{ method: "GET", url: ["/open/x"] }, "url"],
    [{ method: "GET", url: "/open/x", headers: ["a"] }, "headers"],
    [{ method: "GET", url: "/open/x", headers: { a: 7 } }, "headers"],
    [{ method: "GET", url: "/open/x", as: "admin" }, "(unknown)"],
  ]) {
    test(`returns 400 and names the field: ${JSON.stringify(body)}`, async () => {
      const response = await people.call("POST", "/api/explain", root, body);
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }
});
