import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { CODES, codesOf, operationsOf, readDocument, referenceOf } from "../api-reference.mjs";
import { inProject } from "../lib/project.mjs";

const text = (path) => readFileSync(inProject(path), "utf8");
const document = await readDocument();
const operations = operationsOf(document);

test("docs/api.md is what docs/openapi.yaml gives", () => {
  assert.ok(text("docs/api.md") === referenceOf(document), "it is not: run `npm run docs:api`");
});

test("who may call is what the rules say", () => {
  const rule = /\("(\/[^"]+)", &\[("[^\]]+)\], Access::(\w)(\w+), Endpoint::(?!WrongMethod)/g;
  const rules = new Map(
    [...text("src/config/own.rs").matchAll(rule)].flatMap(([, path, methods, first, rest]) =>
      [...methods.matchAll(/\w+/g)].map(([one]) => [`${one} ${path}`, first.toLowerCase() + rest]),
    ),
  );
  for (const { title, who } of operations) assert.equal(who, rules.get(title), title);
});

test("every code is one that the source has, with that status", () => {
  const known = [...text("src/problem.rs").matchAll(/\(\s*(\d{3}),\s*"(\w+)"/g)];
  const pairs = known.map(([, status, code]) => `${status} ${code}`);
  for (const [status, code] of CODES) {
    assert.ok(pairs.includes(`${status} ${code}`), `${status} ${code} is not in src/problem.rs`);
  }
});

test("every refusal has a code", () => {
  for (const operation of operations) {
    for (const status of Object.keys(operation.responses).filter((status) => status >= "400")) {
      assert.ok(codesOf(operation, status).length > 0, `${operation.title}: ${status} has none`);
    }
  }
});

test("what a schema says is shown, examples too", () => {
  const count = { type: "integer", minimum: 1, maximum: 9, default: 2, examples: [3] };
  const schema = {
    type: "object",
    required: ["word"],
    properties: {
      word: { $ref: "#/components/schemas/Word" },
      inner: { type: "object", properties: { count } },
    },
  };
  const content = { "application/json": { schema, example: { word: "a" } } };
  const word = { type: "string", description: "A|B.", minLength: 1, pattern: "^a" };
  const get = {
    tags: ["some"],
    operationId: "some.get",
    summary: "Get",
    responses: { 200: { description: "It.", content } },
  };
  const shown = referenceOf({
    info: { description: "All." },
    tags: [{ name: "some" }],
    security: [],
    paths: { "/some/{id}": { get } },
    components: {
      securitySchemes: { session: { name: "s" }, bearer: { scheme: "bearer" } },
      responses: {},
      schemas: { Word: word },
    },
  });
  for (const line of [
    "| [`GET /some/{id}`](#get-someid) | Get | anyone |",
    "Get. Who may: anyone. Operation: `some.get`.",
    "| 200 | It | see below |",
    "| `word` | [Word](#word) | yes | A\\|B; not empty |",
    "| `inner` | object | – |  |",
    "| `inner.count` | integer | – | 1 to 9; `2` unless given; such as `3` |",
    '  "word": "a"',
    "String: A|B; not empty; `^a`.",
  ]) {
    assert.ok(shown.split("\n").includes(line), `${line}\n\nis not in\n\n${shown}`);
  }
});
