/**
 * Measures one token verification, as many in one request. The clock of a Worker stands still while it computes. So the
 * time is measured outside, and the time of a request without verifications is subtracted.
 */

import { token } from "./cases.mjs";
import { Connection } from "./load.mjs";
import { cpuOf, median, pairedRatio } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

const VARIANTS = [
  { name: "vestibule", worker: "verify-vestibule" },
  { name: "jose, key imported once", worker: "verify-jose", raw: false },
  { name: "jose, secret as bytes", worker: "verify-jose", raw: true },
];

export async function verification({ rounds, verifications = 10_000 }) {
  const workerd = await startWorkerd(VARIANTS.map(({ worker }) => worker));
  const measure = async ({ worker, raw }, n) => {
    const connection = await Connection.open(workerd.ports[worker]);
    const [cpu, began] = [cpuOf(workerd.pid), performance.now()];
    const answer = (await connection.send(post({ n, token, raw }))).latin1Slice();
    const used = { cpu: cpuOf(workerd.pid) - cpu, wall: 1_000 * (performance.now() - began) };
    connection.close();
    if (!answer.endsWith(`{"valid":${n}}`)) throw new Error(`${worker}: ${answer}`);
    return used;
  };
  try {
    const rows = VARIANTS.map(({ name }) => ({ name, cpu: [], wall: [] }));
    for (let round = -1; round < rounds; round += 1) {
      for (const [at, variant] of VARIANTS.entries()) {
        const [empty, full] = [await measure(variant, 0), await measure(variant, verifications)];
        if (round < 0) continue; // the first round is the warm-up
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
