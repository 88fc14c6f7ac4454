/** Runs Vestibule's programs (`check-config`, `explain`, `replay`), which are one WebAssembly module with WASI. */

import { readFile } from "node:fs/promises";
import { ConsoleStdout, File, OpenFile, WASI } from "@bjorn3/browser_wasi_shim";

let compiled;

/**
 * Runs a program.
 *
 * @param {"check-config" | "explain" | "replay"} program
 * @param {string} input its standard input
 * @returns {Promise<{ code: number, output: string }>} its exit code, and what it printed: errors and warnings, too
 */
export async function runTool(program, input) {
  compiled ??= WebAssembly.compile(await readFile(new URL("../dist/tools.wasm", import.meta.url)));
  const lines = [];
  const print = () => ConsoleStdout.lineBuffered((line) => lines.push(line));
  const files = [new OpenFile(new File(new TextEncoder().encode(input))), print(), print()];
  const wasi = new WASI(["tools", program], [], files, { debug: false });
  const instance = await WebAssembly.instantiate(await compiled, {
    wasi_snapshot_preview1: wasi.wasiImport,
  });
  const code = wasi.start(instance);
  return { code, output: lines.map((line) => `${line}\n`).join("") };
}
