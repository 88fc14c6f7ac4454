/** Takes workerd's CPU profile of a target under load. */

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { CASES } from "./cases.mjs";
import { openLoad } from "./load.mjs";
import { startWorkerd } from "./workerd.mjs";

/** Profiles a case on a target. Writes the profile to `path` and returns the frames by self time. */
export async function profile(target, name, { requests, path }) {
  const { request, status, connections } = CASES.find((candidate) => candidate.name === name);
  const workerd = await startWorkerd([target], { inspectorPort: 0 });
  try {
    const load = await openLoad(workerd.ports[target], connections);
    await load.run(request, 5_000, status);
    const session = await attach(workerd.inspector, target);
    await session.send("Profiler.enable");
    await session.send("Profiler.setSamplingInterval", { interval: 100 });
    await session.send("Profiler.start");
    await load.run(request, requests, status);
    const { profile: recorded } = await session.send("Profiler.stop");
    session.close();
    load.close();
    writeFileSync(path, JSON.stringify(recorded));
    return frames(recorded);
  } finally {
    await workerd.stop();
  }
}

async function attach(inspector, target) {
  const list = await fetch(new URL("/json/list", inspector.href.replace("ws:", "http:")));
  const { webSocketDebuggerUrl } = (await list.json()).find(({ id }) => id.endsWith(target));
  const socket = new WebSocket(webSocketDebuggerUrl);
  await once(socket, "open");
  const waiting = new Map();
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const { resolve, reject } = waiting.get(id) ?? {};
    if (error) reject?.(new Error(error.message));
    else resolve?.(result);
  });
  return {
    send(method, params = {}) {
      const id = waiting.size + 1;
      socket.send(JSON.stringify({ id, method, params }));
      return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    },
    close: () => socket.close(),
  };
}

/** Returns the share of each frame in the time that was not idle. */
function frames({ nodes, samples, timeDeltas }) {
  const nameOf = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber, columnNumber } }) => {
      const isScript = url.endsWith("js");
      const place = isScript
        ? ` ${url.split("/").at(-1)}:${lineNumber + 1}:${columnNumber + 1}`
        : "";
      const name = functionName.replaceAll(/::h[0-9a-f]{16}$|\[[0-9a-f]{16}]/g, "");
      return [id, `${name || "(anonymous)"}${place}`];
    }),
  );
  const times = new Map();
  for (const [at, id] of samples.entries()) {
    const name = nameOf.get(id);
    if (name !== "(idle)") times.set(name, (times.get(name) ?? 0) + timeDeltas[at]);
  }
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  return [...times]
    .map(([name, time]) => ({ name, share: time / total, time }))
    .sort((a, b) => b.share - a.share);
}
