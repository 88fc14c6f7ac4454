/** Checks the configuration, builds and deploys: `npm run deploy -- [options of wrangler]`. */

import { build } from "./lib/artefacts.mjs";
import {
  checkConfiguration,
  configurationOptions,
  readConfiguration,
} from "./lib/configuration.mjs";
import { main, run } from "./lib/process.mjs";
import { npmProgram, toolEnvironment } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const args = process.argv.slice(2);
  await setUp("npm", "rust", "tools");
  const started = Date.now();
  await checkConfiguration(await readConfiguration({ ...configurationOptions(args), dev: false }));
  await build();
  await run(npmProgram("wrangler"), ["deploy", ...args], {
    env: toolEnvironment({ VESTIBULE_BUILT: String(started) }),
    stdio: "inherit", // wrangler may ask you to log in.
    what: "wrangler deploy",
  });
});
