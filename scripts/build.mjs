/**
 * Checks the configuration and builds the Worker and the single-page app: `npm run build`. Takes the options of
 * check-config. With `--package NAME --out FOLDER` it builds only a custom Worker that uses the crate.
 *
 * wrangler runs this script as its build command, too. A script that has just built and then starts wrangler sets
 * `VESTIBULE_BUILT` to the time of its build (milliseconds since 1970). This script then builds again only if a
 * source has changed since.
 */

import { build, buildWorker, changedSince, compileWorker } from "./lib/artefacts.mjs";
import {
  checkConfiguration,
  checkOptions,
  readConfiguration,
  readOptions,
} from "./lib/configuration.mjs";
import { Failure, main } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const built = Number(process.env.VESTIBULE_BUILT);
  if (built && !changedSince(built)) return;

  const args = process.argv.slice(2);
  if (args.some((arg) => /^--(package|out)\b/.test(arg))) return buildCustom(args);
  const options = checkOptions(args);
  options.dev ||= process.env.WRANGLER_COMMAND === "dev";
  await Promise.all([setUp("npm"), setUp("rust")]);
  const configuration = await readConfiguration(options);
  const checked = checkConfiguration(configuration).catch((error) => {
    // `wrangler dev` exits if its build fails. So the build goes on: the errors are printed above, the Worker answers
    // every request with 503, and the next change is checked again.
    if (process.env.WRANGLER_COMMAND !== "dev" || !(error instanceof Failure)) throw error;
    console.error(error.message);
  });
  await Promise.all([checked.then(() => setUp("tools")), compileWorker()]);
  await build();
});

async function buildCustom(args) {
  const options = { package: { type: "string" }, out: { type: "string" } };
  const { package: crate, out } = readOptions(args, options);
  if (!crate || !out) throw new Failure("expected both --package NAME and --out FOLDER", 2);
  await setUp("npm", "rust", "tools");
  await buildWorker({ crate, out });
}
