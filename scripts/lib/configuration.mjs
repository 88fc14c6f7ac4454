/** Reads the configuration with wrangler and checks it with the crate. */

import { parseArgs } from "node:util";
import { Failure, launch, run, say } from "./process.mjs";
import { inProject, lastChange, npmProgram } from "./project.mjs";

/**
 * @typedef {object} Configuration
 * @property {Record<string, unknown>} vars the Worker's variables: JSON values or strings
 * @property {string[]} bindings names of services, assets, namespaces and objects
 * @property {[string, string, boolean][]} objects for each binding to an object: its name, its class, and whether a
 *   migration creates the class
 * @property {Record<string, string> | null} secrets null if unknown
 * @property {string[]} misplaced names of variables outside of [vars]
 * @property {boolean} bypassed whether the platform serves static assets without calling the Worker
 */

/**
 * Reads `wrangler.toml`. With `dev`, the values of `.dev.vars` replace it, as in `wrangler dev`. `overrides` replace
 * both.
 *
 * @returns {Promise<Configuration>}
 */
export async function readConfiguration({ config, env, dev = false, overrides = {} } = {}) {
  const request = JSON.stringify({ config: config ?? inProject("wrangler.toml"), env, dev });
  // The standard output of the job goes to our standard error. Its result comes over the message channel.
  const job = launch(npmProgram("node"), [inProject("scripts/lib/wrangler-reader.mjs"), request], {
    stdio: ["ignore", process.stderr.fd, process.stderr.fd, "ipc"],
  });
  let result;
  job.child.on("message", (message) => {
    result = message;
  });
  const { code } = await job.done;
  if (!result) throw new Failure(`cannot read the configuration (exit code ${code})`);
  if (result.error) throw new Failure(result.error);
  return separateSecrets(result, dev, overrides);
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
  return /_(SECRET|SECRET_PREVIOUS|TOKENS?)$/.test(name) || secretsOf(webhooks).includes(name);
}

function secretsOf(webhooks) {
  try {
    const list = typeof webhooks === "string" ? JSON.parse(webhooks) : webhooks;
    return Array.isArray(list) ? list.map((webhook) => webhook?.secret) : [];
  } catch {
    return []; // Invalid JSON: the checker reports it.
  }
}

/** Runs the crate's native configuration checker. Fails if the checker finds an error. */
export async function checkConfiguration(configuration) {
  if (lastChange([inProject("target/host/check-config")]) === 0) {
    say("building the configuration checker (once)");
  }
  await run("cargo", ["run", "--quiet", "--profile", "host", "--bin", "check-config"], {
    input: JSON.stringify(configuration),
    what: "the configuration check",
  });
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

/** The port of the Worker under `npm start`, unless `PORT` is set. */
export const DEFAULT_PORT = 8787;

/** Returns true if Vestibule keeps the accounts. In `.dev.vars`, a table is a JSON string. */
export function keepsAccounts({ SESSION }) {
  try {
    const table = typeof SESSION === "string" ? JSON.parse(SESSION) : SESSION;
    return table?.login === "accounts";
  } catch {
    return false; // Invalid JSON: the checker reports it.
  }
}

/** Parses the options of check-config and build. Rejects others, so that a typo does not check the wrong file. */
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
