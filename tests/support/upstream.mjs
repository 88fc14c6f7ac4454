// An upstream that keeps all it is asked and answers by script.

import { EventEmitter, once } from "node:events";
import http from "node:http";

// Starts it on loopback. `answers` maps a path to what is answered there, whatever the method:
// `{ status, headers, body }`, where `headers` is a flat list of names and values as they go over
// the wire, or a function of (request, response, seen). What is not listed gets 200 and "ok".
//
// `seen` holds, for each request, `method`, `url`, `rawHeaders`, `headers` and `body`, a promise. `probes` holds those by
// which Vestibule asks in development whether there is something at a path of its own: no client's request. There is
// nothing, unless `answers` has the path with `HEAD ` before it.
export async function startUpstream(answers = {}) {
  const [seen, probes] = [[], []];
  const arrivals = new EventEmitter().setMaxListeners(0);
  const note = (request, body) => {
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
    // A function reads the body by itself, or through `seen.body`.
    const entry = note(
      request,
      lazily(() => gather(request)),
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
    note(request, Promise.resolve(Buffer.alloc(0)));
    const answer = answers[request.url.split("?")[0]]?.upgrade;
    if (answer) return answer(request, socket, head);
    socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  server.requestTimeout = 0;
  // Keeps idle connections open: on a busy machine workerd may reuse one in the moment in which it is closed.
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    answers,
    seen,
    probes,
    last: () => seen.at(-1),
    arrival: async () => (await once(arrivals, "request"))[0],
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

// A header's values, by name in any case, as they came.
export function valuesOf({ rawHeaders }, name) {
  return rawHeaders.filter((_, i) => i % 2 && rawHeaders[i - 1].toLowerCase() === name);
}

async function gather(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function lazily(make) {
  let made;
  const get = () => {
    made ??= make();
    return made;
  };
  // biome-ignore lint/suspicious/noThenProperty: awaiting it is what starts the reading.
  return { then: (...args) => get().then(...args), catch: (...args) => get().catch(...args) };
}
