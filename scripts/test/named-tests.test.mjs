// The documentation names the tests that hold its statements. Each of them exists, in the file that is named.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { inProject } from "../lib/project.mjs";

const read = (path) => readFileSync(inProject(path), "utf8");
const PAGES = [
  "README.md",
  "ARCHITECTURE.md",
  "SECURITY.md",
  "bench/README.md",
  "fuzz/README.md",
  ...readdirSync(inProject("docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

// A file of tests in backquotes, and after a colon the names of tests in it.
const MENTION =
  /`((?:src|tests|examples|scripts|packages)\/[\w./-]+\.(?:rs|mjs))`(?:: (`[^`]+`(?:, `[^`]+`)*))?/g;

// Returns the mentions of a page: each file with one of the names after it, or with none.
const mentions = (page) =>
  [...page.matchAll(MENTION)].flatMap(([, file, names]) =>
    names
      ? [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => ({ file, name }))
      : [{ file, name: undefined }],
  );

// Returns whether a file has a test of this name. In JavaScript, part of a title is enough.
const hasTest = (file, text, name) =>
  file.endsWith(".rs")
    ? new RegExp(`#\\[test\\]\\s+(?:#\\[[^\\n]+\\]\\s+)*fn ${name}\\(`).test(text)
    : withoutComments(text).includes(name);

const withoutComments = (text) => text.replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, "");

for (const page of PAGES) {
  const found = mentions(read(page));
  if (found.length === 0) continue;
  test(`${page} names only tests that exist`, () => {
    const missing = found.filter(({ file, name }) => {
      if (!existsSync(inProject(file))) return true;
      return name !== undefined && !hasTest(file, read(file), name);
    });
    assert.deepEqual(
      missing.map(({ file, name }) => `${file}: ${name ?? "(the file)"}`),
      [],
    );
  });
}

test("a name counts only if it is that of a test", () => {
  const rust = "#[test]\n#[should_panic]\nfn a() {}\n\nfn helper() {}\n";
  const script = '// rejects b\ntest("rejects a", () => {});\n';
  assert.ok(hasTest("x.rs", rust, "a"));
  assert.ok(!hasTest("x.rs", rust, "helper"));
  assert.ok(!hasTest("x.rs", rust, "b"));
  assert.ok(hasTest("x.mjs", script, "rejects a"));
  assert.ok(!hasTest("x.mjs", script, "rejects b"));
});

test("mentions are read from the text of a page", () => {
  const page = "| x | `src/a.rs`: `one`, `two`; `tests/b.test.mjs`; see `src/c.rs`: `three` |";
  assert.deepEqual(
    mentions(page).map(({ file, name }) => [file, name]),
    [
      ["src/a.rs", "one"],
      ["src/a.rs", "two"],
      ["tests/b.test.mjs", undefined],
      ["src/c.rs", "three"],
    ],
  );
});
