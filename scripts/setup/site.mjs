/** Installs the packages of the documentation site into `site/node_modules`. Only the site needs them. */

import { say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";
import { installPackages, packagesAreCurrent, writeStamp } from "./npm.mjs";

export async function setUpSite() {
  const at = (...parts) => inProject("site", ...parts);
  if (!packagesAreCurrent(at)) {
    say("installing the packages of the documentation site");
    await installPackages(at());
  }
  writeStamp(at);
}
