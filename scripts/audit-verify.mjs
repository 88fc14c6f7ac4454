/**
 * Verifies the audit trail of a deployment: `VESTIBULE_TOKEN=mul_… npm run audit-verify -- https://app.example.com
 * [--days N] [--endpoints /api]`, the last one as `ENDPOINTS` has it. Prints each chain's rows and head for today and the days before (7 in all), and exits with 1 where one
 * does not hold. Kept elsewhere, the heads show later that no end was cut off.
 */

import { parseArgs } from "node:util";
import { Failure, main } from "./lib/process.mjs";

await main(async () => {
  const { base, days, token } = readArguments();
  let [broken, all] = [0, 0];
  for (let back = 0; back < days; back += 1) {
    const day = new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);
    const chains = await verified(base, day, token);
    // Further back nothing is kept.
    if (!chains) break;
    for (const chain of chains) {
      const { shard, rows, head } = chain;
      if (chain.broken) {
        broken += 1;
        console.log(`${day}.${shard}  BROKEN at row ${chain.broken.seq}: ${chain.broken.why}`);
      } else if (rows > 0) console.log(`${day}.${shard}  ${rows} rows  ${head}`);
      all += rows;
    }
  }
  const told = broken > 0 ? `${broken} chains are broken` : `every chain holds: ${all} rows`;
  console.log(all + broken > 0 ? told : "there are no rows");
  return broken > 0 ? 1 : 0;
});

async function verified(base, day, token) {
  const headers = { Authorization: `Bearer ${token}` };
  const url = new URL(`${base}/audit/verify?day=${day}`);
  let response;
  try {
    response = await fetch(url, { headers, redirect: "manual" });
  } catch (error) {
    throw new Failure(`${url.origin} cannot be reached: ${error.cause?.message ?? error.message}`);
  }
  const told = Object(await response.json().catch(() => undefined));
  if (response.status === 400 && told?.field === "day") return;
  if (response.status !== 200 || !Array.isArray(told.chains)) {
    throw new Failure(`${url} answers ${response.status}${told.error ? ` ${told.error}` : ""}`);
  }
  return told.chains;
}

function readArguments() {
  const usage =
    "usage: VESTIBULE_TOKEN=mul_… npm run audit-verify -- URL [--days N] [--endpoints /api]";
  const token = process.env.VESTIBULE_TOKEN;
  try {
    const options = {
      days: { type: "string", default: "7" },
      endpoints: { type: "string", default: "/api" },
    };
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const days = Number(values.days);
    if (positionals.length !== 1) throw new RangeError("expected one URL");
    if (!Number.isInteger(days) || days < 1 || days > 3_650)
      throw new RangeError(`--days ${values.days}: expected 1 to 3650`);
    if (!token) throw new RangeError("VESTIBULE_TOKEN: expected the token of an admin");
    const url = new URL(positionals[0]);
    const isHere = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isHere))
      throw new RangeError(`${url.origin}: expected https, or the token would travel in the clear`);
    if (!values.endpoints.startsWith("/")) throw new RangeError("--endpoints: expected a path");
    return { base: url.origin + values.endpoints, days, token };
  } catch (error) {
    throw new Failure(`${error.message}\n${usage}`, 2);
  }
}
