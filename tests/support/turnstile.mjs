// Turnstile's siteverify, as it answers: tokens are good once, for five minutes, with the hostname and the
// action of the widget that gave them out. And what it might do instead.

import { randomBytes } from "node:crypto";
import { remember } from "./tokens.mjs";
import { startUpstream } from "./upstream.mjs";

// The published secrets for tests, and the errors that each of them answers with, whatever the token.
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

// `asked` has what came, `fault` does something else instead of answering, `lie` is laid over an answer,
// and `gate` is waited for before it is given.
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

    // A token as a widget gives it out, so many seconds ago.
    issue({ age = 0, ...about } = {}) {
      const token = remember(`0.${randomBytes(300).toString("base64url")}`);
      issued.set(token, { hostname: "app.example", action: "signup", age, ...about });
      return token;
    },

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
    const about = issued.get(token);
    if (!about) return failure("invalid-input-response");
    if (about.isSpent || about.age > LIFETIME) return failure("timeout-or-duplicate");
    about.isSpent = true;
    const { hostname, action } = about;
    return success({ hostname, action, cdata: "", metadata: { interactive: false } });
  };

  server.answers[PATH] = (...given) => void verify(...given).catch(() => {});
  // Whoever follows a redirect comes here.
  server.answers["/elsewhere"] = (_request, response) => {
    turnstile.asked.push("elsewhere");
    response.writeHead(200, { "Content-Type": "application/json" }).end(YES);
  };
  return turnstile;
}

const success = (about) => ({
  success: true,
  "error-codes": [],
  challenge_ts: new Date().toISOString(),
  ...about,
});
const failure = (code) => ({ success: false, "error-codes": [code], messages: [] });

// What would pass, if it were an answer.
export const YES = JSON.stringify(success({ hostname: "app.example", action: "signup" }));
