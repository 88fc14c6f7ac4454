/**
 * Tests applications of real frameworks behind the built Worker, in Chromium: `npm run test:frameworks`. Installs what
 * the tests need; the packages of the applications go into `target/frameworks`. `-- --only NAME[,NAME]` runs only the
 * named ones.
 */

import { existsSync } from "node:fs";
import { main, run } from "./lib/process.mjs";
import { inProject, npmProgram } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  await setUp("npm", "chromium");
  if (!existsSync(inProject("build/index_bg.wasm"))) {
    await run(npmProgram("node"), [inProject("scripts/build.mjs")], { what: "the build" });
  }
  await run(npmProgram("node"), [inProject("tests/frameworks/run.mjs"), ...process.argv.slice(2)], {
    what: "the framework tests",
  });
});
