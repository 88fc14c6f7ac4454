/**
 * Builds what is deployed, after a look at the configuration: `npm run build`. Takes the options of
 * check-config.
 *
 * It is wrangler's build command as well. A script that has just built and then calls wrangler says
 * when in `VESTIBULE_BUILT` (milliseconds since 1970), and only what changed since is built again.
 */

import { build, changedSince } from "./lib/artefacts.mjs";
import { checkConfiguration, checkOptions, readConfiguration } from "./lib/configuration.mjs";
import { main } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const built = Number(process.env.VESTIBULE_BUILT);
  if (built && !changedSince(built)) return;

  const options = checkOptions(process.argv.slice(2));
  options.dev ||= process.env.WRANGLER_COMMAND === "dev";
  await setUp("npm", "rust", "tools");
  await checkConfiguration(await readConfiguration(options));
  await build();
});
