/**
 * Starts other programs and ends them again, whatever happens.
 *
 * Each program is a *job*: it leads a process group of its own, so that it ends with all its
 * children, and carries a mark in its environment, so that a child which left the group (a browser
 * does) is found as well. When this process is interrupted or fails, its jobs end before it does.
 */

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { root, toolEnvironment } from "./project.mjs";

/** Something the reader can act on: printed as one message, without a stack. */
export class Failure extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

/**
 * Runs a script's body, then exits: with 0, with the number the body answers, with a failure's code,
 * or with 128 + n after signal n.
 *
 * @param {() => Promise<number | undefined>} body
 * @param {(signal: string) => number} [codeAfter] the exit code after a signal
 */
export async function main(body, codeAfter = (signal) => 128 + constants.signals[signal]) {
  const interrupted = new Promise((resolve) => {
    const interrupt = (name) => {
      closing = true;
      resolve(name);
    };
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => interrupt(name));
    whenOrphaned(() => interrupt("SIGTERM"));
  });
  process.on("exit", () => {
    for (const job of jobs) job.signal("SIGKILL");
  });

  const outcome = body().then((code) => code ?? 0, report);
  const code = await Promise.race([outcome, interrupted.then(codeAfter)]);
  closing = true;
  await Promise.all([...jobs].map((job) => job.stop()));
  process.exit(code);
}

/** Whether the module at this URL is the script that was started. */
export function isMain(url) {
  return Boolean(process.argv[1]) && realpathSync(process.argv[1]) === fileURLToPath(url);
}

/** Says what is being done, in one plain line. */
export function say(line) {
  console.log(`» ${line}`);
}

/**
 * Starts a job. Its input is empty unless `input` is given; its output goes where ours does.
 *
 * @param {object} [options]
 * @param {NodeJS.ProcessEnv} [options.env] whole environment, by default that of the tools
 * @param {string} [options.cwd]
 * @param {string} [options.input]
 * @param {import("node:child_process").StdioOptions} [options.stdio]
 * @param {(text: string) => void} [options.onOutput] also handed what it prints
 * @param {boolean} [options.silent] what it prints is only handed over
 */
export function launch(command, args, options = {}) {
  if (closing) throw new Failure("interrupted");
  const env = options.env ?? toolEnvironment();
  const mark = [process.env[MARK], `${process.pid}.${++launched}`].filter(Boolean).join("/");
  const output = options.onOutput ? "pipe" : "inherit";
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: { ...env, [MARK]: mark },
    stdio: options.stdio ?? [options.input === undefined ? "ignore" : "pipe", output, output],
    detached: true,
  });

  if (options.onOutput) {
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.setEncoding("utf8").on("data", (text) => {
        options.onOutput(text);
        if (!options.silent) to.write(text);
      });
    }
  }
  if (options.input !== undefined) {
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
  }
  return new Job(child, mark);
}

/** Runs a job to its end. A failure names `what`, and carries the job's exit code. */
export async function run(command, args, { what = command, ...options } = {}) {
  const { code, error } = await launch(command, args, options).done;
  if (error) throw new Failure(`${what}: ${error.message}`);
  if (code !== 0) throw new Failure(`${what} failed (exit code ${code})`, code);
}

/** What a program prints, trimmed; `undefined` where it is missing or fails. */
export async function answerOf(command, args, options = {}) {
  let text = "";
  const onOutput = (chunk) => {
    text += chunk;
  };
  const { code } = await launch(command, args, { ...options, onOutput, silent: true }).done;
  return code === 0 ? text.trim() : undefined;
}

class Job {
  #mark;

  constructor(child, mark) {
    this.child = child;
    this.#mark = mark;
    jobs.add(this);
    /** Resolves, never rejects: `{ code, error, leftovers }` once the job and its children are gone. */
    this.done = this.#end();
  }

  /** Ends the job: asks first, and insists after five seconds. */
  async stop() {
    this.signal("SIGTERM");
    const late = sleep(GRACE, "late", { ref: false });
    if ((await Promise.race([this.done, late])) === "late") this.signal("SIGKILL");
    await this.done;
  }

  signal(name) {
    const group = this.child.pid === undefined ? [] : [-this.child.pid];
    const strays = name === "SIGKILL" ? marked(this.#mark) : [];
    for (const pid of [...group, ...strays]) {
      try {
        process.kill(pid, name);
      } catch {
        // It is gone already.
      }
    }
  }

  async #end() {
    const closed = new Promise((resolve) => this.child.once("close", resolve));
    const [code, signal, error] = await new Promise((resolve) => {
      this.child.once("exit", (code, signal) => resolve([code, signal]));
      this.child.once("error", (error) => resolve([127, null, error]));
    });
    const leftovers = error ? 0 : await this.#sweep();
    if (!error) await Promise.race([closed, sleep(1_000, undefined, { ref: false })]);
    jobs.delete(this);
    return { code: code ?? 128 + constants.signals[signal], error, leftovers };
  }

  /** Gives children that outlive the job a moment, then ends them. Answers how many there were. */
  async #sweep() {
    const leftovers = await this.#untilAlone(2_000);
    this.signal("SIGKILL");
    await this.#untilAlone(1_000);
    return leftovers;
  }

  /** Waits until no child is left; answers how many are. */
  async #untilAlone(milliseconds) {
    const deadline = Date.now() + milliseconds;
    // One that is just being started shows no environment for a moment: it takes more than one look.
    for (let alone = 0; alone < 3; ) {
      const left = marked(this.#mark).length;
      if (left > 0 && Date.now() >= deadline) return left;
      alone = left > 0 ? 0 : alone + 1;
      if (alone < 3) await sleep(20);
    }
    return 0;
  }
}

/** Processes whose environment carries the mark. Linux only: elsewhere the group has to do. */
function marked(mark) {
  if (process.platform !== "linux") return [];
  const needle = `\0${MARK}=${mark}`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const environment = `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`;
        const end = environment.indexOf(needle) + needle.length;
        return environment.includes(needle) && ["\0", "/"].includes(environment[end]);
      } catch {
        return false; // It is gone already, or somebody else's.
      }
    })
    .map(Number);
}

/** npm hands a signal to the shell between itself and us, which then ends without a word to us. */
function whenOrphaned(stop) {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && stop(), 250).unref();
}

function report(error) {
  if (closing) return 1; // What fails because it was interrupted needs no message.
  console.error(error instanceof Failure ? error.message : error);
  return error.code > 0 ? error.code : 1;
}

const MARK = "VESTIBULE_JOB";
const GRACE = 5_000;
const jobs = new Set();
let launched = 0;
let closing = false;
