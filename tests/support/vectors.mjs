// Test vectors, which are outside this repository and may be missing.

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = resolve(root, process.env.VECTORS_DIR ?? "../shared/vectors");

// Returns the content of a file of vectors, or null if it is missing. If `CI` is set, a missing file is an error.
export function readVectors(name) {
  const file = resolve(folder, name);
  if (!existsSync(file) && !process.env.CI) return null;
  return JSON.parse(readFileSync(file, "utf8"));
}

// Returns the options of a test that needs these files. The test is skipped if one is missing.
export function skipWithout(...files) {
  return files.every(Boolean) ? {} : { skip: "the test vectors are missing: set VECTORS_DIR" };
}
