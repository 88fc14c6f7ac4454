/** Paths in this checkout, and the environment of its tools. */

import { readdirSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Returns a path inside the checkout. Keeps an absolute path. */
export const inProject = (...parts) => resolve(root, ...parts);

/** Returns the path of a program of an npm package. */
export const npmProgram = (name) => inProject("node_modules/.bin", name);

/** Returns the environment of the tools: the checkout's own Node first in PATH, wrangler quiet and offline. */
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

/** Returns PATH without the folders that `npm run` adds, because their programs may be replaced soon. */
export function pathWithoutNpmPrograms() {
  const isNpmFolder = (folder) => folder.replace(/\/$/, "").endsWith("node_modules/.bin");
  return (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !isNpmFolder(folder))
    .join(delimiter);
}

/** Returns the time of the last change under these paths, in milliseconds since 1970; 0 if none exists. */
export function lastChange(paths) {
  return Math.max(0, ...paths.map(lastChangeOf));
}

/** Returns the time of the earliest last change of these paths; 0 if one of them is missing. */
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
  // The time of a folder changes when a file in it is removed, but also when a file is generated.
  const own = sources.length === names.length ? stat.mtimeMs : 0;
  return Math.max(own, ...sources.map((name) => lastChangeOf(join(path, name))));
}
