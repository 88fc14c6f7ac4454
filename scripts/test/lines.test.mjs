// JSON Lines, as `vestibule accounts` reads and sends them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { batchesOf, lastWholeLine, nextOf } from "../../packages/vestibule/cli/lines.mjs";

test("splits a file into requests, and keeps the numbers of its lines", () => {
  const numbered = (text) => [...batchesOf(text)].map(({ first, lines }) => [first, lines.length]);
  assert.deepEqual(numbered(""), []);
  assert.deepEqual(numbered("\n\n"), []);
  assert.deepEqual(numbered("a"), [[1, 1]]);
  assert.deepEqual(numbered("a\nb\n"), [[1, 2]]);
  assert.deepEqual(numbered("a\n".repeat(201)), [
    [1, 100],
    [101, 100],
    [201, 1],
  ]);
  assert.deepEqual(numbered(`${"é".repeat(70_000)}\n`.repeat(3)), [
    [1, 1],
    [2, 1],
    [3, 1],
  ]);
});

test("continues after the last whole line", () => {
  for (const [text, length, line] of [
    ["", 0, ""],
    ["abc", 0, ""],
    ["\n", 1, ""],
    ["abc\n", 4, "abc"],
    ["abc\nde", 4, "abc"],
    ["abc\nde\n", 7, "de"],
  ]) {
    assert.deepEqual(lastWholeLine(Buffer.from(text)), { length, line }, text);
  }
});

test("follows a link of the same site only", () => {
  const from = "https://app.example/api/users/export?limit=100";
  const next = nextOf('</api/users/export?cursor=usr_1&limit=100>; rel="next"', from);
  assert.equal(next, "https://app.example/api/users/export?cursor=usr_1&limit=100");
  for (const link of [null, "", '<https://evil.example/>; rel="next"', '</x>; rel="prev"']) {
    assert.equal(nextOf(link, from), undefined, link);
  }
});
