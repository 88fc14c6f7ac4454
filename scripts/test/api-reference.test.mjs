import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { CODES, codesOf, operationsOf, readDocument, referenceOf } from "../api-reference.mjs";
import { inProject } from "../lib/project.mjs";

const text = (path) => readFileSync(inProject(path), "utf8");
const document = await readDocument();
const operations = operationsOf(document);

test("docs/api.md is up to date with docs/openapi.yaml", () => {
  assert.ok(text("docs/api.md") === referenceOf(document), "outdated: run `npm run docs:api`");
});

test("the access of an operation matches its rule", () => {
  const route = /route\(Endpoint::\w+, "(\w+)", "(\/[^"]+)", Access::(\w)(\w+)/g;
  const rules = new Map(
    [...text("src/routing/built_in.rs").matchAll(route)].map(([, method, path, first, rest]) => [
      `${method} ${path}`,
      first.toLowerCase() + rest,
    ]),
  );
  for (const { title, access } of operations) assert.equal(access, rules.get(title), title);
});

test("every code is in the source with the same status", () => {
  const known = [
    ...(text("src/http/problem/fault.rs") + text("src/http/problem/rejection.rs")).matchAll(
      /\(\s*(\d{3}),\s*"(\w+)"/g,
    ),
  ];
  const pairs = known.map(([, status, code]) => `${status} ${code}`);
  for (const [status, code] of CODES) {
    assert.ok(pairs.includes(`${status} ${code}`), `${status} ${code} is not in src/http/problem`);
  }
});

test("every error status has a code", () => {
  for (const operation of operations) {
    for (const status of Object.keys(operation.responses).filter((status) => status >= "400")) {
      assert.ok(codesOf(operation, status).length > 0, `${operation.title}: ${status} has no code`);
    }
  }
});

test("the reference shows constraints, defaults and examples of a schema", () => {
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
  const reference = referenceOf({
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
    "Get. Access: anyone. Operation: `some.get`.",
    "| 200 | It | see below |",
    "| `word` | [Word](#word) | yes | A\\|B; not empty |",
    "| `inner` | object | – |  |",
    "| `inner.count` | integer | – | 1 to 9; default `2`; for example `3` |",
    '  "word": "a"',
    "String: A|B; not empty; `^a`.",
  ]) {
    assert.ok(
      reference.split("\n").includes(line),
      `missing line:\n${line}\n\nin:\n\n${reference}`,
    );
  }
});
