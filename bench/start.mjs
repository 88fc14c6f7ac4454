/** Measures a fresh workerd: the time until its first answer, and the CPU of its first requests, with compilation. */

import { readFileSync } from "node:fs";
import { inProject } from "../scripts/lib/project.mjs";
import { CASES } from "./cases.mjs";
import { Connection, openLoad } from "./load.mjs";
import { cpuOf, median, pairedRatio } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

/** Starts each target `times` times, in turn. Returns milliseconds of wall clock and of workerd's CPU. */
export async function starts({ times }) {
  const rows = ["pass", "jose", "hono", "vestibule"].map((name) => ({ name, wall: [], cpu: [] }));
  const { request } = CASES.find(({ name }) => name === "get");
  for (let round = -1; round < times; round += 1) {
    for (const row of rows) {
      const began = performance.now();
      const workerd = await startWorkerd([row.name]);
      const connection = await Connection.open(workerd.ports[row.name]);
      await connection.send(request);
      const [wall, cpu] = [performance.now() - began, cpuOf(workerd.pid) / 1_000];
      connection.close();
      await workerd.stop();
      if (round < 0) continue; // the first round fills the caches
      row.wall.push(wall);
      row.cpu.push(cpu);
    }
  }
  const [pass] = rows;
  return {
    compile: compileTime(times),
    targets: rows.map(({ name, wall, cpu }) => ({
      name,
      wall: median(wall),
      cpu: median(cpu),
      wallOverPass: median(wall.map((value, at) => value - pass.wall[at])),
      cpuOverPass: median(cpu.map((value, at) => value - pass.cpu[at])),
    })),
  };
}

/** The numbers of first requests that are measured together. */
const FIRST = [250, 500];

/**
 * Starts each target `times` times, in turn, and sends its first requests on 8 connections. Returns milliseconds of
 * workerd's CPU, of all threads: the cost of requests while their code is compiled and not yet optimised. The ratios
 * are of Vestibule to the others, between processes that were started one after the other.
 */
export async function firstRequests({ times }) {
  const rows = ["pass", "jose", "hono", "vestibule"].map((name) => ({
    name,
    cpu: Object.fromEntries(FIRST.map((count) => [count, []])),
  }));
  const { request, status } = CASES.find(({ name }) => name === "get");
  for (let round = -1; round < times; round += 1) {
    for (const { name, cpu } of rows) {
      const workerd = await startWorkerd([name]);
      const load = await openLoad(workerd.ports[name], 8);
      const before = cpuOf(workerd.pid);
      let sent = 0;
      for (const count of FIRST) {
        await load.run(request, count - sent, status);
        sent = count;
        if (round >= 0) cpu[count].push((cpuOf(workerd.pid) - before) / 1_000);
      }
      load.close();
      await workerd.stop();
    }
  }
  const { cpu: own } = rows.find(({ name }) => name === "vestibule");
  return rows.map(({ name, cpu }) => ({
    name,
    first: FIRST.map((count) => ({
      count,
      cpu: median(cpu[count]),
      ratio: pairedRatio(own[count], cpu[count]),
    })),
  }));
}

/** Returns the milliseconds that Node needs to compile the module. */
function compileTime(times) {
  const bytes = readFileSync(inProject("build/index_bg.wasm"));
  return median(
    Array.from({ length: times }, () => {
      const began = performance.now();
      new WebAssembly.Module(bytes);
      return performance.now() - began;
    }),
  );
}
