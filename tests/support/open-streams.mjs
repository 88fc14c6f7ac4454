// WebSockets and event streams that stay open, through the gateway to an upstream that answers what it is told.

import assert from "node:assert/strict";
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import { openResponse, withTimeout } from "./client.mjs";
import { PUBLIC } from "./gateway.mjs";
import { pollUntil } from "./poll.mjs";

// An entry for `wrapperModules`. A request to `/__control` changes what follows, and is answered with the number of
// calls of `Sessions` so far:
//
// - `x-clock`: the clock of the isolate, in seconds ahead;
// - `x-fail`: so many calls of objects fail next;
// - `x-trap`: the module stops at its next call.
export const CONTROLLED = {
  "entry.mjs": `
import { armed } from "./trap.mjs";
import worker from "./index.js";
export * from "./index.js";
const { now } = Date;
let [ahead, fails, calls] = [0, 0, 0];
Date.now = () => now() + ahead;
// A binding is an instance of a class; a plain object would be a variable.
class Namespace {
  constructor(namespace, isCounted) {
    this.idFromName = (name) => namespace.idFromName(name);
    this.get = (id) => ({
      command: (...args) => {
        calls += isCounted ? 1 : 0;
        if (fails === 0) return namespace.get(id).command(...args);
        fails -= 1;
        return Promise.reject(new Error("the store is down"));
      },
    });
  }
}
export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === "/__control") {
      ahead = 1_000 * Number(request.headers.get("x-clock") ?? ahead / 1_000);
      fails = Number(request.headers.get("x-fail") ?? fails);
      armed.next = request.headers.has("x-trap");
      return new Response(String(calls));
    }
    const counted = {
      SESSIONS: new Namespace(env.SESSIONS, true),
      TOKENS: new Namespace(env.TOKENS, false),
    };
    return worker.fetch(request, { ...env, ...counted }, context);
  },
};`,
  "trap.mjs": `
const { Instance } = WebAssembly;
export const armed = { next: false };
WebAssembly.Instance = function (module, imports) {
  const { exports } = new Instance(module, imports);
  const fetch = (...args) => {
    if (!armed.next) return exports.fetch(...args);
    armed.next = false;
    throw new WebAssembly.RuntimeError("unreachable");
  };
  return { exports: { ...exports, fetch } };
};`,
};

// Returns functions that open streams at a gateway with the entry above.
export function streamsOf(gateway) {
  const control = async (headers = {}) =>
    Number((await gateway.request("/__control", { headers })).text);
  const servers = new WebSocketServer({ noServer: true, perMessageDeflate: true });

  // Returns an open stream: `exchange` sends something through it, `ended` resolves to its end at the client, and
  // `endedUpstream` to its end at upstream.
  return {
    control,

    // Waits until open streams were checked so many times more.
    async checks(count) {
      const before = await control();
      await pollUntil(control, (calls) => calls >= before + count, "the checks");
    },

    // Opens a WebSocket. Upstream sends each message back, unless `onConnection` says otherwise.
    async socket(path, headers = {}, { onConnection, ...options } = {}) {
      const accepted = Promise.withResolvers();
      gateway.upstream.answers[path] = {
        upgrade: (request, socket, head) =>
          servers.handleUpgrade(request, socket, head, accepted.resolve),
      };
      const url = `${gateway.direct.replace("http", "ws")}${path}`;
      const client = new WebSocket(url, ["chat", "other"], {
        headers: { host: "app.example", ...headers },
        origin: PUBLIC,
        ...options,
      });
      const opened = once(client, "open");
      const upstream = await withTimeout(
        Promise.race([accepted.promise, opened.then(() => accepted.promise)]),
        "upstream",
      );
      if (onConnection) onConnection(upstream);
      else upstream.on("message", (data, binary) => upstream.send(data, { binary }));
      const endOf = async (socket) => {
        const [code, reason] = await once(socket, "close");
        return { code, reason: String(reason) };
      };
      const [ended, endedUpstream] = [endOf(client), endOf(upstream)];
      await withTimeout(opened, "the socket");
      return {
        client,
        upstream,
        ended,
        endedUpstream,
        async exchange(message = "hello") {
          client.send(message);
          const [data, isBinary] = await withTimeout(once(client, "message"), "the echo");
          assert.equal(isBinary, typeof message !== "string");
          assert.ok(Buffer.from(message).equals(data), "the echo differs");
        },
        close: () => client.terminate(),
      };
    },

    // Opens an event stream.
    async events(path, headers = {}, { answerHeaders = {} } = {}) {
      const accepted = Promise.withResolvers();
      gateway.upstream.answers[path] = (_request, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream", ...answerHeaders });
        response.flushHeaders();
        accepted.resolve(response);
      };
      const response = await openResponse(gateway.direct, path, {
        host: "app.example",
        headers: { accept: "text/event-stream", ...headers },
      });
      const upstream = await accepted.promise;
      const ended = Promise.withResolvers();
      const endedUpstream = once(upstream, "close");
      response.once("close", () => ended.resolve({ isComplete: response.complete }));
      response.once("error", () => {});
      response.setEncoding("utf8");
      let received = "";
      let arrived = () => {};
      response.on("data", (text) => {
        received += text;
        arrived();
      });
      let sent = 0;
      return {
        response,
        upstream,
        received: () => received,
        ended: ended.promise,
        endedUpstream,
        async exchange() {
          sent += 1;
          const event = `data: ${sent}\n\n`;
          upstream.write(event);
          const wanted = Array.from({ length: sent }, (_, at) => `data: ${at + 1}\n\n`).join("");
          while (received !== wanted) {
            assert.ok(wanted.startsWith(received), received);
            await withTimeout(
              new Promise((resolve) => {
                arrived = resolve;
              }),
              "the event",
            );
          }
        },
        close: () => response.destroy(),
      };
    },
  };
}
