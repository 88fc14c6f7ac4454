/**
 * Reads the configuration with wrangler's own code, so that both see the same values. Runs under the checkout's own
 * Node. Sends the result over the message channel: the configuration, or an error message that may quote a line.
 */

import { readFileSync, statSync } from "node:fs";
import { relative } from "node:path";
import { excerpt } from "./positions.mjs";

const { config: path, env, dev } = JSON.parse(process.argv[2]);
const wrangler = await import("wrangler").catch(() => undefined);
process.send(result());
process.disconnect();

function result() {
  if (!wrangler) return { error: "wrangler is missing: run npm install --save-dev wrangler" };
  const file = nameOf(path);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return { error: `${file}: no such file` };
  try {
    const config = wrangler.unstable_readConfig({ config: path, env });
    const { rawConfig } = wrangler.experimental_readRawConfig({ config: path });
    // wrangler only warns, and uses the top-level settings.
    if (env && !rawConfig.env?.[env]) return { error: `${file}: no environment "${env}"` };
    return read(config, rawConfig);
  } catch (error) {
    return { error: `${file}${lineNumber(error)}: ${oneLine(error)}${quotedLine(error)}` };
  }
}

function lineNumber({ location }) {
  return location ? `:${location.line}` : "";
}

/** Quotes the line with the error. It has no secret, because secrets are not in this file. */
function quotedLine({ location }) {
  if (!location) return "";
  const { line, column = 0, length = 1 } = location;
  return `\n${excerpt(readFileSync(path, "utf8"), { line, column: column + 1, length: length || 1 })}`;
}

/** Returns wrangler's message as one line, without its introduction. */
function oneLine({ message }) {
  // Errors of its JSON parser are names, such as `CommaExpected`.
  if (/^([A-Z][a-z]+)+$/.test(message)) {
    return message.replaceAll(/(?<!^)[A-Z]/g, " $&").toLowerCase();
  }
  return message
    .replace(/^Invalid \w+ document: |^Processing .* configuration:/, "")
    .split("\n")
    .map((line) => line.trim().replace(/^- /, ""))
    .filter(Boolean)
    .join("; ");
}

/** Returns a path relative to the working directory, or unchanged if it is outside of it. */
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
    // wrangler's own settings start with a lowercase letter. So these are variables outside of [vars].
    misplaced: Object.keys(rawConfig).filter((name) => /^[A-Z]/.test(name)),
    // The platform then serves files without calling the Worker, so Vestibule does not protect them.
    bypassed: Boolean(config.assets) && config.assets.run_worker_first !== true,
    runtime: {
      compatibilityDate: config.compatibility_date,
      compatibilityFlags: config.compatibility_flags,
      assets: config.assets?.directory,
    },
  };
}

function devVars(config) {
  const all = wrangler.unstable_getVarsForDev(
    path,
    undefined,
    config.vars,
    env,
    true,
    config.secrets,
  );
  // wrangler marks every value of `.dev.vars` as a secret.
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, { type }]) => type === "secret_text")
      .map(([name, { value }]) => [name, value]),
  );
}

/**
 * Returns `[binding, class, migrated]` for the Durable Objects of this Worker: whether a migration creates the class.
 */
function objectsOf({ durable_objects, migrations }) {
  const migrated = new Set(
    (migrations ?? []).flatMap(({ new_sqlite_classes, new_classes, renamed_classes }) => [
      ...(new_sqlite_classes ?? []),
      ...(new_classes ?? []),
      ...(renamed_classes ?? []).map(({ to }) => to),
    ]),
  );
  const own = (durable_objects?.bindings ?? []).filter(({ script_name }) => !script_name);
  return own.map(({ name, class_name }) => [name, class_name, migrated.has(class_name)]);
}

function bindingsOf(config) {
  const { assets, durable_objects, kv_namespaces, ratelimits, services } = config;
  return [
    ...(config.analytics_engine_datasets ?? []).map(({ binding }) => binding),
    ...(services ?? []).map(({ binding }) => binding),
    ...(assets?.binding ? [assets.binding] : []),
    ...(kv_namespaces ?? []).map(({ binding }) => binding),
    ...(ratelimits ?? []).map(({ name }) => `limit:${name}`),
    ...(durable_objects?.bindings ?? []).map(({ name }) => name),
  ];
}
