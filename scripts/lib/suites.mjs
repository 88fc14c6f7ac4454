/** What `npm test` runs, in this order. */

import { countCargo, countExit, countNode } from "./counting.mjs";
import { inProject, npmProgram } from "./project.mjs";

const locked = process.env.CI ? ["--locked"] : [];
const colors = process.stdout.isTTY ? "force" : "off";
const denyWarnings = ["--", "-D", "warnings"];
const cargo = (...args) => ["cargo", args];
const node = (...args) => [npmProgram("node"), args];
const nodeTests = (pattern, ...options) =>
  node("--test", "--test-reporter=spec", ...options, pattern);

/**
 * @typedef {object} Suite
 * @property {string} name what `--only` takes
 * @property {string} about
 * @property {[string, string[]]} command
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string[]} setUp steps of the set-up that it needs
 * @property {string[]} [after] suites whose results it works on; it fails where one of them did
 * @property {(output: string, code: number) => import("./counting.mjs").Count} count
 * @property {boolean} [quick] whether it belongs to `--quick`
 */

/** @type {Suite[]} */
export const SUITES = [
  {
    name: "fmt",
    about: "format of the Rust code",
    command: cargo("fmt", "--check"),
    setUp: ["rust"],
    count: countExit,
    quick: true,
  },
  {
    name: "biome",
    about: "format and lints of JavaScript, JSON and CSS",
    command: [npmProgram("biome"), ["ci", "--error-on-warnings", `--colors=${colors}`]],
    setUp: ["npm"],
    count: countExit,
  },
  {
    name: "clippy",
    about: "lints of the Rust code, native",
    command: cargo("clippy", ...locked, "--workspace", "--all-targets", ...denyWarnings),
    setUp: ["rust"],
    count: countExit,
    quick: true,
  },
  {
    name: "clippy-wasm",
    about: "lints of the Rust code, wasm32",
    command: cargo(
      ...["clippy", ...locked, "--lib", "--target", "wasm32-unknown-unknown"],
      ...denyWarnings,
    ),
    setUp: ["rust"],
    count: countExit,
  },
  {
    name: "bench-check",
    about: "the native benchmarks, compiled",
    command: cargo(
      ...["check", "--benches", "--locked", "--manifest-path", "bench/native/Cargo.toml"],
    ),
    setUp: ["rust"],
    count: countExit,
  },
  {
    name: "native",
    about: "tests of the Rust code, native",
    command: cargo("test", ...locked, "--workspace", "--no-fail-fast"),
    setUp: ["rust"],
    count: countCargo,
    quick: true,
  },
  {
    name: "doc",
    about: "documentation of the Rust code",
    command: cargo("doc", ...locked, "--no-deps"),
    env: { RUSTDOCFLAGS: "-D warnings" },
    setUp: ["rust"],
    count: countExit,
  },
  {
    name: "links",
    about: "links within the documents",
    command: [npmProgram("remark"), ["--frail", "--quiet", "--no-stdout", "README.md", "."]],
    setUp: ["npm"],
    count: countExit,
  },
  {
    name: "scripts",
    about: "tests of these scripts, of the app's idempotent fetch and of the sample agent",
    command: nodeTests("scripts/test/*.test.mjs"),
    setUp: ["npm"],
    count: countNode,
  },
  {
    name: "build",
    about: "the Worker and the single-page app, built",
    command: node(inProject("scripts/build.mjs")),
    setUp: ["npm", "rust", "tools"],
    count: countExit,
  },
  {
    name: "dry-run",
    about: "a deployment that stops short of deploying",
    command: [npmProgram("wrangler"), ["deploy", "--dry-run", "--outdir", "dist"]],
    // The build is the one just made, whatever the clock says.
    env: { VESTIBULE_BUILT: String(Number.MAX_SAFE_INTEGER) },
    setUp: ["npm"],
    after: ["build"],
    count: countExit,
  },
  {
    name: "e2e",
    about: "end to end, in workerd",
    command: nodeTests("tests/e2e/*.test.mjs"),
    setUp: ["npm"],
    after: ["build"],
    count: countNode,
  },
  {
    name: "own-build",
    about: "a Worker of one's own on the crate, built",
    command: node(
      inProject("scripts/build.mjs"),
      ...["--package", "custom-policy", "--out", "examples/custom-policy/build"],
    ),
    setUp: ["npm", "rust", "tools"],
    after: ["build"],
    count: countExit,
  },
  {
    name: "own",
    about: "a Worker of one's own, in workerd",
    command: nodeTests("tests/own/*.test.mjs"),
    setUp: ["npm"],
    after: ["own-build"],
    count: countNode,
  },
  {
    name: "openapi",
    about: "docs/openapi.yaml held against the Worker",
    command: nodeTests("tests/openapi/*.test.mjs"),
    setUp: ["npm", "schemathesis"],
    after: ["build"],
    count: countNode,
  },
  {
    name: "browser",
    about: "end to end, in Chromium",
    command: nodeTests("tests/browser/*.test.mjs", "--test-concurrency=1"),
    setUp: ["npm", "chromium"],
    after: ["build"],
    count: countNode,
  },
];

/** The suites of these names, in running order, and those that they work on. */
export function choose(names, suites = SUITES) {
  const wanted = new Set();
  const add = (name) => {
    const suite = suites.find((suite) => suite.name === name);
    if (!suite) throw new RangeError(`no suite is called "${name}"`);
    wanted.add(suite);
    for (const earlier of suite.after ?? []) add(earlier);
  };
  for (const name of names) add(name);
  return suites.filter((suite) => wanted.has(suite));
}
