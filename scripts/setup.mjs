/**
 * Brings a fresh clone to where it can build, run and test: `node scripts/setup.mjs`. The other
 * scripts do the part they need by themselves. What is already in place is left alone, in silence.
 */

import { isMain, main } from "./lib/process.mjs";
import { setUpChromium } from "./setup/chromium.mjs";
import { setUpDevVars } from "./setup/dev-vars.mjs";
import { setUpNpm } from "./setup/npm.mjs";
import { setUpRust } from "./setup/rust.mjs";
import { setUpSchemathesis } from "./setup/schemathesis.mjs";
import { setUpTools } from "./setup/tools.mjs";

const STEPS = {
  npm: setUpNpm,
  rust: setUpRust,
  tools: setUpTools,
  chromium: setUpChromium,
  schemathesis: setUpSchemathesis,
  "dev-vars": setUpDevVars,
};

/** Does these steps in this order. */
export async function setUp(...names) {
  for (const name of names) await STEPS[name]();
}

if (isMain(import.meta.url)) await main(() => setUp(...Object.keys(STEPS)));
