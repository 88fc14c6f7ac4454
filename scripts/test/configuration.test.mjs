import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  arrange,
  checkOptions,
  configurationOptions,
  keepsAccounts,
  readConfiguration,
  unlistedWarning,
} from "../lib/configuration.mjs";
import { inProject } from "../lib/project.mjs";

const read = (devVars) => ({
  vars: { ENVIRONMENT: "production", WEBHOOKS: [{ name: "hub", secret: "HUB_KEY" }] },
  bindings: ["ASSETS"],
  devVars,
});

test("without --dev the secrets are unknown", () => {
  const { vars, secrets } = arrange(read({}), false, {});
  assert.equal(vars.ENVIRONMENT, "production");
  assert.equal(secrets, null);
});

test("with --dev vars are laid over and secrets kept apart", () => {
  const devVars = { ENVIRONMENT: "development", AUTH_SECRET: "a", AGENT_TOKENS: "b", HUB_KEY: "c" };
  const { vars, bindings, secrets } = arrange(read(devVars), true, { UPSTREAM: "http://x" });
  assert.deepEqual(Object.keys(vars).sort(), ["ENVIRONMENT", "UPSTREAM", "WEBHOOKS"]);
  assert.equal(vars.ENVIRONMENT, "development");
  assert.deepEqual(bindings, ["ASSETS"]);
  assert.deepEqual(secrets, { AUTH_SECRET: "a", AGENT_TOKENS: "b", HUB_KEY: "c" });
});

test("webhooks written as text name their secrets too", () => {
  const devVars = { WEBHOOKS: '[{"secret":"OTHER"}]', OTHER: "d" };
  assert.deepEqual(arrange(read(devVars), true, {}).secrets, { OTHER: "d" });
  assert.deepEqual(arrange(read({ WEBHOOKS: "no JSON" }), true, {}).secrets, {});
});

for (const [args, want] of [
  [[], { env: undefined, config: undefined, dev: false }],
  [["--env", "staging"], { env: "staging", config: undefined, dev: false }],
  [["--env=staging", "-c", "a.toml"], { env: "staging", config: "a.toml", dev: false }],
  [["--dry-run", "-e", "x", "--dev"], { env: "x", config: undefined, dev: true }],
]) {
  test(`options of: ${args.join(" ") || "nothing"}`, () => {
    assert.deepEqual(configurationOptions(args), want);
  });
}

for (const [args, want] of [
  [[], { env: undefined, config: undefined, dev: false }],
  [["--env", "staging", "--dev"], { env: "staging", config: undefined, dev: true }],
  [["-e", "x", "--config=a.toml"], { env: "x", config: "a.toml", dev: false }],
]) {
  test(`options of the check: ${args.join(" ") || "nothing"}`, () => {
    assert.deepEqual(checkOptions(args), want);
  });
}

for (const [args, name] of [
  [["--confg", "x"], "--confg"],
  [["--dry-run"], "--dry-run"],
  [["a.toml"], "a.toml"],
  [["--config"], "--config"],
  [["--dev=no"], "--dev"],
]) {
  test(`no options of the check: ${args.join(" ")}`, () => {
    const names = ({ message, code }) => code === 2 && message.includes(name);
    assert.throws(() => checkOptions(args), names);
  });
}

test("an unknown option ends the check before it looks at anything", () => {
  const script = inProject("scripts/check-config.mjs");
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--confg", "x"]);
  assert.equal(status, 2);
  assert.equal(String(stdout), "");
  assert.equal(String(stderr), "Unknown option '--confg'\nThe options are: --env --config --dev\n");
});

for (const [name, text, env, want] of [
  [
    "a.toml",
    'name = "a"\n[vars\nA = 1\n',
    undefined,
    /^\S+a\.toml:2: illegal character in key, in: \[vars$/,
  ],
  [
    "a.toml",
    "[vars]\nA = 1\nA = 2\n",
    undefined,
    /^\S+a\.toml:3: trying to redefine .*, in: A = 2$/,
  ],
  ["a.toml", "[vars]\nA = /notes\n", undefined, /^\S+a\.toml:2: .*, in: A = \/notes$/],
  ["a.jsonc", '{\n  "name" "a"\n}', undefined, /^\S+a\.jsonc:2: \w+, in: "name" "a"$/],
  ["a.toml", "routes = 7\n", undefined, /^\S+a\.toml: Expected "routes" to be an array.*$/],
  ["a.toml", 'name = "a"\n', "b", /^\S+a\.toml: has no environment "b"$/],
  ["a.toml", undefined, undefined, /^\S+a\.toml: there is no such file$/],
]) {
  test(`a file that cannot be read: ${want.source}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const config = join(folder, name);
    if (text !== undefined) writeFileSync(config, text);
    await assert.rejects(readConfiguration({ config, env }), ({ message }) => want.test(message));
  });
}

test("an address that no public origin has is warned of", () => {
  const site = "http://localhost:8787";
  for (const [PUBLIC_ORIGINS, want] of [
    [[site], false],
    [`["${site}"]`, false],
    [`https://a.example, ${site}`, false],
    [["http://localhost:9000"], true],
    ['["http://127.0.0.1:8787"]', true],
    ["https://a.example", true],
    // The checker says what is wrong with these.
    ["[broken", false],
    [undefined, false],
    [7, false],
  ]) {
    const warning = unlistedWarning(site, { PUBLIC_ORIGINS });
    assert.equal(warning !== undefined, want, JSON.stringify(PUBLIC_ORIGINS));
    if (want)
      assert.match(warning, /WebSockets.*403.*PUBLIC_ORIGINS=\["http:\/\/localhost:8787"\]/);
  }
});

test("who keeps the accounts is read from a table or its text", () => {
  for (const [SESSION, want] of [
    [{ login: "accounts" }, true],
    ['{"login":"accounts"}', true],
    [{ login: "upstream" }, false],
    [{ check: "token" }, false],
    ["{broken", false],
    [undefined, false],
  ]) {
    assert.equal(keepsAccounts({ SESSION }), want, JSON.stringify(SESSION));
  }
});
