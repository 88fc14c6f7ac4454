/**
 * The sample application behind Vestibule: the server of a single-page app that signs its own session cookie.
 *
 * It does not check sessions. Vestibule lets only authorized requests through and names the principal in identity
 * headers (`identity.mjs`). Other routes show what arrives at upstream and what comes back (`probes.mjs`,
 * `streams.mjs`).
 */

import { existsSync, realpathSync } from "node:fs";
import { METHODS } from "node:http";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import fastifyWebsocket from "@fastify/websocket";
import fastify from "fastify";
import { accountRoutes } from "./account.mjs";
import { identityRoutes } from "./identity.mjs";
import { orderRoutes } from "./orders.mjs";
import { probeRoutes } from "./probes.mjs";
import { parseSecret } from "./session.mjs";
import { streamRoutes } from "./streams.mjs";
import { transferRoutes } from "./transfers.mjs";

/**
 * Creates the server without listening. A secret is plain text, `hex:…` or `base64:…`.
 *
 * @param {object} options
 * @param {string} options.authSecret signs and verifies sessions
 * @param {string} [options.authSecretPrevious] only verifies sessions
 * @param {string} [options.upstreamSecret] verifies Vestibule's assertion
 * @param {string} options.webRoot folder of the built single-page app
 * @param {boolean | object} [options.logger] fastify's option
 * @param {() => number} [options.now] returns milliseconds since 1970
 */
export function createOrigin(options) {
  const context = {
    authSecret: parseSecret("authSecret", options.authSecret),
    authSecretPrevious: optionalSecret("authSecretPrevious", options.authSecretPrevious),
    upstreamSecret: optionalSecret("upstreamSecret", options.upstreamSecret),
    now: options.now ?? Date.now,
  };
  const app = fastify({
    logger: options.logger ?? false,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 8192 },
  });
  disableBodyParsing(app);
  app.setErrorHandler((error, _request, reply) => {
    // A path with `//` or a dot segment names no file, but the app may have a page for it.
    if (error.code === "FST_STATIC_FORBIDDEN_PATH") return reply.callNotFound();
    return reply.code(error.statusCode ?? 500).send({ error: error.message });
  });

  countRequests(app);
  app.register(fastifyWebsocket);
  app.register(accountRoutes, context);
  app.register(identityRoutes, context);
  app.register(orderRoutes);
  app.register(transferRoutes);
  app.register(streamRoutes);
  app.register(probeRoutes);
  serveApp(app, resolve(options.webRoot));
  return app;
}

/** Disables body parsing for all methods. Routes read bodies from `request.raw`. */
function disableBodyParsing(app) {
  for (const method of METHODS.filter((name) => name !== "CONNECT")) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
}

/** Adds `GET /api/requests`: how often each method and path was requested. */
function countRequests(app) {
  const counts = new Map();
  const count = ({ method, url }) => {
    const path = url.split("?")[0];
    const key = `${method} ${path}`;
    if (path !== "/api/requests") counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  // Uses the HTTP server, because fastify runs no hooks for a URL that it rejects.
  app.server.prependListener("request", count);
  app.server.prependListener("upgrade", count);
  app.get("/api/requests", async () => Object.fromEntries(counts));
  app.delete("/api/requests", async (_request, reply) => {
    counts.clear();
    return reply.code(204).send();
  });
}

/** Serves the files of `webRoot`, and `index.html` for a navigation to any other path. */
function serveApp(app, webRoot) {
  app.register(fastifyStatic, {
    root: webRoot,
    cacheControl: false,
    suppressWarning: true,
    setHeaders: (reply, path) => {
      const hashed = path.includes("/assets/");
      reply.header("cache-control", hashed ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
  app.setNotFoundHandler((request, reply) => {
    if (!isNavigation(request)) return reply.code(404).send({ error: "not_found" });
    if (existsSync(join(webRoot, "index.html"))) return reply.sendFile("index.html");
    return reply.code(503).send({ error: "The app is not built: npm run build -w examples/spa" });
  });
}

function isNavigation(request) {
  const readOnly = request.method === "GET" || request.method === "HEAD";
  const wantsPage = (request.headers.accept ?? "").includes("text/html");
  return readOnly && wantsPage && !/^\/api(\/|\?|$)/.test(request.raw.url);
}

function optionalSecret(name, text) {
  return text ? parseSecret(name, text) : undefined;
}

async function main(env) {
  if (!env.AUTH_SECRET) throw new Error("AUTH_SECRET is not set (it signs the session cookie)");
  const host = env.HOST || "127.0.0.1";
  const port = Number(env.PORT || 8788);
  const app = createOrigin({
    authSecret: env.AUTH_SECRET,
    authSecretPrevious: env.AUTH_SECRET_PREVIOUS,
    upstreamSecret: env.UPSTREAM_SECRET,
    webRoot: env.WEB_ROOT || fileURLToPath(new URL("../spa/dist", import.meta.url)),
  });
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => app.close());
  await app.listen({ host, port }).catch((error) => {
    if (error.code !== "EADDRINUSE") throw error;
    throw new Error(`${host}:${port} is in use: set PORT to another port`);
  });
  console.log(`spa-origin listens on http://${host}:${app.server.address().port}`);
}

const isEntry = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isEntry) {
  main(process.env).catch((error) => {
    console.error(`spa-origin: ${error.message}`);
    process.exit(1);
  });
}
