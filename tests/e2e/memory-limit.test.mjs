// The module cannot get more memory, as in an isolate that is near its 128 MB: what needs the memory fails and lets
// nobody in, and everything else works.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inProject } from "../../scripts/lib/project.mjs";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, ANONYMOUS, callerOf, PASSWORD, setUpUsers } from "../support/people.mjs";

// 64 KiB each. A password hash takes 304 of them.
const PAGES = 64;
const LONG = "x".repeat(500_000);

test("a sign-in without memory for the hash is 503, not a wrong password, and other requests work", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-memory-"));
  const open = (wasm) =>
    openGateway({
      routes: [
        { path: "/user", access: "user" },
        { path: "/pay", methods: ["POST"], access: "user", idempotency: "required" },
      ],
      answers: { "/pay": { body: LONG } },
      variables: ACCOUNTS,
      folder,
      wasm,
    });
  let gateway = await open();
  t.after(async () => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const { root } = await setUpUsers(gateway);
  await gateway.stop();

  gateway = await open(withMemoryLimit(readFileSync(inProject("build/index_bg.wasm")), PAGES));
  const call = callerOf(gateway);
  const assertWorks = async (key) => {
    assert.equal((await call("GET", "/user", root)).text, "ok");
    const pay = () => call("POST", "/pay", root, LONG, { headers: { "Idempotency-Key": key } });
    assert.equal((await pay()).text, LONG);
    assert.equal((await pay()).headers["idempotent-replayed"], "true");
  };
  await assertWorks("before");
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const response = await call("POST", "/api/auth/login", ANONYMOUS, {
      email: "root@example.com",
      password: PASSWORD,
    });
    assertProblem(response, 503, "overloaded");
    assert.deepEqual(response.cookies, []);
    await assertWorks(`after-${attempt}`);
  }
});

// Limits the memory of a module to some pages more than it starts with.
function withMemoryLimit(wasm, pages) {
  const parts = [wasm.subarray(0, 8)];
  for (let at = 8; at < wasm.length; ) {
    const [length, start] = readNumber(wasm, at + 1);
    const end = start + length;
    parts.push(wasm[at] === MEMORY ? limited(wasm.subarray(start, end)) : wasm.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);

  function limited(section) {
    assert.deepEqual([...section.subarray(0, 2)], [1, 0], "one memory without a limit");
    const [least] = readNumber(section, 2);
    const content = [1, 1, ...number(least), ...number(least + pages)];
    return Buffer.from([MEMORY, ...number(content.length), ...content]);
  }
}

// The id of the section of memories.
const MEMORY = 5;

// Reads a number in LEB128. Returns it, and the position after it.
function readNumber(bytes, from) {
  let [value, at, shift] = [0, from, 0];
  for (;;) {
    value |= (bytes[at] & 127) << shift;
    if (bytes[at] < 128) return [value, at + 1];
    at += 1;
    shift += 7;
  }
}

function number(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...number(value >> 7)];
}
