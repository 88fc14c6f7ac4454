/**
 * Sends requests of all kinds while faults are injected, and compares the answers with what upstream saw: `npm run soak`.
 * Exits with 1 if an invariant is broken. See bench/README.md.
 *
 * - `-- --minutes N`: how long; 10 if missing
 * - `-- --clients N`: clients at the same time; 24 if missing
 * - `-- --kills N`: how often workerd is killed in the first half; 3 for each minute if missing
 * - `-- --seed N`: of the random choices; another one each time if missing
 */

import { parseArgs } from "node:util";
import { build, changedSince } from "./lib/artefacts.mjs";
import { Failure, main } from "./lib/process.mjs";
import { inProject, lastChange } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      clients: { type: "string", default: "24" },
      kills: { type: "string" },
      seed: { type: "string", default: String(Date.now() % 1_000_000_007) },
    },
  });
  const minutes = numberOf("minutes", values.minutes);
  const seed = numberOf("seed", values.seed);
  const clients = numberOf("clients", values.clients);
  const kills = numberOf("kills", values.kills ?? Math.ceil(minutes * 3));
  await setUp("npm", "rust", "tools");
  if (
    changedSince(
      lastChange(["build/index.js", "build/index_bg.wasm"].map((name) => inProject(name))),
    )
  ) {
    await build();
  }
  // These modules import packages that the setup installs.
  const { soak } = await import("../bench/soak/soak.mjs");
  const { report } = await import("../bench/soak/report.mjs");
  const result = await soak({ seconds: minutes * 60, kills, clients, seed, patience: 300 });
  console.log(report(result, seed));
  return result.book.broken.length > 0 ? 1 : 0;
});

function numberOf(name, text) {
  const number = Number(text);
  if (!(number > 0)) throw new Failure(`--${name}: expected a number above 0`);
  return number;
}
