import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { answerOf, launch, run } from "../lib/process.mjs";

const node = process.execPath;
// A process that has ended but that nobody waited for is still listed, as a zombie.
const isAlive = (pid) => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

test("an answer is what was printed, and nothing where the program failed or is missing", async () => {
  assert.equal(await answerOf(node, ["-p", "1 + 1"]), "2");
  assert.equal(await answerOf(node, ["-e", "process.exit(3)"]), undefined);
  assert.equal(await answerOf("no-such-program", []), undefined);
});

test("an exit code is passed on", async () => {
  const failing = run(node, ["-e", "process.exit(3)"], { what: "the thing" });
  await assert.rejects(failing, { message: "the thing failed (exit code 3)", code: 3 });
});

test("input is handed over, also to a program that does not read it", async () => {
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

test("a child that left the group ends with a job that ends", onLinux, async () => {
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

test("a child that left the group ends with a job that is stopped", onLinux, async () => {
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
