// The pages in docs/recipes show the code that `npm run test:frameworks` runs: lines of the applications in
// tests/frameworks, or whole applications, which tests/recipes takes from the pages.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { filesOf } from "../../tests/support/pages.mjs";
import { inProject } from "../lib/project.mjs";

const FOLDER = "tests/frameworks";
const read = (path) => readFileSync(inProject(path), "utf8");
const names = readdirSync(inProject(FOLDER)).filter((name) =>
  existsSync(inProject(FOLDER, name, "framework.mjs")),
);

const onPages = readdirSync(inProject("tests/recipes"))
  .filter((file) => file.endsWith(".test.mjs"))
  .map((file) => file.replace(".test.mjs", ""));

// Returns the code blocks, each with the file that the comment before it names.
const blocks = (text) =>
  [...text.matchAll(/^<!-- from (\S+) -->\n```\w*\n([\s\S]*?)^```$/gm)].map(([, file, code]) => ({
    file,
    code,
  }));

test("each recipe has a page, and the list links to it", () => {
  assert.ok(names.length >= 10);
  const pages = readdirSync(inProject("docs/recipes")).filter((name) => name !== "README.md");
  assert.deepEqual(pages.sort(), [...names, ...onPages].map((name) => `${name}.md`).sort());
  const list = read("docs/recipes/README.md");
  for (const page of pages) assert.ok(list.includes(`](${page})`), page);
});

for (const name of names) {
  test(`docs/recipes/${name}.md shows the recipe and lines of the application`, () => {
    const shown = blocks(read(`docs/recipes/${name}.md`));
    const recipe = `${FOLDER}/${name}/recipe.toml`;
    assert.deepEqual(
      shown.filter(({ file }) => file === recipe).map(({ code }) => code),
      [read(recipe)],
    );
    for (const { file, code } of shown) {
      assert.ok(file.startsWith(`${FOLDER}/${name}/`), file);
      assert.ok(unindented(read(file)).includes(unindented(code)), `not in ${file}:\n${code}`);
    }
  });
}

for (const name of onPages) {
  test(`docs/recipes/${name}.md has the files of an application, and says what the tests check`, () => {
    const page = read(`docs/recipes/${name}.md`);
    const files = filesOf(page);
    assert.ok(files["wrangler.toml"]?.startsWith("[vars]\n"));
    assert.ok(Object.keys(files).length > 1);
    assert.match(page, /assertion/);
  });
}

test("docs/recipes/README.md shows the shared login page and script", () => {
  const files = ["login.html", "sign-in-again.js"].map((name) => `${FOLDER}/support/${name}`);
  const shown = blocks(read("docs/recipes/README.md"));
  assert.deepEqual(
    shown.map(({ file, code }) => [file, code]),
    files.map((file) => [file, read(file)]),
  );
});

// Removes the indentation, because a page may show lines from inside a block.
const unindented = (text) => text.replaceAll(/^[ \t]+/gm, "");
