/**
 * Installs everything that a fresh clone needs to build, run and test: `node scripts/setup.mjs`. The other scripts run
 * the steps that they need. A step does nothing, and prints nothing, if its part is already installed.
 */

import { isMain, main } from "./lib/process.mjs";
import { setUpChromium } from "./setup/chromium.mjs";
import { setUpDevVars } from "./setup/dev-vars.mjs";
import { setUpLanguages } from "./setup/languages.mjs";
import { setUpNpm } from "./setup/npm.mjs";
import { setUpRust } from "./setup/rust.mjs";
import { setUpSchemathesis } from "./setup/schemathesis.mjs";
import { setUpSite } from "./setup/site.mjs";
import { setUpTools } from "./setup/tools.mjs";

const STEPS = {
  npm: setUpNpm,
  rust: setUpRust,
  tools: setUpTools,
  chromium: setUpChromium,
  schemathesis: setUpSchemathesis,
  languages: setUpLanguages,
  "dev-vars": setUpDevVars,
  site: setUpSite,
};

/** Runs these steps in this order. */
export async function setUp(...names) {
  for (const name of names) await STEPS[name]();
}

// Only `npm run test:frameworks` needs them.
const OPTIONAL = ["languages"];

if (isMain(import.meta.url)) {
  await main(() => setUp(...Object.keys(STEPS).filter((name) => !OPTIONAL.includes(name))));
}
