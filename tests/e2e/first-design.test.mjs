// The first design's promises about tokens: its commands work unchanged, an agent gets its own error code, only live
// tokens count toward the limit, and an invalid entry of AGENT_TOKENS affects nothing else.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { pollUntil } from "../support/poll.mjs";
import { trackSecret } from "../support/tokens.mjs";

const good = trackSecret(`mk_${"a7".repeat(20)}`);
const tooShort = trackSecret("mk_short");
const wrongPrefix = trackSecret(`mul_${"b8".repeat(20)}`);
const duplicate = trackSecret(`mk_${"d0".repeat(20)}`);

let gateway;
let people;
let root;
let ada;
let agent;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/api/mockups", access: "authenticated" },
      { path: "/user/{*rest}", access: "user" },
    ],
    variables: {
      ...ACCOUNTS,
      AGENT_TOKENS: `deploy:${good},tiny:${tooShort},other:${wrongPrefix},deploy:${duplicate}`,
    },
  });
  people = await setUpUsers(gateway);
  root = people.root;
  ada = await people.createUser("ada");
  agent = await people.createToken(root, "mk_");
});
after(() => gateway.stop());

const bearer = (value) => ({ headers: { Authorization: `Bearer ${value}` } });
const tokensOf = async (caller) =>
  (await people.call("GET", "/api/agent-tokens?limit=100", caller)).json().items;

describe("the first design's commands", () => {
  // As documented then. The test replaces the host, the account and the path of the cookie file.
  const LINES = `
curl -s -c /tmp/markup-cookies.txt -X POST http://localhost:3000/api/auth/login \\
  -H 'Content-Type: application/json' \\
  -d '{"email":"admin@example.com","password":"longpassword12345"}'
# subsequent calls
curl -s -b /tmp/markup-cookies.txt http://localhost:3000/api/mockups
TOKEN=$(curl -s -b /tmp/markup-cookies.txt -X POST /api/agent-tokens \\
  -H 'Content-Type: application/json' \\
  -d '{"name":"test"}' | jq -r .plaintext)
curl -s -H "Authorization: Bearer $TOKEN" http://localhost:3000/api/mockups
printf '\\n%s' "$TOKEN"
`;
  // A replacement for jq, which may not be installed. It supports what the commands use.
  const JQ = `#!/usr/bin/env node
let text = "";
process.stdin.on("data", (chunk) => { text += chunk; });
process.stdin.on("end", () => console.log(JSON.parse(text)[process.argv[3].slice(1)]));
`;

  test("sign in, make an agent token and use it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
    after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, "jq"), JQ, { mode: 0o755 });
    const script = LINES.replaceAll("/tmp/markup-cookies.txt", join(folder, "cookies.txt"))
      .replaceAll("http://localhost:3000", gateway.direct)
      .replace("POST /api/agent-tokens", `POST ${gateway.direct}/api/agent-tokens`)
      .replace("admin@example.com", "root@example.com")
      .replace("longpassword12345", PASSWORD);
    const env = { ...process.env, PATH: `${process.env.PATH}:${folder}`, no_proxy: "*" };
    const before = gateway.upstreamRequests.length;
    const { stdout } = await promisify(execFile)("sh", ["-ec", script], { env });
    const token = trackSecret(stdout.split("\n").at(-1));
    assert.match(token, /^mk_[\w-]{27}$/);
    assert.ok(stdout.includes("okok"), stdout);
    const [first, second] = gateway.upstreamRequests.slice(before).map(({ headers }) => headers);
    assert.deepEqual([first["x-user-id"], first["x-author-type"]], [root.id, "user"]);
    assert.deepEqual([second["x-user-id"], second["x-actor-source"]], [undefined, "agent_token"]);
    assert.equal((await tokensOf(root)).filter(({ name }) => name === "test").length, 1);
  });

  test("make no agent token for a user who is not an admin, nor with an unknown prefix", async () => {
    const body = { name: "test" };
    const made = await people.call("POST", "/api/agent-tokens", ada, body);
    assertProblem(made, 403, "forbidden_role");
    const unknown = { name: "x", prefix: "zzz_" };
    const problem = await people.call("POST", "/api/agent-tokens", root, unknown);
    const { field, detail } = assertProblem(problem, 400, "invalid_body");
    assert.deepEqual([field, detail], ["prefix", "expected one of mul_, mat_, mcn_, mk_"]);
  });
});

describe("an agent at /api/agent-tokens", () => {
  for (const [method, path, body] of [
    ["GET", "/api/agent-tokens"],
    ["POST", "/api/agent-tokens", { name: "x" }],
    ["POST", "/api/agent-tokens", { name: "x", prefix: "mul_" }],
    ["DELETE", "/api/agent-tokens/tok_1"],
    ["GET", "/api/users"],
    ["POST", "/api/invites", { role: "user" }],
  ]) {
    test(`is refused as forbidden_kind: ${method} ${path} ${JSON.stringify(body ?? "")}`, async () => {
      assertProblem(await people.call(method, path, agent, body), 403, "forbidden_kind");
    });
  }

  test("differs from a user's machine, which gets forbidden_human_only", async () => {
    const machine = await people.createToken(root, "mat_");
    const body = { name: "x" };
    const made = await people.call("POST", "/api/agent-tokens", machine, body);
    assertProblem(made, 403, "forbidden_human_only");
    const both = { headers: { ...root.headers, ...machine.headers } };
    const listed = await people.call("GET", "/api/agent-tokens", both);
    assertProblem(listed, 403, "forbidden_human_only");
  });
});

describe("AGENT_TOKENS", () => {
  test("are listed from the first request on, before they are used", async () => {
    const { id, lastUsedAt } = (await tokensOf(root)).find(({ name }) => name === "deploy");
    assert.match(id, /^tok_/);
    assert.equal(lastUsedAt, null);
    const { response, seen } = await gateway.expectForwarded(() =>
      people.call("GET", "/api/mockups", bearer(good)),
    );
    assert.equal(response.text, "ok");
    assert.equal(seen.headers["x-agent-token-id"], id);
  });

  for (const [what, value] of [
    ["that is too short", tooShort],
    ["without an agent's prefix", wrongPrefix],
    ["under a name that is already used", duplicate],
  ]) {
    test(`an entry ${what} is refused, and everything else works`, async () => {
      const refused = await gateway.expectNotForwarded(() =>
        people.call("GET", "/api/mockups", bearer(value)),
      );
      assertProblem(refused, 401, "unauthorized", "token_unknown");
      assert.equal((await people.call("GET", "/user/x", ada)).text, "ok");
    });
  }

  test("the log names each invalid entry, without its value", async () => {
    for (const message of [
      'expected a token of 40 to 256 visible characters for "tiny"',
      'expected a token with the prefix of a credential of kind "agent" for "other"',
      'expected the name "deploy" once, found it again in entry 4',
    ]) {
      await gateway.waitForLog((line) =>
        line.startsWith(`misconfigured: AGENT_TOKENS: ${message}`),
      );
    }
    const explained = await people.call("POST", "/api/explain", root, {
      method: "GET",
      url: "https://app.example/user/x",
    });
    assert.equal(explained.json().complaints.length, 3, explained.text);
  });
});

describe("a hundred live tokens", () => {
  test("are the limit, which the refusal states, and expired tokens do not count", async () => {
    const eve = await people.createUser("eve");
    const make = (more) =>
      people.call("POST", "/api/agent-tokens", eve, { name: "x", prefix: "mul_", ...more });
    const brief = await make({ expiresIn: "1s" });
    // A few at a time: on a busy machine, a store that takes more than two seconds counts as unavailable.
    for (let made = 0; made < 99; made += 9) {
      const some = await Promise.all(Array.from({ length: 9 }, () => make()));
      assert.deepEqual([...new Set(some.map(({ status }) => status))], [201]);
    }
    // The clock is the real one: the token expires within a second.
    const caller = bearer(trackSecret(brief.json().plaintext));
    const expired = await pollUntil(
      () => people.call("GET", "/user/x", caller),
      ({ status }) => status !== 200,
      "the token to expire",
    );
    assertProblem(expired, 401, "unauthorized", "token_expired");
    assert.equal((await make()).status, 201, "the hundredth live token");
    const { title } = assertProblem(await make(), 403, "forbidden_policy", "token_limit");
    assert.equal(title, "token limit reached (100 live): revoke one first");
    const [{ id }] = await tokensOf(eve);
    const revoked = await people.call("DELETE", `/api/agent-tokens/${id}`, eve);
    assert.equal(revoked.status, 204);
    assert.equal((await make()).status, 201);
  });
});
