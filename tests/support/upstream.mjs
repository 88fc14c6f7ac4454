// An upstream that records its requests and responds by script.

import { EventEmitter, once } from "node:events";
import http from "node:http";

// Starts it on the loopback interface. `answers` maps a path to its response, for all methods. A response is
// `{ status, headers, body }`, where `headers` is a flat list of names and values as they are sent, or a function of
// (request, response, seen). Other paths get 200 and "ok".
//
// `seen` has `method`, `url`, `rawHeaders`, `headers` and `body` (a promise) of each request. `probes` has the requests
// by which the gateway checks in development whether upstream has anything at the path of a built-in route. No client
// sent those. They get 404 unless `answers` has the path with `HEAD ` before it.
export async function startUpstream(answers = {}) {
  const [seen, probes] = [[], []];
  const arrivals = new EventEmitter().setMaxListeners(0);
  const record = (request, body) => {
    const { method, url, rawHeaders, headers } = request;
    const entry = { method, url, rawHeaders, headers, body };
    seen.push(entry);
    arrivals.emit("request", entry);
    return entry;
  };

  const server = http.createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
    if (request.headers["x-operation"] === "vestibule.probe") {
      probes.push(request);
      const answer = answers[`HEAD ${request.url}`];
      if (typeof answer === "function") return answer(request, response);
      return response.writeHead(answer?.status ?? 404, answer?.headers).end();
    }
    const answer = answers[request.url.split("?")[0]];
    // A script reads the body itself, or through `seen.body`.
    const entry = record(
      request,
      lazyPromise(() => readBody(request)),
    );
    if (typeof answer === "function") return answer(request, response, entry);
    entry.body.catch(() => {});
    const { status = 200, headers = ["Content-Type", "text/plain"], body = "ok" } = answer ?? {};
    entry.body.then(
      () => response.writeHead(status, headers).end(request.method === "HEAD" ? undefined : body),
      () => {},
    );
  });
  server.on("upgrade", (request, socket, head) => {
    record(request, Promise.resolve(Buffer.alloc(0)));
    const answer = answers[request.url.split("?")[0]]?.upgrade;
    if (answer) return answer(request, socket, head);
    socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  server.requestTimeout = 0;
  // Keeps idle connections open. Otherwise workerd may, on a busy machine, reuse one at the moment when it closes.
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    answers,
    seen,
    probes,
    last: () => seen.at(-1),
    nextRequest: async () => (await once(arrivals, "request"))[0],
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

// Returns the values of a header as received. `name` is in lower case.
export function valuesOf({ rawHeaders }, name) {
  return rawHeaders.filter((_, i) => i % 2 && rawHeaders[i - 1].toLowerCase() === name);
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function lazyPromise(make) {
  let promise;
  const get = () => {
    promise ??= make();
    return promise;
  };
  // biome-ignore lint/suspicious/noThenProperty: the body is read only when it is awaited.
  return { then: (...args) => get().then(...args), catch: (...args) => get().catch(...args) };
}
