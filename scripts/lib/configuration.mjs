/** The configuration of this repository: read with wrangler, checked with the crate, which is built natively. */

import * as shared from "../../packages/vestibule/cli/configuration.mjs";
import { Failure, launch, say } from "./process.mjs";
import { inProject, lastChange, npmProgram } from "./project.mjs";

export {
  checkOptions,
  configurationOptions,
  keepsAccounts,
  missingPagesWarning,
  publicOrigins,
  readOptions,
  separateSecrets,
  unlistedOriginWarning,
  withPosition,
} from "../../packages/vestibule/cli/configuration.mjs";

/** Reads `wrangler.toml` or another file, with the checkout's own Node. */
export function readConfiguration({ config = inProject("wrangler.toml"), ...options } = {}) {
  return shared.readConfiguration({ ...options, config, node: npmProgram("node") });
}

/** Checks a configuration. Fails if there is a mistake. */
export async function checkConfiguration(configuration) {
  if (lastChange([inProject("target/host/tools")]) === 0) {
    say("building the configuration checker (once)");
  }
  await shared.checkConfiguration(configuration, runTool);
}

/** Runs one of the crate's programs natively. */
export async function runTool(program, input) {
  let output = "";
  const args = ["run", "--quiet", "--profile", "host", "--bin", "tools", program];
  const { code, error } = await launch("cargo", args, {
    input,
    silent: true,
    onOutput: (text) => {
      output += text;
    },
  }).done;
  if (error) throw new Failure(`${program}: ${error.message}`);
  return { code, output };
}

/** The port of the Worker under `npm start`, unless `PORT` is set. */
export const DEFAULT_PORT = 8787;
