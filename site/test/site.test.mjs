// The documentation site builds. Its links lead somewhere, the search finds pages, and no page loads anything from elsewhere.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { inProject } from "../../scripts/lib/project.mjs";
import { addressOf, SECTIONS } from "../.vitepress/navigation.mjs";
import { pages } from "./pages.mjs";

const folder = mkdtempSync(join(tmpdir(), "vestibule-site-"));
const site = (...parts) => join(folder, ...parts);
const html = new Map();
const css = [];

before(async () => {
  const vitepress = inProject("site/node_modules/vitepress/bin/vitepress.js");
  // VitePress fails if a link between pages is dead.
  await promisify(execFile)(process.execPath, [vitepress, "build", "--outDir", folder], {
    cwd: inProject("site"),
  });
  for (const file of readdirSync(folder, { recursive: true })) {
    if (file.endsWith(".html")) html.set(`/${file}`, readFileSync(site(file), "utf8"));
    if (file.endsWith(".css")) css.push(readFileSync(site(file), "utf8"));
  }
});

after(() => rmSync(folder, { recursive: true, force: true }));

const listed = SECTIONS.flatMap(({ items }) => items.map(({ file }) => file));

test("each page of the repository is in the navigation once, and on the site", () => {
  assert.deepEqual(listed.toSorted(), pages().toSorted());
  for (const file of listed) assert.ok(html.has(fileOf(addressOf(file))), file);
  const home = html.get("/index.html");
  for (const file of listed) assert.ok(home.includes(`href="${addressOf(file)}"`), file);
});

test("each link leads to a file of the site, and to a heading in it", () => {
  let fragments = 0;
  for (const [page, text] of html) {
    for (const [, href] of text.matchAll(/<a [^>]*?href="([^"]*)"/g)) {
      if (/^[a-z]+:/.test(href)) continue;
      const [path, fragment] = href.split("#");
      const target = path === "" ? page : fileOf(posix.resolve(posix.dirname(page), path));
      assert.ok(existsSync(site(target)), `${page}: ${href}`);
      if (!fragment) continue;
      const id = decodeURIComponent(fragment);
      assert.ok(html.get(target).includes(`id="${id}"`), `${page}: ${href}`);
      fragments += 1;
    }
  }
  assert.ok(fragments > 500);
});

test("the search finds a heading by its words", async () => {
  const chunks = readdirSync(site("assets/chunks"));
  const [name, ...others] = chunks.filter((file) => file.startsWith("@localSearchIndex"));
  assert.deepEqual(others, []);
  const { default: index } = await import(pathToFileURL(site("assets/chunks", name)));
  const { default: MiniSearch } = await import("minisearch");
  const search = MiniSearch.loadJSON(index, {
    fields: ["title", "titles", "text"],
    storeFields: ["title", "titles"],
  });
  const [first] = search.search("rotating auth_secret", { prefix: true, boost: { title: 4 } });
  assert.equal(first.id, "/sessions.html#rotating-auth_secret");
});

test("no page loads anything from elsewhere", () => {
  assert.ok(css.length > 0);
  for (const [page, text] of html) {
    for (const [tag] of text.matchAll(/<(?:script|link|img|iframe|source|video)\b[^>]*>/g)) {
      assert.doesNotMatch(tag, /(?:src|href|srcset)="(?:[a-z]+:)?\/\//, page);
    }
  }
  for (const text of css) assert.doesNotMatch(text, /url\(["']?(?:[a-z]+:)?\/\/|@import/);
});

test("the API's description and the JSON Schema are on the site", () => {
  for (const name of ["openapi.yaml", "wrangler.schema.json"]) {
    assert.ok(readFileSync(site("docs", name)).equals(readFileSync(inProject("docs", name))), name);
  }
});

// Returns the file that answers a path.
function fileOf(path) {
  const stat = statSync(site(path), { throwIfNoEntry: false });
  return stat?.isDirectory() ? posix.join(path, "index.html") : path;
}
