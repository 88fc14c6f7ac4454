// The Markdown pages of this repository, and the code blocks in them.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { inProject } from "../../scripts/lib/project.mjs";

// Returns the paths of all pages that git knows or would add.
export function pages() {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"];
  const files = execFileSync("git", args, { cwd: inProject(), encoding: "utf8" }).split("\n");
  return files.filter((file) => file && existsSync(inProject(file)));
}

// Returns the code blocks of some languages: `{ place, code, excerpt }`. `excerpt` says whether a comment before the block
// names a file of the repository that has the same lines.
export function codeBlocks(...languages) {
  return pages().flatMap((file) => {
    const text = readFileSync(inProject(file), "utf8");
    const fence = /^( *)(`{3,})([\w-]+)\n([\s\S]*?)^\1\2$/gm;
    return [...text.matchAll(fence)]
      .filter(([, , , language]) => languages.includes(language))
      .map(({ index, 1: indent, 4: code }) => ({
        place: `${file}:${text.slice(0, index).split("\n").length}`,
        code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
        excerpt: /^<!-- from \S+ -->\n$/m.test(
          text.slice(0, index).split("\n").slice(-2).join("\n"),
        ),
      }));
  });
}
