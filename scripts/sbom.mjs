/**
 * Writes bills of materials in CycloneDX to `build/sbom`: `npm run sbom`.
 *
 * - `worker.cdx.json`: the crates of which the Worker's module is built, by cargo-cyclonedx;
 * - `packages.cdx.json`: the npm packages of the lock file, by npm. The published files contain those of `www` and of
 *   the command line, bundled.
 */

import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Failure, main, outputOf, run, say } from "./lib/process.mjs";
import { inProject } from "./lib/project.mjs";
import { cargoTool } from "./setup/cargo-tools.mjs";

const FOLDER = inProject("build/sbom");

await main(async () => {
  mkdirSync(FOLDER, { recursive: true });
  await writeCrates();
  await writePackages();
});

async function writeCrates() {
  const cyclonedx = await cargoTool("cargo-cyclonedx");
  const file = "vestibule-sbom";
  const target = ["--target", "wasm32-unknown-unknown", "--no-build-deps"];
  const options = ["--format", "json", "--spec-version", "1.5", "--override-filename", file];
  await run(cyclonedx, ["cyclonedx", "--quiet", ...options, ...target], {
    what: "cargo cyclonedx",
  });
  // It writes one file beside each manifest of the workspace.
  for (const member of ["examples/custom-policy", "tests/conformance/reader"]) {
    rmSync(inProject(`${member}/${file}.json`), { force: true });
  }
  renameSync(inProject(`${file}.json`), `${FOLDER}/worker.cdx.json`);
  say("build/sbom/worker.cdx.json");
}

async function writePackages() {
  const text = await outputOf("npm", ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"]);
  if (!text) throw new Failure("npm sbom failed");
  writeFileSync(`${FOLDER}/packages.cdx.json`, `${text}\n`);
  say("build/sbom/packages.cdx.json");
}
