// The built Worker in a real workerd, with the configuration of a test.

import { EventEmitter, once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

// All Durable Objects are in the first isolate. The second one calls them there. `Logins` and `Metrics` are optional:
// only a test with `shards` or `metrics` has them. The 256 objects of `Logins` are many for a test.
const objectsOf = (name, { shards = false, metrics = false }) =>
  Object.fromEntries(
    CLASSES.filter((className) => ({ Logins: shards, Metrics: metrics })[className] ?? true).map(
      (className) => [
        className.toUpperCase(),
        { className, useSQLite: true, ...(name === MAIN ? {} : { scriptName: MAIN }) },
      ],
    ),
  );

export const CLASSES = [
  ...readFileSync(new URL("../../src/config/classes.rs", import.meta.url), "utf8").matchAll(
    /(\w+) = crate::/g,
  ),
].map(([, name]) => name);

const inFolder = (folder) => (name) =>
  fileURLToPath(new URL(`../../${folder}/${name}`, import.meta.url));

// The binding `ASSETS` with the pages of Vestibule, as `wrangler.toml` has it.
export const PAGES = {
  directory: inFolder("build")("assets"),
  binding: "ASSETS",
  routerConfig: { has_user_worker: true, invoke_user_worker_ahead_of_assets: true },
};

export const AUTH_SECRET = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
export const PREVIOUS_SECRET = "Zp9Lh6Gf3Ed7Cb1Xs5Rv8qZ2wJm4n0Tk";
export const UPSTREAM_SECRET = "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe";

// Starts the Worker. Options:
//
// - `upstream`: upstream's origin;
// - `variables`: added to a development configuration; null removes a variable;
// - `wrapperModules`: modules of the test by name; the first one is the entry point in place of `./index.js`;
// - `bindings`: more options of the isolate;
// - `secondIsolate`: starts a second isolate with the same objects: `true`, or the variables that differ there;
// - `others`: further isolates with the same objects: the variables that differ there, by the isolate's name;
// - `port` and `https` (TLS): of `origin`;
// - `shards`: binds `LOGINS`, so that sign-ins read copies;
// - `metrics`: binds `METRICS`, so that requests are counted;
// - `folder`: where objects and KV are stored; without it, they are deleted at the end;
// - `buildFolder`: the folder of another Worker that is built on the crate;
// - `wasm`: the bytes of a module in place of the built one.
//
// Resolves to
//
// - `direct`: an origin that leads straight to the Worker: it receives exactly the client's bytes;
// - `origin`: an origin that leads through Miniflare's entry server, which stands in for Cloudflare's front end: it
//   normalizes the URL, sets `CF-Connecting-IP`, and takes `MF-Original-URL` as the requested URL (for example https);
// - `secondIsolate`: like `direct`, for the second isolate; `others`: the same for the others, by name;
// - `log`: the log lines so far, and `waitForLog(test)`, which resolves to the first line that passes `test`;
// - `stop`.
export async function startWorker(options = {}) {
  const {
    upstream,
    variables = {},
    bindings = {},
    wrapperModules = {},
    secondIsolate = false,
    others = {},
  } = options;
  const { port = 0, folder, buildFolder = "build", https = false, wasm } = options;
  const build = inFolder(buildFolder);
  const log = [];
  const lines = new EventEmitter().setMaxListeners(0);
  const all = {
    ENVIRONMENT: "development",
    LOG_SAMPLE: 1,
    PUBLIC_ORIGINS: ["https://app.example", "http://localhost:8787"],
    SESSION: { check: "token" },
    AUTH_SECRET,
    UPSTREAM_SECRET,
    ...(upstream ? { UPSTREAM: upstream } : {}),
    ...variables,
  };
  const isolates = { ...(secondIsolate && { [SECOND]: secondIsolate }), ...others };
  const isolate = (name) => ({
    name,
    modules: [
      ...Object.entries(wrapperModules).map(([path, contents]) => ({
        type: "ESModule",
        path: build(path),
        contents,
      })),
      { type: "ESModule", path: build("index.js") },
      { type: "CompiledWasm", path: build("index_bg.wasm"), contents: wasm },
    ],
    modulesRoot: build(""),
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    compatibilityDate: compatibilityDate(),
    compatibilityFlags: ["enable_request_signal"],
    durableObjects: objectsOf(name, options),
    bindings: withoutNulls({ ...all, ...isolates[name] }),
    ...bindings,
  });
  const worker = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port,
      https,
      resourcePersistencePath: folder,
      handleStructuredLogs: ({ message }) => {
        log.push(message);
        lines.emit("line");
      },
      workers: [MAIN, ...Object.keys(isolates)].map(isolate),
    }),
  );
  const names = Object.keys(isolates);
  const [url, direct, ...more] = await addresses(worker, names).catch(async (error) => {
    // If it stayed open, the test runner would never exit.
    await worker.dispose().catch(() => {});
    throw error;
  });
  const waitForLog = async (test) => {
    for (;;) {
      const line = log.find(test);
      if (line) return line;
      await once(lines, "line", { signal: AbortSignal.timeout(20_000) });
    }
  };
  const origins = Object.fromEntries(names.map((name, at) => [name, more[at].origin]));
  return {
    origin: url.origin,
    direct: direct.origin,
    secondIsolate: origins[SECOND],
    others: origins,
    log,
    waitForLog,
    stop: () => worker.dispose(),
  };
}

const MAIN = "vestibule";
const SECOND = "second";

const withoutNulls = (all) =>
  Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));

const addresses = async (worker, others) => [
  await worker.ready,
  ...(await Promise.all([MAIN, ...others].map((name) => worker.unsafeGetDirectURL(name)))),
];

function compatibilityDate() {
  const text = readFileSync(new URL("../../wrangler.toml", import.meta.url), "utf8");
  return /^compatibility_date = "(.+)"$/m.exec(text)[1];
}

// Kills every workerd process that this process started, without a shutdown.
export function killAll() {
  for (const pid of workerdPids()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has exited already.
    }
  }
}

// Returns the resident memory of all workerd processes that this process started, in bytes.
export function residentBytes() {
  return workerdPids().reduce((sum, pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "latin1");
      // A process that has exited has no memory.
      return sum + 1_024 * (/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    } catch {
      return sum;
    }
  }, 0);
}

// Returns the ids of all workerd processes that this process started.
function workerdPids() {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const [, name, parent] = /\((.*)\) \S (\d+)/.exec(stat);
      return name === "workerd" && Number(parent) === process.pid;
    } catch {
      // It has exited already.
      return false;
    }
  });
}
