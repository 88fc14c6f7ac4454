// Vestibule on workerd alone, as deploy/README.md says: without Cloudflare, wrangler or Miniflare.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

// Starts the workerd of a folder that `writeServer` has written. `env` has the secrets, and no others are passed.
// `storage` is the folder of the objects. `maxFileBytes` limits the length of each file that it writes: a longer one
// fails as on a full disk. Resolves when it listens.
export async function startServer({ folder, storage, env, maxFileBytes }) {
  const args = [
    ...["serve", "config.capnp", "--control-fd=3"],
    ...["--socket-addr=http=127.0.0.1:0", "--socket-addr=timer=127.0.0.1:0"],
    `--directory-path=storage=${storage}`,
  ];
  // Without the signal, the write itself fails. The limit is in blocks of 512 bytes.
  const limited = `trap '' XFSZ; ulimit -f ${Math.ceil(maxFileBytes / 512)}; exec "$0" "$@"`;
  const [program, ...more] = maxFileBytes
    ? ["sh", "-c", limited, `${folder}/workerd`, ...args]
    : [`${folder}/workerd`, ...args];
  const workerd = spawn(program, more, {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const log = [];
  for (const stream of [workerd.stdout, workerd.stderr]) {
    createInterface(stream).on("line", (line) => log.push(line));
  }
  const closed = once(workerd, "close");
  const ports = {};
  for await (const line of createInterface(workerd.stdio[3])) {
    const { event, socket, port } = JSON.parse(line);
    if (event === "listen") ports[socket] = port;
    if (ports.http && ports.timer) break;
  }
  assert.ok(ports.http && ports.timer, log.join("\n"));
  return {
    log,
    origin: `http://127.0.0.1:${ports.http}`,
    timer: `http://127.0.0.1:${ports.timer}`,
    async end(signal) {
      workerd.kill(signal);
      await closed;
    },
  };
}
