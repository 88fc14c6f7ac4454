/**
 * The configuration of workerd, Cloudflare's runtime, for a server of one's own: docs in `deploy/README.md`. The result
 * is a text in Cap'n Proto's language. It has no secret: workerd reads secrets from its environment.
 */

import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { Failure } from "./process.mjs";
import { inProject } from "./project.mjs";

/** The secrets that Vestibule knows, besides those of webhooks. */
export const SECRETS = [
  "AUTH_SECRET",
  "AUTH_SECRET_PREVIOUS",
  "UPSTREAM_SECRET",
  "EXPORT_KEY",
  "MAILER_SECRET",
  "SETUP_TOKEN",
  "AGENT_TOKENS",
  "TURNSTILE_SECRET",
];

/** Writes the folder of a server. Replaces what an earlier build has written there, and nothing else. */
export function writeServer(configuration, folder) {
  const text = workerdConfig(configuration);
  const at = (name) => join(folder, name);
  mkdirSync(folder, { recursive: true });
  for (const name of ["index.js", "index_bg.wasm"])
    copyFileSync(inProject("build", name), at(name));
  for (const name of ["server.js", "assets.js"]) copyFileSync(inProject("deploy", name), at(name));
  rmSync(at("assets"), { recursive: true, force: true });
  mkdirSync(at("assets"));
  const { source, runtime } = configuration;
  const assets = runtime.assets && resolve(dirname(source.file), runtime.assets);
  if (assets) cpSync(assets, at("assets"), { recursive: true });
  // A program that runs cannot be overwritten, but replaced.
  rmSync(at("workerd"), { force: true });
  copyFileSync(workerdProgram(), at("workerd"));
  chmodSync(at("workerd"), 0o755);
  writeFileSync(at("main.js"), entryOf(configuration));
  writeFileSync(at("config.capnp"), text);
}

/** Returns the Worker's entry module. */
function entryOf({ objects }) {
  return [
    'import worker, * as classes from "./index.js";',
    'import { gatewayOf, objectOf, timerOf } from "./server.js";',
    "export default gatewayOf(worker);",
    "export const timer = timerOf(worker);",
    ...objects.map(([, name]) => `export const ${name} = objectOf(classes.${name});`),
    "",
  ].join("\n");
}

/** Returns the path of workerd for this machine: wrangler's, with which Vestibule is tested. */
export function workerdProgram() {
  const { resolve } = createRequire(inProject("node_modules/wrangler/package.json"));
  return createRequire(resolve("workerd/package.json")).resolve(
    `@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? 64 : process.arch}/bin/workerd`,
  );
}

/**
 * Returns the text of `config.capnp`.
 *
 * @param {import("../../packages/vestibule/cli/configuration.mjs").Configuration} configuration
 */
export function workerdConfig(configuration) {
  const { vars, objects } = configuration;
  const { compatibilityDate, compatibilityFlags } = configuration.runtime;
  const unsupported = unsupportedBindings(configuration);
  if (unsupported.length > 0) {
    throw new Failure(
      `workerd alone has no ${unsupported.join(", ")}: remove the binding and the rules that need it`,
    );
  }
  const bindings = [
    ...Object.entries(vars).map(([name, value]) =>
      typeof value === "string"
        ? `(name = ${text(name)}, text = ${text(value)})`
        : `(name = ${text(name)}, json = ${text(JSON.stringify(value))})`,
    ),
    ...secretNames(vars).map((name) => `(name = ${text(name)}, fromEnvironment = ${text(name)})`),
    ...objects.map(
      ([name, className]) => `(name = ${text(name)}, durableObjectNamespace = ${text(className)})`,
    ),
    ...(configuration.bindings.includes("ASSETS") ? ['(name = "ASSETS", service = "assets")'] : []),
  ];
  // The key names the folder of a class: it must stay the same, or stored data is not found.
  const namespaces = objects.map(
    ([, className]) =>
      `(className = ${text(className)}, uniqueKey = ${text(`vestibule-${className}`)}, enableSql = true)`,
  );
  const flags = compatibilityFlags.map(text).join(", ");
  return `# Written by npm run build:workerd. The paths of "files" and "storage" can be given on the command line.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "vestibule", worker = .gateway),
    (name = "assets", worker = .assets),
    (name = "files", disk = (path = "assets")),
    (name = "storage", disk = (path = "storage", writable = true)),
    (name = "network", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true)
    ))
  ],
  sockets = [
    # Behind a proxy that ends TLS and sets X-Forwarded-Proto and CF-Connecting-IP.
    (name = "http", address = "127.0.0.1:8080", service = "vestibule",
     http = (forwardedProtoHeader = "X-Forwarded-Proto")),
    # In place of a cron trigger: a POST runs the maintenance. Never route it to clients.
    (name = "timer", address = "127.0.0.1:8081", service = (name = "vestibule", entrypoint = "timer"))
  ]
);

const gateway :Workerd.Worker = (
  modules = [
    (name = "main.js", esModule = embed "main.js"),
    (name = "server.js", esModule = embed "server.js"),
    (name = "index.js", esModule = embed "index.js"),
    (name = "index_bg.wasm", wasm = embed "index_bg.wasm")
  ],
  compatibilityDate = ${text(compatibilityDate)},
  compatibilityFlags = [${flags}],
  globalOutbound = "network",
  bindings = [
    ${bindings.join(",\n    ")}
  ],
  durableObjectNamespaces = [
    ${namespaces.join(",\n    ")}
  ],
  durableObjectStorage = ${objects.length > 0 ? '(localDisk = "storage")' : "(none = void)"}
);

const assets :Workerd.Worker = (
  modules = [(name = "assets.js", esModule = embed "assets.js")],
  compatibilityDate = ${text(compatibilityDate)},
  bindings = [(name = "FILES", service = "files")]
);
`;
}

/** Returns the names of the bindings that workerd cannot provide by itself. */
function unsupportedBindings({ bindings, objects }) {
  const supported = new Set(["ASSETS", ...objects.map(([name]) => name)]);
  return bindings
    .filter((name) => !supported.has(name))
    .map((name) => name.replace(/^limit:/, "rate-limit binding "));
}

/** Returns the names of all secrets that this configuration may use. */
export function secretNames(vars) {
  const webhooks = typeof vars.WEBHOOKS === "string" ? JSON.parse(vars.WEBHOOKS) : vars.WEBHOOKS;
  const ofWebhooks = (webhooks ?? []).map(
    ({ name, secret }) => secret ?? `WEBHOOK_${name.toUpperCase().replaceAll("-", "_")}_SECRET`,
  );
  return [...new Set([...SECRETS, ...ofWebhooks])];
}

/** Writes a text in Cap'n Proto's language. */
function text(value) {
  const hex = (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  const escaped = value.replaceAll(/["\\]/g, "\\$&");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be in the text
  return `"${escaped.replaceAll(/[\0-\x1f\x7f]/g, hex)}"`;
}
