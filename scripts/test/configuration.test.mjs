import assert from "node:assert/strict";
import test from "node:test";
import { arrange, configurationOptions } from "../lib/configuration.mjs";

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
