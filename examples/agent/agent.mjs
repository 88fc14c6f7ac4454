#!/usr/bin/env node
/**
 * A sample agent. It makes one transfer for a user, with a token of that user, and waits if a person has to approve it.
 *
 *     VESTIBULE_URL=http://localhost:8787 VESTIBULE_TOKEN=mat_… node agent.mjs carol 250
 *
 * It prints the transfer to standard output and messages to standard error. README.md lists the exit codes.
 */

import { randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Makes the transfer and returns it, or throws an `ExitError`. */
export async function main(env, [to, amount, ...rest]) {
  const site = siteOf(env.VESTIBULE_URL);
  const token = env.VESTIBULE_TOKEN;
  if (!token) throw new ExitError("USAGE", "VESTIBULE_TOKEN is not set.");
  if (!to || !(Number(amount) > 0) || rest.length > 0) {
    throw new ExitError("USAGE", "Usage: node agent.mjs TO AMOUNT");
  }

  const operation = await findOperation(site, "transfers.create", token);
  // Built once. Every retry below sends this same request, so that the transfer is made at most once.
  const request = {
    method: operation.methods[0],
    headers: {
      Authorization: `Bearer ${token}`,
      "Content-Type": "application/json",
      [operation.idempotency.header]: randomUUID(),
    },
    body: JSON.stringify({ to, amount: Number(amount) }),
  };
  return sendUntilDone(new URL(operation.path, site), request);
}

/**
 * Looks up an operation in the catalogue, which lists only what this token may do. Checks that it accepts this token
 * and an idempotency key.
 */
async function findOperation(site, name, token) {
  const { status, data } = await send(new URL("/.well-known/agent-operations", site), {
    headers: { Authorization: `Bearer ${token}` },
  });
  if (status !== 200)
    throw new ExitError("FAILED", `Cannot read the catalogue. ${describe(status)}.`);
  const operation = data.operations.find((entry) => entry.operation === name);
  if (!operation) {
    throw new ExitError("FAILED", `${name} is not in the catalogue, or this token may not use it.`);
  }
  if (!operation.credentials.some((prefix) => token.startsWith(prefix))) {
    throw new ExitError(
      "FAILED",
      `${name} accepts ${operation.credentials.join(", ")}, not this token.`,
    );
  }
  // Without a key, a retry could make a second transfer.
  if (!operation.idempotency) {
    throw new ExitError("FAILED", `${name} does not support idempotency keys.`);
  }
  return operation;
}

/** Sends a request until its outcome is known. */
async function sendUntilDone(url, request) {
  let failingSince;
  let mayHaveRun = false;
  for (;;) {
    const { status, data, wait } = await send(url, request);
    if (status >= 200 && status < 300) return data;

    if (data.error === "confirmation_required") {
      if (request.headers["Confirmation-ID"] !== data.confirmationId) {
        log(`Waiting for approval until ${data.expiresAt}:\n${data.approveUrl}`);
      }
      request.headers["Confirmation-ID"] = data.confirmationId;
      failingSince = undefined;
    } else if (data.error === "confirmation_invalid") {
      throw new ExitError(
        ...(DECIDED[data.reason] ?? ["FAILED", `Not confirmed: ${data.reason}.`]),
      );
    } else if (RETRIED.has(data.error) || RETRIED.has(status)) {
      mayHaveRun ||= !NOT_RUN.has(status);
      failingSince ??= Date.now();
      if (Date.now() - failingSince > MAX_FAILING_TIME) {
        throw mayHaveRun
          ? new ExitError("UNKNOWN", UNKNOWN)
          : new ExitError("FAILED", `${describe(status)}.`);
      }
    } else if (status >= 500 || data.error === "idempotency_outcome_unknown") {
      throw new ExitError("UNKNOWN", UNKNOWN);
    } else {
      throw new ExitError(
        "FAILED",
        `${describe(status)}: ${data.reason ?? data.error ?? "no error code"}.`,
      );
    }
    await pause(wait);
  }
}

/** Makes one attempt. Returns `{status, data, wait}`, with status 0 if no answer came. Never throws. */
async function send(url, request) {
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT);
    // A redirect must not carry the token to another site.
    const response = await fetch(url, { ...request, redirect: "manual", signal });
    const seconds = Number(response.headers.get("retry-after")) || DEFAULT_WAIT;
    return { status: response.status, data: await read(response), wait: seconds * 1_000 };
  } catch {
    return { status: 0, data: {}, wait: DEFAULT_WAIT * 1_000 };
  }
}

async function read(response) {
  const text = await response.text();
  try {
    return Object(JSON.parse(text));
  } catch {
    return {}; // Not JSON. The status is enough.
  }
}

/** Parses the URL of Vestibule. It must be `https`, or local, so that nobody can read the token on its way. */
function siteOf(text) {
  const url = URL.canParse(text ?? "") ? new URL(text) : undefined;
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url?.hostname);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isLocal)) return url;
  throw new ExitError("USAGE", "VESTIBULE_URL is not set, or is not an https URL.");
}

const describe = (status) => (status === 0 ? "No answer" : `The answer was ${status}`);

const log = (text) => console.error(text);

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The reason to exit without a transfer. `kind` is a key of `CODES`. */
export class ExitError extends Error {
  constructor(kind, message) {
    super(message);
    this.code = CODES[kind];
  }
}

const CODES = { FAILED: 1, USAGE: 2, REJECTED: 3, EXPIRED: 4, UNKNOWN: 5 };

const DECIDED = {
  rejected: ["REJECTED", "A person rejected the transfer."],
  expired: ["EXPIRED", "Nobody approved the transfer in time. Run this again to ask again."],
};

const UNKNOWN = "It is unknown whether the transfer was made. Check before you try again.";

/** Statuses and error codes after which the request is sent again. */
const RETRIED = new Set([0, 425, 429, 502, 503, 504, "idempotency_in_flight"]);

/** The statuses of `RETRIED` after which the request cannot have run. */
const NOT_RUN = new Set([425, 429, 503]);

/** Milliseconds: how long it retries while all attempts fail, and the time limit of one attempt. */
const MAX_FAILING_TIME = 120_000;
const ANSWER_TIMEOUT = 60_000;

/** Seconds until the next attempt, if the answer has no `Retry-After`. */
const DEFAULT_WAIT = 5;

const isEntry = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isEntry) {
  try {
    console.log(JSON.stringify(await main(process.env, process.argv.slice(2))));
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    log(error.message);
    process.exitCode = error.code;
  }
}
