/**
 * Explains how a request would be decided: `npm run explain -- METHOD URL [-H "Name: value"]… [--as WHO]
 * [--navigate] [--env NAME] [--config FILE] [--dev] [--json]`.
 *
 * - A URL that is only a path belongs to the first of PUBLIC_ORIGINS.
 * - WHO is `nobody`, `user`, `admin`, `agent` or the prefix of a token.
 * - `--navigate` adds the headers of a browser that opens a page.
 * - `--dev` reads `.dev.vars` as well as `wrangler.toml`.
 *
 * The crate decides, without stores: it takes sessions and tokens in the request to be live. A running deployment
 * gives the same explanation with its stores, at `POST /api/explain`.
 */

import { parseArgs } from "node:util";
import { publicOrigins, readConfiguration } from "./lib/configuration.mjs";
import { Failure, main, run } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

const USAGE =
  'usage: npm run explain -- METHOD URL [-H "Name: value"]… [--as nobody|user|admin|agent|PREFIX_] [--navigate] [--env NAME] [--config FILE] [--dev] [--json]';

/** The headers that a browser sends when it opens a page. */
const NAVIGATION = [
  ["Sec-Fetch-Mode", "navigate"],
  ["Sec-Fetch-Dest", "document"],
  ["Accept", "text/html"],
];

await main(async () => {
  const { method, url, headers, ...options } = readArguments();
  await setUp("npm");
  const { env, config, dev } = options;
  const configuration = await readConfiguration({ env, config, dev });
  const absolute = url.startsWith("/") ? firstOrigin(configuration.vars) + url : url;
  await setUp("rust");
  const input = {
    ...configuration,
    method,
    url: absolute,
    headers,
    as: options.as,
    json: options.json,
    now: Math.floor(Date.now() / 1_000),
  };
  await run("cargo", ["run", "--quiet", "--profile", "host", "--bin", "explain"], {
    input: JSON.stringify(input),
    what: "explain",
  });
});

function readArguments() {
  const options = {
    header: { type: "string", short: "H", multiple: true, default: [] },
    as: { type: "string", default: "nobody" },
    navigate: { type: "boolean", default: false },
    env: { type: "string", short: "e" },
    config: { type: "string", short: "c" },
    dev: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  };
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const [method, url, ...rest] = positionals;
    if (!url || rest.length > 0) throw new RangeError("expected a method and a URL");
    const headers = values.header.map(parseHeader);
    if (values.navigate) headers.push(...NAVIGATION);
    return { ...values, method, url, headers };
  } catch (error) {
    throw new Failure(`${error.message}\n${USAGE}`, 2);
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
