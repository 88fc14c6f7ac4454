/** The option `--upstream`, and whether something listens there. */

import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "./failure.mjs";

/**
 * Parses the origin of the application.
 *
 * @param {string} text
 * @param {string} [site] where Vestibule itself will be
 * @returns {string} the origin
 */
export function parseUpstream(text, site) {
  const wrong = (why) => new Failure(`--upstream ${text}: ${why}`, 2);
  const example = "expected an origin, such as http://localhost:5173";
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    const guess = `http://${text}`;
    const isHost = /^[\w.-]+:\d+$/.test(text) && URL.canParse(guess);
    throw wrong(isHost ? `expected an origin: did you mean ${guess}?` : example);
  }
  const { origin, pathname, search, hash, username, password } = new URL(text);
  if (username || password) throw wrong(`${example}, without a user name and password`);
  if (pathname !== "/" || search || hash) {
    throw wrong(`expected an origin without a path: did you mean ${origin}?`);
  }
  const own = site && new URL(site);
  if (own && LOOPBACK.map((host) => `http://${host}:${own.port || 80}`).includes(origin)) {
    throw wrong("Vestibule itself is there: expected the address of your application");
  }
  return origin;
}

/** Returns the origin in a value of `UPSTREAM`, which may be a table. In `.dev.vars`, a table is a JSON string. */
export function originOf(value) {
  try {
    const table = typeof value === "string" && value.startsWith("{") ? JSON.parse(value) : value;
    const text = typeof table === "string" ? table : table?.origin;
    return URL.canParse(text) ? new URL(text).origin : undefined;
  } catch {
    return undefined; // Invalid JSON: the checker reports it.
  }
}

/** Takes an option with a value out of the arguments for another program. The last one counts. */
export function takeOption(args, name) {
  const rest = [];
  let value;
  for (let at = 0; at < args.length; at += 1) {
    if (args[at] === name) {
      at += 1;
      value = args[at] ?? "";
    } else if (args[at].startsWith(`${name}=`)) value = args[at].slice(name.length + 1);
    else rest.push(args[at]);
  }
  return { args: rest, value };
}

/**
 * Says if nothing listens at an origin of this machine, and later, once something does. Does not wait for it. Other
 * machines are not asked.
 *
 * @param {string} origin
 * @param {(line: string) => void} [print]
 */
export async function announce(origin, print = console.error) {
  const { hostname, port, protocol } = new URL(origin);
  if (!LOOPBACK.includes(hostname)) return;
  const at = Number(port || (protocol === "https:" ? 443 : 80));
  if (await isListening(hostname, at)) return;
  const other = await firstListening(at);
  if (other) {
    print(
      `warning: nothing listens at ${origin}, but at ${protocol}//${other}:${at}: start your application on ${hostname}, or set UPSTREAM to ${protocol}//localhost:${at}`,
    );
    return;
  }
  print(
    `warning: nothing listens at ${origin} yet: until your application does, requests to it are answered 502 upstream_failed`,
  );
  whenListening(hostname, at).then(() => print(`your application now listens at ${origin}`));
}

/** Waits until a port is open. Does not keep the process alive. */
async function whenListening(host, port) {
  do await sleep(500, undefined, { ref: false });
  while (!(await isListening(host, port)));
}

async function firstListening(port) {
  for (const host of LOOPBACK) if (await isListening(host, port)) return host;
}

/** Returns whether a port of this machine is open. Node tries all addresses of a name. */
export function isListening(hostname, port) {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];
