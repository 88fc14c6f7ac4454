// Clients that disconnect while their request waits for upstream. The gateway frees the request's memory;
// otherwise abandoned requests could exhaust an isolate.

import assert from "node:assert/strict";
import net from "node:net";
import { after, before, test } from "node:test";
import { openGateway } from "../support/gateway.mjs";

// Reports the size of the module's linear memory, which never shrinks.
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
    wrapperModules: { "entry.mjs": ENTRY, "measure.mjs": MEASURE },
  });
});
after(() => gateway.stop());

const measure = async () => Number((await gateway.request("/measure")).text);

test("frees the memory of requests whose clients disconnect before upstream answers", async () => {
  gateway.upstream.answers["/open/slow"] = () => {};
  const header = (at) => `X-Filler-${at}: ${"f".repeat(7_000)}\r\n`;
  const fillers = Array.from({ length: 12 }, (_, at) => header(at)).join("");
  const rawRequest = `GET /open/slow HTTP/1.1\r\nHost: app.example\r\n${fillers}\r\n`;
  const { hostname, port } = new URL(gateway.direct);
  const abandonRequest = async () => {
    const socket = net.connect(Number(port), hostname);
    socket.on("error", () => {});
    const arrived = gateway.upstream.nextRequest();
    socket.write(rawRequest);
    await arrived;
    socket.resetAndDestroy();
  };
  for (let count = 0; count < 20; count += 1) await abandonRequest();
  const before = await measure();
  for (let count = 0; count < 400; count += 1) await abandonRequest();
  const growth = (await measure()) - before;
  assert.ok(
    growth < 8 * rawRequest.length,
    `memory grew by ${growth} bytes after 400 requests of ${rawRequest.length} bytes each`,
  );
  assert.equal((await gateway.request("/open/fine")).text, "ok");
});
