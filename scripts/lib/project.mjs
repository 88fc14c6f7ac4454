/** Where things are in this checkout, and the environment its tools run in. */

import { readdirSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A path inside the checkout, or an absolute path as it is. */
export const inProject = (...parts) => resolve(root, ...parts);

/** A program that an npm package brings. */
export const npmProgram = (name) => inProject("node_modules/.bin", name);

/**
 * The environment of every tool: the checkout's own Node first on the path, wrangler quiet and
 * offline.
 */
export function toolEnvironment(extra = {}) {
  return {
    ...process.env,
    PATH: [inProject("node_modules/.bin"), pathWithoutNpmPrograms()].join(delimiter),
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    ...extra,
  };
}

/** The machine's own path: what `npm run` put in front of it may be about to be replaced. */
export function pathWithoutNpmPrograms() {
  const isOfPackages = (folder) => folder.replace(/\/$/, "").endsWith("node_modules/.bin");
  return (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !isOfPackages(folder))
    .join(delimiter);
}

/** When anything under these paths last changed, in milliseconds since 1970; 0 where none exists. */
export function lastChange(paths) {
  return Math.max(0, ...paths.map(lastChangeOf));
}

/** When the first of these paths changed, 0 where one is not there. */
export function firstChange(paths) {
  return Math.min(...paths.map(lastChangeOf));
}

const GENERATED = new Set(["node_modules", "dist", "target", "build", ".wrangler"]);

function lastChangeOf(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  const names = readdirSync(path);
  const sources = names.filter((name) => !GENERATED.has(name));
  // A folder's own time moves when a file in it is removed, but also when something is generated.
  const own = sources.length === names.length ? stat.mtimeMs : 0;
  return Math.max(own, ...sources.map((name) => lastChangeOf(join(path, name))));
}
