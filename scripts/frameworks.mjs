/**
 * Walks real applications behind the built Worker in Chromium: `npm run test:frameworks`. Sets up what it needs; the
 * applications' own packages go into `target/frameworks`. `-- --only NAME[,NAME]` walks those named.
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
    what: "the walk",
  });
});
