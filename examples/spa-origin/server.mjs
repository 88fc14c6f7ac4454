/**
 * The server behind Vestibule: a plain single-page-app origin that signs its own session cookie.
 *
 * It checks no session on the way in. Whoever reaches it was let in at the edge, and it learns who
 * that is from the stamped headers (`identity.mjs`). The rest of its routes exist so that a test,
 * or a curious person, can see what arrives here and what comes back (`probes.mjs`, `streams.mjs`).
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
 * Builds the origin without listening. Secrets are text as they stand, or `hex:…` / `base64:…`.
 *
 * @param {object} options
 * @param {string} options.authSecret signs sessions
 * @param {string} [options.authSecretPrevious] still verifies them
 * @param {string} [options.upstreamSecret] verifies the assertion that the edge stamps
 * @param {string} options.webRoot folder of the built single-page app
 * @param {boolean | object} [options.logger] as fastify takes it
 * @param {() => number} [options.now] milliseconds since 1970
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
  takeEveryBodyRaw(app);
  app.setErrorHandler((error, _request, reply) => {
    // A `//` or a dot segment in a path is no file, but the app may still have a page for it.
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

/** Fastify parses no body of any method here: a route that wants one reads `request.raw`. */
function takeEveryBodyRaw(app) {
  for (const method of METHODS.filter((name) => name !== "CONNECT")) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
}

/** `GET /api/requests`: how often each method and path has been seen, so a test can say "never". */
function countRequests(app) {
  const seen = new Map();
  const count = ({ method, url }) => {
    const path = url.split("?")[0];
    const key = `${method} ${path}`;
    if (path !== "/api/requests") seen.set(key, (seen.get(key) ?? 0) + 1);
  };
  // At the server and not in a hook: no hook runs for a URL that fastify itself refuses.
  app.server.prependListener("request", count);
  app.server.prependListener("upgrade", count);
  app.get("/api/requests", async () => Object.fromEntries(seen));
  app.delete("/api/requests", async (_request, reply) => {
    seen.clear();
    return reply.code(204).send();
  });
}

/** Files of `webRoot`, and `index.html` for every navigation that names none of them. */
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
    return reply.code(503).send({ error: "The app is not built: npm run build -w www" });
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
  if (!env.AUTH_SECRET) throw new Error("AUTH_SECRET is not set: it signs the session cookie");
  const host = env.HOST || "127.0.0.1";
  const port = Number(env.PORT || 8788);
  const app = createOrigin({
    authSecret: env.AUTH_SECRET,
    authSecretPrevious: env.AUTH_SECRET_PREVIOUS,
    upstreamSecret: env.UPSTREAM_SECRET,
    webRoot: env.WEB_ROOT || fileURLToPath(new URL("../../www/dist", import.meta.url)),
  });
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => app.close());
  await app.listen({ host, port }).catch((error) => {
    if (error.code !== "EADDRINUSE") throw error;
    throw new Error(`${host}:${port} is taken: set PORT to another one`);
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
