/**
 * Builds what is deployed, after a look at the configuration: `npm run build`. Takes the options of
 * check-config. With `--package NAME --out FOLDER` it builds a Worker of one's own on the crate, and nothing else.
 *
 * It is wrangler's build command as well. A script that has just built and then calls wrangler says
 * when in `VESTIBULE_BUILT` (milliseconds since 1970), and only what changed since is built again.
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
  if (args.some((arg) => /^--(package|out)\b/.test(arg))) return buildOwn(args);
  const options = checkOptions(args);
  options.dev ||= process.env.WRANGLER_COMMAND === "dev";
  await Promise.all([setUp("npm"), setUp("rust")]);
  const configuration = await readConfiguration(options);
  const checked = checkConfiguration(configuration).catch((mistakes) => {
    // `wrangler dev` ends where its build fails. What is wrong is said above, the Worker answers 503 to everything,
    // and the next change is looked at again.
    if (process.env.WRANGLER_COMMAND !== "dev" || !(mistakes instanceof Failure)) throw mistakes;
    console.error(mistakes.message);
  });
  await Promise.all([checked.then(() => setUp("tools")), compileWorker()]);
  await build();
});

async function buildOwn(args) {
  const options = { package: { type: "string" }, out: { type: "string" } };
  const { package: crate, out } = readOptions(args, options);
  if (!crate || !out) throw new Failure("expected both --package NAME and --out FOLDER", 2);
  await setUp("npm", "rust", "tools");
  await buildWorker({ crate, out });
}
