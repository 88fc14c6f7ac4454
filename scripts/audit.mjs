/**
 * Checks the dependencies: `npm run audit`. For crates: known vulnerabilities, licences, sources and yanked versions
 * (deny.toml). For npm packages: known vulnerabilities of what the published packages contain.
 *
 * `-- --offline` checks licences and sources only, without the databases of vulnerabilities.
 */

import { parseArgs } from "node:util";
import { Failure, main, run, say } from "./lib/process.mjs";
import { cargoTool } from "./setup/cargo-tools.mjs";

await main(async () => {
  const offline = readArguments();
  const deny = await cargoTool("cargo-deny");
  const checks = offline ? ["licenses", "bans", "sources"] : ["all"];
  // Two versions of a crate are a warning. Its graph is long, and says nothing about safety.
  const quiet = ["--hide-inclusion-graph", "--allow", "duplicate"];
  say(`crates: ${checks.join(", ")}`);
  await run(deny, ["--locked", "check", ...quiet, ...checks], { what: "cargo deny" });
  if (offline) return;
  say("npm packages: vulnerabilities");
  await run("npm", ["audit", "--audit-level=moderate"], { what: "npm audit" });
});

function readArguments() {
  try {
    return parseArgs({ options: { offline: { type: "boolean", default: false } } }).values.offline;
  } catch (error) {
    throw new Failure(`${error.message}\nusage: npm run audit [-- --offline]`, 2);
  }
}
