// Test vectors that live outside this repository, where they are at hand.

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = resolve(root, process.env.VECTORS_DIR ?? "../shared/vectors");

// One file of them, or null. Under `CI` a missing file is a failure.
export function vectors(name) {
  const file = resolve(folder, name);
  if (!existsSync(file) && !process.env.CI) return null;
  return JSON.parse(readFileSync(file, "utf8"));
}

// Options of a test that needs them: it is skipped, and says so, where they are not there.
export function needing(...files) {
  return files.every(Boolean) ? {} : { skip: "the vectors are not there: set VECTORS_DIR" };
}
