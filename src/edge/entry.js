// The Worker's entry point: starts the module, restarts it after a trap, and exports the handlers and classes.

import { DurableObject } from "cloudflare:workers";
import * as edge from "vestibule";
import module from "./index_bg.wasm";

edge.initSync({ module });

/** `instance` is the number of the module's current instance, which does not know the futures of the one before. */
let [instance, recovered, hook] = [0];
export const installedHook = () => hook;

// A plain object, because workerd would create an instance of a class for each request.
export default {
  withHooks(hooks) {
    hook = hooks.decide;
    return this;
  },
  fetch: (...args) => guarded(edge.fetch, args, respondToFailure),
  scheduled: (...args) => guarded(edge.scheduled, args),
};

/** Wraps a Rust class as a Durable Object. Each instance of the module creates its own Rust object. */
export const objectOf = (Class) =>
  class extends DurableObject {
    #instance;
    #object;
    #current() {
      if (this.#instance !== instance) this.#object = new Class(this.ctx, this.env);
      this.#instance = instance;
      return this.#object;
    }
    command(...args) {
      return guarded(() => this.#current().command(...args), []);
    }
    alarm() {
      return guarded(() => this.#current().alarm(), []);
    }
  };

/** Calls `resume` when a promise is fulfilled (0), is rejected (1) or times out (2). Resolves to its result. */
export const wait = (promise, id, milliseconds, caller = instance) =>
  new Promise((resolve, reject) => {
    const settled = (outcome, value) => {
      clearTimeout(timer);
      if (caller !== instance) return reject(new Error("the instance of the module has stopped"));
      guarded(() => resolve(edge.resume(id, outcome, value)), [], reject);
    };
    const timer = milliseconds < Infinity && setTimeout(settled, milliseconds, 2);
    Promise.resolve(promise).then(settled.bind(null, 0), settled.bind(null, 1));
  });

/** Calls into the module. After any error, a request gets a 500 response, and is never let through. */
function guarded(step, args, onError = (error) => Promise.reject(error)) {
  const failed = (error) => onError(recover(error), ...args);
  try {
    const result = step(...args);
    return result instanceof Promise ? result.catch(failed) : result;
  } catch (error) {
    return failed(error);
  }
}

/** Logs an error once. After a trap or a stack overflow, the module may have stopped anywhere, so it restarts. */
function recover(error) {
  if (error === recovered) return error;
  recovered = error;
  if (error?.name !== "StoreError")
    console.error("internal:", error instanceof Error ? error.stack : error);
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    edge.__wbg_reset_state();
    instance += 1;
  }
  return error;
}

const respondToFailure = (_, ...args) =>
  guarded(edge.internal_error, args, () => new Response(INTERNAL_ERROR, { status: 500, headers }));
const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
const INTERNAL_ERROR = `{"type":"urn:vestibule:errors#internal","title":"internal error: try again later","status":500,"error":"internal"}`;
