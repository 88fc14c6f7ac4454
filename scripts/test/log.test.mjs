import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { readLog, readReported, requestOf } from "../../packages/vestibule/cli/log.mjs";

for (const [format, line, want] of [
  [
    "combined",
    '203.0.113.7 - - [30/Nov/2026:10:00:00 +0000] "GET /a%2Fb/..;x?c=d HTTP/1.1" 200 12 "-" "curl"',
    ["GET", "/a%2Fb/..;x"],
  ],
  [
    "nginx, JSON",
    '{"request_method":"POST","request_uri":"/pay?id=1","status":200}',
    ["POST", "/pay"],
  ],
  ["nginx, request line in JSON", '{"request":"PUT /x HTTP/2.0"}', ["PUT", "/x"]],
  ["Logpush", '{"ClientRequestMethod":"GET","ClientRequestURI":"/y#z"}', ["GET", "/y"]],
  [
    "Workers Logs",
    '{"$workers":{"event":{"request":{"method":"GET","url":"https://a.example/z?q"}}}}',
    ["GET", "/z"],
  ],
  [
    "wrangler tail",
    '{"event":{"request":{"method":"GET","url":"https://a.example"}}}',
    ["GET", "/"],
  ],
  ["our own", '{"event":"request","method":"DELETE","path":"/o/1"}', ["DELETE", "/o/1"]],
  ["a word", "hello", undefined],
  ["broken JSON", '{"method":', undefined],
  ["another URL", '{"method":"GET","url":"ftp://a/b"}', undefined],
  ["a TLS hello", '1.2.3.4 - - [x] "\\x16\\x03\\x01" 400 0', undefined],
]) {
  test(`reads a line of a log: ${format}`, () => {
    // In our own log, `event` is a text.
    assert.deepEqual(requestOf(line), want);
  });
}

test("counts equal requests, and the lines without one", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "access.log");
  const line = (path) => `- - - [x] "GET ${path} HTTP/1.1" 200 1`;
  writeFileSync(file, [line("/a?1"), line("/b"), "", "nothing", line("/a?2")].join("\r\n"));
  assert.deepEqual(await readLog(file), {
    requests: [
      ["GET", "/a", 2],
      ["GET", "/b", 1],
    ],
    unreadable: 1,
    isCut: false,
  });
  await assert.rejects(readLog(join(folder, "none")), /none: ENOENT/);
});

test("counts what report mode let through, by rule, refusal and step", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "requests.log");
  const line = (event) => JSON.stringify({ event: "request", rule: "/a", ...event });
  const role = { code: "forbidden_role", status: 403, step: "access" };
  const expired = { code: "unauthorized", reason: "session_expired", status: 401, step: "access" };
  const lines = [
    line({ decision: "allow", passes: 100 }),
    line({ decision: "would_refuse", wouldRefuse: expired, wouldExpireCookie: true }),
    line({ decision: "would_refuse", wouldRefuse: role }),
    line({ decision: "forbidden_policy", step: "policy", wouldRefuse: role }),
    '{"event":"later_failed"}',
    "hello",
  ];
  writeFileSync(file, lines.join("\n"));
  assert.deepEqual(await readReported(file), {
    rows: [
      { rule: "/a", ...role, requests: 2 },
      { rule: "/a", status: 401, code: "unauthorized", step: "access", requests: 1 },
    ],
    requests: 103,
    keptCookies: 1,
    unreadable: 2,
  });
});
