// The audit trail as it is read: page by page, back through weeks. And whoever had a hand in its store is found
// out.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, callOf, NOBODY, PASSWORD, settle } from "../support/people.mjs";
import { now, remember } from "../support/tokens.mjs";
import { trailOf } from "../support/trail.mjs";
import { AUTH_SECRET } from "../support/worker.mjs";

// The second isolate stands at today, and the first one where most is written: three weeks before, at noon.
const DAY = 86_400;
const NOW = now();
const THEN = (Math.floor(NOW / DAY) - 21) * DAY + DAY / 2;
const at = (seconds) => new Date(seconds * 1_000).toISOString().replace(".000", "");
const dayOf = (seconds) => at(seconds).slice(0, 10);
const NOTES = 60;

const ROUTES = [
  { path: "/note/{id}", access: "user", audit: "best_effort", operation: "notes.write" },
  { path: "/other", access: "user", audit: "best_effort" },
];
const openAt = (folder, clock, more) =>
  openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, DANGER_FIXED_NOW: clock, ...more },
    twin: { DANGER_FIXED_NOW: NOW },
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
  people = await settle(gateway);
  trail = trailOf(people);
  root = people.root;
  ada = await people.invited("ada");
  bob = await people.invited("bob");
  for (let id = 0; id < NOTES; id += 1) await note(id, id % 3 ? ada : bob);
  await people.call("POST", "/other", ada, "x");
  await people.call("POST", "/note/today", ada, "x", { ask: gateway.askTwin });
  VESTIBULE_TOKEN = (await people.token(root, "mul_")).plaintext;
  // Setting up, two who were invited and came, a token, and the notes.
  await trail.has(6 + NOTES + 1);
});
after(async () => {
  await gateway?.stop();
  rmSync(folder, { recursive: true, force: true });
});

// What `npm run audit-verify` prints, and its exit code.
const SCRIPT = fileURLToPath(new URL("../../scripts/audit-verify.mjs", import.meta.url));
const verifiedBy = (origin, VESTIBULE_TOKEN) =>
  new Promise((resolve) => {
    const env = { ...process.env, VESTIBULE_TOKEN };
    execFile(process.execPath, [SCRIPT, origin, "--days", "30"], { env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, text: out + err }),
    );
  });
const note = (id, who = ada) => people.call("POST", `/note/${id}`, who, "x");
const span = (since, until) => `since=${at(since)}&until=${at(until)}`;
const HERE = span(THEN - 3_600, THEN + 3_600);
const later = (...given) => gateway.askTwin(...given);

describe("the trail is read", () => {
  test("the newest first, each row once, however small the pages", async () => {
    const { items: all } = await trail.all(`${HERE}&limit=100`);
    assert.equal(all.length, 6 + NOTES + 1);
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
    for (const limit of [1, 7, 50]) {
      const { items, pages } = await trail.all(`${HERE}&limit=${limit}`);
      assert.deepEqual(items, all);
      assert.ok(pages >= all.length / limit);
    }
    const byDefault = await trail.page(HERE);
    assert.equal(byDefault.items.length, 50);
  });

  test("by whose, by what, and by when", async () => {
    const count = async (query) => (await trail.all(`${HERE}&limit=10&${query}`)).items.length;
    for (const [query, wanted] of [
      [`principal=${ada.id}`, (NOTES * 2) / 3 + 2],
      [`principal=${bob.id}`, NOTES / 3 + 1],
      ["principal=usr_nobody", 0],
      ["operation=notes.write", NOTES],
      [`operation=notes.write&principal=${bob.id}`, NOTES / 3],
      ["operation=%2Fother", 1],
      ["operation=notes", 0],
    ]) {
      assert.equal(await count(query), wanted, query);
    }
    const within = async (since, until) => (await trail.all(span(since, until))).items.length;
    assert.equal(await within(THEN + 1, THEN + 3_600), 0);
    assert.equal(await within(THEN - 3_600, THEN - 1), 0);
  });

  test("of the last seven days where nothing else is said, and back through weeks where it is", async () => {
    const { items: recent } = await trail.all("limit=100", later);
    assert.deepEqual(
      recent.map(({ path }) => path),
      ["/note/today"],
    );
    const { items, pages } = await trail.all(`since=${at(THEN - 9 * DAY)}&limit=100`, later);
    assert.equal(items.length, 6 + NOTES + 2);
    assert.equal(items[0].path, "/note/today");
    assert.ok(pages >= 4, `${pages} pages`);
    assert.equal((await trail.page("limit=100", later)).next, null, "seven days are one");
    const times = items.map((item) => item.at);
    assert.deepEqual(times, [...times].sort().reverse());
  });

  test("without a gap or a double while more is written", async () => {
    const query = `${span(NOW - 60, NOW + 60)}&operation=notes.write&limit=4`;
    const write = (id) => people.call("POST", `/note/${id}`, bob, "x", { ask: later });
    const before = await trail.left(
      12,
      async () => {
        for (let id = 0; id < 12; id += 1) await write(`before-${id}`);
      },
      query,
      later,
    );
    const seen = [];
    let page = await trail.page(query, later);
    for (;;) {
      seen.push(...page.items.map(({ path }) => path));
      if (!page.next) break;
      await write(`meanwhile-${seen.length}`);
      page = await trail.page(`${query}&cursor=${encodeURIComponent(page.next)}`, later);
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
    test(`by what can be read: ${path}`, async () => {
      const response = await people.call("GET", path, root);
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }

  test("by admins", async () => {
    const agent = await people.token(root, "mk_");
    for (const path of ["/api/audit", "/api/audit/verify"]) {
      for (const [who, status, error, reason] of [
        [NOBODY, 401, "unauthorized", "no_credential"],
        [ada, 403, "forbidden_role"],
        [await people.token(ada, "mul_"), 403, "forbidden_role"],
        [agent, 403, "forbidden_kind"],
      ]) {
        assertProblem(await people.call("GET", path, who), status, error, reason);
      }
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        const response = await people.call(method, path, root, "x");
        assertProblem(response, 405, "method_not_allowed");
      }
    }
  });
});

describe("the trail is whole", () => {
  test("as it was written, each day by itself", async () => {
    const { ok, rows, chains } = await trail.verified(dayOf(THEN));
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
    assert.deepEqual(await trail.verified(undefined), await trail.verified(dayOf(THEN)), "today");
    assert.ok((await trail.verified(undefined, later)).rows > 0);
    for (const back of [1, 91]) {
      const nothing = await trail.verified(dayOf(THEN - back * DAY));
      assert.deepEqual([nothing.ok, nothing.rows], [true, 0]);
    }
  });

  test("by the command that an operator runs", async () => {
    const { code, text } = await verifiedBy(gateway.twin, VESTIBULE_TOKEN);
    assert.equal(code, 0, text);
    assert.ok(text.includes(dayOf(THEN)) && !text.includes(VESTIBULE_TOKEN), text);
    for (const none of ["", "mul_none"]) {
      const refused = await verifiedBy(gateway.twin, none);
      assert.notEqual(refused.code, 0, refused.text);
    }
  });
});

describe("a hand in the store of the trail is found out", () => {
  // From here on its store lies still.
  let kept;
  before(async () => {
    kept = await trail.verified(dayOf(THEN));
    await gateway.stop();
    gateway = undefined;
  });

  // A copy of the store, changed by a hand that has no key: `hand` is given the database of the longest
  // chain, and the other files.
  async function tamperedWith(t, hand, more) {
    const copy = mkdtempSync(join(tmpdir(), "vestibule-"));
    cpSync(folder, copy, { recursive: true });
    const files = readdirSync(copy, { recursive: true, withFileTypes: true })
      .filter(
        ({ parentPath, name }) => /-Audit$/.test(parentPath) && /^[0-9a-f]{64}\.sqlite$/.test(name),
      )
      .map(({ parentPath, name }) => join(parentPath, name));
    // An empty trail removes itself in its own time: of those, there may be a file without a table, or none.
    const length = (file) => {
      const database = new DatabaseSync(file);
      const isThere = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'rows'").get();
      const { count } = isThere
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
    if (typeof hand === "function") hand(longest, others[0]);
    else {
      const database = new DatabaseSync(longest);
      database.exec(hand);
      database.close();
    }
    const other = await openAt(copy, THEN, more);
    t.after(async () => {
      await other.stop();
      rmSync(copy, { recursive: true, force: true });
    });
    return { origin: other.twin, last, town: { call: callOf(other), root } };
  }

  const LAST = "(SELECT max(seq) FROM rows)";
  for (const [what, hand, seq, why] of [
    ["one in the middle is gone", "DELETE FROM rows WHERE seq = 3", 3, "missing"],
    ["the first is gone", "DELETE FROM rows WHERE seq = 1", 1, "missing"],
    ["the last is gone", `DELETE FROM rows WHERE seq = ${LAST}`, (last) => last, "cut_off"],
    ["the rest is gone", "DELETE FROM rows WHERE seq > 2", 3, "cut_off"],
    ["all are gone", "DELETE FROM rows", 1, "cut_off"],
    [
      "one says something else",
      `UPDATE rows SET row = replace(row, '"allow"', '"other"') WHERE seq = 4`,
      4,
      "altered",
    ],
    ["one says it of another time", "UPDATE rows SET at = at - 1 WHERE seq = 2", 2, "altered"],
    ["one says it of another", "UPDATE rows SET principal = 'usr_x' WHERE seq = 5", 5, "altered"],
    ["one says it of nobody", "UPDATE rows SET principal = NULL WHERE seq = 5", 5, "altered"],
    ["one is another operation", "UPDATE rows SET operation = 'x.y' WHERE seq = 1", 1, "altered"],
    [
      "one has another hash",
      `UPDATE rows SET hash = '${"0".repeat(64)}' WHERE seq = 2`,
      2,
      "altered",
    ],
    [
      "two have changed places",
      "UPDATE rows SET seq = -1 WHERE seq = 2; UPDATE rows SET seq = 2 WHERE seq = 3; UPDATE rows SET seq = 3 WHERE seq = -1",
      2,
      "altered",
    ],
    [
      "one is gone and the others have closed up",
      "DELETE FROM rows WHERE seq = 2; UPDATE rows SET seq = -seq WHERE seq > 2; UPDATE rows SET seq = -seq - 1 WHERE seq < 0",
      2,
      "altered",
    ],
    [
      "one was added",
      `INSERT INTO rows SELECT seq + 1, at, principal, operation, row, hash FROM rows WHERE seq = ${LAST}`,
      (last) => last + 1,
      "altered",
    ],
    ["it is another's", (file, other) => cpSync(other, file), 1, "altered"],
  ]) {
    test(`where ${what}: ${why}`, async (t) => {
      const { last, town } = await tamperedWith(t, hand);
      const { ok, chains } = await trailOf(town).verified(dayOf(THEN));
      assert.equal(ok, false);
      const broken = chains.map((chain) => chain.broken).filter(Boolean);
      assert.deepEqual(broken, [{ seq: typeof seq === "function" ? seq(last) : seq, why }]);
    });
  }

  test("where all was set back, by what was kept elsewhere", async (t) => {
    const { town } = await tamperedWith(
      t,
      "DELETE FROM rows WHERE seq > 2; UPDATE chain SET count = 2, head = (SELECT hash FROM rows WHERE seq = 2)",
    );
    const { ok, rows, chains } = await trailOf(town).verified(dayOf(THEN));
    assert.ok(!ok || rows < kept.rows);
    assert.notDeepEqual(chains, kept.chains);
  });

  test("but no hand where the secret is another, as long as the one before is known", async (t) => {
    const fresh = remember("aR3kP9xW2mQ7vT5zL8nB4cJ6hD1fG0sY");
    const rotated = { AUTH_SECRET: fresh, AUTH_SECRET_PREVIOUS: AUTH_SECRET };
    const { town } = await tamperedWith(t, "SELECT 1", rotated);
    const theirs = trailOf(town);
    await theirs.left(8, async () => {
      for (let id = 0; id < 8; id += 1) await town.call("POST", `/note/new-${id}`, ada, "x");
    });
    const mixed = await theirs.verified(dayOf(THEN));
    assert.equal(mixed.ok, true, JSON.stringify(mixed));
    assert.equal(mixed.rows, kept.rows + 8);
    const { town: strangers } = await tamperedWith(t, "SELECT 1", {
      AUTH_SECRET: fresh,
    });
    const login = { email: "root@example.com", password: PASSWORD };
    const signed = await strangers.call("POST", "/api/auth/login", NOBODY, login);
    strangers.root = { headers: { Cookie: signed.cookies[0].split(";")[0] } };
    const { ok, chains } = await trailOf(strangers).verified(dayOf(THEN));
    assert.equal(ok, false);
    assert.ok(chains.some(({ broken }) => broken?.why === "altered" && broken.seq === 1));
  });

  test("by the command that an operator runs, too", async (t) => {
    const { origin } = await tamperedWith(t, "DELETE FROM rows WHERE seq = 3");
    const { code, text } = await verifiedBy(origin, VESTIBULE_TOKEN);
    assert.equal(code, 1, text);
    assert.match(text, /missing/);
  });
});

test("what is older than its retention is forgotten", async (t) => {
  // By the real clock, which is that of alarms, its day is over in half a minute: time enough to see it first.
  const other = await openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, DANGER_FIXED_NOW: now() - DAY + 30, AUDIT_RETENTION: "1d" },
  });
  t.after(() => other.stop());
  const theirs = trailOf(await settle(other));
  await theirs.has(1);
  const end = performance.now() + 120_000;
  let left;
  do {
    left = (await theirs.all()).items;
    assert.ok(performance.now() < end, "they are still there");
  } while (left.length > 0);
  const { ok, rows } = await theirs.verified();
  assert.deepEqual([ok, rows], [true, 0]);
});
