/** The suites of `npm test`, in the order in which they run. */

import { availableParallelism } from "node:os";
import { countCargo, countExit, countNode } from "./counting.mjs";
import { inProject, npmProgram } from "./project.mjs";

const locked = process.env.CI ? ["--locked"] : [];
const colors = process.stdout.isTTY ? "force" : "off";
const denyWarnings = ["--", "-D", "warnings"];
const cargo = (...args) => ["cargo", args];
const node = (...args) => [npmProgram("node"), args];
const nodeTests = (pattern, ...options) =>
  node("--test", "--test-reporter=spec", ...options, pattern);

// The tests of the Worker mostly wait, so two files at once pay even on two cores, where Node's default is one.
const FILES_AT_ONCE = Math.max(2, availableParallelism() - 1);

/**
 * @typedef {object} Suite
 * @property {string} name the name for `--only`
 * @property {string} about
 * @property {[string, string[]]} command
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string[]} setUp the setup steps that it needs
 * @property {string[]} [after] suites that it depends on; it is not run if one of them fails
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
    about: "the native benchmarks compile, and the program of other crates that differential asks",
    command: cargo(
      ...["build", "--benches", "--bins", "--locked", "--manifest-path", "bench/native/Cargo.toml"],
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
    about: "links in the documentation",
    command: [npmProgram("remark"), ["--frail", "--quiet", "--no-stdout", "README.md", "."]],
    setUp: ["npm"],
    count: countExit,
  },
  {
    name: "docs",
    about: "the documentation site, and the code in the documentation",
    command: nodeTests("site/test/*.test.mjs"),
    setUp: ["npm", "rust", "site"],
    count: countNode,
  },
  {
    name: "scripts",
    about: "tests of the scripts, of the app's idempotent fetch and of the sample agent",
    command: nodeTests("scripts/test/*.test.mjs"),
    setUp: ["npm"],
    count: countNode,
  },
  {
    name: "build",
    about: "build of the Worker and the single-page app",
    command: node(inProject("scripts/build.mjs")),
    setUp: ["npm", "rust", "tools"],
    count: countExit,
  },
  {
    name: "dry-run",
    about: "dry run of a deployment",
    command: [npmProgram("wrangler"), ["deploy", "--dry-run", "--outdir", "dist"]],
    // Uses the existing build.
    env: { VESTIBULE_BUILT: String(Number.MAX_SAFE_INTEGER) },
    setUp: ["npm"],
    after: ["build"],
    count: countExit,
  },
  {
    name: "e2e",
    about: "end-to-end tests, in workerd",
    command: nodeTests("tests/e2e/*.test.mjs", `--test-concurrency=${FILES_AT_ONCE}`),
    setUp: ["npm"],
    after: ["build"],
    count: countNode,
  },
  {
    name: "conformance",
    about: "public test vectors, natively and over HTTP",
    command: nodeTests("tests/conformance/*.test.mjs"),
    setUp: ["npm", "rust"],
    after: ["build"],
    count: countNode,
  },
  {
    name: "differential",
    about: "tokens, cookies and return paths against other implementations",
    command: nodeTests("tests/differential/*.test.mjs"),
    setUp: ["npm", "chromium"],
    after: ["bench-check", "build"],
    count: countNode,
  },
  {
    name: "recipes",
    about: "the code of recipes that need no installation",
    command: nodeTests("tests/recipes/hono.test.mjs"),
    setUp: ["npm"],
    after: ["build"],
    count: countNode,
  },
  {
    name: "own-build",
    about: "build of a custom Worker that uses the crate",
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
    about: "tests of the custom Worker, in workerd",
    command: nodeTests("tests/own/*.test.mjs"),
    setUp: ["npm"],
    after: ["own-build"],
    count: countNode,
  },
  {
    name: "package-build",
    about: "build of the npm packages",
    command: node(inProject("scripts/package.mjs")),
    setUp: ["npm", "rust", "tools"],
    after: ["build"],
    count: countExit,
  },
  {
    name: "package",
    about: "tests of the npm packages and of the tutorial, without Rust",
    command: nodeTests("tests/package/*.test.mjs", "--test-concurrency=1"),
    setUp: ["npm", "chromium"],
    after: ["package-build"],
    count: countNode,
  },
  {
    name: "openapi",
    about: "the Worker against docs/openapi.yaml",
    command: nodeTests("tests/openapi/*.test.mjs"),
    setUp: ["npm", "schemathesis"],
    after: ["build"],
    count: countNode,
  },
  {
    name: "browser",
    about: "end-to-end tests, in Chromium",
    command: nodeTests("tests/browser/*.test.mjs", "--test-concurrency=1"),
    setUp: ["npm", "chromium"],
    after: ["build"],
    count: countNode,
  },
];

/** Returns the named suites and the suites that they depend on, in running order. */
export function choose(names, suites = SUITES) {
  const wanted = new Set();
  const add = (name) => {
    const suite = suites.find((suite) => suite.name === name);
    if (!suite) throw new RangeError(`unknown suite: ${name}`);
    wanted.add(suite);
    for (const dependency of suite.after ?? []) add(dependency);
  };
  for (const name of names) add(name);
  return suites.filter((suite) => wanted.has(suite));
}
