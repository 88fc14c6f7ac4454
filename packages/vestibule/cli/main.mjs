#!/usr/bin/env node
/** The command line: `vestibule init | dev | check | explain | keys | accounts | audit-verify | deploy`. Needs no Rust. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { accounts } from "./accounts.mjs";
import { auditVerify } from "./audit-verify.mjs";
import {
  checkConfiguration,
  checkOptions,
  configurationOptions,
  exampleWarnings,
  readConfiguration,
  unlistedOriginWarning,
} from "./configuration.mjs";
import { explain } from "./explain.mjs";
import { Failure } from "./failure.mjs";
import { freshDevVars, init } from "./init.mjs";
import { runTool } from "./tools.mjs";
import { announce, isListening, originOf, parseUpstream, takeOption } from "./upstream.mjs";

const USAGE = `usage: vestibule COMMAND

  init [FOLDER]   writes a Worker that puts Vestibule before your application
                  --upstream URL      where the application runs (default http://localhost:5173)
                  --login WHO         who signs users in: accounts (default), upstream or token
                  --toml              writes wrangler.toml instead of wrangler.jsonc
  dev             checks the configuration, then runs the Worker locally: options of wrangler dev, and
                  --upstream URL      where the application runs, whatever the files say
  check           reports every mistake in the configuration
                  --dev               includes .dev.vars and its secrets
                  --env NAME, --config FILE
  explain         says how a request would be decided, and why
                  METHOD URL [-H "Name: value"]… [--as nobody|user|admin|agent|PREFIX_] [--navigate] [--dev] [--json]
                  --log FILE          replays an access log: what would be refused, by rule
                  --log FILE --reported   counts what report mode let through, from Vestibule's own log
  keys            prints new random secrets, in the format of .dev.vars
  accounts        exports the users of a deployment, or imports them
                  export URL FILE [--resume], import URL FILE [--dry-run], [--endpoints /api]
  audit-verify    verifies the audit trail of a deployment
                  URL [--days N] [--endpoints /api]
  deploy          checks the configuration, then deploys: options of wrangler deploy
  --version       prints the version`;

// Before the commands run: they are part of this module's evaluation.
const PORT = "8787";

const COMMANDS = {
  init: (args) => init(args),
  dev,
  check,
  explain: (args) =>
    explain(args, { command: "vestibule explain", read: readConfiguration, runTool }),
  keys: () => console.log(freshDevVars().trim()),
  accounts: (args) => accounts(args, { command: "vestibule accounts" }),
  "audit-verify": (args) => auditVerify(args, { command: "vestibule audit-verify" }),
  deploy,
};

try {
  const [name, ...args] = process.argv.slice(2);
  // Also for `dev` and `deploy`: wrangler's own help would not name what they add.
  const asksForHelp = [name, ...args].some((text) => text === "--help" || text === "-h");
  if (name === "help" || asksForHelp) console.log(USAGE);
  else if (name === "--version") console.log(version());
  else {
    const command = Object.hasOwn(COMMANDS, name ?? "") ? COMMANDS[name] : undefined;
    if (!command) {
      throw new Failure(name ? `unknown command ${name}\n\n${USAGE}` : USAGE, 2);
    }
    process.exitCode = (await command(args)) ?? 0;
  }
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(error.message);
  process.exitCode = error.code;
}

function version() {
  const manifest = new URL("../package.json", import.meta.url);
  return JSON.parse(readFileSync(manifest, "utf8")).version;
}

async function check(args) {
  const options = checkOptions(args);
  const configuration = await readConfiguration(options);
  await checkConfiguration(configuration, runTool);
  if (options.dev) warnAboutOrigin(configuration.vars, PORT);
  else warnAboutExamples(configuration.vars);
}

/** Runs `wrangler dev`. The site is http://localhost:8787 unless `--port` says otherwise. */
async function dev(all) {
  const { config, env } = configurationOptions(all);
  const { args, value } = takeOption(all, "--upstream");
  const { port } = parseArgs({ args, options: { port: { type: "string" } }, strict: false }).values;
  const site = `http://localhost:${port ?? PORT}`;
  const overrides = value === undefined ? {} : { UPSTREAM: parseUpstream(value, site) };
  const configuration = await readConfiguration({ config, env, dev: true, overrides });
  await checkConfiguration(configuration, runTool);
  warnAboutOrigin(configuration.vars, port ?? PORT);
  await assertFree(port ?? PORT, args);
  const upstream = originOf(configuration.vars.UPSTREAM);
  console.log(`starting ${site} before ${upstream ?? "the upstream of the configuration"}`);
  if (upstream) await announce(upstream);
  const vars = Object.entries(overrides).flatMap(([name, text]) => ["--var", `${name}:${text}`]);
  return wrangler(["dev", ...(port ? [] : ["--port", PORT]), ...vars, ...args]);
}

/** Fails if another program has the port: wrangler's own message drowns in a stack trace. */
async function assertFree(port, args) {
  const isElsewhere = args.some((arg) => arg === "--ip" || arg.startsWith("--ip="));
  if (isElsewhere || !(await isListening("localhost", Number(port)))) return;
  throw new Failure(
    `port ${port} is in use: end the program that listens there, or use --port N and set PUBLIC_ORIGINS=["http://localhost:N"] in .dev.vars`,
  );
}

async function deploy(args) {
  const { config, env } = configurationOptions(args);
  const configuration = await readConfiguration({ config, env });
  await checkConfiguration(configuration, runTool);
  warnAboutExamples(configuration.vars);
  return wrangler(["deploy", ...args]);
}

function warnAboutOrigin(vars, port) {
  const warning = unlistedOriginWarning(`http://localhost:${port}`, vars);
  if (warning) console.error(`warning: ${warning}`);
}

function warnAboutExamples(vars) {
  for (const warning of exampleWarnings(vars)) console.error(`warning: ${warning}`);
}

/** Runs the wrangler of the project in the working directory, and returns its exit code. */
async function wrangler(args) {
  const packagePath = createRequire(join(process.cwd(), "package.json"));
  let path;
  try {
    path = packagePath.resolve("wrangler/package.json");
  } catch {
    throw new Failure("wrangler is missing: run npm install --save-dev wrangler");
  }
  const { bin } = packagePath(path);
  const program = join(path, "..", bin.wrangler);
  const child = spawn(process.execPath, [program, ...args], { stdio: "inherit" });
  // The terminal sends Ctrl-C to both: wrangler ends by itself, and so do we.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, "close");
  return code ?? 1;
}
