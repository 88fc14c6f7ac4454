/**
 * The documentation site: `npm run docs` shows it while you write, `npm run docs:build` builds it in `site/dist`. Takes
 * the options of VitePress, such as `-- --base /vestibule/`. Its packages go into `site/node_modules`.
 */

import { main, run } from "./lib/process.mjs";
import { inProject, npmProgram } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const [first, ...rest] = process.argv.slice(2);
  const args = first === "build" ? ["build", ...rest] : ["dev", ...process.argv.slice(2)];
  await setUp("npm", "site");
  const vitepress = inProject("site/node_modules/vitepress/bin/vitepress.js");
  await run(npmProgram("node"), [vitepress, ...args], {
    cwd: inProject("site"),
    what: "VitePress",
  });
});
