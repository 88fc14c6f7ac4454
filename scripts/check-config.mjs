/**
 * Checks the configuration with the code of the Worker: `npm run check-config -- [--env NAME] [--config FILE] [--dev]`.
 * With `--dev` it reads `.dev.vars` as well, and so checks the secrets, too.
 */

import {
  checkConfiguration,
  checkOptions,
  DEFAULT_PORT,
  readConfiguration,
  unlistedOriginWarning,
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
    const warning = unlistedOriginWarning(`http://localhost:${DEFAULT_PORT}`, configuration.vars);
    if (warning) console.error(`warning: ${warning} (ignore this if you set PORT)`);
  }
});
