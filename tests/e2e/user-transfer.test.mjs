// Export and import of users: what moves, what is refused, and what others may do meanwhile.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { devicesOf } from "../support/factors.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, callerOf, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";

const NOW = 2_000_000_000;
const EXPORT_KEY = trackSecret("eXp0rtK3yZq8vR5sX1bC7dE3fG6hL9pT0k");
const VARIABLES = {
  ...ACCOUNTS,
  EXPORT_KEY,
  ENVIRONMENT: "development",
  DANGER_FIXED_NOW: String(NOW),
};

// Opens a gateway with its first admin.
async function open(variables = {}) {
  const gateway = await openGateway({ variables: { ...VARIABLES, ...variables } });
  const people = await setUpUsers(gateway);
  const call = callerOf(gateway);
  const { root } = people;
  const send = (...args) => gateway.expectNotForwarded(() => call(...args));
  return {
    gateway,
    people,
    call: send,
    page: (query = "", caller = root) => send("GET", `/api/users/export${query}`, caller),
    importLines: (text, caller = root, query = "") =>
      send("POST", `/api/users/import${query}`, caller, text, {
        headers: { "Content-Type": "application/jsonl" },
      }),
    stop: () => gateway.stop(),
  };
}

const nextOf = ({ headers }) => {
  const [, next] = /^<\/api\/users\/export(\?[^>]+)>; rel="next"$/.exec(headers.link ?? "") ?? [];
  return next;
};
const linesOf = ({ text }) => text.split("\n").filter(Boolean);
const idsOf = (lines) => lines.map((line) => JSON.parse(line).id);

// Returns all lines of an export. Between two pages, it calls `meanwhile`.
async function exportAll(site, limit, meanwhile = () => {}) {
  const lines = [];
  for (let query = `?limit=${limit}`; query; ) {
    const response = await site.page(query);
    assert.equal(response.status, 200, response.text);
    assert.equal(response.headers["content-type"], "application/jsonl");
    lines.push(...linesOf(response));
    query = nextOf(response);
    await meanwhile();
  }
  return lines;
}

const ok = (response) => {
  assert.equal(response.status, 200, response.text);
  assert.deepEqual(response.cookies, [], "an import opens no session");
  return response.json();
};

describe("export and import of users", () => {
  let from;
  let to;
  let lines;
  const names = ["ada", "bob", "eve"];
  const users = {};
  let app;
  before(async () => {
    from = await open();
    to = await open({ AUTH_SECRET: "another1ForTheSecondSite_9fLq2ZxW7" });
    for (const name of names) users[name] = await from.people.createUser(name);
    app = await devicesOf(from.call, NOW).enroll(users.ada);
    const disabled = { status: "disabled" };
    const path = `/api/users/${users.eve.id}`;
    assert.equal((await from.call("PATCH", path, from.people.root, disabled)).status, 200);
    lines = await exportAll(from, 2);
  });
  after(() => Promise.all([from.stop(), to.stop()]));

  const ofUsers = () => lines.filter((line) => !line.includes("root@example.com"));

  test("a line shows who it is about, and no hash", () => {
    assert.equal(lines.length, 4);
    for (const line of lines) {
      const { id, email, name, role, status, createdAt, sealed, ...rest } = JSON.parse(line);
      assert.deepEqual(rest, {});
      assert.match(id, /^usr_/);
      assert.equal(status, email.startsWith("eve") ? "disabled" : "active");
      assert.deepEqual([name, typeof role, typeof createdAt], [null, "string", "string"]);
      for (const secret of ["1$", app.secret, ...app.recoveryCodes]) {
        assert.ok(!line.includes(secret));
        assert.ok(!Buffer.from(sealed, "base64url").includes(secret));
      }
    }
  });

  test("users sign in at the other deployment, with their factors", async () => {
    const text = ofUsers().join("\n");
    const dry = ok(await to.importLines(text, to.people.root, "?dryRun=true"));
    assert.deepEqual(dry, { dryRun: true, added: 3, unchanged: 0, errors: [] });
    assert.equal((await exportAll(to, 100)).length, 1, "a dry run stores nothing");
    const done = ok(await to.importLines(text));
    assert.deepEqual(done, { dryRun: false, added: 3, unchanged: 0, errors: [] });
    const again = ok(await to.importLines(text));
    assert.deepEqual(again, { dryRun: false, added: 0, unchanged: 3, errors: [] });

    const devices = devicesOf(to.call, NOW);
    const signedIn = await devices.logIn("bob");
    assert.equal(signedIn.status, 200, signedIn.text);
    assert.equal(signedIn.json().userId, users.bob.id);
    assertProblem(await devices.logIn("eve"), 401, "invalid_credentials");
    const ticket = await devices.ticket("ada");
    // The code that confirmed the app was used at the first deployment.
    assertProblem(await devices.finish({ ticket, code: app.code(-1) }), 401, "invalid_credentials");
    assert.equal((await devices.finish({ ticket, code: app.code() })).status, 200);
    const other = await devices.ticket("ada");
    const recovery = { ticket: other, recoveryCode: app.recoveryCodes[0] };
    assert.equal((await devices.finish(recovery)).status, 200);
  });

  test("tells each bad line, and stores the others", async () => {
    const [good] = ofUsers();
    const parsed = JSON.parse(good);
    const fresh = await open();
    try {
      const text = [
        "nonsense",
        JSON.stringify({ ...parsed, role: "admin" }),
        "",
        JSON.stringify({ ...parsed, email: "other@example.com" }),
        good,
        good,
        lines.find((line) => line.includes("root@example.com")),
      ].join("\r\n");
      const { added, unchanged, errors } = ok(await fresh.importLines(text));
      assert.deepEqual([added, unchanged], [1, 1]);
      const told = errors.map(({ line, error }) => [line, error]);
      assert.deepEqual(told, [
        [1, "invalid_line"],
        [2, "changed_line"],
        [4, "not_opened"],
        [7, "email_taken"],
      ]);
      assert.ok(!JSON.stringify(errors).includes("example.com"), "no data of a line");
      assert.equal((await exportAll(fresh, 100)).length, 2);
    } finally {
      await fresh.stop();
    }
  });

  test("another EXPORT_KEY opens nothing", async () => {
    const other = await open({ EXPORT_KEY: trackSecret("0therK3yZq8vR5sX1bC7dE3fG6hL9pT0kX") });
    try {
      const { added, errors } = ok(await other.importLines(ofUsers().join("\n")));
      assert.equal(added, 0);
      assert.ok(errors.length === 3 && errors.every(({ error }) => error === "not_opened"));
    } finally {
      await other.stop();
    }
  });

  test("bounds a request", async () => {
    const { root } = from.people;
    const line = ofUsers()[0];
    for (const text of ["", "\n\n", Array(101).fill(line).join("\n")]) {
      const answer = await from.importLines(text);
      assert.equal(assertProblem(answer, 400, "invalid_body").field, "(body)");
    }
    const long = await from.importLines(`${line}\n`.repeat(100) + "x".repeat(256 * 1024));
    assertProblem(long, 413, "body_too_large");
    const json = await from.call("POST", "/api/users/import", root, { lines: [line] });
    assertProblem(json, 415, "unsupported_media_type");
    const odd = await from.importLines(line, root, "?dryRun=yes");
    assert.equal(assertProblem(odd, 400, "invalid_body").field, "dryRun");
    assertProblem(await from.page("?limit=101"), 400, "invalid_body");
  });

  test("only admins in person export and import, and only with the key", async () => {
    const { people, page, importLines } = from;
    const bob = await people.createUser("bobby");
    const [person, machine] = [
      await people.createToken(people.root, "mul_"),
      await people.createToken(people.root, "mat_"),
    ];
    for (const [caller, status, error, reason] of [
      [{ headers: {} }, 401, "unauthorized", "no_credential"],
      [bob, 403, "forbidden_role"],
      [machine, 403, "forbidden_human_only"],
    ]) {
      assertProblem(await page("", caller), status, error, reason);
      assertProblem(await importLines(lines[0], caller), status, error, reason);
    }
    assert.equal((await page("?limit=1", person)).status, 200);
    const foreign = { ...people.root.headers, "Sec-Fetch-Site": "cross-site" };
    const posted = await importLines(lines[0], { headers: foreign });
    assertProblem(posted, 403, "forbidden_origin");
    const without = await open({ EXPORT_KEY: null });
    try {
      assertProblem(await without.page(), 404, "not_found");
      assertProblem(await without.importLines(lines[0]), 404, "not_found");
    } finally {
      await without.stop();
    }
  });

  test("step-up applies, and the audit trail has a row", async () => {
    const SESSION = { ...ACCOUNTS.SESSION, recent_admin: "10m" };
    const strict = await open({ SESSION });
    try {
      assert.equal((await strict.page()).status, 200, "signed in just now");
      const token = await strict.people.createToken(strict.people.root, "mul_");
      assertProblem(await strict.page("", token), 403, "forbidden_human_only");
      const rows = async () => {
        const { items } = (await strict.call("GET", "/api/audit", strict.people.root)).json();
        return items.map(({ operation, detail }) => `${operation} ${detail}`);
      };
      for (let tries = 0; !(await rows()).includes("vestibule.users.export 1 users"); tries += 1) {
        assert.ok(tries < 100, (await rows()).join("\n"));
      }
    } finally {
      await strict.stop();
    }
  });

  test("an export during writes has no user twice, and all who are there throughout", async () => {
    const site = await open();
    try {
      const there = [site.people.root.id];
      for (let at = 0; at < 8; at += 1) there.push((await site.people.createUser(`u${at}`)).id);
      let at = 0;
      const exported = await exportAll(site, 2, async () => {
        const [added] = await Promise.all([
          site.people.createUser(`new${at++}`),
          site.call("DELETE", `/api/users/${there.pop()}`, site.people.root),
        ]);
        return added;
      });
      const ids = idsOf(exported);
      assert.equal(new Set(ids).size, ids.length);
      assert.ok(there.every((id) => ids.includes(id)));
    } finally {
      await site.stop();
    }
  });

  test("an admin who is demoted during an import imports no more", async () => {
    const [many, target] = [await open(), await open()];
    try {
      for (let at = 0; at < 12; at += 1) await many.people.createUser(`u${at}`);
      const text = (await exportAll(many, 100)).filter((line) => !line.includes("root@"));
      const second = await target.people.createUser("second", "admin");
      const sent = text.map(async (line, index) => {
        if (index === 4) {
          const path = `/api/users/${second.id}`;
          const demoted = await target.call("PATCH", path, target.people.root, { role: "user" });
          assert.equal(demoted.status, 200, demoted.text);
        }
        return target.importLines(line, second);
      });
      const answers = await Promise.all(sent);
      assertProblem(answers[4], 403, "forbidden_role");
      const after = await target.importLines(text[0], second);
      assertProblem(after, 403, "forbidden_role");
      const added = answers.filter(({ status }) => status === 200);
      for (const response of answers) {
        if (response.status !== 200) assertProblem(response, 403, "forbidden_role");
      }
      assert.equal((await exportAll(target, 100)).length, 2 + added.length);
    } finally {
      await Promise.all([many.stop(), target.stop()]);
    }
  });

  test("npm run accounts exports, resumes and imports", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-transfer-"));
    const file = join(folder, "users.jsonl");
    const [source, target] = [await open(), await open()];
    const run = async (site, ...args) => {
      const token = await site.people.createToken(site.people.root, "mul_");
      const url = `http://localhost:${new URL(site.gateway.direct).port}`;
      const [command, ...rest] = args;
      const child = spawn(process.execPath, ["scripts/accounts.mjs", command, url, file, ...rest], {
        env: { ...process.env, VESTIBULE_TOKEN: token.plaintext },
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (chunk) => {
          output += chunk;
        });
      }
      const code = await new Promise((resolve) => child.on("close", resolve));
      return { code, output };
    };
    try {
      for (const name of names) await source.people.createUser(name);
      const exported = await run(source, "export");
      assert.equal(exported.code, 0, exported.output);
      assert.equal(statSync(file).mode & 0o777, 0o600);
      const whole = idsOf(readFileSync(file, "utf8").split("\n").filter(Boolean));
      assert.equal(whole.length, 4);
      assert.equal((await run(source, "export")).code, 2, "does not overwrite a file");
      // The file broke off in the third line.
      const text = readFileSync(file, "utf8").split("\n");
      writeFileSync(file, `${text[0]}\n${text[1]}\n${text[2].slice(0, 20)}`);
      const resumed = await run(source, "export", "--resume");
      assert.equal(resumed.code, 0, resumed.output);
      assert.deepEqual(idsOf(readFileSync(file, "utf8").split("\n").filter(Boolean)), whole);
      const dry = await run(target, "import", "--dry-run");
      assert.match(dry.output, /3 would be added, 0 unchanged, 1 refused/);
      const done = await run(target, "import");
      assert.equal(done.code, 1);
      assert.match(done.output, /^line \d: email_taken/m);
      assert.match(done.output, /3 added, 0 unchanged, 1 refused/);
      const again = await run(target, "import");
      assert.match(again.output, /0 added, 3 unchanged, 1 refused/);
      const users = (await target.call("GET", "/api/users", target.people.root)).json().items;
      assert.equal(users.length, 4);
      const login = { email: "ada@example.com", password: PASSWORD };
      assert.equal((await target.call("POST", "/api/auth/login", undefined, login)).status, 200);
    } finally {
      await Promise.all([source.stop(), target.stop()]);
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
