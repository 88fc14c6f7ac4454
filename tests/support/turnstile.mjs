// A stand-in for Turnstile's siteverify. A token is valid once, for five minutes, and has the hostname and the action
// of the widget that issued it. The stand-in can also respond wrongly.

import { randomBytes } from "node:crypto";
import { remember } from "./tokens.mjs";
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

export const TURNSTILE_SECRET = remember("0x4AAAAAAA_test_secret_of_the_widget");

const LIFETIME = 300;
const PATH = "/turnstile/v0/siteverify";

// Starts it. `asked` has the requests that it received. `fault` is a script that responds instead of it. The members of
// `lie` replace those of a response. A response waits for `gate`.
export async function startTurnstile() {
  const server = await startUpstream();
  const issued = new Map();
  const turnstile = {
    url: `${server.origin}${PATH}`,
    arrival: server.arrival,
    stop: server.stop,
    asked: [],
    fault: undefined,
    lie: undefined,
    gate: undefined,

    // Returns a token that a widget issued `age` seconds ago.
    issue({ age = 0, ...widget } = {}) {
      const token = remember(`0.${randomBytes(300).toString("base64url")}`);
      issued.set(token, { hostname: "app.example", action: "signup", age, ...widget });
      return token;
    },

    // Ends all faults.
    honest() {
      turnstile.fault = turnstile.lie = turnstile.gate = undefined;
    },
  };

  const verify = async (request, response, seen) => {
    const fields = new URLSearchParams(String(await seen.body));
    turnstile.asked.push({
      method: request.method,
      headers: request.headers,
      fields: Object.fromEntries(fields),
    });
    if (turnstile.fault) return turnstile.fault(request, response);
    const answer = { ...verdict(Object.fromEntries(fields)), ...turnstile.lie };
    await turnstile.gate;
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
    turnstile.asked.push("elsewhere");
    response.writeHead(200, { "Content-Type": "application/json" }).end(YES);
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
export const YES = JSON.stringify(success({ hostname: "app.example", action: "signup" }));
