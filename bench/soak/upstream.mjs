/**
 * The upstream of a soak: it answers with the user and the name of each request, records what it did, and fails in the
 * ways that `BEHAVIOURS` lists.
 */

import { once } from "node:events";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** What upstream does with a request, by weight. `faults` multiplies all but the first. */
const BEHAVIOURS = {
  answer: 92,
  slow: 2,
  hang: 1,
  hangAfter: 1,
  reset: 1,
  resetAfter: 1,
  unavailable: 1,
  broken: 1,
};

/** Whether upstream has done what the request asks for, and not only received it. */
const DONE = new Set(["answer", "slow", "hangAfter", "resetAfter", "broken"]);

/**
 * Starts it. `seen` has all requests by name, the last segment of their path: `{ name, path, user, key, id, at,
 * isDone, status }`. `events` has the deliveries of webhooks by event id.
 */
export async function startUpstream(random) {
  const [seen, events, open] = [new Map(), new Map(), new Set()];
  const upstream = { seen, events, isHealthy: false, requests: 0 };

  const answer = async (request, response) => {
    const { url, headers } = request;
    if (headers["x-operation"] === "vestibule.probe") return response.writeHead(404).end();
    upstream.requests += 1;
    const [path] = url.split("?");
    const entry = {
      path,
      name: path.split("/").at(-1),
      user: headers["x-user-id"] ?? headers["x-author-id"],
      key: headers["idempotency-key"],
      id: headers["x-request-id"],
      confirmedBy: headers["x-confirmed-by"],
      second: issuedAt(headers["x-vestibule-assertion"]),
      isDone: false,
    };
    const event = headers["x-webhook-payload-hash"] && (await eventOf(request));
    if (event) add(events, event.id, Object.assign(entry, { name: event.id }));
    else add(seen, entry.name, entry);
    // An event is refused at most twice, so that its delays stay short.
    const mayFail = !upstream.isHealthy && !(event && events.get(event.id).length > 2);
    const behaviour = mayFail ? random.weighted(BEHAVIOURS) : "answer";
    if (DONE.has(behaviour)) entry.isDone = true;
    await act(behaviour, entry, response);
  };

  const act = async (behaviour, entry, response) => {
    const body = JSON.stringify({ user: entry.user, name: entry.name, by: entry.id });
    const headers = { "Content-Type": "application/json" };
    await sleep(behaviour === "slow" ? 200 + random.below(1_500) : random.below(8));
    switch (behaviour) {
      case "hang":
      case "hangAfter":
        return;
      case "reset":
      case "resetAfter":
        return response.destroy();
      case "unavailable":
        return response.writeHead(503, headers).end(`{"unavailable":true}`);
      case "broken":
        // The gateway has seen the status.
        entry.status = 200;
        response.writeHead(200, { ...headers, "Content-Length": body.length + 100 });
        response.write(body, () => response.destroy());
        return;
      default:
        entry.status = 200;
        if (entry.path.startsWith("/stream/")) return stream(entry, response);
        return response.writeHead(200, headers).end(body);
    }
  };

  const stream = async (entry, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    while (!response.destroyed) {
      response.write(`data: ${JSON.stringify({ user: entry.user, name: entry.name })}\n\n`);
      await sleep(100);
    }
  };

  const server = http.createServer((request, response) => {
    open.add(response);
    response.once("close", () => open.delete(response));
    response.on("error", () => {});
    // A killed gateway does not send the rest of the body.
    answer(request, response).catch(() => response.destroy());
  });
  server.requestTimeout = 0;
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  upstream.origin = `http://127.0.0.1:${server.address().port}`;
  /** Number of requests that are not answered yet. */
  upstream.open = () => open.size;
  /** Stops to fail, and drops all requests that hang. */
  upstream.heal = () => {
    upstream.isHealthy = true;
    for (const response of open) response.destroy();
  };
  upstream.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return upstream;
}

function add(map, name, entry) {
  const list = map.get(name);
  if (list) list.push(entry);
  else map.set(name, [entry]);
}

async function eventOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks));
}

/** Returns the second in which the gateway decided about a request: `iat` of its assertion. */
function issuedAt(assertion) {
  if (!assertion) return undefined;
  return JSON.parse(Buffer.from(assertion.split(".")[1], "base64url")).iat;
}
