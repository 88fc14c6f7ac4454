/**
 * Verifies the audit trail of a deployment:
 *
 *     VESTIBULE_TOKEN=mul_… vestibule audit-verify https://app.example.com [--days N] [--endpoints /api]
 *
 * Prints the number of rows and the head of each chain, for the last N days including today (default 7). Exits with 1
 * if a chain is broken. `--endpoints` is the value of `ENDPOINTS`. Store the heads elsewhere: they reveal later whether
 * the end of a chain was cut off.
 */

import { parseArgs } from "node:util";
import { Failure } from "./failure.mjs";

/** Verifies the trail and returns the exit code. `command` is how the command is called, for its usage. */
export async function auditVerify(args, { command }) {
  const { base, days, token } = readArguments(args, command);
  let [broken, total] = [0, 0];
  for (let daysAgo = 0; daysAgo < days; daysAgo += 1) {
    const day = new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10);
    const chains = await verifyDay(base, day, token);
    // Older rows are no longer kept.
    if (!chains) break;
    for (const chain of chains) {
      const { shard, rows, head } = chain;
      if (chain.broken) {
        broken += 1;
        console.log(`${day}.${shard}  BROKEN at row ${chain.broken.seq}: ${chain.broken.why}`);
      } else if (rows > 0) console.log(`${day}.${shard}  ${rows} rows  ${head}`);
      total += rows;
    }
  }
  const result = broken > 0 ? `broken chains: ${broken}` : `all chains are intact: ${total} rows`;
  console.log(total + broken > 0 ? result : "no rows found");
  return broken > 0 ? 1 : 0;
}

/** Returns the chains of a day, or undefined if the deployment keeps no rows of that day any more. */
async function verifyDay(base, day, token) {
  const headers = { Authorization: `Bearer ${token}` };
  const url = new URL(`${base}/audit/verify?day=${day}`);
  let response;
  try {
    response = await fetch(url, { headers, redirect: "manual" });
  } catch (error) {
    throw new Failure(`cannot reach ${url.origin}: ${error.cause?.message ?? error.message}`);
  }
  const body = Object(await response.json().catch(() => undefined));
  if (response.status === 400 && body.field === "day") return;
  if (response.status !== 200 || !Array.isArray(body.chains)) {
    throw new Failure(`${url} answered ${response.status}${body.error ? ` ${body.error}` : ""}`);
  }
  return body.chains;
}

function readArguments(args, command) {
  const usage = `usage: VESTIBULE_TOKEN=mul_… ${command} URL [--days N] [--endpoints /api]`;
  const token = process.env.VESTIBULE_TOKEN;
  try {
    const options = {
      days: { type: "string", default: "7" },
      endpoints: { type: "string", default: "/api" },
    };
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const days = Number(values.days);
    if (positionals.length !== 1) throw new RangeError("expected one URL");
    if (!Number.isInteger(days) || days < 1 || days > 3_650)
      throw new RangeError(`--days ${values.days}: expected 1 to 3650`);
    if (!token) throw new RangeError("VESTIBULE_TOKEN: expected an admin's token");
    const url = new URL(positionals[0]);
    const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal))
      throw new RangeError(`${url.origin}: expected https, because plain http exposes the token`);
    if (!values.endpoints.startsWith("/")) throw new RangeError("--endpoints: expected a path");
    return { base: url.origin + values.endpoints, days, token };
  } catch (error) {
    throw new Failure(`${error.message}\n${usage}`, 2);
  }
}
