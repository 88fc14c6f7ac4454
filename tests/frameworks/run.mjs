// Tests each framework's application behind the built Worker in Chromium. The exit code is 1 if a step failed.
// `--only NAME[,NAME]` tests only these frameworks.

import { parseArgs } from "node:util";
import { closingLine } from "../../scripts/lib/counting.mjs";
import { Failure, main, say } from "../../scripts/lib/process.mjs";
import { prepare, startApp } from "./support/app.mjs";
import { launchBrowser } from "./support/browser.mjs";
import { readFrameworks } from "./support/frameworks.mjs";
import { chooseOrigin, openGateway } from "./support/gateway.mjs";
import { runSteps, STEPS } from "./support/steps.mjs";
import { table } from "./support/table.mjs";

await main(async () => {
  const frameworks = await chooseFrameworks();
  const browser = await launchBrowser();
  const results = [];
  for (const framework of frameworks) {
    const started = performance.now();
    say(`${framework.name}: ${framework.title}`);
    const outcomes = await testFramework(framework, browser);
    results.push({ framework, outcomes, seconds: (performance.now() - started) / 1_000 });
  }
  await browser.close();
  console.log(`\n${table(STEPS, results)}\n`);
  const all = results.flatMap(({ outcomes }) => Object.values(outcomes));
  const count = (status) => all.filter((outcome) => outcome.status === status).length;
  const counts = { passed: count("ok"), failed: count("failed"), skipped: 0 };
  console.log(closingLine([counts]));
  return counts.failed > 0 ? 1 : 0;
});

async function chooseFrameworks() {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  const frameworks = await readFrameworks();
  const names = values.only?.split(",") ?? frameworks.map(({ name }) => name);
  const unknown = names.find((name) => !frameworks.some((framework) => framework.name === name));
  if (unknown) {
    const known = frameworks.map(({ name }) => name).join(" ");
    throw new Failure(`no framework is called "${unknown}"\nThe frameworks are: ${known}`, 2);
  }
  return frameworks.filter(({ name }) => names.includes(name));
}

// Installs, builds, starts and tests one framework. If it does not start, `start` is the only step, and it failed.
async function testFramework(framework, browser) {
  const closers = [];
  try {
    const origin = await chooseOrigin(framework);
    await prepare(framework, origin);
    const app = await startApp(framework, origin);
    closers.push(app.stop);
    const gateway = await openGateway(framework, app, origin);
    closers.push(gateway.stop);
    return await runSteps(framework, gateway, browser);
  } catch (error) {
    console.error(error);
    return { start: { status: "failed", why: error.message } };
  } finally {
    for (const close of closers.reverse()) await close();
  }
}
