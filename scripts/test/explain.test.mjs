// Tests scripts/explain.mjs up to the call of the crate: its options, and the input that it passes on.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { inProject } from "../lib/project.mjs";
import { parseToolchain } from "../setup/rust.mjs";

// Runs the script with a fake cargo that prints its input and exits with `code`.
function run(t, args, { vars = 'PUBLIC_ORIGINS = ["https://app.example"]', code = 0 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const at = (name) => join(folder, name);
  const { targets, components } = parseToolchain(
    readFileSync(inProject("rust-toolchain.toml"), "utf8"),
  );
  const program = (name, lines) =>
    writeFileSync(at(name), ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
  program(
    "rustup",
    [...targets, ...components].map((name) => `echo ${name}`),
  );
  program("cargo", ["cat", `exit ${code}`]);
  writeFileSync(
    at("wrangler.toml"),
    `name = "x"\nmain = "x.js"\ncompatibility_date = "2026-01-01"\n[vars]\n${vars}\n`,
  );
  writeFileSync(at("x.js"), "export default {};\n");
  writeFileSync(
    at(".dev.vars"),
    'PUBLIC_ORIGINS=["http://localhost:8787"]\nAUTH_SECRET=of-this-machine\n',
  );
  const script = [inProject("scripts/explain.mjs"), ...args, "--config", at("wrangler.toml")];
  const env = { ...process.env, PATH: [folder, process.env.PATH].join(delimiter) };
  return new Promise((resolve) => {
    execFile(process.execPath, script, { env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, out, err }),
    );
  });
}

// Runs the script and returns the input that it passes to the crate.
const inputOf = async (t, ...args) => {
  const { code, out, err } = await run(t, args);
  assert.equal(code, 0, err);
  return JSON.parse(out);
};

test("--navigate adds the headers of a browser that opens a page", async (t) => {
  const { headers } = await inputOf(t, "GET", "/x", "-H", "X-A: b", "--navigate");
  assert.deepEqual(headers, [
    ["X-A", "b"],
    ["Sec-Fetch-Mode", "navigate"],
    ["Sec-Fetch-Dest", "document"],
    ["Accept", "text/html"],
  ]);
});

for (const [name, args, message] of [
  ["no arguments", [], /expected a method and a URL/],
  ["only a method", ["GET"], /expected a method and a URL/],
  ["two URLs", ["GET", "/x", "/y"], /expected a method and a URL/],
  ["an unknown option", ["GET", "/x", "--foo"], /'--foo'/],
  [
    "a header without a value",
    ["GET", "/x", "-H", "nocolon"],
    /-H nocolon: expected "Name: value"/,
  ],
  ["a header without a name", ["GET", "/x", "-H", ": x"], /expected "Name: value"/],
  ["an option without a value", ["GET", "/x", "--as"], /--as/],
]) {
  test(`prints the usage and exits with 2: ${name}`, async (t) => {
    const { code, out, err } = await run(t, args);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, message);
    assert.match(err, /^usage: npm run explain -- METHOD URL /m);
    assert.doesNotMatch(err, /^ +at /m, "prints a stack trace");
  });
}

test("passes the request on, for a path and for a URL with an origin", async (t) => {
  const headers = ["-H", "Origin: https://a.example:8443", "--header", "X-Empty:"];
  const input = await inputOf(t, "POST", "/api/orders?x=1", ...headers, "--as", "admin", "--json");
  const { method, url, as, json, now } = input;
  assert.deepEqual(
    { method, url, as, json, headers: input.headers },
    {
      method: "POST",
      url: "https://app.example/api/orders?x=1",
      as: "admin",
      json: true,
      headers: [
        ["Origin", "https://a.example:8443"],
        ["X-Empty", ""],
      ],
    },
  );
  assert.ok(Math.abs(now - Date.now() / 1_000) < 60);
  const other = await inputOf(t, "GET", "https://other.example/x");
  assert.equal(other.url, "https://other.example/x");
  assert.deepEqual([other.as, other.json, other.headers], ["nobody", false, []]);
});

test("reads .dev.vars only with --dev", async (t) => {
  const without = await inputOf(t, "GET", "/x");
  assert.equal(without.secrets, null);
  assert.deepEqual(without.vars.PUBLIC_ORIGINS, ["https://app.example"]);
  const dev = await inputOf(t, "GET", "/x", "--dev");
  assert.deepEqual(dev.secrets, { AUTH_SECRET: "of-this-machine" });
  assert.equal(dev.url, "http://localhost:8787/x");
});

test("uses the first of several origins in one string", async (t) => {
  const vars = 'PUBLIC_ORIGINS = "https://one.example, https://two.example"';
  const { out } = await run(t, ["GET", "/x"], { vars });
  assert.equal(JSON.parse(out).url, "https://one.example/x");
});

test("rejects a path if PUBLIC_ORIGINS has no origin", async (t) => {
  for (const vars of ["", "PUBLIC_ORIGINS = []", 'PUBLIC_ORIGINS = "none"', "PUBLIC_ORIGINS = 7"]) {
    const { code, out, err } = await run(t, ["GET", "/x"], { vars });
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, /PUBLIC_ORIGINS has no origin/);
  }
});

test("exits with the exit code of the crate", async (t) => {
  const { code } = await run(t, ["GET", "/x"], { code: 7 });
  assert.equal(code, 7);
});

test("--reported counts a log without calling the crate", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const log = join(folder, "requests.log");
  const wouldRefuse = { code: "forbidden_origin", status: 403, step: "csrf" };
  writeFileSync(log, JSON.stringify({ event: "request", rule: "/pay", wouldRefuse }));
  const { code, out } = await run(t, ["--log", log, "--reported"], { code: 1 });
  assert.equal(code, 0);
  assert.equal(
    out,
    [
      "1 requests in the log. Let through in report mode: 1.",
      "",
      " requests  rule                         would be                     step",
      "        1  /pay                         403 forbidden_origin         csrf",
      "",
    ].join("\n"),
  );
  assert.equal((await run(t, ["GET", "/x", "--reported"])).code, 2);
});
