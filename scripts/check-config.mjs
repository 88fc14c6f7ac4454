/**
 * Judges the configuration as the Worker will: `npm run check-config -- [--env NAME] [--config FILE]
 * [--dev]`. With `--dev`, `.dev.vars` counts too, and so the secrets can be judged.
 */

import {
  checkConfiguration,
  configurationOptions,
  readConfiguration,
} from "./lib/configuration.mjs";
import { main } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  await setUp("npm", "rust");
  await checkConfiguration(await readConfiguration(configurationOptions(process.argv.slice(2))));
});
