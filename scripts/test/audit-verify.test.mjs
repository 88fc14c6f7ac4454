// Tests scripts/audit-verify.mjs against a local server with scripted answers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { inProject } from "../lib/project.mjs";

const TOKEN = "mul_secret-of-an-admin";
const DAY = 86_400_000;
const dayOf = (daysAgo) => new Date(Date.now() - daysAgo * DAY).toISOString().slice(0, 10);
const HEAD = "ab".repeat(32);

// Runs the script and checks that its output does not contain the token.
async function run(args, token = TOKEN) {
  const env = { ...process.env, VESTIBULE_TOKEN: token };
  const script = inProject("scripts/audit-verify.mjs");
  const { code, out, err } = await new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, out, err }),
    );
  });
  assert.ok(!token || !`${out}${err}`.includes(token), "the output contains the token");
  return { code, out, err };
}

// Starts a server that calls `answer(response, daysAgo)` for each request.
async function serve(t, answer) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    const day = searchParams.get("day");
    const { authorization } = request.headers;
    requests.push({ method: request.method, pathname, day, authorization });
    answer(response, Math.round((Date.parse(dayOf(0)) - Date.parse(day)) / DAY));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, requests };
}

const json = (response, status, body) =>
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
const chain = (shard, rows, broken = null) => ({
  shard,
  rows,
  head: rows > 0 ? HEAD : "",
  broken,
});
const chains = (...all) => ({ ok: all.every(({ broken }) => !broken), chains: all });

for (const [name, args, message, token] of [
  ["no URL", [], /expected one URL/],
  ["two URLs", ["https://a.example", "https://b.example"], /expected one URL/],
  ["an invalid URL", ["app.example"], /invalid url/i],
  ["a scheme other than http", ["ftp://app.example"], /expected https/],
  ["http to a remote host", ["http://app.example"], /exposes the token/],
  ["http to a host like localhost", ["http://localhost.example"], /exposes the token/],
  ["zero days", ["https://app.example", "--days", "0"], /--days 0: expected 1 to 3650/],
  ["half a day", ["https://app.example", "--days", "1.5"], /--days 1.5/],
  ["too many days", ["https://app.example", "--days", "3651"], /--days 3651/],
  ["an unknown option", ["https://app.example", "--day"], /--day/],
  ["no token", ["https://app.example"], /VESTIBULE_TOKEN/, ""],
]) {
  test(`prints the usage and exits with 2: ${name}`, async () => {
    const { code, out, err } = await run(args, token);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, message);
    assert.match(err, /^usage: VESTIBULE_TOKEN=/m);
    assert.doesNotMatch(err, /^ +at /m, "prints a stack trace");
  });
}

test("prints the head and the number of rows of each intact chain", async (t) => {
  const { origin, requests } = await serve(t, (response, daysAgo) =>
    json(response, 200, chains(chain(0, daysAgo), chain(1, 0), chain(2, 10 * daysAgo))),
  );
  const { code, out, err } = await run([`${origin}/somewhere/else?x=1`, "--days", "3"]);
  assert.deepEqual([code, err], [0, ""]);
  const lines = [1, 2].flatMap((daysAgo) => [
    `${dayOf(daysAgo)}.0  ${daysAgo} rows  ${HEAD}`,
    `${dayOf(daysAgo)}.2  ${10 * daysAgo} rows  ${HEAD}`,
  ]);
  assert.deepEqual(out.trimEnd().split("\n"), [...lines, "all chains are intact: 33 rows"]);
  const expected = { method: "GET", pathname: "/api/audit/verify" };
  assert.deepEqual(
    requests,
    [0, 1, 2].map((daysAgo) => ({
      ...expected,
      day: dayOf(daysAgo),
      authorization: `Bearer ${TOKEN}`,
    })),
  );
});

test("--endpoints changes the path of the request", async (t) => {
  const { origin, requests } = await serve(t, (response) =>
    json(response, 200, chains(chain(0, 1))),
  );
  const { code } = await run([origin, "--days", "1", "--endpoints", "/_vestibule/api"]);
  assert.deepEqual([code, requests[0].pathname], [0, "/_vestibule/api/audit/verify"]);
  assert.equal((await run([origin, "--endpoints", "api"])).code, 2);
});

test("verifies seven days by default, and reports that there are no rows", async (t) => {
  const { origin, requests } = await serve(t, (response) =>
    json(response, 200, chains(chain(0, 0), chain(1, 0))),
  );
  const { code, out } = await run([origin]);
  assert.deepEqual([code, out], [0, "no rows found\n"]);
  assert.deepEqual(
    requests.map(({ day }) => day),
    [0, 1, 2, 3, 4, 5, 6].map(dayOf),
  );
});

test("reports each broken chain and goes on with the others", async (t) => {
  const altered = { seq: 3, why: "altered" };
  const cutOff = { seq: 1, why: "cut_off" };
  const { origin } = await serve(t, (response, daysAgo) =>
    json(
      response,
      200,
      daysAgo === 1 ? chains(chain(0, 2, altered), chain(3, 0, cutOff)) : chains(chain(1, 5)),
    ),
  );
  const { code, out } = await run([origin, "--days", "3"]);
  assert.equal(code, 1);
  assert.deepEqual(out.trimEnd().split("\n"), [
    `${dayOf(0)}.1  5 rows  ${HEAD}`,
    `${dayOf(1)}.0  BROKEN at row 3: altered`,
    `${dayOf(1)}.3  BROKEN at row 1: cut_off`,
    `${dayOf(2)}.1  5 rows  ${HEAD}`,
    "broken chains: 2",
  ]);
});

test("reports a chain that lost all of its rows as broken", async (t) => {
  const { origin } = await serve(t, (response) =>
    json(response, 200, chains(chain(0, 0, { seq: 1, why: "cut_off" }))),
  );
  const { code, out } = await run([origin, "--days", "1"]);
  assert.equal(code, 1);
  assert.match(out, /BROKEN at row 1: cut_off/);
});

for (const [name, answer, message] of [
  [
    "401",
    (response) => json(response, 401, { error: "unauthorized" }),
    /answered 401 unauthorized/,
  ],
  ["403", (response) => json(response, 403, { error: "forbidden_role" }), /403 forbidden_role/],
  ["an HTML page", (response) => response.writeHead(200).end("<html>"), /answered 200/],
  ["no chains", (response) => json(response, 200, { ok: true }), /answered 200/],
  ["null", (response) => json(response, 200, null), /answered 200/],
  ["a redirect", (response) => response.writeHead(302, { Location: "/x" }).end(), /answered 302/],
]) {
  test(`fails on an unexpected answer: ${name}`, async (t) => {
    const { origin, requests } = await serve(t, answer);
    const { code, out, err } = await run([origin]);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, message);
    assert.doesNotMatch(err, /^ +at /m, "prints a stack trace");
    assert.equal(requests.length, 1);
  });
}

test("fails if the server closes the connection", async (t) => {
  const { origin } = await serve(t, (response) => response.destroy());
  const { code, err } = await run([origin]);
  assert.equal(code, 1);
  assert.match(err, /cannot reach/);
});
