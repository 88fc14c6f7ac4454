// The code in the documentation parses, and its configuration passes the check.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { before, test } from "node:test";
import { transform } from "esbuild";
import { parse as parseJsonc } from "jsonc-parser";
import { getStaticTOMLValue, parseTOML } from "toml-eslint-parser";
import { CLASSES } from "../../scripts/lib/classes.mjs";
import { runTool } from "../../scripts/lib/configuration.mjs";
import { inProject } from "../../scripts/lib/project.mjs";
import { codeBlocks } from "./pages.mjs";

// Makes a test for each block of these languages. A language without blocks fails.
function testEach(languages, least, check) {
  const blocks = codeBlocks(...languages);
  test(`there are code blocks: ${languages.join(", ")}`, () => assert.ok(blocks.length >= least));
  for (const block of blocks) test(block.place, () => check(block));
}

async function run(command, args, input) {
  const job = spawn(command, args, { cwd: inProject() });
  job.stdin.end(input);
  const ended = new Promise((resolve, reject) => job.on("error", reject).on("close", resolve));
  const [code, out, err] = await Promise.all([ended, text(job.stdout), text(job.stderr)]);
  return { code, output: out + err };
}

testEach(["json"], 10, ({ code }) => {
  // Some blocks have several documents, one a line.
  const documents = parses(code) ? [code] : code.trim().split("\n");
  for (const document of documents) JSON.parse(document);
});

testEach(["sh"], 40, async ({ code }) => {
  const { code: status, output } = await run("bash", ["-n"], code);
  assert.equal(status, 0, output);
});

testEach(["js", "ts"], 20, async ({ code, excerpt }) => {
  // The test of the recipes finds an excerpt in a file that is run.
  if (!excerpt) await transform(code, { loader: "ts", format: "esm" });
});

// Settings that an example leaves out because it shows only a part of a configuration.
const BASE = {
  PUBLIC_ORIGINS: ["https://app.example.com"],
  UPSTREAM: "https://origin.example.com",
  SESSION: { login: "accounts" },
  WEBHOOKS: [{ name: "stripe", scheme: "stripe", path: "/webhooks/base" }],
};
const BINDINGS = [
  ...["ASSETS", "KV", "POLICY", "limit:LOGIN_GATE"],
  ...CLASSES.map(({ binding }) => binding),
];
const MEMBER_OF_RULE = { path: "/example", methods: ["POST"], access: "user" };
// Top-level settings of wrangler.
const PLATFORM = new Set(
  `$schema name main analytics_engine_datasets compatibility_date compatibility_flags routes workers_dev preview_urls build assets
  observability durable_objects migrations kv_namespaces services ratelimits triggers`.split(/\s+/),
);

before(async () => {
  // Builds the checker, which the tests below run without cargo.
  const { code, output } = await runTool(
    "check-config",
    JSON.stringify({ vars: BASE, bindings: BINDINGS, secrets: null }),
  );
  assert.equal(code, 0, output);
});

async function checkConfiguration(settings) {
  for (const vars of variablesOf(settings)) {
    const input = JSON.stringify({ vars: { ...BASE, ...vars }, bindings: BINDINGS, secrets: null });
    const { code, output } = await run(inProject("target/host/tools"), ["check-config"], input);
    assert.equal(code, 0, `${output}\n${JSON.stringify(vars, null, 2)}`);
  }
  for (const { name, class_name: className } of settings.durable_objects?.bindings ?? []) {
    const known = CLASSES.find(({ binding }) => binding === name);
    assert.equal(className, known?.className, `the class of ${name}`);
  }
}

// Returns the variables of a fragment, and of each of its environments.
function variablesOf({ vars = {}, env = {}, ...rest }) {
  const isVariable = ([name]) => /^[A-Z]/.test(name);
  const bare = Object.fromEntries(Object.entries(rest).filter(isVariable));
  const others = Object.entries(rest).filter((entry) => !isVariable(entry));
  const members = Object.fromEntries(others.filter(([name]) => !PLATFORM.has(name)));
  if (Object.keys(members).length > 0) bare.ROUTES = [{ ...MEMBER_OF_RULE, ...members }];
  const environments = Object.values(env).map(({ vars }) => ({ ...vars }));
  return [{ ...vars, ...bare }, ...environments];
}

testEach(["toml"], 60, ({ code }) => checkConfiguration(getStaticTOMLValue(parseTOML(code))));

testEach(["jsonc"], 0, ({ code }) => {
  const errors = [];
  const settings = parseJsonc(code, errors, { allowTrailingComma: true });
  assert.deepEqual(errors, []);
  return checkConfiguration(settings);
});

function parses(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
