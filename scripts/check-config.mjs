/**
 * Judges the configuration as the Worker will: `npm run check-config -- [--env NAME] [--config FILE]
 * [--dev]`. With `--dev`, `.dev.vars` counts too, and so the secrets can be judged.
 */

import { checkConfiguration, checkOptions, readConfiguration } from "./lib/configuration.mjs";
import { main } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const options = checkOptions(process.argv.slice(2));
  await setUp("npm");
  const configuration = await readConfiguration(options);
  await setUp("rust");
  await checkConfiguration(configuration);
});
