import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { inProject } from "../lib/project.mjs";
import { choose } from "../lib/suites.mjs";
import { freshDevVars, missingSecrets, setUpDevVars } from "../setup/dev-vars.mjs";
import { missesOnlyUnavailable, packagesAreCurrent } from "../setup/npm.mjs";
import { parseToolchain } from "../setup/rust.mjs";
import { lockedVersion } from "../setup/tools.mjs";

function temporary(t) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return (...parts) => join(folder, ...parts);
}

test("packages are current if npm's record is not older than the lock file", (t) => {
  const at = temporary(t);
  writeFileSync(at("package-lock.json"), "{}");
  assert.equal(packagesAreCurrent(at), false);
  mkdirSync(at("node_modules"));
  writeFileSync(at("node_modules/.package-lock.json"), "{}");
  assert.equal(packagesAreCurrent(at), true);
  utimesSync(at("node_modules/.package-lock.json"), 0, 0);
  assert.equal(packagesAreCurrent(at), false);
});

for (const [name, output, want] of [
  ["a package is unavailable", "npm error Missing: @biomejs/cli-darwin-x64@ from lock file", true],
  ["the lock file is out of date", "npm error Missing: left-pad@1.3.0 from lock file", false],
  [
    "both",
    "npm error Missing: a@ from lock file\nnpm error Missing: b@1.0.0 from lock file",
    false,
  ],
  ["a version changed", "npm error Invalid: lock file's a@1.0.0 does not satisfy a@2.0.0", false],
  ["another error", "npm error code ENOSPC", false],
]) {
  test(`missesOnlyUnavailable is ${want}: ${name}`, () =>
    assert.equal(missesOnlyUnavailable(output), want));
}

test("parseToolchain reads the channel, components and targets", () => {
  const text = '[toolchain]\nchannel = "1.2.3"\ncomponents = ["a",\n  "b"]\ntargets = ["c"]\n';
  const want = { channel: "1.2.3", components: ["a", "b"], targets: ["c"] };
  assert.deepEqual(parseToolchain(text), want);
  assert.throws(() => parseToolchain("[toolchain]"));
});

test("lockedVersion finds the version of a crate", () => {
  const lock =
    '[[package]]\nname = "worker-sys"\nversion = "1"\n\n[[package]]\nname = "worker"\nversion = "2"\n';
  assert.equal(lockedVersion(lock, "worker"), "2");
  assert.equal(lockedVersion(lock, "absent"), undefined);
});

test("writes .dev.vars once, readable only by its owner", async (t) => {
  const at = temporary(t);
  await setUpDevVars(at(".dev.vars"));
  assert.equal(statSync(at(".dev.vars")).mode & 0o777, 0o600);
  writeFileSync(at(".dev.vars"), "AUTH_SECRET=x\nUPSTREAM_SECRET=\n");
  await assert.rejects(setUpDevVars(at(".dev.vars")), /lacks UPSTREAM_SECRET:/);
});

test("missingSecrets returns the names of missing or empty secrets", () => {
  assert.deepEqual(missingSecrets(freshDevVars()), []);
  assert.deepEqual(missingSecrets("AUTH_SECRET=\nUPSTREAM_SECRET=''\n"), [
    "AUTH_SECRET",
    "UPSTREAM_SECRET",
  ]);
  assert.deepEqual(missingSecrets("# AUTH_SECRET=a\n"), ["AUTH_SECRET", "UPSTREAM_SECRET"]);
});

test("choose adds the suites that a suite depends on", () => {
  const names = (...wanted) => choose(wanted).map(({ name }) => name);
  assert.deepEqual(names("browser", "fmt"), ["fmt", "build", "browser"]);
  assert.throws(() => names("no-such"), /unknown suite: no-such/);
});

test("no script imports a package before the setup has installed it", () => {
  // What a script imports statically, directly or by another module.
  const seen = new Set();
  const visit = (path, importers) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, name] of readFileSync(path, "utf8").matchAll(
      /^(?:import|export)\s[^;]*?from "([^"]+)";|^import "([^"]+)";/gms,
    )) {
      if (name.startsWith("node:")) continue;
      const trail = [...importers, path].join(" → ");
      assert.match(name, /^\./, `${trail} imports ${name}`);
      visit(join(dirname(path), name), [...importers, path]);
    }
  };
  const scripts = readdirSync(inProject("scripts")).filter((name) => name.endsWith(".mjs"));
  for (const name of scripts) visit(inProject("scripts", name), []);
  assert.ok(seen.has(inProject("packages/vestibule/cli/configuration.mjs")));
});
