/**
 * Runs under the checkout's own Node and reads the configuration with wrangler itself, so that both
 * see the same. Answers over the message channel.
 */

import { experimental_readRawConfig, unstable_getVarsForDev, unstable_readConfig } from "wrangler";

const { config: path, env, dev } = JSON.parse(process.argv[2]);
const config = unstable_readConfig({ config: path, env });
const { rawConfig } = experimental_readRawConfig({ config: path });
// wrangler warns of this and goes on with the settings that are for no environment.
if (env && !rawConfig.env?.[env]) {
  console.error(`the configuration has no environment "${env}"`);
  process.exit(1);
}

process.send({
  vars: config.vars,
  bindings: bindingsOf(config),
  devVars: dev ? devVars() : {},
  // wrangler's own settings are in small letters: these are vars that stand outside of [vars].
  misplaced: Object.keys(rawConfig).filter((name) => /^[A-Z]/.test(name)),
  // Files that the platform serves without asking the Worker are behind no door.
  bypassed: Boolean(config.assets) && config.assets.run_worker_first !== true,
});
process.disconnect();

function devVars() {
  const all = unstable_getVarsForDev(path, undefined, config.vars, env, true, config.secrets);
  // What comes from `.dev.vars` is marked as secret, whatever it is.
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, { type }]) => type === "secret_text")
      .map(([name, { value }]) => [name, value]),
  );
}

function bindingsOf({ assets, durable_objects, kv_namespaces, services }) {
  return [
    ...(services ?? []).map(({ binding }) => binding),
    ...(assets?.binding ? [assets.binding] : []),
    ...(kv_namespaces ?? []).map(({ binding }) => binding),
    ...(durable_objects?.bindings ?? []).map(({ name }) => name),
  ];
}
