/**
 * Builds the npm packages in `packages/` and packs them into `build/packages`: `npm run package`. Publishes nothing.
 * The packages have the built Worker, so whoever installs them needs no Rust.
 */

import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, reproducible } from "./lib/artefacts.mjs";
import { main, run, say } from "./lib/process.mjs";
import { inProject, npmProgram, toolEnvironment } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

const FOLDER = inProject("packages/vestibule");
const dist = (name = "") => join(FOLDER, "dist", name);

await main(async () => {
  await setUp("npm", "rust", "tools");
  await build();
  rmSync(dist(), { recursive: true, force: true });
  mkdirSync(dist(), { recursive: true });
  for (const name of ["index.js", "index_bg.wasm"])
    copyFileSync(inProject("build", name), dist(name));
  cpSync(inProject("build/assets"), dist("assets"), { recursive: true });
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"])
    copyFileSync(inProject(name), join(FOLDER, name));
  await buildTools();
  await bundleCli();
  writeSchemas();
  await pack();
});

/** Compiles the programs to WebAssembly with WASI. */
async function buildTools() {
  const target = "wasm32-wasip1";
  const options = ["--bin", "tools", "--release", "--locked", "--target", target];
  const env = toolEnvironment(reproducible());
  await run("cargo", ["build", ...options], { env, what: "the build of the tools" });
  const module = inProject("target", target, "release/tools.wasm");
  const features = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
  ];
  const more = ["--enable-mutable-globals", "--enable-multivalue", "--enable-reference-types"];
  const level = ["-Oz", "--strip-debug", "--strip-producers"];
  await run(
    npmProgram("wasm-opt"),
    [...level, ...features, ...more, module, "--output", dist("tools.wasm")],
    {
      what: "wasm-opt",
    },
  );
}

/** Bundles the command line with its libraries, so that the package has no dependencies. */
async function bundleCli() {
  const entries = ["main", "wrangler-reader"].map((name) => join(FOLDER, "cli", `${name}.mjs`));
  const options = [
    "--bundle",
    "--format=esm",
    "--platform=node",
    "--target=node20",
    "--external:wrangler",
    // The ES modules of a library: its others would be bundled with calls of `require`.
    "--main-fields=module,main",
  ];
  await run(
    npmProgram("esbuild"),
    [
      ...entries,
      ...options,
      "--log-level=warning",
      "--out-extension:.js=.mjs",
      `--outdir=${dist()}`,
    ],
    { what: "esbuild" },
  );
}

/** `vestibule.json` is the JSON Schema of the configuration. `wrangler.json` adds wrangler's own. */
function writeSchemas() {
  const folder = join(FOLDER, "schema");
  mkdirSync(folder, { recursive: true });
  copyFileSync(inProject("docs/wrangler.schema.json"), join(folder, "vestibule.json"));
  const all = ["../../wrangler/config-schema.json", "./vestibule.json"].map(($ref) => ({ $ref }));
  const schema = { $schema: "http://json-schema.org/draft-07/schema#", allOf: all };
  writeFileSync(join(folder, "wrangler.json"), `${JSON.stringify(schema, null, 2)}\n`);
}

async function pack() {
  const out = inProject("build/packages");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const name of ["vestibule", "create-vestibule"]) {
    const options = ["pack", "--silent", "--pack-destination", out];
    await run("npm", options, { cwd: inProject("packages", name), what: `npm pack of ${name}` });
    const { version } = JSON.parse(
      readFileSync(inProject("packages", name, "package.json"), "utf8"),
    );
    const kib = (readFileSync(join(out, `${name}-${version}.tgz`)).length / 1_024).toFixed(1);
    say(`build/packages/${name}-${version}.tgz: ${kib} KiB`);
  }
  const tools = gzipSync(readFileSync(dist("tools.wasm"))).length;
  say(`of which the checker and explain: ${(tools / 1_024).toFixed(1)} KiB`);
}
