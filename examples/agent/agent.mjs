#!/usr/bin/env node
/**
 * A model of an agent: it makes one transfer for somebody, by a token of theirs, and waits for a person where
 * one has to approve that.
 *
 *     VESTIBULE_URL=http://localhost:8787 VESTIBULE_TOKEN=mat_… node agent.mjs carol 250
 *
 * What was made is on standard output, what it waits for on standard error. README.md has the exit codes.
 */

import { randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Makes the transfer; answers what was made, or throws an `End`. */
export async function main(env, [to, amount, ...more]) {
  const site = siteOf(env.VESTIBULE_URL);
  const token = env.VESTIBULE_TOKEN;
  if (!token) throw new End("MISUSED", "VESTIBULE_TOKEN is not set.");
  if (!to || !(Number(amount) > 0) || more.length > 0) {
    throw new End("MISUSED", "How: node agent.mjs TO AMOUNT");
  }

  const operation = await findOperation(site, "transfers.create", token);
  // Made once. Whatever is sent again below is this very request, so it can do no more than one.
  const request = {
    method: operation.methods[0],
    headers: {
      Authorization: `Bearer ${token}`,
      "Content-Type": "application/json",
      [operation.idempotency.header]: randomUUID(),
    },
    body: JSON.stringify({ to, amount: Number(amount) }),
  };
  return act(new URL(operation.path, site), request);
}

/** Looks an operation up in the catalogue: where it is, and whether this token and a key will do for it. */
async function findOperation(site, name, token) {
  const { status, data } = await send(new URL("/.well-known/agent-operations", site));
  if (status !== 200) throw new End("FAILED", `The catalogue cannot be read (${told(status)}).`);
  const operation = data.operations.find((one) => one.operation === name);
  if (!operation) throw new End("FAILED", `${name} is not in the catalogue.`);
  if (!operation.credentials.some((prefix) => token.startsWith(prefix))) {
    throw new End("FAILED", `${name} takes ${operation.credentials.join(", ")}, not this token.`);
  }
  // Without one, nobody could tell a second attempt from a second transfer.
  if (!operation.idempotency) throw new End("FAILED", `${name} takes no key.`);
  return operation;
}

/** Sends a request until it is answered, and what came of it is known. */
async function act(url, request) {
  let failingSince;
  let mayHaveRun = false;
  for (;;) {
    const { status, data, wait } = await send(url, request);
    if (status >= 200 && status < 300) return data;

    if (data.error === "confirmation_required") {
      if (request.headers["Confirmation-ID"] !== data.confirmationId) {
        tell(`A person has to approve this, until ${data.expiresAt}:\n${data.approveUrl}`);
      }
      request.headers["Confirmation-ID"] = data.confirmationId;
      failingSince = undefined;
    } else if (data.error === "confirmation_invalid") {
      throw new End(...(DECIDED[data.reason] ?? ["FAILED", `Not confirmed: ${data.reason}.`]));
    } else if (AGAIN.has(data.error) || AGAIN.has(status)) {
      mayHaveRun ||= !NOT_RUN.has(status);
      failingSince ??= Date.now();
      if (Date.now() - failingSince > PATIENCE) {
        throw mayHaveRun ? new End("UNKNOWN", UNKNOWN) : new End("FAILED", `${told(status)}.`);
      }
    } else if (status >= 500 || data.error === "idempotency_outcome_unknown") {
      throw new End("UNKNOWN", UNKNOWN);
    } else {
      throw new End("FAILED", `${told(status)}: ${data.reason ?? data.error ?? "refused"}.`);
    }
    await pause(wait);
  }
}

/** One attempt: `{status, data, wait}`, with a status of 0 where no answer came. Never throws. */
async function send(url, request) {
  try {
    const signal = AbortSignal.timeout(LONGEST_ANSWER);
    // A token is for this site and no other.
    const response = await fetch(url, { ...request, redirect: "manual", signal });
    const seconds = Number(response.headers.get("retry-after")) || USUAL_WAIT;
    return { status: response.status, data: await read(response), wait: seconds * 1_000 };
  } catch {
    return { status: 0, data: {}, wait: USUAL_WAIT * 1_000 };
  }
}

async function read(response) {
  const text = await response.text();
  try {
    return Object(JSON.parse(text));
  } catch {
    return {}; // Whatever it is, its status says enough.
  }
}

/** Where to ask. The token must not travel in the clear. */
function siteOf(text) {
  const url = URL.canParse(text ?? "") ? new URL(text) : undefined;
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url?.hostname);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isLocal)) return url;
  throw new End("MISUSED", "VESTIBULE_URL is not set, or no https address.");
}

const told = (status) => (status === 0 ? "No answer came" : `The answer is ${status}`);

const tell = (text) => console.error(text);

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** How it ended, where nothing was made. `kind` is one of `CODES`. */
export class End extends Error {
  constructor(kind, message) {
    super(message);
    this.code = CODES[kind];
  }
}

const CODES = { FAILED: 1, MISUSED: 2, REJECTED: 3, EXPIRED: 4, UNKNOWN: 5 };

const DECIDED = {
  rejected: ["REJECTED", "A person has rejected it."],
  expired: ["EXPIRED", "Nobody approved it in time. Start again to ask again."],
};

const UNKNOWN = "Whether it was made is not known. Look before it is tried again, or ask a person.";

/** What may go better: nobody could say, not now, or not yet. */
const AGAIN = new Set([0, 425, 429, 502, 503, 504, "idempotency_in_flight"]);

/** Of those, the ones after which nothing can have run. */
const NOT_RUN = new Set([425, 429, 503]);

/** Milliseconds that it goes on without a word of use, and that one answer may take. */
const PATIENCE = 120_000;
const LONGEST_ANSWER = 60_000;

/** Seconds until the next attempt, where the server says nothing. */
const USUAL_WAIT = 5;

const isEntry = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isEntry) {
  try {
    console.log(JSON.stringify(await main(process.env, process.argv.slice(2))));
  } catch (error) {
    if (!(error instanceof End)) throw error;
    tell(error.message);
    process.exitCode = error.code;
  }
}
