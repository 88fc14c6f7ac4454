/**
 * A soak: clients send requests of all kinds for a given time, while faults are injected below Vestibule. At the end,
 * their answers are compared with what upstream saw. See bench/README.md.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { setUpUsers } from "../../tests/support/people.mjs";
import { drawUp } from "./account.mjs";
import { openBook } from "./book.mjs";
import { Client } from "./client.mjs";
import { openDeployment } from "./deployment.mjs";
import { randomOf } from "./random.mjs";
import { startUpstream } from "./upstream.mjs";

/**
 * Runs the soak. The load lasts `seconds`. The gateway is killed `kills` times in the first half, and once more at the
 * end. `patience` is how long the comparison at the end waits for deliveries, in seconds.
 *
 * @returns {Promise<{ book: object, rows: [string, number][], resident: { second: number, bytes: number }[],
 *   requests: number, seconds: number, kills: number }>}
 */
export async function soak({ seconds, kills, seed, clients: count, isolates = 3, patience }) {
  const random = randomOf(seed);
  const upstream = await startUpstream(randomOf(seed + 1));
  const book = openBook();
  const deployment = await openDeployment(upstream, isolates);
  try {
    upstream.isHealthy = true;
    const people = await setUpUsers({ request: deployment.request });
    const clients = [];
    for (let at = 0; at < count; at += 1) {
      const user = await people.createUser(`user${at}`);
      const own = randomOf(seed + 100 + at);
      const client = new Client({ at, isolates, random: own, deployment, upstream, book, user });
      const token = await people.createToken(user, "mul_");
      client.addToken({ ...token, user: user.id, isKept: true });
      client.machine = await people.createToken(user, "mat_", { agentId: "a", taskId: "t" });
      clients.push(client);
    }
    await Promise.all(clients.map((client) => client.runOnce()));
    upstream.isHealthy = false;

    const resident = [];
    const began = performance.now();
    const elapsed = () => (performance.now() - began) / 1_000;
    const isOver = () => elapsed() >= seconds;
    const sample = setInterval(() => {
      resident.push({ second: elapsed(), bytes: deployment.residentBytes() });
    }, 1_000);
    const killing = killAtTimes(deployment, isOver, () => (random.next() * seconds) / kills);
    await Promise.all(clients.map((client) => client.run(isOver)));
    const took = elapsed();
    clearInterval(sample);
    await killing;
    await deployment.restart();
    upstream.heal();
    for (const client of clients) client.isCalm = true;
    const rows = await drawUp(
      { book, clients, upstream, people, call: people.call },
      patience * 1_000,
    );
    return {
      book,
      rows,
      resident,
      requests: upstream.requests,
      seconds: took,
      kills: deployment.kills,
    };
  } finally {
    await deployment.stop();
    await upstream.stop();
  }

  /** Kills the gateway at random times in the first half. */
  async function killAtTimes(target, isOver, pause) {
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(pause() * 500);
      if (isOver()) return;
      await target.restart();
    }
  }
}
