/** Bundles the targets and runs them in one workerd. */

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { modulesOf } from "../scripts/lib/artefacts.mjs";
import { inProject } from "../scripts/lib/project.mjs";
import { VARIABLES } from "./targets/vestibule.mjs";

export const AUTH_SECRET = randomBytes(32).toString("hex");
export const SETUP_TOKEN = randomBytes(32).toString("hex");

/**
 * Builds of scripts/bench.mjs: the token verification, `stamps` in Rust, and the Worker's module with function names.
 */
const VERIFY = inProject("target/bench/verify");
const WORKER_CRATE = inProject("target/bench/worker-crate");
export const NAMED = inProject("target/bench/named/index_bg.wasm");

const targetPath = (name) => fileURLToPath(new URL(`targets/${name}.mjs`, import.meta.url));
const upstream = { serviceBindings: { UPSTREAM: "upstream" } };
const secret = { bindings: { AUTH_SECRET } };

/** All Workers by name. */
const WORKERS = {
  upstream: () => script("upstream"),
  pass: async () => ({ ...(await script("pass")), ...upstream }),
  constant200: async () => ({ ...(await script("constant")), bindings: { STATUS: 200 } }),
  constant401: async () => ({ ...(await script("constant")), bindings: { STATUS: 401 } }),
  stamps: async () => ({ ...(await script("stamps")), ...upstream }),
  "worker-crate": async () => ({ ...(await script("worker-crate")), ...upstream }),
  jose: async () => ({ ...(await script("jose")), ...upstream, ...secret }),
  hono: async () => ({ ...(await script("hono")), ...upstream, ...secret }),
  vestibule: () => ({ ...vestibule(), ...upstream }),
  quiet: () => ({ ...vestibule({ wrapper: "quiet" }), ...upstream }),
  cached: () => withObjects(vestibule({ session: { login: "accounts", check_ttl: "10s" } })),
  uncached: () => withObjects(vestibule({ session: { login: "accounts", check_ttl: "0s" } })),
  few: () => population(),
  some: () => population(),
  many: () => population(),
  keyed: () => keyed("fillable", {}),
  counted: () => keyed("counted", {}),
  filler: () => keyed("filler", { scriptName: "keyed" }),
  guarded: ({ verifyUrl }) => guarded(verifyUrl),
  policy: () => script("policy"),
  named: () => ({ ...vestibule({ wrapper: "quiet", wasm: NAMED }), ...upstream }),
  "verify-jose": async () => ({ ...(await script("verify-jose")), ...secret }),
  "verify-vestibule": async () => ({ ...(await script("verify-vestibule")), ...secret }),
};

/**
 * Starts one workerd with these Workers and upstream. Each Worker has its own socket, and calls upstream through a
 * service binding. `verifyUrl` is the verifier of bot checks.
 *
 * @returns {Promise<{ ports: Record<string, number>, pid: number, inspector?: URL, stop: () => Promise<void> }>}
 */
export async function startWorkerd(names, { verifyUrl, ...options } = {}) {
  const before = new Set(workerds());
  const all = [...new Set(["upstream", ...names])];
  const workers = await Promise.all(
    all.map(async (name) => ({ name, ...(await WORKERS[name]({ verifyUrl })) })),
  );
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      // Vestibule writes a log line for each request. It is discarded here.
      handleStructuredLogs: () => {},
      ...options,
      workers: workers.map((worker) => ({
        compatibilityDate: COMPATIBILITY_DATE,
        compatibilityFlags: ["enable_request_signal"],
        unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
        ...worker,
      })),
    }),
  );
  await miniflare.ready;
  const ports = {};
  for (const name of all) ports[name] = Number((await miniflare.unsafeGetDirectURL(name)).port);
  return {
    ports,
    pid: workerds().find((pid) => !before.has(pid)),
    inspector: options.inspectorPort === undefined ? undefined : await miniflare.getInspectorURL(),
    stop: () => miniflare.dispose(),
  };
}

/** The WebAssembly modules of targets. */
const COMPILED = {
  "verify-vestibule": [join(VERIFY, "verify_bg.wasm")],
  "worker-crate": [join(WORKER_CRATE, "worker_crate_bg.wasm")],
};

/** Bundles a JavaScript target into one module, as wrangler does. */
async function script(name) {
  bundles[name] ??= build({
    entryPoints: [targetPath(name)],
    alias: {
      "vestibule-verify": join(VERIFY, "verify.js"),
      "vestibule-worker-crate": join(WORKER_CRATE, "worker_crate.js"),
      ...modulesOf(join(VERIFY, "verify.js")),
      "vestibule-entry": targetPath("no-entry"),
    },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["*.wasm", "cloudflare:*"],
    logLevel: "error",
  }).then(({ outputFiles }) => outputFiles[0].text);
  const path = targetPath(name);
  const modules = [{ type: "ESModule", path, contents: await bundles[name] }];
  for (const wasm of COMPILED[name] ?? []) {
    const contents = readFileSync(wasm);
    modules.push({ type: "CompiledWasm", path: join(dirname(path), basename(wasm)), contents });
  }
  return { modules, modulesRoot: dirname(path) };
}

/**
 * Returns the built Vestibule. `wrapper` is a module around it, `wasm` replaces its module. `session` configures
 * sessions with the registry. `rules` are additional rules.
 */
function vestibule({ wrapper, session, rules = [], wasm = inProject("build/index_bg.wasm") } = {}) {
  const modules = [
    { type: "ESModule", path: inProject("build/index.js") },
    { type: "CompiledWasm", path: inProject("build/index_bg.wasm"), contents: readFileSync(wasm) },
  ];
  if (wrapper) {
    const contents = readFileSync(targetPath(wrapper), "utf8");
    modules.unshift({ type: "ESModule", path: inProject(`build/${wrapper}.mjs`), contents });
  }
  return {
    modules,
    modulesRoot: inProject("build"),
    bindings: {
      ...VARIABLES,
      ROUTES: [...VARIABLES.ROUTES, ...rules],
      ...(session && { SESSION: { ...VARIABLES.SESSION, check: "registry", ...session } }),
      AUTH_SECRET,
      UPSTREAM_SECRET: randomBytes(32).toString("hex"),
    },
  };
}

/** Returns a Worker whose users are signed in by upstream, without cached session checks. */
const population = () =>
  withObjects(vestibule({ session: { login: "upstream", check_ttl: "0s" } }));

/** Adds the Durable Objects for accounts, sessions and tokens. */
function withObjects(worker, more = []) {
  return {
    ...worker,
    ...upstream,
    bindings: { ...worker.bindings, SETUP_TOKEN },
    durableObjects: Object.fromEntries(
      ["Accounts", "Limiter", "Sessions", "Tokens", ...more].map((className) => [
        className.toUpperCase(),
        { className, useSQLite: true },
      ]),
    ),
  };
}

/** Returns a Worker with one rule for each guard. No request exceeds a limit. */
function guarded(verifyUrl) {
  const guards = {
    none: {},
    address: { limit: "address" },
    principal: { limit: "principal" },
    gate: { limit: "gate" },
    bot: { bot_check: "bench" },
    feature: { feature: "bench" },
    policy: { policy: "uncached" },
    "policy-cached": { policy: "cached" },
    confirm: { confirm: "human" },
    audit: { audit: "best_effort" },
    "audit-required": { audit: "required" },
  };
  const rules = Object.entries(guards).map(([name, guard]) => {
    return { path: `/guarded/${name}`, access: "user", ...guard };
  });
  const limit = (name, by, more) => ({ name, by, limit: 1_000_000, period: "10s", ...more });
  const worker = withObjects(
    vestibule({ session: { login: "accounts", check_ttl: "10s" }, rules }),
    ["Audit", "Confirmations"],
  );
  return {
    ...worker,
    serviceBindings: { ...worker.serviceBindings, POLICY: "policy" },
    kvNamespaces: ["KV"],
    ratelimits: { GATE: { namespace_id: "1", simple: { limit: 1_000_000, period: 60 } } },
    bindings: {
      ...worker.bindings,
      // Allows the verifier in this process, which uses plain http.
      ENVIRONMENT: "development",
      TURNSTILE_SECRET: "0x4AAAAAAAbenchbenchbenchbench",
      BOT_CHECK: { verify_url: verifyUrl },
      RATE_LIMITS: [
        limit("address", "address"),
        limit("principal", "principal"),
        limit("gate", "address", { gate: "GATE" }),
      ],
    },
  };
}

/** Returns a Worker with idempotency keys. `ledger` may name another Worker that has the ledgers. */
const keyed = (wrapper, ledger) => ({
  ...vestibule({
    wrapper,
    rules: [{ path: "/api/payments", access: "user", idempotency: "optional" }],
  }),
  ...upstream,
  durableObjects: { LEDGER: { className: "Ledger", useSQLite: true, ...ledger } },
});

/** Returns the workerd processes that this process started. */
function workerds() {
  const parentOf = (pid) => {
    try {
      const [, name, parent] = readFileSync(`/proc/${pid}/stat`, "latin1").match(
        /\((.*)\) \S (\d+)/,
      );
      return name === "workerd" ? Number(parent) : undefined;
    } catch {
      return undefined; // The process has ended.
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === process.pid)
    .map(Number);
}

const bundles = {};
const COMPATIBILITY_DATE = readFileSync(inProject("wrangler.toml"), "utf8").match(
  /^compatibility_date = "(.+)"$/m,
)[1];
