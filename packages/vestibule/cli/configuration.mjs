/** Reads the configuration with wrangler, and checks it with Vestibule's parser. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Failure } from "./failure.mjs";

/**
 * @typedef {object} Configuration
 * @property {Record<string, unknown>} vars the Worker's variables: JSON values or strings
 * @property {string[]} bindings names of services, assets, namespaces and objects
 * @property {[string, string, boolean][]} objects for each binding to an object: its name, its class, and whether a
 *   migration creates the class
 * @property {Record<string, string> | null} secrets null if unknown
 * @property {string[]} misplaced names of variables outside of [vars]
 * @property {boolean} bypassed whether the platform serves static assets without calling the Worker
 * @property {{ file: string, env?: string, devVars: string[] }} [source] the file, its environment, and the names of
 *   the variables whose values come from `.dev.vars`
 * @property {{ compatibilityDate?: string, compatibilityFlags: string[], assets?: string }} [runtime] `assets` is the
 *   folder of static assets
 */

/**
 * Reads a wrangler configuration file. With `dev`, the values of `.dev.vars` replace it, as in `wrangler dev`.
 * `overrides` replace both.
 *
 * @param {object} options
 * @param {string} [options.config] the file; default: the one that wrangler finds in `folder`
 * @param {string} [options.folder]
 * @param {string} [options.env] the environment in the file
 * @param {boolean} [options.dev]
 * @param {Record<string, unknown>} [options.overrides]
 * @param {string} [options.node] the program that runs wrangler's code
 * @returns {Promise<Configuration>}
 */
export async function readConfiguration({
  folder = process.cwd(),
  config = fileIn(folder),
  env,
  dev = false,
  overrides = {},
  node = process.execPath,
}) {
  const request = JSON.stringify({ config: resolve(config), env, dev });
  // wrangler prints warnings to standard output, which belongs to our own results. The job's result is a message.
  const reader = fork(fileURLToPath(new URL("wrangler-reader.mjs", import.meta.url)), [request], {
    execPath: node,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true" },
    stdio: ["ignore", process.stderr.fd, process.stderr.fd, "ipc"],
  });
  let result;
  reader.on("message", (message) => {
    result = message;
  });
  const [code] = await once(reader, "close");
  if (!result) throw new Failure(`cannot read the configuration (exit code ${code})`);
  if (result.error) throw new Failure(result.error);
  const source = { file: resolve(config), env, devVars: Object.keys(result.devVars) };
  return { ...separateSecrets(result, dev, overrides), source, runtime: result.runtime };
}

/** Returns the configuration file in a folder: the first that wrangler looks for. */
export function fileIn(folder) {
  const names = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];
  const found = names.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (!found) {
    throw new Failure(
      `no wrangler.jsonc or wrangler.toml in ${folder}: go to the folder of the Worker, or use --config FILE`,
    );
  }
  return found;
}

/** Merges all variables and separates the secrets from the others. `wrangler.toml` never has secrets. */
export function separateSecrets(
  { vars, bindings, objects = [], devVars, bypassed = false, misplaced = [] },
  dev,
  overrides,
) {
  const all = { ...vars, ...devVars, ...overrides };
  const secretNames = Object.keys(devVars).filter((name) => isSecret(name, all.WEBHOOKS));
  return {
    vars: Object.fromEntries(Object.entries(all).filter(([name]) => !secretNames.includes(name))),
    bindings,
    objects,
    bypassed,
    misplaced,
    secrets: dev ? Object.fromEntries(secretNames.map((name) => [name, all[name]])) : null,
  };
}

/** Returns true for the names of secrets: those with a known suffix, and those that a webhook names. */
function isSecret(name, webhooks) {
  const isKnown = name === "EXPORT_KEY" || /_(SECRET|SECRET_PREVIOUS|TOKENS?)$/.test(name);
  return isKnown || secretsOf(webhooks).includes(name);
}

function secretsOf(webhooks) {
  try {
    const list = typeof webhooks === "string" ? JSON.parse(webhooks) : webhooks;
    return Array.isArray(list) ? list.map((webhook) => webhook?.secret) : [];
  } catch {
    return []; // Invalid JSON: the checker reports it.
  }
}

/**
 * Checks a configuration with Vestibule's parser and prints the result. Fails if there is a mistake, after printing
 * where it is.
 *
 * @param {Configuration} configuration
 * @param {(program: string, input: string) => Promise<{ code: number, output: string }>} runTool
 */
export async function checkConfiguration({ source, runtime, ...configuration }, runTool) {
  const assets = source && runtime?.assets && resolve(dirname(source.file), runtime.assets);
  const warning = missingPagesWarning(configuration.vars, assets);
  if (warning) console.error(`warning: ${warning}`);
  const { code, output } = await runTool("check-config", JSON.stringify(configuration));
  for (const line of output.split("\n").filter(Boolean)) {
    if (code === 0 && !line.startsWith("warning: ")) console.log(line);
    else console.error(source ? await withPosition(line, source) : line);
  }
  if (code !== 0) throw new Failure("the configuration check failed", code);
}

/** Returns a warning if the pages of Vestibule are on, and the folder of the static assets does not have them. */
export function missingPagesWarning(vars, assets) {
  const session = tableOf(vars.SESSION);
  const hasPages = session?.login === "accounts" && (!session.login_path || vars.PAGES);
  // A build may make the whole folder.
  if (!hasPages || !assets || !existsSync(assets)) return undefined;
  if (existsSync(join(assets, "_vestibule", "sign-in.page"))) return undefined;
  return `${assets} lacks the pages for signing in, so users cannot sign in: copy the folder _vestibule into it (docs/plain-files.md)`;
}

/** Adds the file and the line to a mistake such as `ROUTES[3].access: expected …`, and quotes the line. */
export async function withPosition(mistake, { file, env, devVars = [] }) {
  // Imported here because its libraries are missing in a fresh clone until the setup has run.
  const { excerpt, partsOf, positionInDevVars, positionOf } = await import("./positions.mjs");
  const path = mistake.split(": ", 1)[0];
  const parts = partsOf(path);
  if (!parts) return mistake;
  const isOverridden = devVars.includes(parts[0]);
  const place = isOverridden ? join(dirname(file), ".dev.vars") : file;
  let text;
  try {
    text = readFileSync(place, "utf8");
  } catch {
    return mistake; // The file is gone: the mistake itself still helps.
  }
  const position = isOverridden
    ? positionInDevVars(text, parts[0])
    : positionOf(text, file, [...(env ? ["env", env] : []), "vars", ...parts], env ? 4 : 2);
  if (!position) return mistake;
  const short = relative(process.cwd(), place);
  const where = `${short.startsWith("..") ? place : short}:${position.line}:${position.column}`;
  // The values in .dev.vars may be secrets.
  return `${where}: ${mistake}${isOverridden ? "" : `\n${excerpt(text, position)}`}`;
}

/** Returns the valid PUBLIC_ORIGINS. In `.dev.vars` the list is JSON, or a string with commas. */
export function publicOrigins({ PUBLIC_ORIGINS: value }) {
  try {
    const list =
      typeof value !== "string"
        ? value
        : value.startsWith("[")
          ? JSON.parse(value)
          : value.split(",").map((origin) => origin.trim());
    return Array.isArray(list) ? list.filter((origin) => URL.canParse(origin)) : [];
  } catch {
    return []; // Invalid JSON: the checker reports it.
  }
}

/** Returns a warning if the site is not in PUBLIC_ORIGINS, undefined otherwise. */
export function unlistedOriginWarning(site, vars) {
  const origins = publicOrigins(vars);
  if (origins.length === 0 || origins.includes(site)) return;
  return `PUBLIC_ORIGINS is ${origins.join(", ")}, without ${site}: WebSockets and other requests with that Origin get 403, and redirects lead to another origin. Set PUBLIC_ORIGINS=["${site}"] in .dev.vars`;
}

/** Returns a warning for each address that is still the one of a template: `example.com` and its subdomains. */
export function exampleWarnings(vars) {
  const isExample = (origin) =>
    typeof origin === "string" &&
    URL.canParse(origin) &&
    /(^|\.)example\.com$/.test(new URL(origin).hostname);
  const origin = publicOrigins(vars).find(isExample);
  return [
    ...(origin ? [`PUBLIC_ORIGINS has the example ${origin}: set what browsers open`] : []),
    ...(isExample(vars.UPSTREAM)
      ? [`UPSTREAM is the example ${vars.UPSTREAM}: set where your application runs`]
      : []),
  ];
}

/** Returns true if Vestibule keeps the accounts. In `.dev.vars`, a table is a JSON string. */
export function keepsAccounts({ SESSION }) {
  return tableOf(SESSION)?.login === "accounts";
}

/** Returns a variable that is a table, or the JSON of one. */
function tableOf(value) {
  try {
    return typeof value === "string" ? JSON.parse(value) : value;
  } catch {
    return undefined; // Invalid JSON: the checker reports it.
  }
}

/** Parses the options of a check. Rejects others, so that a typo does not check the wrong file. */
export function checkOptions(args) {
  const options = {
    env: { type: "string", short: "e" },
    config: { type: "string", short: "c" },
    dev: { type: "boolean" },
  };
  const { env, config, dev = false } = readOptions(args, options);
  return { env, config, dev };
}

/** Parses a command line that may have only these options. */
export function readOptions(args, options) {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const names = Object.keys(options).map((name) => `--${name}`);
    throw new Failure(`${error.message}\nThe options are: ${names.join(" ")}`, 2);
  }
}

/** Returns the environment, the configuration file and `--dev` of a command line for wrangler. */
export function configurationOptions(args) {
  const optionOf = (...names) => {
    for (const [at, arg] of args.entries()) {
      if (names.includes(arg)) return args[at + 1];
      const name = names.find((name) => arg.startsWith(`${name}=`));
      if (name) return arg.slice(name.length + 1);
    }
  };
  return {
    env: optionOf("--env", "-e"),
    config: optionOf("--config", "-c"),
    dev: args.includes("--dev"),
  };
}
