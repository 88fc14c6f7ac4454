/** Reads request bodies as streams. */

import { createHash } from "node:crypto";

/**
 * Reads a body to its end and keeps at most `keep` bytes in memory. Returns its length and hash. `text` is the whole
 * body if it fits into `keep` and is UTF-8, otherwise undefined.
 */
export async function readBody(stream, keep = 0) {
  const hash = createHash("sha256");
  const kept = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    hash.update(chunk);
    if (bytes <= keep) kept.push(chunk);
  }
  const text = bytes <= keep ? decode(Buffer.concat(kept)) : undefined;
  return { bytes, sha256: hash.digest("hex"), text };
}

function decode(buffer) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(buffer);
  } catch {
    return undefined;
  }
}
