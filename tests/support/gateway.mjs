// A gateway in front of an upstream that records its requests. Most tests start from it.

import assert from "node:assert/strict";
import { request } from "./client.mjs";
import { knownSecrets, trackSecret } from "./tokens.mjs";
import { startUpstream } from "./upstream.mjs";
import { AUTH_SECRET, PREVIOUS_SECRET, startWorker, UPSTREAM_SECRET } from "./worker.mjs";

export const PUBLIC = "https://app.example";

export const DEVELOPMENT = {};
export const PRODUCTION = { ENVIRONMENT: "production", PUBLIC_ORIGINS: [PUBLIC] };

// Starts both. `answers` are upstream's responses, `routes` is the route table. `upstream` is the origin of another
// upstream, in place of the recorder.
export async function openGateway(options = {}) {
  const { answers, routes = [], variables = {}, upstream } = options;
  const { bindings, wrapperModules, secondIsolate, others, shards, metrics } = options;
  const { folder, buildFolder, wasm } = options;
  const recorder = await startUpstream(answers);
  const worker = await startWorker({
    upstream: upstream ?? recorder.origin,
    variables: { ROUTES: routes, ...variables },
    bindings,
    wrapperModules,
    secondIsolate,
    others,
    shards,
    metrics,
    folder,
    buildFolder,
    wasm,
  }).catch(async (error) => {
    // If it stayed open, the test runner would never exit.
    await recorder.stop();
    throw error;
  });
  const gateway = {
    ...worker,
    upstream: recorder,
    upstreamRequests: recorder.seen,

    // Sends a request straight to the Worker, at `http://app.example` unless the options have another `host`.
    request: (path, options = {}) =>
      request(worker.direct, path, { host: "app.example", ...options }),

    // Does the same at the second isolate, if there is one.
    requestSecondIsolate: (path, options = {}) =>
      request(worker.secondIsolate, path, { host: "app.example", ...options }),

    // Sends a request for an absolute public URL, which may be https.
    requestUrl: (url, options = {}) => {
      const { host, pathname, search } = new URL(url);
      return request(worker.origin, pathname + search, { host, url, ...options });
    },

    // Runs `send` and asserts that upstream received no request meanwhile.
    async expectNotForwarded(send) {
      const before = recorder.seen.length;
      const response = await send();
      const requests = recorder.seen.slice(before).map(({ method, url }) => `${method} ${url}`);
      assert.deepEqual(requests, [], "upstream received a request");
      return response;
    },

    // Runs `send` and returns its response and the one request that upstream received.
    async expectForwarded(send) {
      const before = recorder.seen.length;
      const response = await send();
      assert.equal(
        recorder.seen.length,
        before + 1,
        `upstream did not receive exactly one request: ${response.text}`,
      );
      return { response, seen: recorder.seen[before] };
    },

    // Asserts a refusal by its code, and that upstream received nothing.
    async expectRejected(path, options, status, error, reason) {
      const response = await gateway.expectNotForwarded(() => gateway.request(path, options));
      assertProblem(response, status, error, reason);
      return response;
    },

    async stop() {
      await worker.stop();
      await recorder.stop();
      assertNoSecretsLogged(worker.log);
    },
  };
  return gateway;
}

// Asserts that a response is this problem (RFC 9457), and returns the document.
export function assertProblem(response, status, error, reason) {
  assert.equal(response.status, status, response.text);
  assert.equal(response.headers["content-type"], "application/problem+json");
  const problem = response.json();
  assert.equal(problem.error, error);
  assert.equal(problem.reason, reason);
  assert.equal(problem.status, status);
  assert.equal(typeof problem.title, "string");
  assert.equal(typeof problem.type, "string");
  assert.match(problem.requestId, /^req_[0-9a-f]{32}$/);
  assert.match(response.headers["cache-control"], /no-store/);
  return problem;
}

// Asserts that no log line contains a secret, or a token that a test used.
export function assertNoSecretsLogged(log) {
  const secrets = [AUTH_SECRET, PREVIOUS_SECRET, UPSTREAM_SECRET, ...knownSecrets];
  for (const line of log) {
    for (const secret of secrets) {
      const searched = secret.includes(".") ? secret.split(".").at(-1) : secret;
      assert.ok(
        searched.length < 8 || !line.includes(searched),
        `a log line contains a secret: ${line}`,
      );
    }
  }
}

// Asserts that a configuration is refused: each request is 503, and the log names the setting `at`.
export async function assertMisconfigured(options, at) {
  const gateway = await openGateway(options);
  try {
    await gateway.expectRejected("/", {}, 503, "misconfigured");
    await gateway.waitForLog((line) => line.startsWith(`misconfigured: ${at}`));
  } finally {
    await gateway.stop();
  }
}

// Returns the session cookie that a response sets, with its attributes.
export function sessionCookieOf(response, name = "mk_session") {
  const lines = response.cookies.filter((line) => line.startsWith(`${name}=`));
  assert.equal(
    lines.length,
    1,
    `expected one ${name} cookie, found ${JSON.stringify(response.cookies)}`,
  );
  const [pair, ...attributes] = lines[0].split("; ");
  const value = pair.slice(name.length + 1);
  if (value) trackSecret(value);
  return { value, attributes, line: lines[0] };
}
