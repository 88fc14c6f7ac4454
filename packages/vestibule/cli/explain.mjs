/** Explains how a request would be decided: the arguments are those of `vestibule explain`. */

import { parseArgs } from "node:util";
import { publicOrigins } from "./configuration.mjs";
import { Failure } from "./failure.mjs";
import { readLog, readReported } from "./log.mjs";

const USAGE =
  'METHOD URL [-H "Name: value"]… [--as nobody|user|admin|agent|PREFIX_] [--navigate] [--env NAME] [--config FILE] [--dev] [--json], or --log FILE [--reported] instead of METHOD and URL';

/** The headers that a browser sends when it opens a page. */
const NAVIGATION = [
  ["Sec-Fetch-Mode", "navigate"],
  ["Sec-Fetch-Dest", "document"],
  ["Accept", "text/html"],
];

/**
 * Prints the explanation.
 *
 * - A URL that is only a path belongs to the first of PUBLIC_ORIGINS.
 * - `--as` is `nobody`, `user`, `admin`, `agent` or the prefix of a token.
 * - `--navigate` adds the headers of a browser that opens a page.
 * - `--dev` reads `.dev.vars`, too.
 * - `--log` replays an access log instead: it prints what would be refused, by rule.
 * - `--reported` counts what report mode let through, from Vestibule's own log, and replays nothing.
 *
 * @param {string[]} args
 * @param {object} context
 * @param {string} context.command how the command is called, for its usage
 * @param {(options: object) => Promise<import("./configuration.mjs").Configuration>} context.read
 * @param {(program: string, input: string) => Promise<{ code: number, output: string }>} context.runTool
 */
export async function explain(args, { command, read, runTool }) {
  const { method, url, headers, env, config, dev, log, ...options } = readArguments(args, command);
  if (options.reported) return printReported(log, options.json);
  const replayed = log && (await readLog(log));
  const configuration = await read({ env, config, dev });
  const absolute = (path) => (path.startsWith("/") ? firstOrigin(configuration.vars) + path : path);
  const input = {
    ...configuration,
    as: options.as ?? (log ? "user" : "nobody"),
    json: options.json,
    now: Math.floor(Date.now() / 1_000),
    ...(log
      ? { requests: replayed.requests.map(([name, path, count]) => [name, absolute(path), count]) }
      : { method, url: absolute(url), headers }),
  };
  const { code, output } = await runTool(log ? "replay" : "explain", JSON.stringify(input));
  (code === 0 ? process.stdout : process.stderr).write(output);
  if (method && method !== method.toUpperCase()) {
    console.error(
      `warning: methods are case-sensitive, so a rule for ${method.toUpperCase()} does not match "${method}"`,
    );
  }
  if (replayed?.unreadable) console.error(leftOut(replayed));
  if (replayed?.isCut) console.error("the log has too many different requests: some were left out");
  return code;
}

/** Prints what report mode let through, by rule. */
async function printReported(log, asJson) {
  const { rows, requests, keptCookies, unreadable } = await readReported(log);
  if (asJson) {
    console.log(JSON.stringify(rows, undefined, 2));
  } else {
    const through = rows.reduce((sum, row) => sum + row.requests, 0);
    console.log(`${requests} requests in the log. Let through in report mode: ${through}.`);
    if (keptCookies > 0)
      console.log(`Invalid session cookies that were not expired: ${keptCookies}.`);
    const line = (count, rule, refusal, step) =>
      `${String(count).padStart(9)}  ${rule.padEnd(28)} ${refusal.padEnd(28)} ${step}`;
    if (through > 0) console.log(`\n${line("requests", "rule", "would be", "step")}`);
    for (const { requests: count, rule, status, code, step } of rows) {
      console.log(line(count, rule, `${status} ${code}`, step));
    }
  }
  if (unreadable > 0) {
    console.error(`${unreadable} lines are no requests in Vestibule's own log and were left out`);
  }
  return 0;
}

function leftOut({ requests, unreadable }) {
  const lines = unreadable === 1 ? "1 line has" : `${unreadable} lines have`;
  // Then it is probably another format, or another file.
  const formats =
    requests.length === 0
      ? ": expected the combined format of nginx and Apache, or a JSON object in each line"
      : "";
  return `${lines} no request and ${unreadable === 1 ? "was" : "were"} left out${formats}`;
}

function readArguments(args, command) {
  const options = {
    header: { type: "string", short: "H", multiple: true, default: [] },
    as: { type: "string" },
    log: { type: "string" },
    reported: { type: "boolean", default: false },
    navigate: { type: "boolean", default: false },
    env: { type: "string", short: "e" },
    config: { type: "string", short: "c" },
    dev: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  };
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const [method, url, ...rest] = positionals;
    if (values.reported && values.log === undefined) {
      throw new RangeError("--reported needs --log FILE");
    }
    if (values.log !== undefined) {
      if (method || values.header.length > 0 || values.navigate) {
        throw new RangeError("--log replaces the method, the URL and the headers");
      }
      return values;
    }
    if (!url || rest.length > 0) throw new RangeError("expected a method and a URL");
    const headers = values.header.map(parseHeader);
    if (values.navigate) headers.push(...NAVIGATION);
    return { ...values, method, url, headers };
  } catch (error) {
    throw new Failure(`${error.message}\nusage: ${command} ${USAGE}`, 2);
  }
}

/** Parses a header in curl's format. */
function parseHeader(text) {
  const at = text.indexOf(":");
  if (at < 1) throw new RangeError(`-H ${text}: expected "Name: value"`);
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

function firstOrigin(vars) {
  const [first] = publicOrigins(vars);
  if (first) return first;
  throw new Failure("PUBLIC_ORIGINS has no origin: give a URL with scheme and host", 2);
}
