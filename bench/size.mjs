/** Measures the size of the module, and the share of each crate. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { inProject } from "../scripts/lib/project.mjs";
import { NAMED } from "./workerd.mjs";

export function sizes() {
  const of = (path) => {
    const bytes = readFileSync(inProject(path));
    return { path, raw: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  };
  return {
    files: [of("build/index_bg.wasm"), of("build/index.js")],
    crates: byCrate(readFileSync(NAMED)),
  };
}

/** Returns the bytes of code by crate, and of the other loaded sections, the largest first. */
function byCrate(module) {
  const { names, bodies, sections } = readModule(module);
  const sums = new Map();
  const add = (name, bytes) => sums.set(name, (sums.get(name) ?? 0) + bytes);
  for (const { index, bytes } of bodies) add(crateOf(names.get(index) ?? ""), bytes);
  for (const { name, bytes } of sections) add(`(${name})`, bytes);
  return [...sums].map(([name, bytes]) => ({ name, bytes })).sort((a, b) => b.bytes - a.bytes);
}

/** Returns the crate of the first path in a function name, such as `<serde_json::Value as core::fmt::Debug>::fmt`. */
function crateOf(name) {
  // The future of the fetch event. The compiler inlines the gateway into it.
  if (name.includes("AssertUnwindSafe<F> as core::future")) return "vestibule";
  const [, crate] = /([a-z_][a-z_0-9]*)(?:\[[0-9a-f]+])?::/.exec(name) ?? [];
  return crate ?? "(exports and runtime)";
}

const IMPORT = 2;
const CODE = 10;
const SECTIONS = { 4: "tables", 6: "globals", 7: "exports", 9: "elements", 11: "data" };

/**
 * Parses a module: https://webassembly.github.io/spec/core/binary/modules.html. Only the parts that are needed here.
 */
function readModule(module) {
  const sections = [];
  const bodies = [];
  let names = new Map();
  let imported = 0;
  const reader = new Reader(module, 8);
  while (!reader.atEnd) {
    const id = reader.byte();
    const section = reader.slice(reader.number());
    if (id === 0 && section.text() === "name") names = readNames(section);
    else if (id === IMPORT)
      imported = WebAssembly.Module.imports(moduleOf(module)).filter(isFunction).length;
    else if (id === CODE) section.times(() => bodies.push(section.slice(section.number()).length));
    else if (SECTIONS[id]) sections.push({ name: SECTIONS[id], bytes: section.length });
  }
  return {
    names,
    sections,
    bodies: bodies.map((bytes, at) => ({ index: imported + at, bytes })),
  };
}

const FUNCTION_NAMES = 1;

function readNames(section) {
  const names = new Map();
  while (!section.atEnd) {
    const id = section.byte();
    const entries = section.slice(section.number());
    if (id === FUNCTION_NAMES) entries.times(() => names.set(entries.number(), entries.text()));
  }
  return names;
}

const isFunction = ({ kind }) => kind === "function";
const moduleOf = (bytes) => new WebAssembly.Module(bytes);

class Reader {
  #bytes;
  #at;

  constructor(bytes, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get atEnd() {
    return this.#at >= this.#bytes.length;
  }

  get length() {
    return this.#bytes.length;
  }

  byte() {
    return this.#bytes[this.#at++];
  }

  /** Reads an unsigned LEB128 number. */
  number() {
    for (let value = 0, weight = 1; ; weight *= 128) {
      const byte = this.byte();
      value += (byte & 127) * weight;
      if (byte < 128) return value;
    }
  }

  slice(length) {
    this.#at += length;
    return new Reader(this.#bytes.subarray(this.#at - length, this.#at));
  }

  text() {
    const length = this.number();
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }

  times(action) {
    for (let left = this.number(); left > 0; left -= 1) action();
  }
}
