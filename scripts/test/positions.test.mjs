import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import {
  excerpt,
  partsOf,
  positionInDevVars,
  positionOf,
} from "../../packages/vestibule/cli/positions.mjs";
import { withPosition } from "../lib/configuration.mjs";

const TOML = `name = "app"

[vars]
UPSTREAM = "https://origin.example"
SESSION = { login = "accounts", "check_ttl" = "61s" }
RATE_LIMITS = [
  { name = "a", limit = 1 },
  { name = "b", limit = 0 },
]

[[vars.ROUTES]]
path = "/a"
access = "user"

[[vars.ROUTES]]
path = "/b"
access = "admn"
checkout.provider = "x"

[env.staging.vars]
UPSTREAM = "https://staging.example"
`;

const JSONC = `{
  // a comment
  "vars": {
    "ROUTES": [
      { "path": "/a", "access": "user" },
      {
        "path": "/b",
        "access": "admn"
      }
    ]
  }
}
`;

for (const [name, text, path, want] of [
  ["a.toml", TOML, ["vars", "UPSTREAM"], "4:12 24"],
  ["a.toml", TOML, ["vars", "SESSION", "check_ttl"], "5:47 5"],
  ["a.toml", TOML, ["vars", "RATE_LIMITS", 1, "limit"], "8:25 1"],
  ["a.toml", TOML, ["vars", "ROUTES", 0, "access"], "13:10 6"],
  ["a.toml", TOML, ["vars", "ROUTES", 1, "access"], "17:10 6"],
  ["a.toml", TOML, ["vars", "ROUTES", 1, "checkout", "provider"], "18:21 3"],
  // A missing member: the table that lacks it.
  ["a.toml", TOML, ["vars", "ROUTES", 1, "owner_from"], "15:3 11"],
  ["a.toml", TOML, ["vars", "PUBLIC_ORIGINS"], undefined],
  ["a.toml", "[vars\n", ["vars", "A"], undefined],
  ["a.jsonc", JSONC, ["vars", "ROUTES", 1, "access"], "8:19 6"],
  ["a.jsonc", JSONC, ["vars", "ROUTES", 1, "owner_from"], "6:7 1"],
  ["a.jsonc", JSONC, ["vars", "UPSTREAM"], undefined],
  ["a.jsonc", "", ["vars", "UPSTREAM"], undefined],
]) {
  test(`finds ${path.join(".")} in ${name}: ${want}`, () => {
    const found = positionOf(text, name, path, 2);
    assert.equal(found && `${found.line}:${found.column} ${found.length}`, want);
  });
}

test("finds the last line of a variable in .dev.vars", () => {
  const text = "# AUTH_SECRET=a\nAUTH_SECRET=b\n export AUTH_SECRET = c\n";
  assert.deepEqual(positionInDevVars(text, "AUTH_SECRET"), { line: 3, column: 9, length: 11 });
  assert.equal(positionInDevVars(text, "AUTH"), undefined);
});

test("splits only paths of settings", () => {
  assert.deepEqual(partsOf("ROUTES_2[10].checkout.ref"), ["ROUTES_2", 10, "checkout", "ref"]);
  assert.deepEqual(partsOf("UPSTREAM"), ["UPSTREAM"]);
  for (const path of ["confirm, in the rule for", "", "a b", "ROUTES[x]"]) {
    assert.equal(partsOf(path), undefined, path);
  }
});

test("quotes a line and marks the value", () => {
  assert.equal(
    excerpt(TOML, { line: 17, column: 10, length: 6 }),
    '  17 | access = "admn"\n                ^^^^^^',
  );
  const long = `${"x".repeat(200)}"y"`;
  const [quoted, marker] = excerpt(long, { line: 1, column: 201, length: 3 }).split("\n");
  assert.ok(quoted.endsWith('x"y"') && quoted.length < 110, quoted);
  assert.equal(quoted.slice(marker.indexOf("^")), '"y"');
});

test("a mistake names the file and the line, and never quotes .dev.vars", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "wrangler.toml");
  writeFileSync(file, TOML);
  writeFileSync(join(folder, ".dev.vars"), "AUTH_SECRET=short\n");
  const at = (mistake, more) => withPosition(mistake, { file, devVars: ["AUTH_SECRET"], ...more });
  assert.equal(
    await at("ROUTES[1].access: expected one of …"),
    `${file}:17:10: ROUTES[1].access: expected one of …\n  17 | access = "admn"\n                ^^^^^^`,
  );
  assert.equal(
    await at("AUTH_SECRET: too short"),
    `${folder}/.dev.vars:1:1: AUTH_SECRET: too short`,
  );
  assert.match(await at("UPSTREAM: x", { env: "staging" }), /wrangler\.toml:21:12: UPSTREAM: x\n/);
  assert.equal(await at("ROUTES[0].path: x", { env: "staging" }), "ROUTES[0].path: x");
  for (const other of ["warning: something", "migrations: expected X", "PUBLIC_ORIGINS: missing"]) {
    assert.equal(await at(other), other);
  }
});
