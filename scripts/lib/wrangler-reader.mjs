/**
 * Runs under the checkout's own Node and reads the configuration with wrangler itself, so that both
 * see the same. Answers over the message channel: what was read, or one line that says why it cannot be.
 */

import { readFileSync, statSync } from "node:fs";
import { relative } from "node:path";
import { experimental_readRawConfig, unstable_getVarsForDev, unstable_readConfig } from "wrangler";

const { config: path, env, dev } = JSON.parse(process.argv[2]);
process.send(answer());
process.disconnect();

function answer() {
  const file = nameOf(path);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return { mistake: `${file}: there is no such file` };
  try {
    const config = unstable_readConfig({ config: path, env });
    const { rawConfig } = experimental_readRawConfig({ config: path });
    // wrangler warns of this and goes on with the settings that are for no environment.
    if (env && !rawConfig.env?.[env]) return { mistake: `${file}: has no environment "${env}"` };
    return read(config, rawConfig);
  } catch (error) {
    return { mistake: `${file}${at(error)}: ${plain(error)}${quoted(error)}` };
  }
}

function at({ location }) {
  return location ? `:${location.line}` : "";
}

/** The line that cannot be read. It holds no secret: secrets are not in this file. */
function quoted({ location }) {
  if (!location) return "";
  const line = readFileSync(path, "utf8").split("\n")[location.line - 1]?.trim();
  return line ? `, in: ${line.slice(0, 120)}` : "";
}

/** What wrangler says, in one line and without what goes without saying. */
function plain({ message }) {
  return message
    .replace(/^Invalid \w+ document: |^Processing .* configuration:/, "")
    .split("\n")
    .map((line) => line.trim().replace(/^- /, ""))
    .filter(Boolean)
    .join("; ");
}

/** A path as people here write it. */
function nameOf(path) {
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short;
}

function read(config, rawConfig) {
  return {
    vars: config.vars,
    bindings: bindingsOf(config),
    objects: objectsOf(config),
    devVars: dev ? devVars(config) : {},
    // wrangler's own settings are in small letters: these are vars that stand outside of [vars].
    misplaced: Object.keys(rawConfig).filter((name) => /^[A-Z]/.test(name)),
    // Files that the platform serves without asking the Worker are behind no door.
    bypassed: Boolean(config.assets) && config.assets.run_worker_first !== true,
  };
}

function devVars(config) {
  const all = unstable_getVarsForDev(path, undefined, config.vars, env, true, config.secrets);
  // What comes from `.dev.vars` is marked as secret, whatever it is.
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, { type }]) => type === "secret_text")
      .map(([name, { value }]) => [name, value]),
  );
}

/** Which class each binding to objects has, and whether a migration makes it; of those of another Worker, nothing. */
function objectsOf({ durable_objects, migrations }) {
  const made = new Set(
    (migrations ?? []).flatMap(({ new_sqlite_classes, new_classes, renamed_classes }) => [
      ...(new_sqlite_classes ?? []),
      ...(new_classes ?? []),
      ...(renamed_classes ?? []).map(({ to }) => to),
    ]),
  );
  const own = (durable_objects?.bindings ?? []).filter(({ script_name }) => !script_name);
  return own.map(({ name, class_name }) => [name, class_name, made.has(class_name)]);
}

function bindingsOf({ assets, durable_objects, kv_namespaces, ratelimits, services }) {
  return [
    ...(services ?? []).map(({ binding }) => binding),
    ...(assets?.binding ? [assets.binding] : []),
    ...(kv_namespaces ?? []).map(({ binding }) => binding),
    ...(ratelimits ?? []).map(({ name }) => `limit:${name}`),
    ...(durable_objects?.bindings ?? []).map(({ name }) => name),
  ];
}
