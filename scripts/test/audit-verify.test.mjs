// scripts/audit-verify.mjs, before a server that is a script.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { inProject } from "../lib/project.mjs";

const TOKEN = "mul_secret-of-an-admin";
const DAY = 86_400_000;
const dayOf = (back) => new Date(Date.now() - back * DAY).toISOString().slice(0, 10);
const HEAD = "ab".repeat(32);

// Runs it; what it prints never has the token.
async function run(args, token = TOKEN) {
  const env = { ...process.env, VESTIBULE_TOKEN: token };
  const script = inProject("scripts/audit-verify.mjs");
  const { code, out, err } = await new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, out, err }),
    );
  });
  assert.ok(!token || !`${out}${err}`.includes(token), "the token is told");
  return { code, out, err };
}

// A server that answers by day, as a function of how many days that is back.
async function serve(t, answer) {
  const asked = [];
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    const day = searchParams.get("day");
    const { authorization } = request.headers;
    asked.push({ method: request.method, pathname, day, authorization });
    answer(response, Math.round((Date.parse(dayOf(0)) - Date.parse(day)) / DAY));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, asked };
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

for (const [what, args, says, token] of [
  ["no URL", [], /expected one URL/],
  ["two", ["https://a.example", "https://b.example"], /expected one URL/],
  ["what is none", ["app.example"], /invalid url/i],
  ["another protocol", ["ftp://app.example"], /expected https/],
  ["http elsewhere", ["http://app.example"], /in the clear/],
  ["http where it only looks like here", ["http://localhost.example"], /in the clear/],
  ["no days", ["https://app.example", "--days", "0"], /--days 0: expected 1 to 3650/],
  ["half a day", ["https://app.example", "--days", "1.5"], /--days 1.5/],
  ["too many days", ["https://app.example", "--days", "3651"], /--days 3651/],
  ["another option", ["https://app.example", "--day"], /--day/],
  ["no token", ["https://app.example"], /VESTIBULE_TOKEN/, ""],
]) {
  test(`told how it is used: ${what}`, async () => {
    const { code, out, err } = await run(args, token);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, says);
    assert.match(err, /^usage: VESTIBULE_TOKEN=/m);
    assert.doesNotMatch(err, /^ +at /m, "no stack");
  });
}

test("every chain that holds is told with its head, and how many rows that were", async (t) => {
  const { origin, asked } = await serve(t, (response, back) =>
    json(response, 200, chains(chain(0, back), chain(1, 0), chain(2, 10 * back))),
  );
  const { code, out, err } = await run([`${origin}/somewhere/else?x=1`, "--days", "3"]);
  assert.deepEqual([code, err], [0, ""]);
  const lines = [1, 2].flatMap((back) => [
    `${dayOf(back)}.0  ${back} rows  ${HEAD}`,
    `${dayOf(back)}.2  ${10 * back} rows  ${HEAD}`,
  ]);
  assert.deepEqual(out.trimEnd().split("\n"), [...lines, "every chain holds: 33 rows"]);
  const wanted = { method: "GET", pathname: "/api/audit/verify" };
  assert.deepEqual(
    asked,
    [0, 1, 2].map((back) => ({ ...wanted, day: dayOf(back), authorization: `Bearer ${TOKEN}` })),
  );
});

test("it asks below ENDPOINTS, where that says another path", async (t) => {
  const { origin, asked } = await serve(t, (response) => json(response, 200, chains(chain(0, 1))));
  const { code } = await run([origin, "--days", "1", "--endpoints", "/_vestibule/api"]);
  assert.deepEqual([code, asked[0].pathname], [0, "/_vestibule/api/audit/verify"]);
  assert.equal((await run([origin, "--endpoints", "api"])).code, 2);
});

test("seven days, where nothing else is said; and nothing is not called whole", async (t) => {
  const { origin, asked } = await serve(t, (response) =>
    json(response, 200, chains(chain(0, 0), chain(1, 0))),
  );
  const { code, out } = await run([origin]);
  assert.deepEqual([code, out], [0, "there are no rows\n"]);
  assert.deepEqual(
    asked.map(({ day }) => day),
    [0, 1, 2, 3, 4, 5, 6].map(dayOf),
  );
});

test("a chain that does not hold is told, wherever it is, and the others too", async (t) => {
  const altered = { seq: 3, why: "altered" };
  const gone = { seq: 1, why: "cut_off" };
  const { origin } = await serve(t, (response, back) =>
    json(
      response,
      200,
      back === 1 ? chains(chain(0, 2, altered), chain(3, 0, gone)) : chains(chain(1, 5)),
    ),
  );
  const { code, out } = await run([origin, "--days", "3"]);
  assert.equal(code, 1);
  assert.deepEqual(out.trimEnd().split("\n"), [
    `${dayOf(0)}.1  5 rows  ${HEAD}`,
    `${dayOf(1)}.0  BROKEN at row 3: altered`,
    `${dayOf(1)}.3  BROKEN at row 1: cut_off`,
    `${dayOf(2)}.1  5 rows  ${HEAD}`,
    "2 chains are broken",
  ]);
});

test("where nothing at all is left of what was written, it is broken, too", async (t) => {
  const { origin } = await serve(t, (response) =>
    json(response, 200, chains(chain(0, 0, { seq: 1, why: "cut_off" }))),
  );
  const { code, out } = await run([origin, "--days", "1"]);
  assert.equal(code, 1);
  assert.match(out, /BROKEN at row 1: cut_off/);
});

for (const [what, answer, says] of [
  ["401", (response) => json(response, 401, { error: "unauthorized" }), /answers 401 unauthorized/],
  ["403", (response) => json(response, 403, { error: "forbidden_role" }), /403 forbidden_role/],
  ["a page", (response) => response.writeHead(200).end("<html>"), /answers 200/],
  ["no chains", (response) => json(response, 200, { ok: true }), /answers 200/],
  ["null", (response) => json(response, 200, null), /answers 200/],
  ["a redirect", (response) => response.writeHead(302, { Location: "/x" }).end(), /answers 302/],
]) {
  test(`an answer that is none is no proof: ${what}`, async (t) => {
    const { origin, asked } = await serve(t, answer);
    const { code, out, err } = await run([origin]);
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, says);
    assert.doesNotMatch(err, /^ +at /m, "no stack");
    assert.equal(asked.length, 1);
  });
}

test("nobody there is no proof either", async (t) => {
  const { origin } = await serve(t, (response) => response.destroy());
  const { code, err } = await run([origin]);
  assert.equal(code, 1);
  assert.match(err, /cannot be reached/);
});
