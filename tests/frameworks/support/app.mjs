// Installs, builds, starts and stops an application. Its copy is in target/frameworks/NAME.

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

// Lays a fresh copy of the sources, with the packages of the last run where they are the same, and builds it for
// the origin that people see.
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

// Starts it on a free port, told of the origin that people see. Resolves once it serves.
export async function startApp(framework, origin) {
  const folder = folderOf(framework);
  const port = await freePort();
  const { command, env } = framework.start(port, origin);
  let said = "";
  let tell;
  const served = new Promise((resolve) => {
    tell = resolve;
  });
  const job = launch(command[0], command.slice(1), {
    cwd: folder,
    env: environment(folder, env),
    silent: true,
    onOutput: (text) => {
      said += text;
      if (framework.ready.test(said)) tell("served");
    },
  });
  const late = AbortSignal.timeout(PATIENCE);
  const outcome = await Promise.race([served, job.done, once(late, "abort")]);
  if (outcome !== "served") {
    await job.stop();
    throw new Failure(`${framework.name} did not start:\n${said}`);
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    folder,
    said: () => said,
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
  let said = "";
  const { code, error } = await launch(program, args, {
    cwd: folder,
    env: environment(folder, env),
    silent: true,
    onOutput: (text) => {
      said += text;
    },
  }).done;
  if (error || code !== 0) {
    throw new Failure(`${framework.name}: ${[program, ...args].join(" ")} failed\n${said}`);
  }
}

// The framework's own programs first; nothing of the runner's environment that changes how it works.
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

// Milliseconds. Long enough for a busy machine: it turns a hang into a failure and measures nothing.
const PATIENCE = 120_000;
