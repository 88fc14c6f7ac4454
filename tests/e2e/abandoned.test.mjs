// Clients that go away while their request waits. What was kept for them is let go, or anybody could fill
// an isolate's memory with requests that nobody waits for.

import assert from "node:assert/strict";
import net from "node:net";
import { after, before, test } from "node:test";
import { openGateway } from "../support/gateway.mjs";

// Tells how much memory the module has. It never gives any back.
const MEASURE = `
const { Instance } = WebAssembly;
let latest;
export const measure = () => latest.memory.buffer.byteLength;
WebAssembly.Instance = function (module, imports) {
  const instance = new Instance(module, imports);
  latest = instance.exports;
  return instance;
};`;

const ENTRY = `
import { measure } from "./measure.mjs";
import worker from "./index.js";
export * from "./index.js";
export default {
  fetch: (request, env, context) =>
    request.url.endsWith("/measure") ? new Response(measure()) : worker.fetch(request, env, context),
};`;

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [{ path: "/open/{*rest}", access: "public" }],
    around: { "entry.mjs": ENTRY, "measure.mjs": MEASURE },
  });
});
after(() => gateway.stop());

const measure = async () => Number((await gateway.ask("/measure")).text);

test("four hundred large requests, each given up while upstream thinks", async () => {
  gateway.upstream.answers["/open/slow"] = () => {};
  const field = (at) => `X-Filler-${at}: ${"f".repeat(7_000)}\r\n`;
  const filler = Array.from({ length: 12 }, (_, at) => field(at)).join("");
  const head = `GET /open/slow HTTP/1.1\r\nHost: app.example\r\n${filler}\r\n`;
  const { hostname, port } = new URL(gateway.direct);
  const giveUp = async () => {
    const socket = net.connect(Number(port), hostname);
    socket.on("error", () => {});
    const arrived = gateway.upstream.arrival();
    socket.write(head);
    await arrived;
    socket.resetAndDestroy();
  };
  for (let count = 0; count < 20; count += 1) await giveUp();
  const before = await measure();
  for (let count = 0; count < 400; count += 1) await giveUp();
  const grown = (await measure()) - before;
  assert.ok(
    grown < 8 * head.length,
    `${grown} bytes more after 400 requests of ${head.length} each`,
  );
  assert.equal((await gateway.ask("/open/fine")).text, "ok");
});
