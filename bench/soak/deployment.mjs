/** The gateway of a soak: several isolates with the same objects, on a storage that survives a kill. */

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request as requestOnce } from "../../tests/support/client.mjs";
import { ACCOUNTS } from "../../tests/support/people.mjs";
import { killAll, residentBytes, startWorker } from "../../tests/support/worker.mjs";
import { FAULTY } from "./entry.mjs";

export const WEBHOOK_SECRET = "whsec_soak_secret_of_the_provider";
export const LIMIT = { name: "soak", limit: 20, period: "10s", by: "address" };
/** Seconds for which an isolate may remember an answer of the registry. */
export const CHECK_TTL = 1;

const rule = (path, access, more) => ({ path: `${path}/{*rest}`, access, timeout: "2s", ...more });
const ROUTES = [
  rule("/open", "public"),
  rule("/app", "user"),
  rule("/any", "authenticated"),
  rule("/pay", "user", { methods: ["POST"], idempotency: "required" }),
  rule("/audited", "user", { audit: "required" }),
  rule("/limited", "public", { limit: LIMIT.name }),
  rule("/deploys", "authenticated", { methods: ["POST"], confirm: "human" }),
  rule("/stream", "user", { stream_check: "1s" }),
];
const WEBHOOK = { scheme: "stripe", timeout: "2s" };

/** Opens it in front of an upstream. `isolates` is the number of isolates. */
export async function openDeployment(upstream, isolates) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-soak-"));
  const others = Array.from({ length: isolates - 1 }, (_, at) => [`isolate${at + 2}`, {}]);
  const open = () =>
    startWorker({
      upstream: upstream.origin,
      variables: {
        ...ACCOUNTS,
        SESSION: { ...ACCOUNTS.SESSION, check_ttl: `${CHECK_TTL}s`, refresh_after: "5s" },
        LOG_SAMPLE: 1_000_000,
        ROUTES,
        RATE_LIMITS: [LIMIT],
        WEBHOOKS: [
          { ...WEBHOOK, name: "direct", path: "/hooks/direct" },
          { ...WEBHOOK, name: "inbox", path: "/hooks/inbox", delivery: "inbox" },
        ],
        WEBHOOK_DIRECT_SECRET: WEBHOOK_SECRET,
        WEBHOOK_INBOX_SECRET: WEBHOOK_SECRET,
      },
      bindings: { kvNamespaces: ["KV"] },
      wrapperModules: FAULTY,
      others: Object.fromEntries(others),
      folder,
    });
  let worker = await open();
  let agent = new http.Agent({ keepAlive: true });
  let isOpen = Promise.resolve();
  let addresses = 0;
  const deployment = {
    kills: 0,
    residentBytes,
    /** Resolves when the gateway runs. */
    running: () => isOpen,
    /**
     * Sends a request to one of the isolates. Resolves to its response, or to nothing if the connection broke. A caller
     * who does not want all of the body passes `onOpen`, which gets the response when its headers arrive.
     */
    send: (isolate, path, options) =>
      send([worker.direct, ...Object.values(worker.others)][isolate], agent, path, options),
    /** Sends a request like those of the tests, from a new address. */
    request(path, { headers, ...options } = {}) {
      addresses += 1;
      const address = `10.255.${(addresses >> 8) & 255}.${addresses & 255}`;
      return requestOnce(worker.direct, path, {
        host: "app.example",
        ...options,
        headers: { "CF-Connecting-IP": address, ...headers },
      });
    },
    /** Kills workerd as `kill -9` does, and starts it again. */
    async restart() {
      const reopened = Promise.withResolvers();
      isOpen = reopened.promise;
      deployment.kills += 1;
      killAll();
      await worker.stop().catch(() => {});
      agent.destroy();
      agent = new http.Agent({ keepAlive: true });
      worker = await open();
      reopened.resolve();
    },
    async stop() {
      agent.destroy();
      await worker.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return deployment;
}

/** Milliseconds after which a request counts as lost. No rule takes as long. */
const PATIENCE = 30_000;

async function send(origin, agent, path, { method = "GET", headers, body, abortAfter, onOpen }) {
  const { hostname, port } = new URL(origin);
  const signal = AbortSignal.timeout(abortAfter ?? PATIENCE);
  const request = http.request({
    host: hostname,
    port,
    method,
    path,
    agent,
    signal,
    headers: {
      Host: "app.example",
      "Sec-Fetch-Site": "same-origin",
      ...(body !== undefined && { "Content-Length": Buffer.byteLength(body) }),
      ...headers,
    },
  });
  try {
    request.end(body);
    const [response] = await once(request, "response");
    if (onOpen) return onOpen(response);
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    return {
      status: response.statusCode,
      headers: response.headers,
      text: Buffer.concat(chunks).toString("utf8"),
    };
  } catch {
    return abortAfter === undefined && signal.aborted ? HUNG : undefined;
  } finally {
    request.on("error", () => {});
  }
}

/** What `send` resolves to if there was no answer within `PATIENCE`. */
export const HUNG = { status: 0, headers: {}, text: "" };
