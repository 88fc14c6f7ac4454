// The list of users: search, filters, pages and wrong parameters.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, setUpUsers } from "../support/people.mjs";

describe("the list of users", () => {
  let gateway;
  let people;
  const ids = {};
  before(async () => {
    gateway = await openGateway({ variables: ACCOUNTS });
    people = await setUpUsers(gateway);
    ids.root = people.root.id;
    for (const [name, role] of [
      ["ada.lovelace", "user"],
      ["bea", "admin"],
      ["love", "user"],
    ]) {
      ids[name] = (await people.createUser(name, role)).id;
    }
  });
  after(() => gateway.stop());

  const get = (query, caller = people.root) =>
    gateway.expectNotForwarded(() => people.call("GET", `/api/users${query}`, caller));
  const found = async (query) => {
    const users = [];
    for (let next = ""; next !== null; ) {
      const cursor = next && `&cursor=${encodeURIComponent(next)}`;
      const response = await get(`?${query}&limit=1${cursor}`);
      assert.equal(response.status, 200, response.text);
      const page = response.json();
      assert.ok(page.items.length <= 1);
      users.push(...page.items.map(({ email }) => email.split("@")[0]));
      ({ next } = page);
    }
    return users.sort();
  };

  test("finds users by the beginnings of words, by role and by status", async () => {
    for (const [query, expected] of [
      ["q=LOVE", ["ada.lovelace", "love"]],
      ["q=ada.love", ["ada.lovelace"]],
      ["q=example.com", ["ada.lovelace", "bea", "love", "root"]],
      ["q=ovelace", []],
      ["q=%25", []],
      ["q=example.com&role=admin", ["bea", "root"]],
      ["role=admin", ["bea", "root"]],
      ["role=user&status=active", ["ada.lovelace", "love"]],
      ["status=disabled", []],
      ["q=", ["ada.lovelace", "bea", "love", "root"]],
    ]) {
      assert.deepEqual(await found(query), expected, query);
    }
    const path = `/api/users/${ids.love}`;
    const changed = await people.call("PATCH", path, people.root, { status: "disabled" });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(await found("status=disabled"), ["love"]);
    assert.deepEqual(await found("q=love&status=active"), ["ada.lovelace"]);
    assert.equal((await people.call("DELETE", path, people.root)).status, 204);
    assert.deepEqual(await found("q=love"), ["ada.lovelace"]);
  });

  test("rejects parameters that are unknown or wrong", async () => {
    for (const [query, field] of [
      ["?rol=admin", "(query)"],
      ["?role=root", "role"],
      ["?status=gone", "status"],
      [`?q=${"x".repeat(255)}`, "q"],
      ["?q=a&cursor=usr_1", "cursor"],
      ["?limit=0", "limit"],
    ]) {
      assert.equal(assertProblem(await get(query), 400, "invalid_body").field, field, query);
    }
    const user = await people.createUser("eve");
    assertProblem(await get("?q=ada", user), 403, "forbidden_role");
  });
});
