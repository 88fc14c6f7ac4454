/** Finds where a setting stands in wrangler.toml, wrangler.jsonc or .dev.vars, and quotes the lines. */

import { findNodeAtLocation, parseTree } from "jsonc-parser";
import { parseTOML } from "toml-eslint-parser";

/**
 * @typedef {object} Position
 * @property {number} line counted from 1
 * @property {number} column counted from 1
 * @property {number} length characters to mark, at least 1
 */

/**
 * Finds a setting in a configuration file.
 *
 * @param {string} text the file
 * @param {string} name its name, which says the format: TOML, or JSON with comments
 * @param {(string | number)[]} path such as `["vars", "ROUTES", 3, "access"]`
 * @param {number} least the number of parts that must exist
 * @returns {Position | undefined} of the value. If the path does not exist, of the closest part that does. `undefined`
 *   if none exists, or the file is invalid
 */
export function positionOf(text, name, path, least) {
  const find = name.endsWith(".toml") ? tomlFinder(text) : jsonFinder(text);
  for (let length = path.length; find && length >= least; length -= 1) {
    const position = find(path.slice(0, length));
    if (position) return position;
  }
}

/** Finds the line of a variable in `.dev.vars`. */
export function positionInDevVars(text, name) {
  const lines = text.split("\n");
  const at = lines.findLastIndex(
    (line) =>
      line
        .replace(/^\s*(export\s+)?/, "")
        .split("=")[0]
        .trim() === name,
  );
  if (at !== -1) return { line: at + 1, column: lines[at].indexOf(name) + 1, length: name.length };
}

/** Splits the path of a mistake, such as `ROUTES[3].access`. Returns `undefined` if it is not the path of a setting. */
export function partsOf(path) {
  if (!/^\w+(\.[\w-]+|\[\d+\])*$/.test(path)) return;
  return [...path.matchAll(/\[(\d+)\]|[\w-]+/g)].map(([part, index]) =>
    index ? Number(index) : part,
  );
}

/** Quotes a line with a marker below it. Shortens long lines. */
export function excerpt(text, { line, column, length }) {
  const source = text.split("\n")[line - 1] ?? "";
  const start = Math.max(0, column - 60);
  const quoted = source.slice(start, start + WIDTH).trimEnd();
  const marked = Math.max(1, Math.min(length, quoted.length - (column - 1 - start)));
  const gutter = `${line} | `;
  const marker = " ".repeat(gutter.length + column - 1 - start) + "^".repeat(marked);
  return `  ${gutter}${quoted}\n  ${marker}`;
}

const WIDTH = 100;

function tomlFinder(text) {
  let top;
  try {
    [top] = parseTOML(text).body;
  } catch {
    return;
  }
  const found = new Map();
  const note = (path, node) => found.set(JSON.stringify(path), node);
  const visitPair = ({ key, value }, base) => {
    const path = [...base, ...key.keys.map((part) => part.name ?? part.value)];
    note(path, value);
    visitValue(value, path);
  };
  const visitValue = (value, path) => {
    if (value.type === "TOMLInlineTable") {
      for (const pair of value.body) visitPair(pair, path);
    } else if (value.type === "TOMLArray") {
      for (const [at, item] of value.elements.entries()) {
        note([...path, at], item);
        visitValue(item, [...path, at]);
      }
    }
  };
  for (const node of top.body) {
    if (node.type === "TOMLTable") {
      note(node.resolvedKey, node.key);
      for (const pair of node.body) visitPair(pair, node.resolvedKey);
    } else {
      visitPair(node, []);
    }
  }
  return (path) => {
    const node = found.get(JSON.stringify(path));
    if (!node) return;
    const { start, end } = node.loc;
    const length = end.line === start.line ? end.column - start.column : 1;
    return { line: start.line, column: start.column + 1, length };
  };
}

function jsonFinder(text) {
  const root = parseTree(text);
  if (!root) return;
  return (path) => {
    const node = findNodeAtLocation(root, path);
    if (!node) return;
    const before = text.slice(0, node.offset).split("\n");
    const length = text.slice(node.offset, node.offset + node.length).split("\n")[0].length;
    return { line: before.length, column: before.at(-1).length + 1, length };
  };
}
