/** JSON Lines, as `vestibule accounts` reads and sends them. */

/** The maximum of lines, and of bytes, that the gateway takes in one request. The bytes leave some room. */
const MOST_LINES = 100;
const MOST_BYTES = 250 * 1024;

/** Returns the batches of a text: the lines of each, and the number of its first line. Empty lines count. */
export function* batchesOf(text) {
  let batch = { first: 1, lines: [] };
  let bytes = 0;
  const all = text.split("\n");
  if (all.at(-1) === "") all.pop();
  for (const [index, line] of all.entries()) {
    const length = Buffer.byteLength(line) + 1;
    if (
      batch.lines.length === MOST_LINES ||
      (batch.lines.length > 0 && bytes + length > MOST_BYTES)
    ) {
      yield batch;
      batch = { first: index + 1, lines: [] };
      bytes = 0;
    }
    batch.lines.push(line);
    bytes += length;
  }
  if (batch.lines.some((line) => line.trim() !== "")) yield batch;
}

/** Returns the last line of a file that ends with a line feed, and the length of the file up to there. */
export function lastWholeLine(bytes) {
  const length = bytes.lastIndexOf(10) + 1;
  const start = length < 2 ? 0 : bytes.lastIndexOf(10, length - 2) + 1;
  return { length, line: bytes.subarray(start, Math.max(start, length - 1)).toString("utf8") };
}

/** Returns the URL of the next page that a `Link` header names (RFC 8288), if it is one of the same site. */
export function nextOf(link, from) {
  const [, target] = /^<([^>]+)>; rel="next"$/.exec(link ?? "") ?? [];
  if (!target) return undefined;
  const next = new URL(target, from);
  return next.origin === new URL(from).origin ? next.href : undefined;
}
