// The built Worker, asked many questions in one request, and the record of differences.

import assert from "node:assert/strict";
import { request } from "../support/client.mjs";
import { startWorker } from "../support/worker.mjs";

// Handles many requests in one, so that they need not cross the network. Upstream answers with the cookies it got.
const ENTRY = `
import worker from "./index.js";
export * from "./index.js";
const UPSTREAM = {
  fetch: async (request) => Response.json({
    user: request.headers.get("x-user-id"),
    cookies: request.headers.get("cookie"),
  }),
};
export default {
  async fetch(request, env, context) {
    const answers = [];
    for (const { path, headers } of await request.json()) {
      const one = new Request("http://app.example" + path, { headers, redirect: "manual" });
      const response = await worker.fetch(one, { ...env, UPSTREAM }, context);
      const forwarded = response.status === 200 ? await response.json() : null;
      const location = response.headers.get("location");
      const cookies = response.headers.getSetCookie();
      answers.push({ status: response.status, location, cookies, forwarded });
    }
    return Response.json(answers);
  },
};`;

/** Starts the Worker. `ask(requests)` resolves to the status, location and cookies of each response, and
 * to what upstream received. */
export async function openBatches(variables) {
  const worker = await startWorker({
    variables,
    wrapperModules: { "batches.js": ENTRY },
  });
  return {
    async ask(requests) {
      const answers = [];
      for (let at = 0; at < requests.length; at += BATCH) {
        const body = JSON.stringify(requests.slice(at, at + BATCH));
        const response = await request(worker.direct, "/", { method: "POST", body });
        assert.equal(response.status, 200, response.text);
        answers.push(...response.json());
      }
      return answers;
    },
    stop: worker.stop,
  };
}

const BATCH = 200;

/** The number of cases, and the seed of their generator: `CASES` and `SEED`. A failure has both in its message. */
export const CASES = Number(process.env.CASES ?? 4_000);
export const SEED = Number(process.env.SEED ?? 1);
export const withSeed = (text) => `${text} (SEED=${SEED} CASES=${CASES})`;
