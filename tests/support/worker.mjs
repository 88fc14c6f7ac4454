// Vestibule as built, in a real workerd, with whatever configuration a test wants.

import { EventEmitter, once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

// The objects live in the first isolate, whoever asks them.
const objectsOf = (name) =>
  Object.fromEntries(
    CLASSES.map((className) => [
      className.toUpperCase(),
      { className, useSQLite: true, ...(name === MAIN ? {} : { scriptName: MAIN }) },
    ]),
  );

const CLASSES = [
  ...["Accounts", "Audit", "Checkouts", "Confirmations", "Inbox", "Ledger", "Limiter"],
  ...["Sessions", "Tokens"],
];

const within = (folder) => (name) =>
  fileURLToPath(new URL(`../../${folder}/${name}`, import.meta.url));

export const AUTH_SECRET = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
export const PREVIOUS_SECRET = "Zp9Lh6Gf3Ed7Cb1Xs5Rv8qZ2wJm4n0Tk";
export const UPSTREAM_SECRET = "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe";

// Starts Vestibule. `variables` go over a development configuration that fronts `upstream`; a null
// takes one away. `around` are modules of the test's own, by name, of which the first is the entry in
// place of `./index.js`, `port` that of `origin` (`https`: by TLS), `bindings` more options of the isolate. What objects and KV
// keep is gone afterwards, unless there is a `folder` for it. `built` is where another Worker on the crate is. Resolves to
//
// - `direct`: an origin that leads straight into the Worker, byte for byte what the client sent;
// - `origin`: one that leads through Miniflare's front, which plays Cloudflare's: it normalises the
//   URL, sets CF-Connecting-IP, and takes `MF-Original-URL` for the URL that was asked (https, say);
// - `twin`: as `direct`, into a second isolate before the same objects, where the options say `twin`:
//   `true`, or variables that are different there;
// - `log` and `logged(test)`: the lines so far, and the first one that passes, when it is there;
// - `stop`.
export async function startWorker(options = {}) {
  const { upstream, variables = {}, bindings = {}, around = {}, twin = false } = options;
  const { port = 0, folder, built = "build", https = false } = options;
  const build = within(built);
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
  const isolate = (name) => ({
    name,
    modules: [
      ...Object.entries(around).map(([path, contents]) => ({
        type: "ESModule",
        path: build(path),
        contents,
      })),
      { type: "ESModule", path: build("index.js") },
      { type: "CompiledWasm", path: build("index_bg.wasm") },
    ],
    modulesRoot: build(""),
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    compatibilityDate: compatibilityDate(),
    compatibilityFlags: ["enable_request_signal"],
    durableObjects: objectsOf(name),
    bindings: given(name === MAIN ? all : { ...all, ...twin }),
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
      workers: [MAIN, ...(twin ? [TWIN] : [])].map(isolate),
    }),
  );
  const [url, direct, second] = await addresses(worker, twin).catch(async (error) => {
    // Left as it is, it would keep the test runner waiting for ever.
    await worker.dispose().catch(() => {});
    throw error;
  });
  const logged = async (test) => {
    for (;;) {
      const line = log.find(test);
      if (line) return line;
      await once(lines, "line", { signal: AbortSignal.timeout(20_000) });
    }
  };
  const [origin, main, other] = [url, direct, second].map((address) => address?.origin);
  return { origin, direct: main, twin: other, log, logged, stop: () => worker.dispose() };
}

const MAIN = "vestibule";
const TWIN = "twin";

const given = (all) =>
  Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));

const addresses = async (worker, twin) => [
  await worker.ready,
  await worker.unsafeGetDirectURL(MAIN),
  ...(twin ? [await worker.unsafeGetDirectURL(TWIN)] : []),
];

function compatibilityDate() {
  const text = readFileSync(new URL("../../wrangler.toml", import.meta.url), "utf8");
  return /^compatibility_date = "(.+)"$/m.exec(text)[1];
}

// Ends every workerd that this process has started, as a power cut would.
export function killAll() {
  for (const pid of ours()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It is gone already.
    }
  }
}

// The memory of every workerd that this process has started, in bytes.
export function residentBytes() {
  const pages = ours().map((pid) => readFileSync(`/proc/${pid}/status`, "latin1"));
  return pages.reduce((sum, status) => sum + 1_024 * /^VmRSS:\s+(\d+)/m.exec(status)[1], 0);
}

// The ids of every workerd that this process has started.
function ours() {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const [, name, parent] = /\((.*)\) \S (\d+)/.exec(stat);
      return name === "workerd" && Number(parent) === process.pid;
    } catch {
      // It is gone already.
      return false;
    }
  });
}
