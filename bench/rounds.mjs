/**
 * Measures the targets side by side, in one workerd.
 *
 * The speed of a machine varies by more than the targets differ. So the targets take turns in many short rounds, and a
 * round is only compared with the rounds of other targets next to it.
 */

import { CASES, seen } from "./cases.mjs";
import { Connection, openLoad, statusOf } from "./load.mjs";
import { cpuOf, median, pairedRatio, quantile } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

const TARGETS = ["jose", "hono", "vestibule", "quiet"];

/** Returns the targets of a case. */
const targetsOf = ({ floor }) =>
  floor === "pass" ? ["stamps", "worker-crate", ...TARGETS] : TARGETS;

/** Measures the cases of these names. */
export async function sideBySide(names, { rounds, requests, warmUp, onCase }) {
  const cases = CASES.filter(({ name }) => names.includes(name));
  const floors = new Set(cases.map(({ floor }) => floor));
  const workerd = await startWorkerd([...new Set([...floors, ...cases.flatMap(targetsOf)])]);
  try {
    await check(workerd.ports, cases);
    const results = [];
    for (const benchCase of cases) {
      results.push(await measure(workerd, benchCase, { rounds, requests, warmUp }));
      onCase(results.at(-1));
    }
    return results;
  } finally {
    await workerd.stop();
  }
}

/** Checks that every target answers as expected, and sends the user to upstream. */
async function check(ports, cases) {
  for (const target of TARGETS) {
    const connection = await Connection.open(ports[target]);
    const forwarded = (await connection.send(seen)).latin1Slice();
    expect(target, "seen", forwarded.includes('"x-user-id":"usr_'), forwarded);
    for (const { name, request, status, heals } of cases) {
      const answer = await connection.send(request);
      const text = answer.latin1Slice();
      expect(target, name, statusOf(answer) === status, text);
      expect(target, name, !heals || heals.test(text), text);
    }
    connection.close();
  }
}

function expect(target, name, holds, answer) {
  if (!holds) throw new Error(`unexpected answer of ${target} to "${name}":\n${answer}`);
}

async function measure(workerd, benchCase, { rounds, requests, warmUp }) {
  const { name, about, floor, request, status, connections } = benchCase;
  const targets = [floor, ...targetsOf(benchCase)].map((name) => ({
    name,
    request,
    status,
    connections,
  }));
  const extent = {
    rounds,
    requests: requests * benchCase.share,
    warmUp: Math.max(warmUp, connections),
  };
  return { case: name, about, targets: await inTurns(workerd, targets, extent, floor) };
}

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} [worker] the Worker, if it has another name
 * @property {Buffer | ((before: number) => Buffer)} request
 * @property {number} status
 * @property {number} connections
 * @property {(load: object) => Promise<void>} [prepare] called before each round, not measured
 */

/**
 * Warms each target up, then runs `rounds` rounds of `requests` requests, in which the targets take turns. Returns the
 * figures of each target and its ratios to the others. In the ratios, the target `floor` has the name "floor".
 *
 * @param {Target[]} all
 */
export async function inTurns({ ports, pid }, all, { rounds, requests: count, warmUp }, floor) {
  const targets = [];
  for (const target of all) {
    const load = await openLoad(ports[target.worker ?? target.name], target.connections);
    targets.push({ ...target, load, rounds: [], latencies: [] });
    if (target.prepare) await target.prepare(load);
    await load.ready();
    await load.run(target.request, warmUp, target.status);
  }
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < targets.length; turn += 1) {
      const target = targets[(round + turn) % targets.length];
      await target.load.ready();
      if (target.prepare) {
        await target.prepare(target.load);
        await target.load.ready();
      }
      const [cpu, began] = [cpuOf(pid), performance.now()];
      const latencies = await target.load.run(target.request, count, target.status);
      const milliseconds = performance.now() - began;
      target.rounds.push({
        cpu: (cpuOf(pid) - cpu) / count,
        perSecond: (1_000 * count) / milliseconds,
        p99: quantile(latencies, 0.99),
      });
      target.latencies.push(...latencies);
    }
  }
  for (const { load } of targets) load.close();
  return summary(targets, floor);
}

function summary(targets, floor) {
  const row = (target, figure) => target.rounds.map((round) => round[figure]);
  return targets.map((target) => {
    const against = (figure) =>
      Object.fromEntries(
        targets.map((other) => [
          other.name === floor ? "floor" : other.name,
          pairedRatio(row(target, figure), row(other, figure)),
        ]),
      );
    return {
      name: target.name,
      cpu: median(row(target, "cpu")),
      perSecond: median(row(target, "perSecond")),
      p50: quantile(target.latencies, 0.5),
      p99: quantile(target.latencies, 0.99),
      cpuRatio: against("cpu"),
      p99Ratio: against("p99"),
    };
  });
}
