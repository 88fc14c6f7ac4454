// The Worker's entry: starts the module, starts it again after a trap, and has the platform's handlers and classes.

import { DurableObject } from "cloudflare:workers";
import * as edge from "vestibule";
import module from "./index_bg.wasm";

edge.initSync({ module });

/** Counts the instances of the module. A new one knows nothing of what waited in the one before. */
let instance = 0;
let recovered;

// A plain object: workerd would make an instance of a class for each request.
export default {
  fetch: (...given) => guarded(edge.fetch, given, unanswered),
  scheduled: (...given) => guarded(edge.scheduled, given),
};

/** Makes a Durable Object of a Rust class, of which each instance of the module has its own. */
export const objectOf = (Class) =>
  class extends DurableObject {
    #madeBy;
    #object;
    #inner() {
      if (this.#madeBy !== instance) this.#object = new Class(this.ctx, this.env);
      this.#madeBy = instance;
      return this.#object;
    }
    command(...given) {
      return guarded(() => this.#inner().command(...given), []);
    }
    alarm() {
      return guarded(() => this.#inner().alarm(), []);
    }
  };

/** Resumes what waits for a promise when that settles (0, or 1 if it rejects) or is late (2). Resolves to its answer. */
export const wait = (promise, id, milliseconds, asked = instance) =>
  new Promise((resolve, reject) => {
    const settled = (outcome, value) => {
      clearTimeout(timer);
      if (asked !== instance) return reject(new Error("the instance of the module has stopped"));
      try {
        resolve(edge.resume(id, outcome, value));
      } catch (error) {
        reject(recover(error));
      }
    };
    const timer = milliseconds < Infinity && setTimeout(settled, milliseconds, 2);
    Promise.resolve(promise).then(settled.bind(null, 0), settled.bind(null, 1));
  });

/** Takes a step. Whatever breaks, a request is answered 500, and never let through. */
function guarded(step, given, otherwise = (error) => Promise.reject(error)) {
  const failed = (error) => otherwise(recover(error), ...given);
  try {
    const answer = step(...given);
    return answer instanceof Promise ? answer.catch(failed) : answer;
  } catch (error) {
    return failed(error);
  }
}

/** Logs an error, once. A module that trapped, or whose stack ran over, may have stopped anywhere: it is started anew. */
function recover(error) {
  if (error === recovered) return error;
  recovered = error;
  const isLogged = error?.name === "StoreError";
  if (!isLogged) console.error("internal:", error instanceof Error ? error.stack : error);
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    edge.__wbg_reset_state();
    instance += 1;
  }
  return error;
}

const unanswered = (_, ...given) => guarded(edge.unable, given, broken);
const broken = () => new Response(BROKEN, { status: 500, headers: HEADERS });
const HEADERS = { "content-type": "application/problem+json", "cache-control": "no-store" };
const BROKEN = `{"type":"urn:vestibule:errors#internal","title":"something went wrong","status":500,"error":"internal"}`;
