/**
 * What one verification costs, many of them in one request. A Worker's clock stands still while it
 * computes, so the time is taken outside, and that of a request that verifies nothing taken off.
 */

import { token } from "./cases.mjs";
import { Connection } from "./load.mjs";
import { cpuOf, median, pairedRatio } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

const WAYS = [
  { name: "vestibule", worker: "verify-vestibule" },
  { name: "jose, key imported once", worker: "verify-jose", raw: false },
  { name: "jose, handed the secret", worker: "verify-jose", raw: true },
];

export async function verification({ rounds, verifications = 10_000 }) {
  const workerd = await startWorkerd(WAYS.map(({ worker }) => worker));
  const ask = async ({ worker, raw }, n) => {
    const connection = await Connection.open(workerd.ports[worker]);
    const [cpu, began] = [cpuOf(workerd.pid), performance.now()];
    const answer = (await connection.ask(post({ n, token, raw }))).latin1Slice();
    const used = { cpu: cpuOf(workerd.pid) - cpu, wall: 1_000 * (performance.now() - began) };
    connection.close();
    if (!answer.endsWith(`{"held":${n}}`)) throw new Error(`${worker}: ${answer}`);
    return used;
  };
  try {
    const rows = WAYS.map(({ name }) => ({ name, cpu: [], wall: [] }));
    for (let round = -1; round < rounds; round += 1) {
      for (const [at, way] of WAYS.entries()) {
        const [empty, full] = [await ask(way, 0), await ask(way, verifications)];
        if (round < 0) continue; // the first warms up
        for (const figure of ["cpu", "wall"]) {
          rows[at][figure].push((full[figure] - empty[figure]) / verifications);
        }
      }
    }
    return rows.map(({ name, cpu, wall }) => ({
      name,
      cpu: median(cpu),
      wall: median(wall),
      timesVestibule: pairedRatio(cpu, rows[0].cpu),
    }));
  } finally {
    await workerd.stop();
  }
}

function post(value) {
  const body = JSON.stringify(value);
  return `POST / HTTP/1.1\r\nHost: verify\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}
