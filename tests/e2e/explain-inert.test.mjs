// Telling an admin what would happen does nothing of it, and tells nobody else.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { consentOf, madeUpId } from "../support/consent.mjs";
import { openExplained } from "../support/explained.mjs";
import { assertProblem } from "../support/gateway.mjs";
import { cookie, mint, remember } from "../support/tokens.mjs";
import { trailOf } from "../support/trail.mjs";

let scene;
let gateway;
let people;
let root;
let headersOf;
before(async () => {
  scene = await openExplained();
  ({ gateway, people, root, headersOf } = scene);
});
after(() => scene.stop());

describe("telling does nothing", () => {
  test("no limit is counted", async () => {
    const from = { "CF-Connecting-IP": "192.0.2.77" };
    for (let times = 0; times < 10; times += 1) {
      await scene.explained("GET", "/limited", from);
      await scene.explained("GET", "/mine", headersOf["a personal token"]);
    }
    for (const [path, headers] of [
      ["/limited", from],
      ["/mine", headersOf["a personal token"]],
    ]) {
      for (const status of [200, 200, 200, 429])
        assert.equal((await gateway.ask(path, { headers })).status, status, path);
      // That there is no room left is told, too.
      const { decision, status } = await scene.explained("GET", path, headers);
      assert.deepEqual([decision, status], ["rate_limited", 429]);
    }
  });

  test("nobody is asked for consent, no key is claimed, and no row is written", async () => {
    // Whose limit has room.
    const machine = headersOf["an admin's task"];
    const trail = trailOf(people);
    const key = { "Idempotency-Key": "told" };
    const { id } = (await scene.explained("GET", "/user", machine)).principal;
    const offered = { "Confirmation-ID": madeUpId(id) };
    const user = { headers: { ...headersOf["a user"], ...key } };
    const isTheirs = ({ rule }) => ["/all", "/audited", "/confirmed", "/keyed"].includes(rule);
    const rows = async () => (await trail.all()).items.filter(isTheirs).length;
    const before = await rows();
    for (const [path, headers, decision, ...assumed] of [
      ["/confirmed", machine, "confirmation_required"],
      ["/all", { ...machine, ...key }, "confirmation_required", "bot_check", "policy"],
      ["/confirmed", { ...machine, ...offered }, "allow", "confirmation"],
      [
        ...["/all", { ...machine, ...key, ...offered }, "allow"],
        ...["bot_check", "policy", "confirmation", "audit", "claim"],
      ],
      ["/audited", user.headers, "allow", "audit"],
      ["/keyed", user.headers, "allow", "claim"],
    ]) {
      const told = await scene.explained("POST", path, headers);
      assert.equal(told.decision, decision, path);
      const found = told.steps.filter(({ outcome }) => outcome === "assumed");
      assert.deepEqual(
        found.map(({ step }) => step),
        assumed,
        path,
      );
    }
    assert.deepEqual(await consentOf(gateway, people).listed(root, `?user=${id}`), []);
    const first = await people.call("POST", "/keyed", user, "x");
    assert.deepEqual([first.text, first.headers["idempotent-replayed"]], ["ok", undefined]);
    // What is really done leaves its two, which come after whatever was to come.
    await trail.left(2, () => people.call("POST", "/audited", user, "x"));
    assert.equal(await rows(), before + 2);
  });

  test("no consent is used up", async () => {
    const machine = { headers: headersOf["a task"] };
    const consent = consentOf(gateway, people);
    const act = (id, body = "x") =>
      people.call("POST", "/confirmed", machine, body, { headers: { "Confirmation-ID": id } });
    const { confirmationId } = await consent.asked(() => act(undefined));
    await consent.decided(confirmationId, "approve", root);
    const headers = { ...machine.headers, "Confirmation-ID": confirmationId };
    for (const _ of [1, 2]) await scene.explained("POST", "/confirmed", headers);
    assert.equal((await act(confirmationId)).text, "ok");
  });

  test("nothing of ours is changed by what is described", async () => {
    const users = (await people.call("GET", "/api/users", root)).text;
    for (const [method, path] of [
      ["DELETE", "/api/sessions"],
      ["POST", "/api/auth/logout"],
      ["DELETE", `/api/users/${root.id}`],
      ["POST", "/api/invites"],
      ["PUT", "/api/features/on"],
    ]) {
      const { decision } = await scene.explained(method, path, root.headers);
      assert.equal(decision, "allow", path);
    }
    assert.equal((await people.call("GET", "/api/users", root)).text, users);
    assert.equal((await people.call("GET", "/on", root)).text, "ok");
  });

  test("what is described is not said back, nor logged", async () => {
    const secret = remember("described.secret-of-somebody");
    const headers = {
      Authorization: `Bearer ${secret}`,
      Cookie: cookie(mint({ userId: "usr_z" })),
    };
    const { text, cookies } = await scene.explain("GET", "/user", headers);
    for (const hidden of ["secret-of-somebody", headers.Cookie.split("=")[1]])
      assert.ok(!text.includes(hidden), text);
    assert.ok(
      cookies.every((line) => !line.startsWith("mk_session=;")),
      "the admin stays signed in",
    );
  });
});

describe("it is told", () => {
  test("to admins", async () => {
    for (const [who, status, error, reason] of [
      ["nobody", 401, "unauthorized", "no_credential"],
      ["a user", 403, "forbidden_role"],
      ["a task", 403, "forbidden_role"],
      ["an agent", 403, "forbidden_kind"],
    ]) {
      const response = await scene.explain("GET", "/open/x", {}, { headers: headersOf[who] });
      assertProblem(response, status, error, reason);
    }
    const elsewhere = { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" };
    const foreign = { headers: { ...root.headers, ...elsewhere } };
    assertProblem(await scene.explain("GET", "/open/x", {}, foreign), 403, "forbidden_origin");
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
    test(`of what can be read: ${JSON.stringify(body)}`, async () => {
      const response = await people.call("POST", "/api/explain", root, body);
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }
});
