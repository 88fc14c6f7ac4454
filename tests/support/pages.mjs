// Runs the code blocks of a page of the documentation, exactly as they stand there. A comment before a block says what
// it is:
//
// - `<!-- file: NAME -->`: a file, which is written;
// - `<!-- run -->`: commands, which must succeed;
// - `<!-- run: until "TEXT" -->`: a command that goes on; its output has this text once it is ready;
// - `<!-- shows -->`: lines, each of which the output of the commands before must have;
// - `<!-- append to: NAME -->`: lines that are added to the end of a file.
//
// `run in FOLDER` runs in a folder below the first one; otherwise a section begins in the first one.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const BLOCK = /^<!-- (file|run|shows|append to)\b(.*) -->\n```\w*\n([\s\S]*?)^```$/gm;

// Returns the blocks below each heading `## …`: `{kind, detail, code}`.
export function sectionsOf(text) {
  const sections = text.split(/^## /m).slice(1);
  return sections.map((section) => ({
    title: section.split("\n", 1)[0],
    blocks: [...section.matchAll(BLOCK)].map(([, kind, detail, code]) => ({ kind, detail, code })),
  }));
}

// Returns the files that a page shows, by name.
export function filesOf(text) {
  const blocks = [...text.matchAll(BLOCK)].filter(([, kind]) => kind === "file");
  return Object.fromEntries(blocks.map(([, , detail, code]) => [nameIn(detail), code]));
}

// Turns a hang into a failure. It is long enough for a slow machine and measures nothing.
const TIMEOUT_MS = 120_000;

const nameIn = (detail) => /^: (\S+)$/.exec(detail)[1];

// Opens a terminal in a folder. `env` is its environment.
export function openTerminal(root, env) {
  const jobs = [];
  return {
    // Runs the blocks in their order.
    async run(blocks) {
      let folder = root;
      let output = "";
      for (const { kind, detail, code } of blocks) {
        if (kind === "file") write(join(root, nameIn(detail)), code);
        else if (kind === "append to") appendFileSync(join(root, nameIn(detail)), `\n${code}`);
        else if (kind === "shows") {
          for (const line of code.trimEnd().split("\n")) {
            assert.ok(output.includes(line), `the output has no "${line}":\n${output}`);
          }
        } else {
          const [, inner] = /^ in (\S+)/.exec(detail) ?? [];
          const cwd = inner ? join(root, inner) : folder;
          const [, ready] = /until "(.+)"/.exec(detail) ?? [];
          if (ready) jobs.push(await startUntil(code, ready, { cwd, env }));
          else ({ output, folder } = await runToEnd(code, { cwd, env }));
        }
      }
    },
    // Returns all output of the commands that go on.
    output: () => jobs.map((job) => job.output).join(""),
    // Calls `act`, and waits until the output of the commands that go on has a text once more than before.
    async until(text, act) {
      const count = () => this.output().split(text).length;
      const before = count();
      await act();
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      while (count() === before) {
        await Promise.race(jobs.map(({ child }) => once(child, "output", { signal })));
      }
    },
    async close() {
      for (const { child } of jobs.splice(0).reverse()) await end(child);
    },
  };
}

function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

// Runs commands as a shell does, and returns their output and the folder in which they ended.
async function runToEnd(code, { cwd, env }) {
  const child = start(`set -e\n${code}\npwd >&3`, { cwd, env });
  let folder = "";
  child.stdio[3].setEncoding("utf8").on("data", (text) => {
    folder += text;
  });
  let output = "";
  child.on("output", (text) => {
    output += text;
  });
  const [status] = await once(child, "close");
  assert.equal(status, 0, `${code}\n${output}`);
  return { output, folder: folder.trim() };
}

async function startUntil(code, ready, { cwd, env }) {
  const child = start(`exec ${code}`, { cwd, env });
  const job = { child, output: "" };
  child.on("output", (text) => {
    job.output += text;
  });
  const closed = once(child, "close").then(() => "closed");
  while (!job.output.includes(ready)) {
    const event = await Promise.race([once(child, "output"), closed]);
    assert.notEqual(event, "closed", `${code} has ended:\n${job.output}`);
  }
  return job;
}

// Starts a shell. The event `output` has text of both of its outputs.
function start(script, { cwd, env }) {
  const child = spawn("sh", ["-c", script], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => child.emit("output", text));
  }
  return child;
}

// Ends a command and its children.
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  process.kill(-child.pid, "SIGTERM");
  await closed;
}
