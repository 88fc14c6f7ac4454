// The Worker's entry, and JavaScript's half of the edge: requests, responses, bindings and timers are
// handled here, and every decision is taken in WebAssembly. src/edge/wire.rs has the texts that cross.

import {
  __wbg_reset_state,
  begin,
  configure,
  delivery,
  forget,
  initSync,
  reserve,
  resume,
  tick,
  unable,
} from "vestibule";
import { answerOf, bytesOf, collected, fieldOf, joined, textOf } from "./bodies.js";
import module from "./index_bg.wasm";
import { objects } from "./objects.js";
import { hex, seal, unseal } from "./sealing.js";

initSync({ module });

// workerd makes an object and looks up its class for each request of a class-based Worker; a plain one
// is asked directly.
export default {
  fetch: (request, env, context) => guarded(request, env, () => received(request, env, context)),
  scheduled: (event, env, context) => ticked(event, env, context),
};

export const {
  Accounts,
  Audit,
  Checkouts,
  Confirmations,
  Inbox,
  Ledger,
  Limiter,
  Sessions,
  Tokens,
} = objects({
  failed: (error) => isTrap(error) && restart(),
  deliver: (...given) => deliver(...given),
});

/** Which instance of the module is in use; a new one knows nothing of the visits of the one before. */
let instance = 0;
let configured = false;

function received(request, env, context) {
  if (!configured) configureFrom(env);
  const account = utf8(describe(request));
  const text = begin(account, Date.now());
  const visitor = { request, env, context };
  if (account.length > LARGE && WAITING.test(text)) {
    const [, visit] = text.split("\0", 2);
    const asked = instance;
    const left = () => asked === instance && !visitor.stays && forget(Number(visit));
    request.signal.addEventListener("abort", left);
  }
  return follow(text, visitor);
}

/** What is to be done at a tick of the cron trigger; nobody gets the answer. */
async function ticked({ scheduledTime }, env, context) {
  if (!configured) configureFrom(env);
  const request = new Request("https://vestibule.invalid/", { method: "POST" });
  const visitor = { request, env, context };
  await guarded(request, env, () => follow(tick(scheduledTime, Date.now()), visitor));
}

function said([, ...lines]) {
  for (const line of lines.filter(Boolean)) console.log(line);
}

/** So many bytes are not left lying about, for clients who go away, until their deadline has passed. */
const LARGE = 8_192;
const WAITING =
  /^(forward|head|post|ask|hand|read|bytes|digest|glimpse|field|consult|gate|recall|store)\0/;

/** Does what a text says: sends the request on or answers it. */
function follow(text, visitor, response) {
  if (text.startsWith("stays\0")) return outlived(text.slice("stays\0".length), visitor, response);
  let parts = text.split("\0");
  while (parts[0] === "later") {
    afterwards(parts, visitor);
    parts = parts.slice(5);
  }
  switch (parts[0]) {
    case "forward":
      return forward(parts, visitor);
    case "head":
      return head(parts, visitor, response);
    case "post":
      return post(parts, visitor, response);
    case "collected":
      return given(parts, visitor, response);
    case "ask":
      return ask(parts, visitor, response);
    case "hand":
      return ask(parts, visitor, response, visitor.body);
    case "read":
      return read(parts, visitor, response);
    case "bytes":
      return stay(parts, visitor, response, prefixed);
    case "digest":
      return stay(parts, visitor, response, digested);
    case "glimpse":
      return glimpse(parts, visitor, response);
    case "collect":
      return collect(parts, visitor, response);
    case "keep":
      return keep(parts, visitor, response);
    case "open":
      return open(parts, visitor);
    case "field":
      return field(parts, visitor, response);
    case "consult":
      return consult(parts, visitor, response);
    case "gate":
      return gate(parts, visitor, response);
    case "recall":
      return recall(parts, visitor, response);
    case "store":
      return store(parts, visitor, response);
    case "ticked":
      return said(parts);
    case "relay":
      return relay(parts, visitor, response);
    default:
      return own(parts);
  }
}

/** Resolves when upstream's headers are there, when they are late or when there will be none. */
function forward([, visit, milliseconds, via, url, edits], visitor) {
  const sent = send(visitor, via, url, edits);
  return awaited(visit, milliseconds, sent, visitor, describeResponse);
}

/** Asks upstream by a HEAD, of which nothing is the client's. */
function head([, visit, milliseconds, via, url, edits], visitor, response) {
  const asking = new Request(url, { method: "HEAD", redirect: "manual" });
  const sent = send({ request: asking, env: visitor.env }, via, url, edits);
  return awaited(visit, milliseconds, sent, visitor, describeResponse, response);
}

/** Tells upstream by a POST, of which nothing is the client's. */
function post([, visit, milliseconds, via, url, edits, body], visitor, response) {
  const telling = new Request(url, { method: "POST", body, redirect: "manual" });
  const sent = send({ request: telling, env: visitor.env }, via, url, edits).then(emptied);
  return awaited(visit, milliseconds, sent, visitor, describeResponse, response);
}

async function emptied(response) {
  await response.body?.cancel();
  return response;
}

/** Gives the body that was collected. */
function given([, visit, milliseconds], visitor, response) {
  const bytes = Promise.resolve(prefixed(visitor.collected));
  return awaited(visit, milliseconds, bytes, visitor, (told) => told, response);
}

/** Has an object do something; upstream's response, if there is one by now, waits. */
function ask([, visit, milliseconds, binding, name, now, command], visitor, response, bytes) {
  const asked = commanded(visitor.env[binding], name, command, now, bytes);
  return awaited(visit, milliseconds, asked, visitor, replied(visitor), response);
}

async function commanded(namespace, name, command, now, bytes) {
  return namespace.get(namespace.idFromName(name)).command(command, now, bytes);
}

/** Tells of a reply; the bytes that are attached to it wait for `open`. */
const replied = (visitor) => (told) => {
  if (typeof told === "string") return `done\n${told}`;
  visitor.sealed = told.sealed;
  return `done\n${told.reply}`;
};

/** Has an object do something once the answer is on its way. */
function afterwards([, binding, name, now, command], { env, context }) {
  const failed = ({ message }) => {
    lost += 1;
    console.error(JSON.stringify({ event: "later_failed", binding, count: lost, message }));
  };
  context.waitUntil(inTime(commanded(env[binding], name, command, now), AFTERWARDS).catch(failed));
}

/** Milliseconds that something may take that nobody waits for. */
const AFTERWARDS = 10_000;

/** What a promise resolves to; rejects where that takes longer. */
async function inTime(promise, milliseconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it does not answer")), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How often this isolate has failed to do something after an answer. */
let lost = 0;

/** Reads a small body. */
function read([, visit, milliseconds, limit], visitor, response) {
  const read = bodyOf(visitor, visit, limit).then(textOf);
  return awaited(visit, milliseconds, read, visitor, (text) => text, response);
}

/**
 * Reads the body whole, for `forward` to send. From here on nothing is left undone because the client went
 * away: what comes of the request has to be kept.
 */
function stay([, visit, milliseconds, limit], visitor, response, told) {
  visitor.stays = true;
  const read = bodyOf(visitor, visit, limit).then((bytes) =>
    typeof bytes === "string" ? bytes : told(bytes),
  );
  const rest = awaited(visit, milliseconds, read, visitor, (told) => told, response);
  visitor.context.waitUntil(rest);
  return rest;
}

/** A body's bytes, for which the visit must have memory. */
function bodyOf(visitor, visit, limit) {
  const asked = instance;
  const ask = (bytes) => (asked === instance ? reserve(Number(visit), bytes, Date.now()) : -1);
  return bytesOf(visitor, Number(visit), Number(limit), ask);
}

/** What follows is seen to although the client goes away. */
function outlived(text, visitor, response) {
  visitor.stays = true;
  const rest = follow(text, visitor, response);
  visitor.context.waitUntil(Promise.resolve(rest));
  return rest;
}

/** Reads the body for its hash and its first bytes. */
function glimpse([order, visit, milliseconds, limit, first], visitor, response) {
  const told = async (bytes) => {
    const hash = hex(await crypto.subtle.digest("SHA-256", bytes));
    const head = encoder.encode(`done\n${hash}\n${bytes.byteLength}\n`);
    const seen = bytes.subarray(0, Number(first));
    return joined([head, seen], head.byteLength + seen.byteLength);
  };
  return stay([order, visit, milliseconds, limit], visitor, response, told);
}

/** Reads a field of the body, which goes on all the same. */
function field([, visit, milliseconds, limit, name], visitor, response) {
  const type = visitor.request.headers.get("content-type") ?? "";
  const told = (bytes) => fieldOf(bytes, type, name);
  return stay(["digest", visit, milliseconds, limit], visitor, response, told);
}

/** Asks somebody outside. What they answer is read up to a bound, and a redirect is no answer. */
function consult([, visit, milliseconds, via, url, type, limit, body], visitor, response) {
  const { env } = visitor;
  const signal = AbortSignal.timeout(Number(milliseconds));
  const headers = { "content-type": type, accept: "application/json" };
  const asking = new Request(url, { method: "POST", body, headers, redirect: "manual", signal });
  const ask = async () =>
    answerOf(await (via === "network" ? fetch(asking) : env[via].fetch(asking)), Number(limit));
  return awaited(visit, milliseconds, ask(), visitor, (told) => told, response);
}

/** Asks the platform's own counter for one more. */
function gate([, visit, milliseconds, binding, key], visitor, response) {
  const ask = async () => visitor.env[binding].limit({ key });
  // Nothing else than a yes or a no counts as either.
  const told = (answer) =>
    answer?.success === true ? "open" : answer?.success === false ? "shut" : "failed";
  return awaited(visit, milliseconds, ask(), visitor, told, response);
}

function recall([, visit, milliseconds, name], visitor, response) {
  const ask = async () => visitor.env.KV.get(name);
  const told = (value) => (value === null ? "absent" : `done\n${value}`);
  return awaited(visit, milliseconds, ask(), visitor, told, response);
}

function store([, visit, milliseconds, name, value], visitor, response) {
  const write = async () => visitor.env.KV.put(name, value);
  return awaited(visit, milliseconds, write(), visitor, () => "done\n", response);
}

const DONE = new TextEncoder().encode("done\n");
const prefixed = (bytes) => joined([DONE, bytes], DONE.byteLength + bytes.byteLength);
const digested = async (bytes) => `done\n${hex(await crypto.subtle.digest("SHA-256", bytes))}`;

/** Reads the body of upstream's response, unless it is a stream or longer: that goes on as it comes. */
function collect([, visit, milliseconds, limit], visitor, response) {
  const read = collected(response, Number(limit), Number(milliseconds), visitor);
  const [told, answer] = [([told]) => told, ([, answer]) => answer];
  return awaited(visit, milliseconds, read, visitor, told, undefined, answer);
}

/** Has an object keep an answer, sealed. */
function keep(parts, visitor, response) {
  const [, visit, milliseconds] = parts;
  return awaited(visit, milliseconds, sealed(parts, visitor), visitor, replied(visitor), response);
}

async function sealed(parts, { env, collected }) {
  const [, , , binding, name, now, command, key, elsewhere, seconds, head, body] = parts;
  const bytes = await seal(key, head, body === undefined ? collected : encoder.encode(body));
  if (elsewhere === "") return commanded(env[binding], name, command, now, bytes);
  // KV keeps nothing for less than a minute.
  await env.KV.put(elsewhere, bytes, { expirationTtl: Math.max(60, Number(seconds)) });
  return commanded(env[binding], name, command, now);
}

/** Opens a sealed answer: it is the response from here on. */
function open([, visit, milliseconds, keys, elsewhere], visitor) {
  const bytes = elsewhere === "" ? visitor.sealed : visitor.env.KV.get(elsewhere, "arrayBuffer");
  const opened = Promise.resolve(bytes).then((bytes) => unseal(keys.split(","), bytes));
  const told = (response) => (response ? describeResponse(response) : "sealed");
  return awaited(visit, milliseconds, opened, visitor, told);
}

/**
 * Goes on with a visit when what it waits for is there, late or has failed. `response` is upstream's, where
 * there is one already; without, what is waited for becomes it.
 *
 * What is late is not aborted but left: the platform ends it with the request that asked for it, so that
 * nothing needs an AbortController for each request.
 */
function awaited(visit, milliseconds, promise, visitor, describe, response, answerOf) {
  const { request, env } = visitor;
  const asked = instance;
  return new Promise((resolve) => {
    let waits = true;
    const go = (told, answer) => {
      if (!waits) return;
      waits = false;
      clearTimeout(timer);
      const resumed = () => {
        // The instance that began this visit trapped over another one, and took it along.
        if (asked !== instance) return unanswered(request, env);
        const bytes = told instanceof Uint8Array ? told : utf8(told);
        return follow(resume(Number(visit), bytes, Date.now()), visitor, answer);
      };
      resolve(guarded(request, env, resumed));
    };
    const timer = setTimeout(go, Number(milliseconds), "late", response);
    promise.then(
      (result) => go(describe(result), answerOf ? answerOf(result) : (response ?? result)),
      () => go("failed", response),
    );
  });
}

/** Sends a request on as changed. The body, in either direction, is never looked at. */
async function send({ request, env, body }, via, url, edits) {
  // It takes over `redirect: "manual"` too, which every request that comes in has. One whose body was read
  // is made anew: it goes on although the client goes away.
  // A URL that stays as it is is not parsed again, which would escape some characters of it.
  // An empty body that was read cannot be taken from it again.
  const from = url === request.url && body?.byteLength !== 0 ? request : url;
  const outbound = body ? new Request(from, anew(request, body)) : new Request(from, request);
  edit(outbound.headers, edits);
  switch (via) {
    case "service":
      return env.UPSTREAM.fetch(outbound);
    case "assets":
      return env.ASSETS.fetch(outbound);
    case "network":
      return fetch(outbound);
    case "network personal":
      // Cloudflare's cache would keep it by its URL alone.
      return fetch(outbound, { cache: "no-store" });
    default: {
      // Under the public name, which the platform resolves to another host of the same zone.
      const [, resolveOverride, cache] = via.split(" ");
      const past = cache === "personal" ? { cache: "no-store" } : {};
      return fetch(outbound, { ...past, cf: { resolveOverride } });
    }
  }
}

const anew = ({ method, headers }, body) => ({
  method,
  headers,
  body: body.byteLength > 0 ? body : undefined,
  redirect: "manual",
});

/** Delivers an event that an inbox has: the status, 0 where there is none. */
async function deliver(env, event, body) {
  try {
    if (!configured) configureFrom(env);
    const [, , milliseconds, via, url, edits] = delivery(event, Date.now()).split("\0");
    if (url === undefined) return 0;
    const signal = AbortSignal.timeout(Number(milliseconds));
    const request = new Request(url, { method: "POST", body, redirect: "manual", signal });
    const response = await send({ request, env }, via, url, edits);
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    if (isTrap(error)) restart();
    return 0;
  }
}

/** Upstream's response, with changed headers where any change. Body and WebSocket go along untouched. */
function relay([, log, edits], { request }, response) {
  if (edits === "") {
    if (log) console.log(log);
    return response;
  }
  let amended;
  try {
    amended = new Response(response.body, response);
    edit(amended.headers, edits);
  } catch {
    // A status that the platform will not let anyone construct: better none than unamended.
    return own(unable(log && JSON.parse(log).requestId, describe(request)).split("\0"));
  }
  if (log) console.log(log);
  return amended;
}

function own([, log, status, edits, body]) {
  if (log) console.log(log);
  const headers = headersOf(edits);
  return new Response(body ?? null, { status: Number(status), headers });
}

/** Our own answer's headers. A plain object is made into headers faster than they are appended. */
function headersOf(edits) {
  const lines = edits.split("\n");
  const plain = {};
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at].slice(1);
    if (name in plain) {
      const headers = new Headers();
      edit(headers, edits);
      return headers;
    }
    plain[name] = lines[at + 1];
  }
  return plain;
}

/** One edit a line or two: "-name", "=name" and its value, "+name" and its value. */
function edit(headers, edits) {
  if (edits === "") return;
  const lines = edits.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const name = line.slice(1);
    if (line[0] === "-") headers.delete(name);
    else if (line[0] === "=") headers.set(name, lines[++at]);
    else headers.append(name, lines[++at]);
  }
}

/** A request as one text: method, URL, then each header's name and value, one a line. */
function describe(request) {
  let account = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) account += `\n${name}\n${value}`;
  return account;
}

/** A response likewise; its status is 0 for a switch to a protocol that nobody asked for. */
function describeResponse(response) {
  const switched = response.status !== 101 || response.webSocket;
  let account = `${switched ? response.status : 0}`;
  for (const [name, value] of response.headers) account += `\n${name}\n${value}`;
  return account;
}

let scratch = new Uint8Array(65_536);
const encoder = new TextEncoder();

/** A text's bytes, in memory that the next call uses again. */
function utf8(text) {
  // No more than three bytes for each UTF-16 code unit.
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 3);
  return scratch.subarray(0, encoder.encodeInto(text, scratch).written);
}

/** Hands over the configuration. Its mistakes go to the log alone. */
function configureFrom(env) {
  const mistakes = configure(variables(env), bindings(env).join("\n"), crypto.randomUUID());
  for (const mistake of mistakes.split("\n").filter(Boolean)) {
    console.error(`misconfigured: ${mistake}`);
  }
  configured = true;
}

/** Names of what can be fetched from, of namespaces of objects and of KV, and marked as such, of counters. */
function bindings(env) {
  const marks = ["fetch", "idFromName", "getWithMetadata"];
  const has = (name, mark) => typeof Object(env[name])[mark] === "function";
  const all = Object.keys(env);
  const counters = all.filter((name) => has(name, "limit") && !has(name, "fetch"));
  return [
    ...all.filter((name) => marks.some((mark) => has(name, mark))),
    ...counters.map((name) => `limit:${name}`),
  ];
}

/** Every variable and secret as JSON. Bindings are objects with a prototype of their own. */
function variables(env) {
  const found = {};
  for (const name of Object.keys(env)) {
    const value = env[name];
    const isPlain =
      value === null ||
      typeof value !== "object" ||
      Array.isArray(value) ||
      Object.getPrototypeOf(value) === Object.prototype;
    if (isPlain && typeof value !== "function") found[name] = value;
  }
  return JSON.stringify(found);
}

/**
 * Whatever breaks on the way, this request is answered 500, and never let through. An instance that
 * trapped may have stopped in the middle of anything: the next request gets a new one.
 */
function guarded(request, env, step) {
  try {
    return step();
  } catch (error) {
    console.error("internal:", error instanceof Error ? error.stack : error);
    if (isTrap(error)) restart();
    return unanswered(request, env);
  }
}

/** A stop of the module; a stack that ran over is a RangeError. */
const isTrap = (error) => error instanceof WebAssembly.RuntimeError || error instanceof RangeError;

function restart() {
  __wbg_reset_state();
  instance += 1;
  configured = false;
}

/** A 500 of our own. */
function unanswered(request, env) {
  try {
    if (!configured) configureFrom(env);
    return own(unable("", describe(request)).split("\0"));
  } catch (error) {
    if (isTrap(error)) restart();
    return new Response(BROKEN, { status: 500, headers: BROKEN_HEADERS });
  }
}

const BROKEN = JSON.stringify({
  type: "urn:vestibule:errors#internal",
  title: "something went wrong",
  status: 500,
  error: "internal",
});
const BROKEN_HEADERS = { "content-type": "application/problem+json", "cache-control": "no-store" };
