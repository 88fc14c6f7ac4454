// Counts billed operations of the platform: calls of objects, rows, reads and writes of KV.

import { CLASSES } from "./worker.mjs";

// Counts at the platform's own interfaces, below the module. `/test/costs` returns the counts since the last time. A
// cursor knows its rows only after it was read, so it is asked then. Each alarm that is set is billed as a row.
export const COUNTING = `
import worker, * as classes from "./index.js";
const counts = {};
let trails = 0;
const of = (name) =>
  (counts[name] ??= { calls: 0, alarms: 0, cursors: [], settings: 0, started: 0 });
const kv = { reads: 0, writes: 0 };
let current;
const wrap = (object, method, around) => {
  const own = Object.getPrototypeOf(object);
  const original = own[method];
  if (original.isWrapped) return;
  own[method] = function (...args) {
    return around(original.apply(this, args));
  };
  own[method].isWrapped = true;
};
const counted = (name, Class) =>
  class extends Class {
    constructor(context, env) {
      super(context, env);
      of(name).started += 1;
      if (name === "Audit") trails += 1;
      wrap(context.storage.sql, "exec", (cursor) => {
        of(current).cursors.push(cursor);
        return cursor;
      });
      wrap(context.storage, "setAlarm", (result) => {
        of(current).settings += 1;
        return result;
      });
    }
    command(...args) {
      current = name;
      of(name).calls += 1;
      return super.command(...args);
    }
    alarm(...args) {
      current = name;
      of(name).alarms += 1;
      return super.alarm(...args);
    }
  };
${CLASSES.map((name) => `export const ${name} = counted("${name}", classes.${name});`).join("\n")}
const take = () => {
  const sum = (cursors, member) => cursors.reduce((total, cursor) => total + cursor[member], 0);
  const result = { started: 0, calls: 0, alarms: 0, read: 0, written: 0, kvReads: kv.reads, kvWrites: kv.writes };
  for (const { calls, alarms, cursors, settings, started } of Object.values(counts)) {
    result.started += started;
    result.calls += calls;
    result.alarms += alarms;
    result.read += sum(cursors, "rowsRead");
    result.written += sum(cursors, "rowsWritten") + settings;
  }
  for (const name of Object.keys(counts)) delete counts[name];
  kv.reads = kv.writes = 0;
  return result;
};
export default {
  fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/test/costs") return Response.json(take());
    if (pathname === "/test/trails") return Response.json(trails);
    const count = (member) => (result) => {
      kv[member] += 1;
      return result;
    };
    wrap(env.KV, "get", count("reads"));
    wrap(env.KV, "put", count("writes"));
    return worker.fetch(request, env, context);
  },
};`;
