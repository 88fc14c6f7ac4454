// What is built comes from locked sources under permitted licences, and workflows run only pinned actions.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { reproducible } from "../lib/artefacts.mjs";
import { inProject } from "../lib/project.mjs";

const read = (path) => readFileSync(inProject(path), "utf8");
const json = (path) => JSON.parse(read(path));
const { packages } = json("package-lock.json");

const CARGO_LOCKS = ["Cargo.lock", "scripts/bind/Cargo.lock", "scripts/mutants/Cargo.lock"];

test("every package of a lock file has a checksum", () => {
  const unchecked = Object.entries(packages)
    .filter(([path, entry]) => path.includes("node_modules/") && !entry.link && !entry.integrity)
    .map(([path]) => path);
  assert.deepEqual(unchecked, []);
  for (const lock of CARGO_LOCKS) {
    const crates = read(lock).split("[[package]]\n").slice(1);
    assert.ok(crates.length > 10, lock);
    for (const crate of crates) {
      // The crates of this repository have no source.
      const isOwn = !crate.includes("\nsource = ");
      assert.ok(isOwn || /\nchecksum = "[0-9a-f]{64}"/.test(crate), `${lock}: ${crate}`);
      assert.ok(isOwn || crate.includes("registry+https://github.com/rust-lang/crates.io-index"));
    }
  }
});

test("npm packages that we publish have a permitted licence", () => {
  const permitted = new Set([
    "MIT",
    "Apache-2.0",
    "MIT OR Apache-2.0",
    "ISC",
    "BSD-3-Clause",
    "0BSD",
  ]);
  // They are bundled into the pages and into the command line.
  const roots = [
    ...Object.keys(json("www/package.json").dependencies),
    ...Object.keys(json("packages/vestibule/package.json").devDependencies),
  ];
  const found = new Map();
  const add = (name) => {
    if (found.has(name)) return;
    const entry = packages[`node_modules/${name}`];
    assert.ok(entry, name);
    found.set(name, entry.license);
    Object.keys(entry.dependencies ?? {}).forEach(add);
  };
  roots.forEach(add);
  assert.ok(found.size >= roots.length && roots.length >= 6);
  assert.deepEqual(
    [...found].filter(([, licence]) => !permitted.has(licence)),
    [],
  );
});

test("workflows run actions by commit, and have no permission by default", () => {
  const names = readdirSync(inProject(".github/workflows"));
  assert.deepEqual(names.sort(), ["audit.yml", "release.yml"]);
  for (const name of names) {
    const text = read(`.github/workflows/${name}`);
    const actions = [...text.matchAll(/uses: (\S+)/g)].map(([, action]) => action);
    assert.ok(actions.length > 0);
    for (const action of actions) assert.match(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    assert.match(text, /^permissions: \{\}$/m);
    // A script must not take text of an event into a shell.
    for (const [line] of text.matchAll(/^\s*(- )?run: .*$/gm))
      assert.ok(!line.includes("${{"), line);
  }
});

test("workflows run only npm scripts that exist", () => {
  const { scripts } = json("package.json");
  for (const name of readdirSync(inProject(".github/workflows"))) {
    const text = read(`.github/workflows/${name}`);
    for (const [, script] of text.matchAll(/npm run ([\w:-]+)/g))
      assert.ok(scripts[script], script);
  }
});

test("the compiler replaces the folder of Cargo, besides the flags that are set", (t) => {
  const { CARGO_ENCODED_RUSTFLAGS, RUSTFLAGS } = process.env;
  t.after(() => {
    restore("CARGO_ENCODED_RUSTFLAGS", CARGO_ENCODED_RUSTFLAGS);
    restore("RUSTFLAGS", RUSTFLAGS);
  });
  const flags = () => reproducible({ cargoHome: "/h" }).CARGO_ENCODED_RUSTFLAGS.split("\x1f");
  delete process.env.CARGO_ENCODED_RUSTFLAGS;
  delete process.env.RUSTFLAGS;
  assert.deepEqual(flags(), ["--remap-path-prefix=/h=/cargo"]);
  process.env.RUSTFLAGS = "-C debuginfo=1";
  assert.deepEqual(flags(), ["-C", "debuginfo=1", "--remap-path-prefix=/h=/cargo"]);
  process.env.CARGO_ENCODED_RUSTFLAGS = "-Cdebuginfo=2";
  assert.deepEqual(flags(), ["-Cdebuginfo=2", "--remap-path-prefix=/h=/cargo"]);
});

function restore(name, value) {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
