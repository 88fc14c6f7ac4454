// Vestibule in front of an upstream that records: what most tests start from.

import assert from "node:assert/strict";
import { ask } from "./client.mjs";
import { known, remember } from "./tokens.mjs";
import { startUpstream } from "./upstream.mjs";
import { AUTH_SECRET, PREVIOUS_SECRET, startWorker, UPSTREAM_SECRET } from "./worker.mjs";

export const PUBLIC = "https://app.example";

export const DEVELOPMENT = {};
export const PRODUCTION = { ENVIRONMENT: "production", PUBLIC_ORIGINS: [PUBLIC] };

// Opens both. `answers` are upstream's, `routes` the route table; `upstream` replaces the recorder.
export async function openGateway(options = {}) {
  const { answers, routes = [], variables = {}, upstream } = options;
  const { bindings, around, twin, folder, built } = options;
  const recorder = await startUpstream(answers);
  const worker = await startWorker({
    upstream: upstream ?? recorder.origin,
    variables: { ROUTES: routes, ...variables },
    bindings,
    around,
    twin,
    folder,
    built,
  }).catch(async (error) => {
    // Left open, it would keep the test runner waiting for ever.
    await recorder.stop();
    throw error;
  });
  const gateway = {
    ...worker,
    upstream: recorder,
    seen: recorder.seen,

    // Asks the Worker itself, as `http://app.example` unless the options name another `host`.
    ask: (path, options = {}) => ask(worker.direct, path, { host: "app.example", ...options }),

    // The same of the second isolate, where there is one.
    askTwin: (path, options = {}) => ask(worker.twin, path, { host: "app.example", ...options }),

    // Asks by a whole public URL, https too.
    visit: (url, options = {}) => {
      const { host, pathname, search } = new URL(url);
      return ask(worker.origin, pathname + search, { host, url, ...options });
    },

    // Runs `send` and holds that upstream was asked nothing meanwhile.
    async untouched(send) {
      const before = recorder.seen.length;
      const response = await send();
      const asked = recorder.seen.slice(before).map(({ method, url }) => `${method} ${url}`);
      assert.deepEqual(asked, [], "upstream was asked");
      return response;
    },

    // Runs `send` and gives its response and the one request that upstream saw.
    async passed(send) {
      const before = recorder.seen.length;
      const response = await send();
      assert.equal(
        recorder.seen.length,
        before + 1,
        `upstream was not asked once: ${response.text}`,
      );
      return { response, seen: recorder.seen[before] };
    },

    // Asserts a refusal by its code, and that upstream knows nothing of it.
    async refused(path, options, status, error, reason) {
      const response = await gateway.untouched(() => gateway.ask(path, options));
      assertProblem(response, status, error, reason);
      return response;
    },

    async stop() {
      await worker.stop();
      await recorder.stop();
      assertDiscreet(worker.log);
    },
  };
  return gateway;
}

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

// No log line of a run may hold a secret, or a token that was used in it.
export function assertDiscreet(log) {
  const secrets = [AUTH_SECRET, PREVIOUS_SECRET, UPSTREAM_SECRET, ...known];
  for (const line of log) {
    for (const secret of secrets) {
      const telling = secret.includes(".") ? secret.split(".").at(-1) : secret;
      assert.ok(
        telling.length < 8 || !line.includes(telling),
        `a log line holds a secret: ${line}`,
      );
    }
  }
}

// Holds that what a gateway is opened with closes it, and that the log says where the mistake is.
export async function assertMisconfigured(options, at) {
  const gateway = await openGateway(options);
  try {
    await gateway.refused("/", {}, 503, "misconfigured");
    await gateway.logged((line) => line.startsWith(`misconfigured: ${at}`));
  } finally {
    await gateway.stop();
  }
}

// The session cookie that a response sets, and its attributes in lower case.
export function sessionSet(response, name = "mk_session") {
  const lines = response.cookies.filter((line) => line.startsWith(`${name}=`));
  assert.equal(
    lines.length,
    1,
    `expected one ${name} line, found ${JSON.stringify(response.cookies)}`,
  );
  const [pair, ...attributes] = lines[0].split("; ");
  const value = pair.slice(name.length + 1);
  if (value) remember(value);
  return { value, attributes, line: lines[0] };
}
