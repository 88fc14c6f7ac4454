/**
 * The documentation site: `npm run docs` and `npm run docs:build`. Its pages are the Markdown files of the repository as
 * they are. `DOCS_SOURCE` is the address at which the repository can be browsed, for links to files that are no pages.
 */

import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { slug } from "github-slugger";
import { defineConfig } from "vitepress";
import { FILES, repositoryLinks } from "./links.mjs";
import { rewritten, sidebar } from "./navigation.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const root = join(here, "..");
const EXCLUDED = ["build", "dist", "site", "src", "target", "tests", "www", ".wrangler"];
const isExcluded = (file) =>
  EXCLUDED.includes(file.split("/")[0]) || file.includes("node_modules/");
const isPage = (file) => file.endsWith(".md") && !isExcluded(file) && existsSync(join(root, file));
const sectionOf = (name) => sidebar.find(({ text }) => text === name).items[0].link;

export default defineConfig({
  title: "Vestibule",
  description: "An auth gateway for Cloudflare Workers, in front of an unchanged application",
  lang: "en",
  // There is no icon: browsers need not ask for one.
  head: [["link", { rel: "icon", href: "data:," }]],
  srcDir: root,
  srcExclude: [...EXCLUDED.map((folder) => `${folder}/**`), "**/{target,dist,build}/**"],
  rewrites: rewritten,
  outDir: "dist",
  cacheDir: "node_modules/.vitepress",
  metaChunk: true,
  ignoreDeadLinks: "localhostLinks",

  markdown: {
    // The same fragments as on repository hosts.
    anchor: { slugify: (text) => slug(text) },
    // `{name}` is a parameter of a path here.
    attrs: { disable: true },
    config: (md) => md.use(repositoryLinks, { root, isPage, source: process.env.DOCS_SOURCE }),
  },

  themeConfig: {
    nav: ["Features", "Operate", "Reference"].map((text) => ({ text, link: sectionOf(text) })),
    sidebar,
    outline: [2, 3],
    search: { provider: "local", options: { detailedView: false } },
    docFooter: { prev: "Previous page", next: "Next page" },
  },

  // The root of the development server is the repository. Its secrets and stores must not be served.
  vite: {
    server: { fs: { deny: [".dev.vars*", ".env*", "**/.git/**", "**/.wrangler/**"] } },
    plugins: [resolveFromHere()],
    build: { chunkSizeWarningLimit: 2_000 },
  },

  buildEnd({ outDir }) {
    for (const file of FILES) {
      mkdirSync(dirname(join(outDir, file)), { recursive: true });
      copyFileSync(join(root, file), join(outDir, file));
    }
  },
});

/** The pages are outside of this folder, so the packages that they import would not be found from there. */
function resolveFromHere() {
  return {
    name: "resolve-from-here",
    enforce: "pre",
    resolveId(id, importer, { ssr }) {
      if (!/^vue(\/|$)/.test(id)) return;
      // VitePress renders the pages in a module in this folder, where Node finds the package.
      if (ssr) return { id, external: true };
      if (importer?.startsWith(here)) return;
      return this.resolve(id, join(here, "package.json"), { skipSelf: true });
    },
  };
}
