/**
 * Tests the applications of all recipes behind the built Worker: `npm run test:frameworks`. Installs what the tests need;
 * the packages of the applications go into `target/frameworks`. `-- --only NAME[,NAME]` runs only the named ones.
 */

import { existsSync, readdirSync } from "node:fs";
import { readFrameworks } from "../tests/frameworks/support/frameworks.mjs";
import { readOptions } from "./lib/configuration.mjs";
import { closingLine, countNode } from "./lib/counting.mjs";
import { Failure, launch, main, run, say } from "./lib/process.mjs";
import { inProject, npmProgram } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

await main(async () => {
  const { only } = readOptions(process.argv.slice(2), { only: { type: "string" } });
  const { inBrowser, byCode } = await choose(only?.split(","));
  await setUp("npm", ...(inBrowser.length > 0 ? ["chromium"] : []));
  if (byCode.some((name) => name !== "hono")) await setUp("languages");
  if (!existsSync(inProject("build/index_bg.wasm"))) {
    await run(npmProgram("node"), [inProject("scripts/build.mjs")], { what: "the build" });
  }
  const codes = [];
  if (byCode.length > 0) codes.push(await testRecipes(byCode));
  if (inBrowser.length > 0) {
    const args = [inProject("tests/frameworks/run.mjs"), "--only", inBrowser.join(",")];
    codes.push((await launch(npmProgram("node"), args).done).code);
  }
  return Math.max(...codes);
});

/** Sorts the names: applications that are used in Chromium, and recipes whose code is on the page. */
async function choose(names) {
  const inBrowser = (await readFrameworks()).map(({ name }) => name);
  const byCode = readdirSync(inProject("tests/recipes"))
    .filter((file) => file.endsWith(".test.mjs"))
    .map((file) => file.replace(".test.mjs", ""));
  const all = [...byCode, ...inBrowser];
  const unknown = names?.find((name) => !all.includes(name));
  if (unknown !== undefined) {
    throw new Failure(
      `no framework is called "${unknown}"\nThe frameworks are: ${all.join(" ")}`,
      2,
    );
  }
  const isWanted = (name) => !names || names.includes(name);
  return { inBrowser: inBrowser.filter(isWanted), byCode: byCode.filter(isWanted) };
}

async function testRecipes(names) {
  say(`recipes whose code is on the page: ${names.join(" ")}`);
  let output = "";
  const files = names.map((name) => inProject(`tests/recipes/${name}.test.mjs`));
  const options = ["--test", "--test-reporter=spec", "--test-concurrency=1"];
  const { code } = await launch(npmProgram("node"), [...options, ...files], {
    onOutput: (text) => {
      output += text;
    },
  }).done;
  console.log(closingLine([countNode(output, code)]));
  return code;
}
