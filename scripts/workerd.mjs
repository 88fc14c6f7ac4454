/**
 * Builds a folder that runs Vestibule on a server of one's own, without Cloudflare: `npm run build:workerd`. It has
 * workerd, its configuration, the Worker and the pages, and no secret. Takes `--out FOLDER` (`build/workerd`) and the
 * options of check-config. See deploy/README.md.
 */

import { build } from "./lib/artefacts.mjs";
import { checkConfiguration, readConfiguration, readOptions } from "./lib/configuration.mjs";
import { main, say } from "./lib/process.mjs";
import { inProject } from "./lib/project.mjs";
import { writeServer } from "./lib/workerd.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const { out, ...options } = readArguments();
  await setUp("npm", "rust", "tools");
  const configuration = await readConfiguration(options);
  await checkConfiguration(configuration);
  await build();
  writeServer(configuration, out);
  say(`${out} is ready: deploy/README.md says how to run it`);
});

function readArguments() {
  const { out, env, config } = readOptions(process.argv.slice(2), {
    out: { type: "string", default: inProject("build/workerd") },
    env: { type: "string", short: "e" },
    config: { type: "string", short: "c" },
  });
  return { out, env, config };
}
