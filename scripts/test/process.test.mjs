import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { launch, outputOf, run } from "../lib/process.mjs";

const node = process.execPath;
// A process that has ended stays listed as a zombie until its parent waits for it.
const isAlive = (pid) => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

test("outputOf is undefined if the program fails or is missing", async () => {
  assert.equal(await outputOf(node, ["-p", "1 + 1"]), "2");
  assert.equal(await outputOf(node, ["-e", "process.exit(3)"]), undefined);
  assert.equal(await outputOf("no-such-program", []), undefined);
});

test("run fails with the exit code of the program", async () => {
  const failing = run(node, ["-e", "process.exit(3)"], { what: "the program" });
  await assert.rejects(failing, { message: "the program failed (exit code 3)", code: 3 });
});

test("passes input on, also to a program that does not read it", async () => {
  await run(node, ["-e", "require('fs').readFileSync(0, 'utf8') === 'x' || process.exit(1)"], {
    input: "x",
  });
  await run(node, ["-e", ""], { input: "x".repeat(1_000_000) });
});

const PARENT = `
  const { spawn } = require("node:child_process");
  const args = ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1e3)"];
  const child = spawn(process.execPath, args, { detached: true, stdio: "ignore" });
  child.unref();
  console.log(child.pid);
`;
const onLinux = { skip: process.platform !== "linux" && "needs /proc" };

test("kills a child outside the group when its job ends", onLinux, async () => {
  let printed = "";
  const job = launch(node, ["-e", PARENT], {
    silent: true,
    onOutput: (text) => {
      printed += text;
    },
  });
  const { code, leftovers } = await job.done;
  assert.deepEqual([code, leftovers], [0, 1]);
  assert.equal(isAlive(Number(printed)), false);
});

test("kills a child outside the group when its job is stopped", onLinux, async () => {
  const { promise, resolve } = Promise.withResolvers();
  const job = launch(node, ["-e", `${PARENT} setInterval(() => {}, 1e3)`], {
    silent: true,
    onOutput: resolve,
  });
  const pid = Number(await promise);
  assert.equal(isAlive(pid), true);
  await job.stop();
  assert.equal(isAlive(pid), false);
});
