/**
 * The whole thing on this machine: `npm start`. Builds, then runs the sample origin and, in front of
 * it, the Worker, until it is stopped (Ctrl-C) or one of the two ends. Where Vestibule keeps the
 * accounts, those of the demo are made; with `-- --empty` none are, and the first run is yours.
 *
 * `PORT` and `ORIGIN_PORT` move them. Where `.dev.vars` names another `UPSTREAM`, that one is used and
 * the sample origin stays off.
 */

import { watchFile } from "node:fs";
import { connect } from "node:net";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { build, compileWorker } from "./lib/artefacts.mjs";
import {
  checkConfiguration,
  DEFAULT_PORT,
  keepsAccounts,
  readConfiguration,
  readOptions,
  unlistedWarning,
} from "./lib/configuration.mjs";
import { hasDemo, seed, welcome } from "./lib/demo.mjs";
import { Failure, launch, main, say } from "./lib/process.mjs";
import { inProject, npmProgram, toolEnvironment } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

const DEFAULT_ORIGIN_PORT = 8788;

let running = false;
const codeAfter = (signal) => (running ? 0 : 128 + constants.signals[signal]);

await main(start, codeAfter);

async function start() {
  const { empty } = readOptions(process.argv.slice(2), { empty: { type: "boolean" } });
  const port = portOf("PORT", DEFAULT_PORT);
  const originPort = portOf("ORIGIN_PORT", DEFAULT_ORIGIN_PORT);
  if (port === originPort) throw new Failure(`PORT and ORIGIN_PORT are both ${port}`);
  await checkFree(port, "PORT");

  await Promise.all([setUp("npm", "dev-vars"), setUp("rust")]);
  const started = Date.now();
  const overrides = overridesFor(port, originPort);
  const configuration = await readConfiguration({ dev: true, overrides });
  const origin = `http://127.0.0.1:${originPort}`;
  const withSample = configuration.vars.UPSTREAM === origin;
  const withAccounts = keepsAccounts(configuration.vars);
  if (withSample) {
    await checkFree(originPort, "ORIGIN_PORT");
    if (withAccounts && !configuration.secrets.SETUP_TOKEN) {
      throw new Failure(
        ".dev.vars lacks SETUP_TOKEN, by which the demo's people get in: add it, or remove the file to have it written anew",
      );
    }
  }
  const checked = checkConfiguration(configuration).then(() => setUp("tools"));
  await Promise.all([checked, compileWorker()]);
  await build();

  const jobs = [];
  if (withSample) {
    const job = startOrigin(originPort, configuration.secrets);
    jobs.push({ name: "the sample origin", job });
    await answering(origin, jobs);
  }
  jobs.push({ name: "the Worker", job: startWorker(port, overrides, started) });
  const status = await answering(`http://localhost:${port}/.well-known/vestibule`, jobs);
  if (status >= 500) throw new Failure(`the Worker answers ${status}: its log above says why`);

  const site = `http://localhost:${port}`;
  // Without accounts of ours, the sample has its own.
  let hasPeople = !withAccounts;
  const { ENDPOINTS: endpoints } = configuration.vars;
  if (withSample && withAccounts && !empty) {
    hasPeople =
      (await hasDemo(site, endpoints)) ||
      Boolean(await seed(site, configuration.secrets.SETUP_TOKEN, endpoints));
  }

  running = true;
  console.log(
    welcome({
      site,
      endpoints,
      upstream: configuration.vars.UPSTREAM,
      isSample: withSample,
      hasAccounts: withAccounts,
      hasPeople,
      warning: unlistedWarning(site, configuration.vars),
    }),
  );
  tellOfChanges();
  await firstEnd(jobs);
}

/** What wrangler.toml and .dev.vars say of the default ports no longer holds on others. */
function overridesFor(port, originPort) {
  return {
    ...(port === DEFAULT_PORT ? {} : { PUBLIC_ORIGINS: `["http://localhost:${port}"]` }),
    ...(originPort === DEFAULT_ORIGIN_PORT ? {} : { UPSTREAM: `http://127.0.0.1:${originPort}` }),
  };
}

/** wrangler reads a change of `wrangler.toml` by itself, and of `.dev.vars` only when it starts. */
function tellOfChanges() {
  watchFile(inProject(".dev.vars"), { interval: 1_000 }, () => {
    say(".dev.vars has changed: stop (Ctrl-C) and npm start again, for the Worker to read it");
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

/** The status of the first answer from a URL, unless one of the jobs ends before. */
async function answering(url, jobs) {
  const asked = async () => {
    const deadline = Date.now() + 120_000;
    while (Date.now() < deadline) {
      try {
        return (await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(10_000) }))
          .status;
      } catch {
        await sleep(200);
      }
    }
    throw new Failure(`${url} does not answer`);
  };
  return Promise.race([asked(), firstEnd(jobs)]);
}

/** Fails as soon as one of the jobs ends, whatever its exit code. */
async function firstEnd(jobs) {
  const ends = jobs.map(async ({ name, job }) => ({ name, ...(await job.done) }));
  const { name, code, error } = await Promise.race(ends);
  const reason = error ? error.message : `exit code ${code}`;
  throw new Failure(`${name} has ended (${reason}): stopping`, code || 1);
}

function portOf(name, standard) {
  const text = process.env[name] || String(standard);
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new Failure(`${name} is ${text}, which is no port`);
}

/** A browser tries `localhost` over both protocols, so nothing else may answer on either. */
async function checkFree(port, name) {
  for (const host of ["127.0.0.1", "::1"]) {
    if (await isAnswered(host, port)) {
      throw new Failure(`port ${port} is taken: choose another, ${name}=${port + 10} npm start`);
    }
  }
}

function isAnswered(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
