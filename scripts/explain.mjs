/**
 * Says what would become of a request, and why: `npm run explain -- METHOD URL [-H "Name: value"]… [--as WHO]
 * [--navigate] [--env NAME] [--config FILE] [--dev] [--json]`. A path alone is one of the first of PUBLIC_ORIGINS.
 * With `--navigate` it is a browser's that goes there, and not a script's or a program's.
 *
 * The crate itself decides, from `wrangler.toml`; with `--dev`, `.dev.vars` counts too. There are no stores: sessions
 * and tokens that are shown are taken to be live. WHO is `nobody`, `user`, `admin`, `agent` or a token's prefix. A
 * running deployment answers the same, by its stores, at `POST /api/explain`.
 */

import { parseArgs } from "node:util";
import { publicOrigins, readConfiguration } from "./lib/configuration.mjs";
import { Failure, main, run } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

const USAGE =
  'usage: npm run explain -- METHOD URL [-H "Name: value"]… [--as nobody|user|admin|agent|PREFIX_] [--navigate] [--env NAME] [--config FILE] [--dev] [--json]';

/** What a browser says of a request by which a page is opened. */
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
  const whole = url.startsWith("/") ? firstOrigin(configuration.vars) + url : url;
  await setUp("rust");
  const input = {
    ...configuration,
    method,
    url: whole,
    headers,
    as: options.as,
    json: options.json,
    now: Math.floor(Date.now() / 1_000),
  };
  await run("cargo", ["run", "--quiet", "--profile", "host", "--bin", "explain"], {
    input: JSON.stringify(input),
    what: "the explanation",
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
    const headers = values.header.map(pairOf);
    if (values.navigate) headers.push(...NAVIGATION);
    return { ...values, method, url, headers };
  } catch (error) {
    throw new Failure(`${error.message}\n${USAGE}`, 2);
  }
}

/** A header as curl takes it. */
function pairOf(text) {
  const at = text.indexOf(":");
  if (at < 1) throw new RangeError(`-H ${text}: expected "Name: value"`);
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

function firstOrigin(vars) {
  const [first] = publicOrigins(vars);
  if (first) return first;
  throw new Failure("PUBLIC_ORIGINS names none, so the URL must be a whole one", 2);
}
