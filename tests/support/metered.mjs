// Gateways that count requests: isolates whose clocks a test moves, and which it can kill.

import assert from "node:assert/strict";
import { pollUntil } from "./poll.mjs";

// An entry for `wrapperModules`. A request to `/__control` changes what follows:
//
// - `x-clock`: the clock of the isolate, in seconds ahead;
// - `x-kill`: the isolate loses its memory at its next request, which is answered 500;
// - `x-metrics`: what becomes of the next flushes: a list of `lost` (the object does not get it) and `unanswered` (the
//   reply is lost).
//
// Data points for Analytics Engine are written to the log.
export const METERED = {
  "entry.mjs": `
import { armed } from "./trap.mjs";
import worker from "./index.js";
export * from "./index.js";
const { now } = Date;
let ahead = 0;
const fates = [];
Date.now = () => now() + ahead;
// A binding is an instance of a class; a plain object would be a variable.
class Namespace {
  constructor(namespace) {
    this.idFromName = (name) => namespace.idFromName(name);
    this.get = (id) => ({
      async command(...args) {
        // The first variant of the command: a flush.
        const fate = args[0][1] === 0 ? fates.shift() : undefined;
        if (fate === "lost") throw new Error("the batch is lost");
        const reply = await namespace.get(id).command(...args);
        if (fate === "unanswered") throw new Error("the reply is lost");
        return reply;
      },
    });
  }
}
class Dataset {
  writeDataPoint(point) {
    console.log(JSON.stringify({ event: "data_point", ...point }));
  }
}
export default {
  fetch(request, env, context) {
    const { headers } = request;
    if (new URL(request.url).pathname === "/__control") {
      ahead = 1_000 * Number(headers.get("x-clock") ?? ahead / 1_000);
      fates.push(...(headers.get("x-metrics")?.split(" ") ?? []));
      armed.next = headers.has("x-kill");
      return new Response(String(fates.length));
    }
    const wrapped = { METRICS: new Namespace(env.METRICS), ANALYTICS: new Dataset() };
    return worker.fetch(request, { ...env, ...wrapped }, context);
  },
};`,
  "trap.mjs": `
const { Instance } = WebAssembly;
export const armed = { next: false };
WebAssembly.Instance = function (module, imports) {
  const { exports } = new Instance(module, imports);
  const fetch = (...args) => {
    if (!armed.next) return exports.fetch(...args);
    armed.next = false;
    throw new WebAssembly.RuntimeError("unreachable");
  };
  return { exports: { ...exports, fetch } };
};`,
};

/** Returns functions that read what a gateway with this entry has counted, as the caller (an admin). */
export function metersOf(gateway, call, admin) {
  const read = async (query = "") => {
    const response = await call("GET", `/api/metrics${query}`, admin);
    assert.equal(response.status, 200, response.text);
    return response.json();
  };
  // The clocks are ahead, so buckets are asked for without limits of time.
  const ALL = "?step=hour";
  const clocks = new Map();

  const control = async (headers, request = gateway.request) =>
    Number((await request("/__control", { headers })).text);

  const moveClock = (request = gateway.request) => {
    clocks.set(request, (clocks.get(request) ?? 0) + 60);
    return control({ "x-clock": clocks.get(request) }, request);
  };

  return {
    read,
    control,

    /** Returns the sums of all buckets of a rule. */
    async sum(rule) {
      const { buckets } = await read(rule ? `${ALL}&rule=${encodeURIComponent(rule)}` : ALL);
      return buckets.reduce(added, {});
    },

    /** Moves the clock beyond the time after which a run of flushes counts as lost, and the next one is due. */
    moveClock,

    /** Makes an isolate hand everything over: moves its clock, and sends a request. */
    async flush(request = gateway.request) {
      await moveClock(request);
      return request("/flush");
    },

    /** Polls until what was counted is as wanted. */
    until: (look, isDone) => pollUntil(look, isDone, "the counts"),
  };
}

/** Adds two buckets, member by member. */
export function added(one, other) {
  if (typeof other === "number") return (one ?? 0) + other;
  if (Array.isArray(other)) return other.map((value, at) => (one?.[at] ?? 0) + value);
  if (typeof other !== "object") return other;
  const sum = { ...one };
  for (const [name, value] of Object.entries(other)) sum[name] = added(sum[name], value);
  return sum;
}
