// The pages in docs/recipes show what `npm run test:frameworks` runs.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { inProject } from "../lib/project.mjs";

const FOLDER = "tests/frameworks";
const read = (path) => readFileSync(inProject(path), "utf8");
const names = readdirSync(inProject(FOLDER)).filter((name) =>
  existsSync(inProject(FOLDER, name, "framework.mjs")),
);

// Blocks of code, and the file that a comment before each names.
const blocks = (text) =>
  [...text.matchAll(/^<!-- from (\S+) -->\n```\w*\n([\s\S]*?)^```$/gm)].map(([, file, code]) => ({
    file,
    code,
  }));

test("there are recipes, and each has a page that the list names", () => {
  assert.ok(names.length >= 10);
  const pages = readdirSync(inProject("docs/recipes")).filter((name) => name !== "README.md");
  assert.deepEqual(pages.sort(), names.map((name) => `${name}.md`).sort());
  const list = read("docs/recipes/README.md");
  for (const page of pages) assert.ok(list.includes(`](${page})`), page);
});

for (const name of names) {
  test(`the page of ${name} shows its recipe, and lines of its application as they are`, () => {
    const shown = blocks(read(`docs/recipes/${name}.md`));
    const recipe = `${FOLDER}/${name}/recipe.toml`;
    assert.deepEqual(
      shown.filter(({ file }) => file === recipe).map(({ code }) => code),
      [read(recipe)],
    );
    for (const { file, code } of shown) {
      assert.ok(file.startsWith(`${FOLDER}/${name}/`), file);
      assert.ok(flush(read(file)).includes(flush(code)), `${file} has no such lines:\n${code}`);
    }
  });
}

test("the list shows the login page and the script that every application shares", () => {
  const files = ["login.html", "sign-in-again.js"].map((name) => `${FOLDER}/support/${name}`);
  const shown = blocks(read("docs/recipes/README.md"));
  assert.deepEqual(
    shown.map(({ file, code }) => [file, code]),
    files.map((file) => [file, read(file)]),
  );
});

// Without indentation: a page shows lines from within a block.
const flush = (text) => text.replaceAll(/^[ \t]+/gm, "");
