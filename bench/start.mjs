/** How long it takes until a fresh workerd has answered its first request. */

import { readFileSync } from "node:fs";
import { inProject } from "../scripts/lib/project.mjs";
import { CASES } from "./cases.mjs";
import { Connection } from "./load.mjs";
import { cpuOf, median } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

/** Starts each target `times` times, in turn. Milliseconds of wall clock and of workerd's CPU. */
export async function starts({ times }) {
  const rows = ["pass", "jose", "hono", "vestibule"].map((name) => ({ name, wall: [], cpu: [] }));
  const { request } = CASES.find(({ name }) => name === "get");
  for (let round = -1; round < times; round += 1) {
    for (const row of rows) {
      const began = performance.now();
      const workerd = await startWorkerd([row.name]);
      const connection = await Connection.open(workerd.ports[row.name]);
      await connection.ask(request);
      const [wall, cpu] = [performance.now() - began, cpuOf(workerd.pid) / 1_000];
      connection.close();
      await workerd.stop();
      if (round < 0) continue; // the first fills the caches
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

/** Milliseconds that this Node needs to compile the module. */
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
