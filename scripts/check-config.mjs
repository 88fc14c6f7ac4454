/**
 * Judges the configuration as the Worker will: `npm run check-config -- [--env NAME] [--config FILE]
 * [--dev]`. With `--dev`, `.dev.vars` counts too, and so the secrets can be judged.
 */

import {
  checkConfiguration,
  checkOptions,
  DEFAULT_PORT,
  readConfiguration,
  unlistedWarning,
} from "./lib/configuration.mjs";
import { main } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const options = checkOptions(process.argv.slice(2));
  await setUp("npm");
  const configuration = await readConfiguration(options);
  await setUp("rust");
  await checkConfiguration(configuration);
  if (options.dev) {
    const warning = unlistedWarning(`http://localhost:${DEFAULT_PORT}`, configuration.vars);
    if (warning) console.error(`warning: ${warning}, unless you start on another PORT`);
  }
});
