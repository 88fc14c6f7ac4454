// A stand-in for Turnstile's siteverify. A token is valid once, for five minutes, and has the hostname and the action
// of the widget that issued it. The stand-in can also respond wrongly.

import { randomBytes } from "node:crypto";
import { trackSecret } from "./tokens.mjs";
import { startUpstream } from "./upstream.mjs";

// The published test secrets, and the errors that each of them returns for any token.
export const ALWAYS_PASSES = "1x0000000000000000000000000000000AA";
export const ALWAYS_FAILS = "2x0000000000000000000000000000000AA";
export const ALREADY_SPENT = "3x0000000000000000000000000000000AA";
const TESTING = {
  [ALWAYS_PASSES]: [],
  [ALWAYS_FAILS]: ["invalid-input-response"],
  [ALREADY_SPENT]: ["timeout-or-duplicate"],
};

export const TURNSTILE_SECRET = trackSecret("0x4AAAAAAA_test_secret_of_the_widget");

const LIFETIME = 300;
const PATH = "/turnstile/v0/siteverify";

// Starts it. `requests` has the requests that it received. `fault` is a script that responds instead of it. The members
// of `override` replace those of a response. A response waits for the promise `delay`.
export async function startTurnstile() {
  const server = await startUpstream();
  const issued = new Map();
  const turnstile = {
    url: `${server.origin}${PATH}`,
    nextRequest: server.nextRequest,
    stop: server.stop,
    requests: [],
    fault: undefined,
    override: undefined,
    delay: undefined,

    // Returns a token that a widget issued `age` seconds ago.
    issue({ age = 0, ...widget } = {}) {
      const token = trackSecret(`0.${randomBytes(300).toString("base64url")}`);
      issued.set(token, { hostname: "app.example", action: "signup", age, ...widget });
      return token;
    },

    // Ends all faults.
    reset() {
      turnstile.fault = turnstile.override = turnstile.delay = undefined;
    },
  };

  const verify = async (request, response, seen) => {
    const fields = new URLSearchParams(String(await seen.body));
    turnstile.requests.push({
      method: request.method,
      headers: request.headers,
      fields: Object.fromEntries(fields),
    });
    if (turnstile.fault) return turnstile.fault(request, response);
    const answer = { ...verdict(Object.fromEntries(fields)), ...turnstile.override };
    await turnstile.delay;
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
  };

  const verdict = ({ secret, response: token }) => {
    const errors = TESTING[secret];
    if (errors) {
      const metadata = { result_with_testing_key: true };
      if (errors.length > 0) return { ...failure(errors[0]), metadata };
      return { ...success({ hostname: "example.com" }), metadata };
    }
    if (!secret) return failure("missing-input-secret");
    if (secret !== TURNSTILE_SECRET) return failure("invalid-input-secret");
    if (!token) return failure("missing-input-response");
    const known = issued.get(token);
    if (!known) return failure("invalid-input-response");
    if (known.isSpent || known.age > LIFETIME) return failure("timeout-or-duplicate");
    known.isSpent = true;
    const { hostname, action } = known;
    return success({ hostname, action, cdata: "", metadata: { interactive: false } });
  };

  server.answers[PATH] = (...args) => void verify(...args).catch(() => {});
  // A client that follows a redirect of a fault reaches this path.
  server.answers["/elsewhere"] = (_request, response) => {
    turnstile.requests.push("elsewhere");
    response.writeHead(200, { "Content-Type": "application/json" }).end(SUCCESS);
  };
  return turnstile;
}

const success = (members) => ({
  success: true,
  "error-codes": [],
  challenge_ts: new Date().toISOString(),
  ...members,
});
const failure = (code) => ({ success: false, "error-codes": [code], messages: [] });

// The body of a valid positive response.
export const SUCCESS = JSON.stringify(success({ hostname: "app.example", action: "signup" }));
