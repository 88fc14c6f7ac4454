/**
 * The targets side by side, in one workerd.
 *
 * A machine's speed drifts by more than the targets differ. So they take turns in many short rounds, and
 * what is compared is always one round with the other targets' rounds right beside it.
 */

import { CASES, seen } from "./cases.mjs";
import { Connection, openLoad, statusOf } from "./load.mjs";
import { cpuOf, median, pairedRatio, quantile } from "./measure.mjs";
import { startWorkerd } from "./workerd.mjs";

const RIVALS = ["jose", "hono", "vestibule", "quiet"];

/** Whom a case is put to. */
const rivals = ({ floor }) => (floor === "pass" ? ["stamps", ...RIVALS] : RIVALS);

/** Measures the cases of these names. */
export async function sideBySide(names, { rounds, requests, warmUp, onCase }) {
  const cases = CASES.filter(({ name }) => names.includes(name));
  const floors = new Set(cases.map(({ floor }) => floor));
  const workerd = await startWorkerd([...new Set([...floors, ...cases.flatMap(rivals)])]);
  try {
    await check(workerd.ports, cases);
    const results = [];
    for (const one of cases) {
      results.push(await measure(workerd, one, { rounds, requests, warmUp }));
      onCase(results.at(-1));
    }
    return results;
  } finally {
    await workerd.stop();
  }
}

/** Whether every target answers as it should, and names the user upstream. */
async function check(ports, cases) {
  for (const target of RIVALS) {
    const connection = await Connection.open(ports[target]);
    const forwarded = (await connection.ask(seen)).latin1Slice();
    expect(target, "seen", forwarded.includes('"x-user-id":"usr_'), forwarded);
    for (const { name, request, status, heals } of cases) {
      const answer = await connection.ask(request);
      const text = answer.latin1Slice();
      expect(target, name, statusOf(answer) === status, text);
      expect(target, name, !heals || heals.test(text), text);
    }
    connection.close();
  }
}

function expect(target, name, holds, answer) {
  if (!holds) throw new Error(`${target} answers "${name}" otherwise than it should:\n${answer}`);
}

async function measure({ ports, pid }, one, { rounds, requests, warmUp }) {
  const count = requests * one.share;
  const targets = [];
  for (const name of [one.floor, ...rivals(one)]) {
    const load = await openLoad(ports[name], one.connections);
    targets.push({ name, load, rounds: [], latencies: [] });
    await load.run(one.request, Math.max(warmUp, one.connections), one.status);
  }
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < targets.length; turn += 1) {
      const target = targets[(round + turn) % targets.length];
      await target.load.ready();
      const [cpu, began] = [cpuOf(pid), performance.now()];
      const latencies = await target.load.run(one.request, count, one.status);
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
  return summary(one, targets);
}

function summary({ name, about, floor }, targets) {
  const row = (target, figure) => target.rounds.map((round) => round[figure]);
  return {
    case: name,
    about,
    targets: targets.map((target) => {
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
    }),
  };
}
