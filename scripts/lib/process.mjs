/**
 * Starts other programs and makes sure that they end.
 *
 * Each program is a *job*. It has a process group of its own, so that its children end with it. It also has a marker in
 * its environment, which finds children that left the group, as browsers do. When this process is interrupted or fails,
 * it ends its jobs first.
 */

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Failure } from "../../packages/vestibule/cli/failure.mjs";
import { root, toolEnvironment } from "./project.mjs";

export { Failure } from "../../packages/vestibule/cli/failure.mjs";

/**
 * Runs the body of a script, then exits: with the number that the body returns or 0, with the code of a failure, or
 * with 128 + n after signal n.
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

/** Returns true if the module at this URL is the script that was started. */
export function isMain(url) {
  return Boolean(process.argv[1]) && realpathSync(process.argv[1]) === fileURLToPath(url);
}

/** Prints the current step as one line. */
export function say(line) {
  console.log(`» ${line}`);
}

/**
 * Starts a job. Its input is empty unless `input` is set. Its output goes to the output of this process.
 *
 * @param {object} [options]
 * @param {NodeJS.ProcessEnv} [options.env] the whole environment; default: that of the tools
 * @param {string} [options.cwd]
 * @param {string} [options.input]
 * @param {import("node:child_process").StdioOptions} [options.stdio]
 * @param {(text: string) => void} [options.onOutput] called with the output
 * @param {boolean} [options.silent] passes the output to `onOutput` only
 */
export function launch(command, args, options = {}) {
  if (closing) throw new Failure("interrupted");
  const env = options.env ?? toolEnvironment();
  const marker = [process.env[MARKER_NAME], `${process.pid}.${++launched}`]
    .filter(Boolean)
    .join("/");
  const output = options.onOutput ? "pipe" : "inherit";
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: { ...env, [MARKER_NAME]: marker },
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
    // Ignore write errors: if a program does not read its input, only its exit code counts.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
  }
  return new Job(child, marker);
}

/** Runs a job and waits for its end. A failure has `what` in its message, and the exit code of the job. */
export async function run(command, args, { what = command, ...options } = {}) {
  const { code, error } = await launch(command, args, options).done;
  if (error) throw new Failure(`${what}: ${error.message}`);
  if (code !== 0) throw new Failure(`${what} failed (exit code ${code})`, code);
}

/** Returns the trimmed output of a program; undefined if the program is missing or fails. */
export async function outputOf(command, args, options = {}) {
  let text = "";
  const onOutput = (chunk) => {
    text += chunk;
  };
  const { code } = await launch(command, args, { ...options, onOutput, silent: true }).done;
  return code === 0 ? text.trim() : undefined;
}

class Job {
  #marker;

  constructor(child, marker) {
    this.child = child;
    this.#marker = marker;
    jobs.add(this);
    /** Resolves to `{ code, error, leftovers }` when the job and its children have ended. Never rejects. */
    this.done = this.#end();
  }

  /** Ends the job with SIGTERM, and with SIGKILL after five seconds. */
  async stop() {
    this.signal("SIGTERM");
    const late = sleep(GRACE, "late", { ref: false });
    if ((await Promise.race([this.done, late])) === "late") this.signal("SIGKILL");
    await this.done;
  }

  signal(name) {
    const group = this.child.pid === undefined ? [] : [-this.child.pid];
    const strays = name === "SIGKILL" ? pidsWith(this.#marker) : [];
    for (const pid of [...group, ...strays]) {
      try {
        process.kill(pid, name);
      } catch {
        // The process has ended.
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

  /** Waits a moment for the remaining children, then kills them. Returns their number. */
  async #sweep() {
    const leftovers = await this.#untilNoneLeft(2_000);
    this.signal("SIGKILL");
    await this.#untilNoneLeft(1_000);
    return leftovers;
  }

  /** Waits until no child is left. Returns the number of those left at the deadline. */
  async #untilNoneLeft(milliseconds) {
    const deadline = Date.now() + milliseconds;
    // A process that is just starting has no environment for a moment. So three checks in a row must find no child.
    for (let emptyChecks = 0; emptyChecks < 3; ) {
      const left = pidsWith(this.#marker).length;
      if (left > 0 && Date.now() >= deadline) return left;
      emptyChecks = left > 0 ? 0 : emptyChecks + 1;
      if (emptyChecks < 3) await sleep(20);
    }
    return 0;
  }
}

/** Returns the processes with this marker in their environment. Linux only; elsewhere only the group is used. */
function pidsWith(marker) {
  if (process.platform !== "linux") return [];
  const needle = `\0${MARKER_NAME}=${marker}`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const environment = `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`;
        const end = environment.indexOf(needle) + needle.length;
        return environment.includes(needle) && ["\0", "/"].includes(environment[end]);
      } catch {
        return false; // The process has ended or belongs to another user.
      }
    })
    .map(Number);
}

/** Calls `stop` when the parent ends. npm sends signals only to its shell, which does not pass them on. */
function whenOrphaned(stop) {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && stop(), 250).unref();
}

function report(error) {
  if (closing) return 1; // An error that the interruption caused needs no message.
  console.error(error instanceof Failure ? error.message : error);
  return error.code > 0 ? error.code : 1;
}

const MARKER_NAME = "VESTIBULE_JOB";
const GRACE = 5_000;
const jobs = new Set();
let launched = 0;
let closing = false;
