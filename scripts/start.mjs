/**
 * Runs Vestibule and its sample application locally: `npm start`. Builds, starts the sample application and the Worker
 * in front of it, and runs until you stop it (Ctrl-C) or one of the two ends. If Vestibule keeps the accounts, this
 * script creates the demo accounts. With `-- --empty` it creates none, so that you can create the first account.
 *
 * `PORT` and `ORIGIN_PORT` set the ports. If `.dev.vars` has another `UPSTREAM`, the Worker uses it and the sample
 * application is not started. `-- --upstream URL` does the same, whatever `.dev.vars` says.
 */

import { watchFile } from "node:fs";
import { connect } from "node:net";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { announce, originOf, parseUpstream } from "../packages/vestibule/cli/upstream.mjs";
import { build, compileWorker } from "./lib/artefacts.mjs";
import {
  checkConfiguration,
  DEFAULT_PORT,
  keepsAccounts,
  readConfiguration,
  readOptions,
  unlistedOriginWarning,
} from "./lib/configuration.mjs";
import { hasDemoAccounts, seed, welcome } from "./lib/demo.mjs";
import { Failure, launch, main, say } from "./lib/process.mjs";
import { inProject, npmProgram, toolEnvironment } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

const DEFAULT_ORIGIN_PORT = 8788;

let running = false;
const codeAfter = (signal) => (running ? 0 : 128 + constants.signals[signal]);

await main(start, codeAfter);

async function start() {
  const { empty, upstream } = readOptions(process.argv.slice(2), {
    empty: { type: "boolean" },
    upstream: { type: "string" },
  });
  const port = portOf("PORT", DEFAULT_PORT);
  const originPort = portOf("ORIGIN_PORT", DEFAULT_ORIGIN_PORT);
  if (port === originPort) throw new Failure(`PORT and ORIGIN_PORT are both ${port}`);
  const chosen = upstream === undefined ? {} : { UPSTREAM: parseUpstream(upstream, siteOf(port)) };
  await checkFree(port, "PORT");

  await Promise.all([setUp("npm", "dev-vars"), setUp("rust")]);
  const started = Date.now();
  const overrides = { ...overridesFor(port, originPort), ...chosen };
  const configuration = await readConfiguration({ dev: true, overrides });
  const origin = `http://127.0.0.1:${originPort}`;
  const usesSample = configuration.vars.UPSTREAM === origin;
  const hasAccounts = keepsAccounts(configuration.vars);
  if (usesSample) {
    await checkFree(originPort, "ORIGIN_PORT");
    if (hasAccounts && !configuration.secrets.SETUP_TOKEN) {
      throw new Failure(
        ".dev.vars lacks SETUP_TOKEN, which the demo accounts need: add it, or delete the file to have it written again",
      );
    }
  }
  const checked = checkConfiguration(configuration).then(() => setUp("tools"));
  await Promise.all([checked, compileWorker()]);
  await build();

  const jobs = [];
  if (usesSample) {
    const job = startOrigin(originPort, configuration.secrets);
    jobs.push({ name: "the sample application", job });
    await firstStatus(origin, jobs);
  } else {
    const own = originOf(configuration.vars.UPSTREAM);
    if (own) await announce(own);
  }
  jobs.push({ name: "the Worker", job: startWorker(port, overrides, started) });
  const status = await firstStatus(`http://localhost:${port}/.well-known/vestibule`, jobs);
  if (status >= 500) throw new Failure(`the Worker answered ${status}: see its log above`);

  const site = siteOf(port);
  // If Vestibule keeps no accounts, the sample application has its own.
  let hasUsers = !hasAccounts;
  const { ENDPOINTS: endpoints } = configuration.vars;
  if (usesSample && hasAccounts && !empty) {
    hasUsers =
      (await hasDemoAccounts(site, endpoints)) ||
      Boolean(await seed(site, configuration.secrets.SETUP_TOKEN, endpoints));
  }

  running = true;
  console.log(
    welcome({
      site,
      endpoints,
      upstream: configuration.vars.UPSTREAM,
      isSample: usesSample,
      hasAccounts,
      hasUsers,
      warning: unlistedOriginWarning(site, configuration.vars),
    }),
  );
  watchDevVars();
  await firstEnd(jobs);
}

function siteOf(port) {
  return `http://localhost:${port}`;
}

/** Returns the variables that contain a port, if the ports are not the default ones. */
function overridesFor(port, originPort) {
  return {
    ...(port === DEFAULT_PORT ? {} : { PUBLIC_ORIGINS: `["http://localhost:${port}"]` }),
    ...(originPort === DEFAULT_ORIGIN_PORT ? {} : { UPSTREAM: `http://127.0.0.1:${originPort}` }),
  };
}

/** Prints a hint when `.dev.vars` changes: wrangler reads it only at its start, unlike `wrangler.toml`. */
function watchDevVars() {
  watchFile(inProject(".dev.vars"), { interval: 1_000 }, () => {
    say(".dev.vars has changed: stop (Ctrl-C) and run npm start again to apply it");
  });
}

function startOrigin(port, { AUTH_SECRET, AUTH_SECRET_PREVIOUS, UPSTREAM_SECRET }) {
  const secrets = { AUTH_SECRET, AUTH_SECRET_PREVIOUS, UPSTREAM_SECRET };
  return launch(npmProgram("node"), [inProject("examples/spa-origin/server.mjs")], {
    env: toolEnvironment({ ...secrets, HOST: "127.0.0.1", PORT: String(port) }),
  });
}

function startWorker(port, overrides, built) {
  return launch(
    npmProgram("wrangler"),
    [
      ...["dev", "--port", String(port), "--ip", "127.0.0.1"],
      ...["--persist-to", ".wrangler/state", "--show-interactive-dev-session=false"],
      ...Object.entries(overrides).flatMap(([name, value]) => ["--var", `${name}:${value}`]),
    ],
    { env: toolEnvironment({ VESTIBULE_BUILT: String(built) }) },
  );
}

/** Waits for the first answer from a URL and returns its status. Fails if one of the jobs ends before. */
async function firstStatus(url, jobs) {
  const poll = async () => {
    const deadline = Date.now() + 120_000;
    while (Date.now() < deadline) {
      try {
        return (await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(10_000) }))
          .status;
      } catch {
        await sleep(200);
      }
    }
    throw new Failure(`no answer from ${url}`);
  };
  return Promise.race([poll(), firstEnd(jobs)]);
}

/** Fails as soon as one of the jobs ends, whatever its exit code. */
async function firstEnd(jobs) {
  const ends = jobs.map(async ({ name, job }) => ({ name, ...(await job.done) }));
  const { name, code, error } = await Promise.race(ends);
  const reason = error ? error.message : `exit code ${code}`;
  throw new Failure(`${name} has ended (${reason}): stopping`, code || 1);
}

function portOf(name, defaultPort) {
  const text = process.env[name] || String(defaultPort);
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new Failure(`${name}: expected a port number, found ${text}`);
}

/** Fails if a port is in use. Browsers try `localhost` over IPv4 and IPv6, so it must be free on both. */
async function checkFree(port, name) {
  for (const host of ["127.0.0.1", "::1"]) {
    if (await isListening(host, port)) {
      throw new Failure(`port ${port} is in use: try ${name}=${port + 10} npm start`);
    }
  }
}

function isListening(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
