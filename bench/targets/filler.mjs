// Fills a ledger. It lets Vestibule run a request under each key of the range in X-Keys, records the commands to the
// ledger, and then sends all of them in one call.

import worker from "./index.js";

export default {
  async fetch(request, env, context) {
    const { url, method } = request;
    const body = await request.arrayBuffer();
    const [from, to] = request.headers.get("x-keys").split("-").map(Number);
    const commands = [];
    const replies = {};
    let scope;
    const LEDGER = {
      idFromName: (name) => name,
      get: (name) => ({
        command(command, now, bytes) {
          scope = name;
          commands.push([command, bytes]);
          // All commands of a kind have the same reply, so only the first of each kind calls the ledger.
          const kind = command[1];
          replies[kind] ??= env.LEDGER.get(env.LEDGER.idFromName(name)).command(
            command,
            now,
            bytes,
          );
          return replies[kind];
        },
      }),
    };
    for (let at = from; at < to; at += 1) {
      const headers = new Headers(request.headers);
      headers.delete("x-keys");
      headers.set("idempotency-key", `kept-${at}`);
      const keyed = new Request(url, { method, headers, body });
      await (await worker.fetch(keyed, { ...env, LEDGER }, context)).arrayBuffer();
    }
    await env.LEDGER.get(env.LEDGER.idFromName(scope)).fill(commands);
    return new Response("filled");
  },
};

console.log = () => {};
