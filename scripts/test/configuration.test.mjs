import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  checkOptions,
  configurationOptions,
  keepsAccounts,
  missingPagesWarning,
  readConfiguration,
  separateSecrets,
  unlistedOriginWarning,
} from "../lib/configuration.mjs";
import { inProject } from "../lib/project.mjs";

const read = (devVars) => ({
  vars: { ENVIRONMENT: "production", WEBHOOKS: [{ name: "hub", secret: "HUB_KEY" }] },
  bindings: ["ASSETS"],
  devVars,
});

test("secrets are unknown without --dev", () => {
  const { vars, secrets } = separateSecrets(read({}), false, {});
  assert.equal(vars.ENVIRONMENT, "production");
  assert.equal(secrets, null);
});

test("--dev adds the variables of .dev.vars and separates the secrets", () => {
  const named = { AUTH_SECRET: "a", AGENT_TOKENS: "b", EXPORT_KEY: "e", MAILER_SECRET: "m" };
  const devVars = { ENVIRONMENT: "development", ...named, HUB_KEY: "c" };
  const { vars, bindings, secrets } = separateSecrets(read(devVars), true, {
    UPSTREAM: "http://x",
  });
  assert.deepEqual(Object.keys(vars).sort(), ["ENVIRONMENT", "UPSTREAM", "WEBHOOKS"]);
  assert.equal(vars.ENVIRONMENT, "development");
  assert.deepEqual(bindings, ["ASSETS"]);
  assert.deepEqual(secrets, { ...named, HUB_KEY: "c" });
});

test("finds the secrets of webhooks that are written as a JSON string", () => {
  const devVars = { WEBHOOKS: '[{"secret":"OTHER"}]', OTHER: "d" };
  assert.deepEqual(separateSecrets(read(devVars), true, {}).secrets, { OTHER: "d" });
  assert.deepEqual(separateSecrets(read({ WEBHOOKS: "no JSON" }), true, {}).secrets, {});
});

test("warns of a folder of assets without the pages for signing in", () => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  const warningFor = (vars, assets = folder) => missingPagesWarning(vars, assets);
  const accounts = { SESSION: { login: "accounts" } };
  assert.match(warningFor(accounts), /copy the folder _vestibule into it/);
  assert.match(warningFor({ SESSION: '{"login":"accounts"}' }), /copy the folder/);
  for (const vars of [{}, { SESSION: { login: "upstream" } }, { SESSION: "no JSON" }]) {
    assert.equal(warningFor(vars), undefined);
  }
  const ownPage = { SESSION: { login: "accounts", login_path: "/login" } };
  assert.equal(warningFor(ownPage), undefined);
  assert.match(warningFor({ ...ownPage, PAGES: {} }), /copy the folder/);
  assert.equal(missingPagesWarning(accounts, undefined), undefined, "without static assets");
  assert.equal(warningFor(accounts, join(folder, "not-built")), undefined);
  mkdirSync(join(folder, "_vestibule"));
  writeFileSync(join(folder, "_vestibule/sign-in.page"), "");
  assert.equal(warningFor(accounts), undefined);
  rmSync(folder, { recursive: true });
});

for (const [args, want] of [
  [[], { env: undefined, config: undefined, dev: false }],
  [["--env", "staging"], { env: "staging", config: undefined, dev: false }],
  [["--env=staging", "-c", "a.toml"], { env: "staging", config: "a.toml", dev: false }],
  [["--dry-run", "-e", "x", "--dev"], { env: "x", config: undefined, dev: true }],
]) {
  test(`finds the options in: ${args.join(" ") || "nothing"}`, () => {
    assert.deepEqual(configurationOptions(args), want);
  });
}

for (const [args, want] of [
  [[], { env: undefined, config: undefined, dev: false }],
  [["--env", "staging", "--dev"], { env: "staging", config: undefined, dev: true }],
  [["-e", "x", "--config=a.toml"], { env: "x", config: "a.toml", dev: false }],
]) {
  test(`check-config accepts: ${args.join(" ") || "nothing"}`, () => {
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
  test(`check-config rejects: ${args.join(" ")}`, () => {
    const isUsageError = ({ message, code }) => code === 2 && message.includes(name);
    assert.throws(() => checkOptions(args), isUsageError);
  });
}

test("check-config rejects an unknown option before it reads anything", () => {
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
    /^\S+a\.toml:2: illegal character in key\n {2}2 \| \[vars\n +\^+$/,
  ],
  [
    "a.toml",
    "[vars]\nA = 1\nA = 2\n",
    undefined,
    /^\S+a\.toml:3: trying to redefine .*\n {2}3 \| A = 2\n +\^+$/,
  ],
  ["a.toml", "[vars]\nA = /notes\n", undefined, /^\S+a\.toml:2: .*\n {2}2 \| A = \/notes\n +\^+$/],
  [
    "a.jsonc",
    '{\n  "name" "a"\n}',
    undefined,
    /^\S+a\.jsonc:2: colon expected\n {2}2 \| {3}"name" "a"\n +\^+$/,
  ],
  ["a.toml", "routes = 7\n", undefined, /^\S+a\.toml: Expected "routes" to be an array.*$/],
  ["a.toml", 'name = "a"\n', "b", /^\S+a\.toml: no environment "b"$/],
  ["a.toml", undefined, undefined, /^\S+a\.toml: no such file$/],
]) {
  test(`reports a file that it cannot read: ${want.source}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const config = join(folder, name);
    if (text !== undefined) writeFileSync(config, text);
    await assert.rejects(readConfiguration({ config, env }), ({ message }) => want.test(message));
  });
}

test("warns if the site is not in PUBLIC_ORIGINS", () => {
  const site = "http://localhost:8787";
  for (const [PUBLIC_ORIGINS, want] of [
    [[site], false],
    [`["${site}"]`, false],
    [`https://a.example, ${site}`, false],
    [["http://localhost:9000"], true],
    ['["http://127.0.0.1:8787"]', true],
    ["https://a.example", true],
    // The checker reports these.
    ["[broken", false],
    [undefined, false],
    [7, false],
  ]) {
    const warning = unlistedOriginWarning(site, { PUBLIC_ORIGINS });
    assert.equal(warning !== undefined, want, JSON.stringify(PUBLIC_ORIGINS));
    if (want)
      assert.match(warning, /WebSockets.*403.*PUBLIC_ORIGINS=\["http:\/\/localhost:8787"\]/);
  }
});

test("keepsAccounts reads SESSION as a table or as a JSON string", () => {
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

test("of several values of a variable, the closest one to this machine wins", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = join(folder, "wrangler.toml");
  const value = async (options) => (await readConfiguration({ config, ...options })).vars.UPSTREAM;
  writeFileSync(
    config,
    '[vars]\nUPSTREAM = "http://file"\nA = "a"\n[env.next.vars]\nUPSTREAM = "http://env"\n',
  );
  assert.equal(await value({}), "http://file");
  assert.equal(await value({ dev: true }), "http://file");
  assert.equal(await value({ env: "next" }), "http://env");
  // The variables of an environment replace all others.
  assert.equal((await readConfiguration({ config, env: "next" })).vars.A, undefined);
  writeFileSync(join(folder, ".dev.vars"), "UPSTREAM=http://dev\n");
  assert.equal(await value({}), "http://file", "a deployment does not read it");
  assert.equal(await value({ dev: true }), "http://dev");
  assert.equal(await value({ dev: true, env: "next" }), "http://dev");
  writeFileSync(join(folder, ".dev.vars.next"), "B=b\n");
  assert.equal(await value({ dev: true, env: "next" }), "http://env", "it replaces the whole file");
  const overrides = { UPSTREAM: "http://option" };
  assert.equal(await value({ dev: true, overrides }), "http://option");
});
