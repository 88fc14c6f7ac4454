/** Measures whether memory grows with the number of requests. */

import { CASES } from "./cases.mjs";
import { openLoad } from "./load.mjs";
import { residentOf } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

const SAMPLES = 50;

/** Sends `requests` requests of all cases to a target, and samples the resident memory in KiB. */
export async function memory(target, requests) {
  const workerd = await startWorkerd([target]);
  try {
    const load = await openLoad(workerd.ports[target], 32);
    const kinds = CASES.map(({ request, status }) => [request, target === "pass" ? 200 : status]);
    const batch = Math.ceil(requests / SAMPLES / kinds.length);
    const samples = [];
    while (samples.length < SAMPLES) {
      for (const [request, status] of kinds) await load.run(request, batch, status);
      samples.push({
        requests: (samples.length + 1) * batch * kinds.length,
        resident: residentOf(workerd.pid),
      });
    }
    load.close();
    return { target, samples, ...trend(samples.slice(SAMPLES / 5)) };
  } finally {
    await workerd.stop();
  }
}

/** Returns the least and most KiB, and the growth in bytes per request (the slope of a linear fit). */
function trend(samples) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [requests, resident] = [samples.map((s) => s.requests), samples.map((s) => s.resident)];
  const [x, y] = [mean(requests), mean(resident)];
  const covariance = mean(requests.map((value, at) => (value - x) * (resident[at] - y)));
  const variance = mean(requests.map((value) => (value - x) ** 2));
  return {
    least: Math.min(...resident),
    most: Math.max(...resident),
    bytesPerRequest: (1_024 * covariance) / variance,
  };
}
