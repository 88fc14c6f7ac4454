// Reading the audit trail page by page, over weeks, and detecting changes to its store.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, callerOf, PASSWORD, setUpUsers } from "../support/people.mjs";
import { now, trackSecret } from "../support/tokens.mjs";
import { auditTrailOf } from "../support/trail.mjs";
import { AUTH_SECRET } from "../support/worker.mjs";

// The second isolate's clock is now. The first one, in which most rows are written, is three weeks back, at noon.
const DAY = 86_400;
const NOW = now();
const THEN = (Math.floor(NOW / DAY) - 21) * DAY + DAY / 2;
const timeOf = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");
const dayOf = (seconds) => timeOf(seconds).slice(0, 10);
const NOTES = 60;

const ROUTES = [
  { path: "/note/{id}", access: "user", audit: "best_effort", operation: "notes.write" },
  { path: "/other", access: "user", audit: "best_effort" },
];
const openAt = (folder, clock, more) =>
  openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, DANGER_FIXED_NOW: clock, ...more },
    secondIsolate: { DANGER_FIXED_NOW: NOW },
    folder,
  });

let folder;
let gateway;
let people;
let trail;
let root;
let ada;
let bob;
let VESTIBULE_TOKEN;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  gateway = await openAt(folder, THEN);
  people = await setUpUsers(gateway);
  trail = auditTrailOf(people);
  root = people.root;
  ada = await people.createUser("ada");
  bob = await people.createUser("bob");
  for (let id = 0; id < NOTES; id += 1) await note(id, id % 3 ? ada : bob);
  await people.call("POST", "/other", ada, "x");
  await people.call("POST", "/note/today", ada, "x", { request: gateway.requestSecondIsolate });
  VESTIBULE_TOKEN = (await people.createToken(root, "mul_")).plaintext;
  // Rows of setup, two invites and their redemptions, a token, the notes, and one of /other.
  await trail.waitForRows(6 + NOTES + 1);
});
after(async () => {
  await gateway?.stop();
  rmSync(folder, { recursive: true, force: true });
});

// Resolves to the exit code and the output of `npm run audit-verify`.
const SCRIPT = fileURLToPath(new URL("../../scripts/audit-verify.mjs", import.meta.url));
const runAuditVerify = (origin, VESTIBULE_TOKEN) =>
  new Promise((resolve) => {
    const env = { ...process.env, VESTIBULE_TOKEN };
    execFile(process.execPath, [SCRIPT, origin, "--days", "30"], { env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, text: out + err }),
    );
  });
const note = (id, caller = ada) => people.call("POST", `/note/${id}`, caller, "x");
const between = (since, until) => `since=${timeOf(since)}&until=${timeOf(until)}`;
const AROUND_THEN = between(THEN - 3_600, THEN + 3_600);
const callLater = (...args) => gateway.requestSecondIsolate(...args);

describe("reading the audit trail", () => {
  test("returns the newest row first and each row once, for every page size", async () => {
    const { items: all } = await trail.allRows(`${AROUND_THEN}&limit=100`);
    assert.equal(all.length, 6 + NOTES + 1);
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
    for (const limit of [1, 7, 50]) {
      const { items, pages } = await trail.allRows(`${AROUND_THEN}&limit=${limit}`);
      assert.deepEqual(items, all);
      assert.ok(pages >= all.length / limit);
    }
    const byDefault = await trail.page(AROUND_THEN);
    assert.equal(byDefault.items.length, 50);
  });

  test("filters by principal, operation and time", async () => {
    const count = async (query) =>
      (await trail.allRows(`${AROUND_THEN}&limit=10&${query}`)).items.length;
    for (const [query, expected] of [
      [`principal=${ada.id}`, (NOTES * 2) / 3 + 2],
      [`principal=${bob.id}`, NOTES / 3 + 1],
      ["principal=usr_nobody", 0],
      ["operation=notes.write", NOTES],
      [`operation=notes.write&principal=${bob.id}`, NOTES / 3],
      ["operation=%2Fother", 1],
      ["operation=notes", 0],
    ]) {
      assert.equal(await count(query), expected, query);
    }
    const within = async (since, until) =>
      (await trail.allRows(between(since, until))).items.length;
    assert.equal(await within(THEN + 1, THEN + 3_600), 0);
    assert.equal(await within(THEN - 3_600, THEN - 1), 0);
  });

  test("returns the last seven days by default, and older rows with `since`", async () => {
    const { items: recent } = await trail.allRows("limit=100", callLater);
    assert.deepEqual(
      recent.map(({ path }) => path),
      ["/note/today"],
    );
    const { items, pages } = await trail.allRows(
      `since=${timeOf(THEN - 9 * DAY)}&limit=100`,
      callLater,
    );
    assert.equal(items.length, 6 + NOTES + 2);
    assert.equal(items[0].path, "/note/today");
    assert.ok(pages >= 4, `${pages} pages`);
    assert.equal((await trail.page("limit=100", callLater)).next, null, "seven days are one page");
    const times = items.map((item) => item.at);
    assert.deepEqual(times, [...times].sort().reverse());
  });

  test("skips and repeats no row while new ones are written", async () => {
    const query = `${between(NOW - 60, NOW + 60)}&operation=notes.write&limit=4`;
    const write = (id) => people.call("POST", `/note/${id}`, bob, "x", { request: callLater });
    const before = await trail.rowsAddedBy(
      12,
      async () => {
        for (let id = 0; id < 12; id += 1) await write(`before-${id}`);
      },
      query,
      callLater,
    );
    const seen = [];
    let page = await trail.page(query, callLater);
    for (;;) {
      seen.push(...page.items.map(({ path }) => path));
      if (!page.next) break;
      await write(`meanwhile-${seen.length}`);
      page = await trail.page(`${query}&cursor=${encodeURIComponent(page.next)}`, callLater);
    }
    assert.equal(new Set(seen).size, seen.length);
    for (const { path } of before) assert.ok(seen.includes(path), path);
  });

  for (const [path, field] of [
    ["/api/audit?since=yesterday", "since"],
    ["/api/audit?until=2026-01-01", "until"],
    ["/api/audit?limit=0", "limit"],
    ["/api/audit?limit=101", "limit"],
    ["/api/audit?cursor=x", "cursor"],
    ["/api/audit?from=1", "(query)"],
    ["/api/audit?princpal=usr_a", "(query)"],
    ["/api/audit?limit=1&day=2026-01-01", "(query)"],
    ["/api/audit/verify?limit=1", "(query)"],
    ["/api/audit/verify?days=1", "(query)"],
    [`/api/audit/verify?day=${dayOf(THEN - 92 * DAY)}`, "day"],
    [`/api/audit/verify?day=${dayOf(THEN + DAY)}`, "day"],
    ["/api/audit/verify?day=9999-12-31", "day"],
    ["/api/audit/verify?day=1970-01-01", "day"],
    ["/api/audit/verify?day=today", "day"],
    ["/api/audit/verify?day=2026-02-30", "day"],
    ["/api/audit/verify?day=2026-1-1", "day"],
  ]) {
    test(`returns 400 for an invalid query: ${path}`, async () => {
      const response = await people.call("GET", path, root);
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }

  test("is read-only and for admins only", async () => {
    const agent = await people.createToken(root, "mk_");
    for (const path of ["/api/audit", "/api/audit/verify"]) {
      for (const [caller, status, error, reason] of [
        [ANONYMOUS, 401, "unauthorized", "no_credential"],
        [ada, 403, "forbidden_role"],
        [await people.createToken(ada, "mul_"), 403, "forbidden_role"],
        [agent, 403, "forbidden_kind"],
      ]) {
        assertProblem(await people.call("GET", path, caller), status, error, reason);
      }
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        const response = await people.call(method, path, root, "x");
        assertProblem(response, 405, "method_not_allowed");
      }
    }
  });
});

describe("verifying the audit trail", () => {
  test("confirms an intact trail, each day separately", async () => {
    const { ok, rows, chains } = await trail.verify(dayOf(THEN));
    assert.equal(ok, true);
    assert.ok(rows >= 6 + NOTES + 1);
    assert.equal(
      chains.reduce((sum, chain) => sum + chain.rows, 0),
      rows,
    );
    for (const { day, shard, head, broken, rows } of chains) {
      assert.deepEqual([day, broken], [dayOf(THEN), null]);
      assert.ok(shard >= 0 && shard < 4);
      if (rows > 0) assert.match(head, /^[0-9a-f]{64}$/);
    }
    assert.deepEqual(await trail.verify(undefined), await trail.verify(dayOf(THEN)), "today");
    assert.ok((await trail.verify(undefined, callLater)).rows > 0);
    for (const back of [1, 91]) {
      const empty = await trail.verify(dayOf(THEN - back * DAY));
      assert.deepEqual([empty.ok, empty.rows], [true, 0]);
    }
  });

  test("works by `npm run audit-verify`, with an admin's token only", async () => {
    const { code, text } = await runAuditVerify(gateway.secondIsolate, VESTIBULE_TOKEN);
    assert.equal(code, 0, text);
    assert.ok(text.includes(dayOf(THEN)) && !text.includes(VESTIBULE_TOKEN), text);
    for (const invalidToken of ["", "mul_none"]) {
      const refused = await runAuditVerify(gateway.secondIsolate, invalidToken);
      assert.notEqual(refused.code, 0, refused.text);
    }
  });
});

describe("tampering with the audit store is detected", () => {
  // No more rows are written from here on.
  let intact;
  before(async () => {
    intact = await trail.verify(dayOf(THEN));
    await gateway.stop();
    gateway = undefined;
  });

  // Opens a copy of the store that was changed without knowing the key. `tamper` is SQL for the database of the longest
  // chain, or a function of that file and another one.
  async function openTamperedCopy(t, tamper, more) {
    const copy = mkdtempSync(join(tmpdir(), "vestibule-"));
    cpSync(folder, copy, { recursive: true });
    const files = readdirSync(copy, { recursive: true, withFileTypes: true })
      .filter(
        ({ parentPath, name }) => /-Audit$/.test(parentPath) && /^[0-9a-f]{64}\.sqlite$/.test(name),
      )
      .map(({ parentPath, name }) => join(parentPath, name));
    // The object of an empty chain deletes itself after a while, so its file may have no table, or may be missing.
    const length = (file) => {
      const database = new DatabaseSync(file);
      const hasTable = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'rows'").get();
      const { count } = hasTable
        ? database.prepare("SELECT count(*) AS count FROM rows").get()
        : { count: 0 };
      database.close();
      return count;
    };
    const [longest, ...others] = files
      .filter((file) => length(file) > 0)
      .sort((one, other) => length(other) - length(one));
    const last = length(longest);
    assert.ok(last > 5, `${last} rows`);
    if (typeof tamper === "function") tamper(longest, others[0]);
    else {
      const database = new DatabaseSync(longest);
      database.exec(tamper);
      database.close();
    }
    const other = await openAt(copy, THEN, more);
    t.after(async () => {
      await other.stop();
      rmSync(copy, { recursive: true, force: true });
    });
    return { origin: other.secondIsolate, last, people: { call: callerOf(other), root } };
  }

  const LAST = "(SELECT max(seq) FROM rows)";
  for (const [name, tamper, seq, reason] of [
    ["a row in the middle is missing", "DELETE FROM rows WHERE seq = 3", 3, "missing"],
    ["the first row is missing", "DELETE FROM rows WHERE seq = 1", 1, "missing"],
    ["the last row is missing", `DELETE FROM rows WHERE seq = ${LAST}`, (last) => last, "cut_off"],
    ["all rows after the second are missing", "DELETE FROM rows WHERE seq > 2", 3, "cut_off"],
    ["all rows are missing", "DELETE FROM rows", 1, "cut_off"],
    [
      "a row's text was changed",
      `UPDATE rows SET row = replace(row, '"allow"', '"other"') WHERE seq = 4`,
      4,
      "altered",
    ],
    ["a row's time was changed", "UPDATE rows SET at = at - 1 WHERE seq = 2", 2, "altered"],
    [
      "a row's principal was changed",
      "UPDATE rows SET principal = 'usr_x' WHERE seq = 5",
      5,
      "altered",
    ],
    [
      "a row's principal was removed",
      "UPDATE rows SET principal = NULL WHERE seq = 5",
      5,
      "altered",
    ],
    [
      "a row's operation was changed",
      "UPDATE rows SET operation = 'x.y' WHERE seq = 1",
      1,
      "altered",
    ],
    [
      "a row's hash was changed",
      `UPDATE rows SET hash = '${"0".repeat(64)}' WHERE seq = 2`,
      2,
      "altered",
    ],
    [
      "two rows were swapped",
      "UPDATE rows SET seq = -1 WHERE seq = 2; UPDATE rows SET seq = 2 WHERE seq = 3; UPDATE rows SET seq = 3 WHERE seq = -1",
      2,
      "altered",
    ],
    [
      "a row was removed and the later ones renumbered",
      "DELETE FROM rows WHERE seq = 2; UPDATE rows SET seq = -seq WHERE seq > 2; UPDATE rows SET seq = -seq - 1 WHERE seq < 0",
      2,
      "altered",
    ],
    [
      "a row was added",
      `INSERT INTO rows SELECT seq + 1, at, principal, operation, row, hash FROM rows WHERE seq = ${LAST}`,
      (last) => last + 1,
      "altered",
    ],
    ["the database is that of another chain", (file, other) => cpSync(other, file), 1, "altered"],
  ]) {
    test(`if ${name}: ${reason}`, async (t) => {
      const { last, people: otherPeople } = await openTamperedCopy(t, tamper);
      const { ok, chains } = await auditTrailOf(otherPeople).verify(dayOf(THEN));
      assert.equal(ok, false);
      const broken = chains.map((chain) => chain.broken).filter(Boolean);
      assert.deepEqual(broken, [{ seq: typeof seq === "function" ? seq(last) : seq, why: reason }]);
    });
  }

  test("if the whole store was rolled back, by comparing with heads that were saved elsewhere", async (t) => {
    const { people: otherPeople } = await openTamperedCopy(
      t,
      "DELETE FROM rows WHERE seq > 2; UPDATE chain SET count = 2, head = (SELECT hash FROM rows WHERE seq = 2)",
    );
    const { ok, rows, chains } = await auditTrailOf(otherPeople).verify(dayOf(THEN));
    assert.ok(!ok || rows < intact.rows);
    assert.notDeepEqual(chains, intact.chains);
  });

  test("and so is a rotated secret, but only if the previous one is not configured", async (t) => {
    const newSecret = trackSecret("aR3kP9xW2mQ7vT5zL8nB4cJ6hD1fG0sY");
    const rotated = { AUTH_SECRET: newSecret, AUTH_SECRET_PREVIOUS: AUTH_SECRET };
    const { people: otherPeople } = await openTamperedCopy(t, "SELECT 1", rotated);
    const otherTrail = auditTrailOf(otherPeople);
    await otherTrail.rowsAddedBy(8, async () => {
      for (let id = 0; id < 8; id += 1) await otherPeople.call("POST", `/note/new-${id}`, ada, "x");
    });
    const verified = await otherTrail.verify(dayOf(THEN));
    assert.equal(verified.ok, true, JSON.stringify(verified));
    assert.equal(verified.rows, intact.rows + 8);
    const { people: withoutPrevious } = await openTamperedCopy(t, "SELECT 1", {
      AUTH_SECRET: newSecret,
    });
    const credentials = { email: "root@example.com", password: PASSWORD };
    const login = await withoutPrevious.call("POST", "/api/auth/login", ANONYMOUS, credentials);
    withoutPrevious.root = { headers: { Cookie: login.cookies[0].split(";")[0] } };
    const { ok, chains } = await auditTrailOf(withoutPrevious).verify(dayOf(THEN));
    assert.equal(ok, false);
    assert.ok(chains.some(({ broken }) => broken?.why === "altered" && broken.seq === 1));
  });

  test("by `npm run audit-verify`, which exits with 1", async (t) => {
    const { origin } = await openTamperedCopy(t, "DELETE FROM rows WHERE seq = 3");
    const { code, text } = await runAuditVerify(origin, VESTIBULE_TOKEN);
    assert.equal(code, 1, text);
    assert.match(text, /missing/);
  });
});

test("rows older than AUDIT_RETENTION are deleted", async (t) => {
  // Alarms use the real clock, by which these rows expire in half a minute: the test can see them first.
  const other = await openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, DANGER_FIXED_NOW: now() - DAY + 30, AUDIT_RETENTION: "1d" },
  });
  t.after(() => other.stop());
  const otherTrail = auditTrailOf(await setUpUsers(other));
  await otherTrail.waitForRows(1);
  const end = performance.now() + 120_000;
  let remaining;
  do {
    remaining = (await otherTrail.allRows()).items;
    assert.ok(performance.now() < end, "the rows were not deleted");
  } while (remaining.length > 0);
  const { ok, rows } = await otherTrail.verify();
  assert.deepEqual([ok, rows], [true, 0]);
});
