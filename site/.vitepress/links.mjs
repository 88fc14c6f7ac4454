/**
 * Makes the links of the pages work on the site. The pages have relative links to files of the repository, so that they
 * work for readers there.
 */

import { existsSync } from "node:fs";
import { posix, relative, sep } from "node:path";
import { rewritten } from "./navigation.mjs";

/** Files that are no pages and are on the site all the same, under the path that they have in the repository. */
export const FILES = ["docs/openapi.yaml", "docs/wrangler.schema.json"];

/**
 * A plugin for markdown-it.
 *
 * - A link to a page becomes a link to its place on the site.
 * - A link to another file of the repository leads to `source`, the address at which the repository can be browsed.
 *   Without `source`, only its text stays.
 *
 * @param {import("markdown-it").default} md
 * @param {{ root: string, isPage: (file: string) => boolean, source?: string }} options
 */
export function repositoryLinks(md, { root, isPage, source }) {
  md.core.ruler.push("repository_links", ({ tokens, env }) => {
    const page = relative(root, env.realPath ?? env.path).replaceAll(sep, "/");
    for (const { children } of tokens) {
      const unlinked = [];
      for (const token of children ?? []) {
        if (token.type === "link_close" && unlinked.pop()) token.hidden = true;
        if (token.type !== "link_open") continue;
        const href = token.attrGet("href");
        const to = /^([a-z][\w+.-]*:|#)/i.test(href) ? href : target(page, href);
        unlinked.push(to === undefined);
        if (to !== undefined) token.attrSet("href", to);
        else token.hidden = true;
      }
    }
  });
  for (const name of ["link_open", "link_close"]) {
    const render = md.renderer.rules[name];
    md.renderer.rules[name] = (tokens, at, options, env, self) =>
      tokens[at].hidden
        ? ""
        : (render?.(tokens, at, options, env, self) ?? self.renderToken(tokens, at, options));
  }

  /** Returns where a relative link leads; undefined if its file is not on the site. */
  function target(page, href) {
    const [path, fragment] = href.split("#");
    let file = posix.join(posix.dirname(page), decodeURI(path));
    const readme = posix.join(file, "README.md");
    if (existsSync(posix.join(root, readme))) file = readme;
    const suffix = fragment === undefined ? "" : `#${fragment}`;
    if (isPage(file)) return `/${rewritten(file)}${suffix}`;
    if (FILES.includes(file)) return `/${file}`;
    if (source) return `${source.replace(/\/$/, "")}/${file}${suffix}`;
  }
}
