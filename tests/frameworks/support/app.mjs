// Installs, builds, starts and stops an application. It runs from a copy in target/frameworks/NAME.

import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Failure, launch } from "../../../scripts/lib/process.mjs";
import {
  inProject,
  pathWithoutNpmPrograms,
  toolEnvironment,
} from "../../../scripts/lib/project.mjs";

// Makes a fresh copy of the sources, keeps the packages of the last run if they are the same, and builds the
// application for the public origin.
export async function prepare(framework, origin) {
  const folder = folderOf(framework);
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (!INSTALLED.includes(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
  cpSync(join(framework.folder, "app"), folder, { recursive: true });
  for (const [from, to] of Object.entries(framework.shared ?? {})) {
    cpSync(inProject("tests/frameworks/support", from), join(folder, to));
  }
  await install(framework, folder);
  if (framework.build) {
    await command(framework, framework.build, folder, { PUBLIC_HOST: new URL(origin).host });
  }
}

// Starts the application on a free port, for the public origin. Resolves when it serves requests.
export async function startApp(framework, origin) {
  const folder = folderOf(framework);
  const port = await freePort();
  const { command, env } = framework.start(port, origin);
  let output = "";
  let markServed;
  const served = new Promise((resolve) => {
    markServed = resolve;
  });
  const job = launch(command[0], command.slice(1), {
    cwd: folder,
    env: environment(folder, env),
    silent: true,
    onOutput: (text) => {
      output += text;
      if (framework.ready.test(output)) markServed("served");
    },
  });
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const outcome = await Promise.race([served, job.done, once(timeout, "abort")]);
  if (outcome !== "served") {
    await job.stop();
    throw new Failure(`${framework.name} did not start:\n${output}`);
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    folder,
    output: () => output,
    stop: () => job.stop(),
  };
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function install(framework, folder) {
  const list = framework.install === "pip" ? "requirements.txt" : "package.json";
  const stamp = join(folder, ".installed");
  const wanted = readFileSync(join(folder, list), "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  if (framework.install === "pip") {
    await command(framework, ["python3", "-m", "venv", ".venv"], folder);
    const pip = [".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"];
    await command(framework, [...pip, "-r", list], folder);
  } else {
    const npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"];
    await command(framework, npm, folder, { PATH: pathWithoutNpmPrograms() });
  }
  writeFileSync(stamp, wanted);
}

async function command(framework, [program, ...args], folder, env) {
  let output = "";
  const { code, error } = await launch(program, args, {
    cwd: folder,
    env: environment(folder, env),
    silent: true,
    onOutput: (text) => {
      output += text;
    },
  }).done;
  if (error || code !== 0) {
    throw new Failure(`${framework.name}: ${[program, ...args].join(" ")} failed\n${output}`);
  }
}

// The environment of a program: the framework's own programs come first in PATH, and no variable of the runner changes
// how they work.
function environment(folder, more = {}) {
  const { NODE_ENV, CI, PORT, HOST, ...env } = toolEnvironment();
  const bins = [join(folder, "node_modules/.bin"), join(folder, ".venv/bin")];
  return { ...env, ...QUIET, PATH: [...bins, env.PATH].join(":"), ...more };
}

const folderOf = ({ name }) => inProject("target/frameworks", name);

const INSTALLED = ["node_modules", ".venv", ".installed", "package-lock.json"];

const QUIET = {
  NEXT_TELEMETRY_DISABLED: "1",
  ASTRO_TELEMETRY_DISABLED: "1",
  DO_NOT_TRACK: "1",
  NO_COLOR: "1",
  PYTHONUNBUFFERED: "1",
};

// Milliseconds. Long enough for a busy machine: it only turns a hang into a failure.
const TIMEOUT_MS = 120_000;
