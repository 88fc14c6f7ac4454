/** The configuration as wrangler reads it, and the crate's own judgement of it. */

import { parseArgs } from "node:util";
import { Failure, launch, run, say } from "./process.mjs";
import { inProject, lastChange, npmProgram } from "./project.mjs";

/**
 * @typedef {object} Configuration
 * @property {Record<string, unknown>} vars what the Worker is given by name, JSON or text
 * @property {string[]} bindings names of services, assets, namespaces and objects
 * @property {[string, string, boolean][]} objects bindings to objects, their classes, and whether a migration makes them
 * @property {Record<string, string> | null} secrets null where they cannot be known
 * @property {string[]} misplaced names that stand outside of [vars]
 * @property {boolean} bypassed whether static assets are served without asking the Worker
 */

/**
 * Reads `wrangler.toml`; with `dev`, `.dev.vars` and then `overrides` laid over it, as `wrangler dev`
 * does.
 *
 * @returns {Promise<Configuration>}
 */
export async function readConfiguration({ config, env, dev = false, overrides = {} } = {}) {
  const request = JSON.stringify({ config: config ?? inProject("wrangler.toml"), env, dev });
  // Its standard output joins our standard error: nothing but the message channel is parsed.
  const job = launch(npmProgram("node"), [inProject("scripts/lib/wrangler-reader.mjs"), request], {
    stdio: ["ignore", process.stderr.fd, process.stderr.fd, "ipc"],
  });
  let read;
  job.child.on("message", (message) => {
    read = message;
  });
  const { code } = await job.done;
  if (!read) throw new Failure(`the configuration cannot be read (exit code ${code})`);
  if (read.mistake) throw new Failure(read.mistake);
  return arrange(read, dev, overrides);
}

/** Tells the vars from the secrets. A secret is never in `wrangler.toml`. */
export function arrange(
  { vars, bindings, objects = [], devVars, bypassed = false, misplaced = [] },
  dev,
  overrides,
) {
  const all = { ...vars, ...devVars, ...overrides };
  const fromFile = Object.keys(devVars).filter((name) => isSecret(name, all.WEBHOOKS));
  return {
    vars: Object.fromEntries(Object.entries(all).filter(([name]) => !fromFile.includes(name))),
    bindings,
    objects,
    bypassed,
    misplaced,
    secrets: dev ? Object.fromEntries(fromFile.map((name) => [name, all[name]])) : null,
  };
}

/** Names of secrets end alike, but for those that a webhook names itself. */
function isSecret(name, webhooks) {
  return /_(SECRET|SECRET_PREVIOUS|TOKENS?)$/.test(name) || namedBy(webhooks).includes(name);
}

function namedBy(webhooks) {
  try {
    const list = typeof webhooks === "string" ? JSON.parse(webhooks) : webhooks;
    return Array.isArray(list) ? list.map((webhook) => webhook?.secret) : [];
  } catch {
    return []; // Not JSON: the checker says so.
  }
}

/** Has the crate's native checker judge it; fails where it finds a mistake. */
export async function checkConfiguration(configuration) {
  if (lastChange([inProject("target/host/check-config")]) === 0) {
    say("building the configuration checker (once)");
  }
  await run("cargo", ["run", "--quiet", "--profile", "host", "--bin", "check-config"], {
    input: JSON.stringify(configuration),
    what: "the configuration check",
  });
}

/** The origins by which browsers know the site. In `.dev.vars` the list is JSON, or one text with commas. */
export function publicOrigins({ PUBLIC_ORIGINS: written }) {
  try {
    const list =
      typeof written !== "string"
        ? written
        : written.startsWith("[")
          ? JSON.parse(written)
          : written.split(",").map((origin) => origin.trim());
    return Array.isArray(list) ? list.filter((origin) => URL.canParse(origin)) : [];
  } catch {
    return []; // Not JSON: the checker says so.
  }
}

/** Says what does not work where a site is at an address that no public origin has; nothing where one has it. */
export function unlistedWarning(site, vars) {
  const origins = publicOrigins(vars);
  if (origins.length === 0 || origins.includes(site)) return;
  return `PUBLIC_ORIGINS is ${origins.join(", ")}, and does not have ${site}: WebSockets and programs with that Origin get 403, and redirects lead elsewhere. Set PUBLIC_ORIGINS=["${site}"] in .dev.vars`;
}

/** Where `npm start` puts the Worker unless `PORT` says otherwise. */
export const DEFAULT_PORT = 8787;

/** Whether these variables have Vestibule keep the accounts: in `.dev.vars`, tables are JSON texts. */
export function keepsAccounts({ SESSION }) {
  try {
    const table = typeof SESSION === "string" ? JSON.parse(SESSION) : SESSION;
    return table?.login === "accounts";
  } catch {
    return false; // Not JSON: the checker says so.
  }
}

/** The options of check-config and build. Any other is refused: a slip must not check another file. */
export function checkOptions(args) {
  const options = {
    env: { type: "string", short: "e" },
    config: { type: "string", short: "c" },
    dev: { type: "boolean" },
  };
  const { env, config, dev = false } = readOptions(args, options);
  return { env, config, dev };
}

/** What a command line says, where it has these options and nothing else. */
export function readOptions(args, options) {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const names = Object.keys(options).map((name) => `--${name}`);
    throw new Failure(`${error.message}\nThe options are: ${names.join(" ")}`, 2);
  }
}

/**
 * The environment, configuration file and `--dev` in a command line that is otherwise wrangler's.
 */
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
