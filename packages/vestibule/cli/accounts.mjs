/**
 * Exports the users of a deployment to a file, or imports them from one (JSON Lines, sealed under `EXPORT_KEY`):
 *
 *     VESTIBULE_TOKEN=mul_… vestibule accounts export https://app.example.com users.jsonl [--resume]
 *     VESTIBULE_TOKEN=mul_… vestibule accounts import https://app.example.com users.jsonl [--dry-run]
 *
 * `--endpoints /api` is the value of `ENDPOINTS`. With `SESSION.recent_admin`, no token is enough: set
 * `VESTIBULE_COOKIE=name=value`, the session cookie of an admin who has just signed in.
 *
 * Exits with 1 if a line was not imported. Both can be repeated: `--resume` continues an export after the last whole
 * line of the file, and an import skips the users that are there.
 */

import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Failure } from "./failure.mjs";
import { batchesOf, lastWholeLine, nextOf } from "./lines.mjs";

/** Exports or imports, and returns the exit code. `command` is how the command is called, for its usage. */
export async function accounts(args, { command }) {
  const options = readArguments(args, command);
  return options.direction === "export" ? exportUsers(options) : importUsers(options);
}

async function exportUsers({ base, file, headers, resume }) {
  if (existsSync(file) && !resume)
    throw new Failure(`${file} exists: use --resume to continue it, or another name`, 2);
  let after;
  if (resume && existsSync(file)) {
    const { length, line } = lastWholeLine(read(file));
    after = line && idOf(line, file);
    truncateSync(file, length);
  }
  // Whoever has the file and the key has all hashes.
  const output = openSync(file, "a", 0o600);
  let count = 0;
  try {
    const query = after ? `&cursor=${encodeURIComponent(after)}` : "";
    let url = `${base}/users/export?limit=100${query}`;
    while (url) {
      const response = await send(url, { headers });
      const text = await response.text();
      writeSync(output, text);
      count += text.split("\n").length - 1;
      url = nextOf(response.headers.get("link"), url);
    }
  } finally {
    closeSync(output);
  }
  console.log(`${file}: ${count} users${after ? " more" : ""}`);
  return 0;
}

async function importUsers({ base, file, headers, dryRun }) {
  const sum = { added: 0, unchanged: 0, refused: 0 };
  for (const { first, lines } of batchesOf(read(file).toString("utf8"))) {
    const response = await send(`${base}/users/import?dryRun=${dryRun}`, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/jsonl" },
      body: lines.join("\n"),
    });
    const { added, unchanged, errors } = await response.json();
    sum.added += added;
    sum.unchanged += unchanged;
    sum.refused += errors.length;
    for (const { line, error, detail, member } of errors) {
      console.error(`line ${first + line - 1}: ${error}${member ? ` (${member})` : ""}: ${detail}`);
    }
  }
  const { added, unchanged, refused } = sum;
  const would = dryRun ? "would be " : "";
  console.log(`${added} ${would}added, ${unchanged} unchanged, ${refused} refused`);
  return refused > 0 ? 1 : 0;
}

function read(file) {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Failure(`cannot read ${file}: ${error.message}`, 2);
  }
}

/** Returns the user's id of an exported line. */
function idOf(line, file) {
  try {
    const { id } = JSON.parse(line);
    if (typeof id === "string") return id;
  } catch {
    // Reported below.
  }
  throw new Failure(`${file}: the last line is no exported user, so it cannot be continued`, 2);
}

/** Sends a request, and again while the deployment is busy or cannot be reached. Both commands can be repeated. */
async function send(url, init) {
  let wrong;
  for (const pause of [0, 1, 2, 4, 8]) {
    await sleep(pause * 1_000);
    let response;
    try {
      response = await fetch(url, { ...init, redirect: "manual" });
    } catch (error) {
      wrong = `cannot reach ${new URL(url).origin}: ${error.cause?.message ?? error.message}`;
      continue;
    }
    if (response.status === 200) return response;
    const body = Object(await response.json().catch(() => undefined));
    const names = [body.error, body.field, body.reason].filter(Boolean).join(" ");
    wrong = `${new URL(url).pathname} answered ${response.status} ${names}`.trim();
    if (response.status === 404) wrong += ": is EXPORT_KEY set, and --endpoints right?";
    if (response.status < 500 && response.status !== 429) break;
  }
  throw new Failure(wrong);
}

function readArguments(args, command) {
  const usage = `usage: VESTIBULE_TOKEN=mul_… ${command} export URL FILE [--resume] [--endpoints /api]
       VESTIBULE_TOKEN=mul_… ${command} import URL FILE [--dry-run] [--endpoints /api]`;
  try {
    const { values, positionals } = parseArgs({
      args,
      options: {
        "dry-run": { type: "boolean", default: false },
        resume: { type: "boolean", default: false },
        endpoints: { type: "string", default: "/api" },
      },
      allowPositionals: true,
    });
    const [direction, site, file] = positionals;
    if (!["export", "import"].includes(direction) || positionals.length !== 3)
      throw new RangeError("expected export or import, a URL and a file");
    if (values["dry-run"] && direction === "export")
      throw new RangeError("--dry-run: only for import");
    if (values.resume && direction === "import") throw new RangeError("--resume: only for export");
    if (!URL.canParse(site)) throw new RangeError(`${site}: expected a URL`);
    const url = new URL(site);
    const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal))
      throw new RangeError(`${url.origin}: expected https, because plain http exposes the token`);
    if (!values.endpoints.startsWith("/")) throw new RangeError("--endpoints: expected a path");
    const { VESTIBULE_TOKEN: token, VESTIBULE_COOKIE: cookie } = process.env;
    if (!token === !cookie)
      throw new RangeError("expected either VESTIBULE_TOKEN or VESTIBULE_COOKIE, of an admin");
    // A request with a cookie says which site it comes from, as a browser does.
    const headers = token
      ? { Authorization: `Bearer ${token}` }
      : { Cookie: cookie, Origin: url.origin, "Sec-Fetch-Site": "same-origin" };
    const { resume, "dry-run": dryRun } = values;
    return { direction, base: url.origin + values.endpoints, file, headers, resume, dryRun };
  } catch (error) {
    throw new Failure(`${error.message}\n${usage}`, 2);
  }
}
