/**
 * Modules around the built Worker, by which a request can break what is below it. The header `X-Fault`, which is
 * removed, names an object and how it fails (`LEDGER:before`, `LEDGER:after`, `LEDGER:silent`), or a function of the
 * module that stops at its next call (`trap:resume`).
 */
export const FAULTY = {
  "entry.mjs": `
import { armed } from "./trap.mjs";
import worker from "./index.js";
export * from "./index.js";
const fail = () => Promise.reject(new Error("the soak failed this object"));
const ways = {
  before: fail,
  after: (object, ...args) => object.command(...args).then(fail),
  silent: () => new Promise(() => {}),
};
// A binding is an instance of a class; a plain object would be a variable.
class Broken {
  constructor(objects, way) {
    this.idFromName = (id) => objects.idFromName(id);
    this.get = (id) => ({ command: (...args) => way(objects.get(id), ...args) });
  }
}
export default {
  fetch(request, env, context) {
    const fault = request.headers.get("x-fault");
    if (!fault) return worker.fetch(request, env, context);
    const copy = new Request(request);
    copy.headers.delete("x-fault");
    const [name, way] = fault.split(":");
    if (name === "trap") {
      armed.add(way);
      return worker.fetch(copy, env, context);
    }
    return worker.fetch(copy, { ...env, [name]: new Broken(env[name], ways[way]) }, context);
  },
};`,
  "trap.mjs": `
const { Instance } = WebAssembly;
export const armed = new Set();
WebAssembly.Instance = function (module, imports) {
  const { exports } = new Instance(module, imports);
  const trapping = {};
  for (const name of ${JSON.stringify(trapNames())}) {
    trapping[name] = (...args) => {
      if (armed.delete(name)) throw new WebAssembly.RuntimeError("unreachable");
      return exports[name](...args);
    };
  }
  return { exports: { ...exports, ...trapping } };
};`,
};

/** Objects and how each can fail. */
export const OBJECTS = [
  "ACCOUNTS",
  "AUDIT",
  "CONFIRMATIONS",
  "INBOX",
  "LEDGER",
  "LIMITER",
  "SESSIONS",
  "TOKENS",
];
export const WAYS = ["before", "after", "silent"];

/** Functions of the module that can stop. */
export function trapNames() {
  return ["fetch", "resume", "ledger_command", "inbox_command", "audit_command"];
}
