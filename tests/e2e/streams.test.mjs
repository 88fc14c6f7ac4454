// Bodies, upgrades and unusual methods pass unchanged, in both directions and both environments.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { WebSocket, WebSocketServer } from "ws";
import { createOrigin } from "../../examples/spa-origin/server.mjs";
import {
  openResponse,
  read,
  request,
  responseOf,
  startRequest,
  withTimeout,
} from "../support/client.mjs";
import { DEVELOPMENT, openGateway, PRODUCTION, PUBLIC } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";
import { AUTH_SECRET, startWorker, UPSTREAM_SECRET } from "../support/worker.mjs";

const ROUTES = [
  { path: "/{*rest}", access: "public" },
  { path: "/private/{*rest}", access: "user" },
  { path: "/private/socket", access: "user" },
];

const STATUSES = [
  200, 201, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 418, 422,
  429, 451, 500, 502, 503, 504, 599,
];
const WITHOUT_BODY = [204, 304];

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    test("an upload of 10 MB arrives whole, with its length", async () => {
      const body = randomBytes(10 * 1024 * 1024);
      const { seen } = await gateway.expectForwarded(() =>
        gateway.request("/up", { method: "POST", body }),
      );
      assert.equal(seen.headers["content-length"], String(body.length));
      assert.equal(sha256(await seen.body), sha256(body));
    });

    test("a chunked upload without a length arrives whole", async () => {
      const body = randomBytes(300_000);
      const { seen, response } = await gateway.expectForwarded(async () => {
        const request = startRequest(gateway.direct, "/up", { method: "PUT" });
        request.write(body.subarray(0, 100_000));
        request.end(body.subarray(100_000));
        return read(await responseOf(request));
      });
      assert.equal(response.status, 200);
      assert.equal(seen.headers["content-length"], undefined);
      assert.equal(sha256(await seen.body), sha256(body));
    });

    test("an empty upload keeps its method and length", async () => {
      const { seen } = await gateway.expectForwarded(() =>
        gateway.request("/up", { method: "POST", body: "" }),
      );
      assert.equal((await seen.body).length, 0);
      assert.equal(seen.headers["content-length"], "0");
      assert.equal(seen.method, "POST");
    });

    test("an upload streams: upstream has its first half before the second is sent", async () => {
      let firstHalf;
      const half = new Promise((resolve) => {
        firstHalf = resolve;
      });
      gateway.upstream.answers["/halves"] = async (request, response) => {
        let all = "";
        for await (const chunk of request) {
          all += chunk;
          if (all === "first ") firstHalf();
        }
        response.end(all);
      };
      const request = startRequest(gateway.direct, "/halves", { method: "POST" });
      request.write("first ");
      await withTimeout(half, "the first half");
      request.end("second");
      assert.equal((await read(await responseOf(request))).text, "first second");
    });

    test("a download streams: the client has its first half before the second is sent", async () => {
      let confirm;
      const confirmed = new Promise((resolve) => {
        confirm = resolve;
      });
      gateway.upstream.answers["/slowly"] = async (_request, response) => {
        response.writeHead(200, { "Content-Type": "text/plain" });
        response.write("first ");
        await confirmed;
        response.end("second");
      };
      const response = await openResponse(gateway.direct, "/slowly");
      const [chunk] = await once(response, "data");
      assert.equal(String(chunk), "first ");
      confirm();
      assert.equal((await read(response)).text, "second");
    });

    test("events arrive one by one, and upstream notices when the client leaves", async () => {
      const { promise: gone, resolve: markGone } = Promise.withResolvers();
      let stream;
      gateway.upstream.answers["/events"] = (_request, response) => {
        stream = response;
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.write("id: 1\ndata: one\n\n");
        response.once("close", markGone);
      };
      const headers = { accept: "text/event-stream" };
      const response = await openResponse(gateway.direct, "/events", { headers });
      assert.equal(response.headers["content-type"], "text/event-stream");
      assert.equal(String((await once(response, "data"))[0]), "id: 1\ndata: one\n\n");
      stream.write("id: 2\ndata: two\n\n");
      assert.equal(String((await once(response, "data"))[0]), "id: 2\ndata: two\n\n");
      response.destroy();
      // The runtime notices at the next event.
      const ticking = setInterval(() => stream.write(":\n\n"), 5);
      await withTimeout(gone, "upstream to notice");
      clearInterval(ticking);
    });

    test("HEAD keeps the length and has no body", async () => {
      gateway.upstream.answers["/big"] = {
        headers: ["Content-Length", "12345"],
        body: "x".repeat(12345),
      };
      const { response, seen } = await gateway.expectForwarded(() =>
        gateway.request("/big", { method: "HEAD" }),
      );
      assert.equal(seen.method, "HEAD");
      assert.equal(response.status, 200);
      assert.equal(response.headers["content-length"], "12345");
      assert.equal(response.body.length, 0);
    });

    test("range requests and their responses pass", async () => {
      gateway.upstream.answers["/part"] = {
        status: 206,
        headers: ["Content-Range", "bytes 2-5/10", "Content-Length", "4", "Accept-Ranges", "bytes"],
        body: "2345",
      };
      const headers = { range: "bytes=2-5", "if-range": '"v1"' };
      const { response, seen } = await gateway.expectForwarded(() =>
        gateway.request("/part", { headers }),
      );
      assert.deepEqual([seen.headers.range, seen.headers["if-range"]], ["bytes=2-5", '"v1"']);
      assert.equal(response.status, 206);
      assert.equal(response.headers["content-range"], "bytes 2-5/10");
      assert.equal(response.headers["content-length"], "4");
      assert.equal(response.text, "2345");

      gateway.upstream.answers["/none"] = {
        status: 416,
        headers: ["Content-Range", "bytes */10"],
        body: "",
      };
      const refused = await gateway.request("/none", { headers: { range: "bytes=20-" } });
      assert.equal(refused.status, 416);
      assert.equal(refused.headers["content-range"], "bytes */10");
    });

    test("several Set-Cookie lines stay separate, even with commas", async () => {
      const lines = [
        "a=1; Path=/; Expires=Wed, 01 Jan 2070 00:00:00 GMT",
        "b=2; Path=/x; HttpOnly",
        "a=3; Path=/y; Expires=Thu, 02 Jan 2070 00:00:00 GMT; Secure",
      ];
      gateway.upstream.answers["/cookies"] = {
        headers: lines.flatMap((line) => ["Set-Cookie", line]),
      };
      const response = await gateway.request("/cookies");
      assert.deepEqual(response.cookies, lines);
    });

    test("unusual methods arrive unchanged", async () => {
      for (const method of ["PROPFIND", "QUERY", "REPORT", "PURGE", "PATCH", "DELETE", "OPTIONS"]) {
        const { seen } = await gateway.expectForwarded(() =>
          gateway.request("/verb?x=1", { method }),
        );
        assert.equal(`${seen.method} ${seen.url}`, `${method} /verb?x=1`);
      }
    });

    test("statuses pass with headers and body", async () => {
      for (const status of STATUSES) {
        const body = WITHOUT_BODY.includes(status) ? "" : `status ${status}`;
        gateway.upstream.answers["/status"] = {
          status,
          headers: [
            ...["X-Case", "Kept", "ETag", '"e"', "Location", "/elsewhere"],
            ...["WWW-Authenticate", "Basic", "Retry-After", "7", "Cache-Control", "max-age=3"],
          ],
          body,
        };
        const { response } = await gateway.expectForwarded(() => gateway.request("/status"));
        assert.equal(response.status, status);
        assert.equal(response.text, body);
        assert.equal(response.headers["x-case"], "Kept");
        assert.equal(response.headers.etag, '"e"');
        assert.equal(response.headers.location, "/elsewhere", "the redirect is not followed");
        assert.equal(response.headers["www-authenticate"], "Basic");
        assert.equal(response.headers["retry-after"], "7");
        assert.equal(response.headers["cache-control"], "max-age=3");
        assert.equal(
          response.headers["server-timing"] !== undefined,
          environment === "DEVELOPMENT",
        );
        if (environment === "PRODUCTION") assert.equal(response.headers.vary, undefined);
      }
    });

    test("a response after early hints passes", async () => {
      gateway.upstream.answers["/hints"] = (_request, response) => {
        response.writeEarlyHints({ link: "</a.css>; rel=preload; as=style" }, () =>
          response.end("late"),
        );
      };
      const response = await gateway.request("/hints");
      assert.equal(response.status, 200);
      assert.equal(response.text, "late");
    });

    test("a GET with a body is answered, and so is the next request", async () => {
      const { response } = await gateway.expectForwarded(() =>
        gateway.request("/get", { body: "why not" }),
      );
      assert.equal(response.status, 200);
      assert.equal((await gateway.request("/after")).status, 200);
    });

    test("a compressed body passes byte for byte", async () => {
      const packed = gzipSync("compressed ".repeat(1000));
      gateway.upstream.answers["/gzip"] = {
        headers: ["Content-Encoding", "gzip", "Content-Type", "text/plain"],
        body: packed,
      };
      for (const acceptEncoding of ["gzip", "gzip, br", undefined]) {
        const response = await gateway.request("/gzip", {
          headers: { "accept-encoding": acceptEncoding },
        });
        assert.equal(response.headers["content-encoding"], "gzip");
        assert.deepEqual(response.body, packed);
      }
    });

    test("a client that aborts its upload does not affect the next request", async () => {
      const ended = Promise.withResolvers();
      gateway.upstream.answers["/abandoned"] = (request) => {
        request.resume();
        request.once("close", () => ended.resolve(request.complete));
      };
      const arrival = gateway.upstream.nextRequest();
      const request = startRequest(gateway.direct, "/abandoned", { method: "POST" });
      request.on("error", () => {});
      request.write("half");
      await withTimeout(arrival, "the request");
      request.destroy();
      assert.equal(
        await withTimeout(ended.promise, "the end"),
        false,
        "upstream got half a body as a complete one",
      );
      assert.equal((await gateway.request("/after")).status, 200);
    });

    describe("WebSockets", () => {
      let sockets;
      before(() => {
        sockets = new WebSocketServer({ noServer: true });
        sockets.on("connection", (socket) => {
          socket.on("message", (data, binary) => socket.send(data, { binary }));
        });
        gateway.upstream.answers["/private/socket"] = {
          upgrade: (request, socket, head) => {
            sockets.handleUpgrade(request, socket, head, (done) =>
              sockets.emit("connection", done),
            );
          },
        };
      });
      after(() => sockets.close());

      const connect = (origin, token) =>
        new WebSocket(`${gateway.direct.replace("http", "ws")}/private/socket`, ["chat"], {
          headers: { host: "app.example", ...(token && { cookie: sessionCookies(token) }) },
          origin,
        });

      test("pass text and bytes, and upstream gets the user", async () => {
        const socket = connect(PUBLIC, createSessionToken());
        await once(socket, "open");
        assert.equal(gateway.upstream.last().headers["x-user-id"], "usr_ada");
        for (const message of ["hello", "", "ünïcödé ".repeat(5000), randomBytes(70_000)]) {
          socket.send(message);
          const [data, isBinary] = await once(socket, "message");
          assert.equal(isBinary, typeof message !== "string");
          assert.deepEqual(data, Buffer.from(message));
        }
        socket.close(4001, "bye");
        const [code] = await once(socket, "close");
        assert.equal(code, 4001);
      });

      for (const [label, origin, token, status] of [
        ["a foreign origin", "https://evil.example", () => createSessionToken(), 403],
        ["the null origin", "null", () => createSessionToken(), 403],
        ["a client without a session", PUBLIC, () => undefined, 401],
      ]) {
        test(`are rejected for ${label}`, async () => {
          await gateway.expectNotForwarded(async () => {
            const socket = connect(origin, token());
            const [, response] = await once(socket, "unexpected-response");
            assert.equal(response.statusCode, status);
            response.resume();
            await once(response, "end");
          });
        });
      }
    });
  });
}

test("in production, no header of a response is added, changed or lost", async (t) => {
  const gateway = await openGateway({ routes: ROUTES, variables: PRODUCTION });
  t.after(() => gateway.stop());
  const headers = [
    ...["Content-Type", "text/html; charset=utf-8", "Cache-Control", "public, max-age=60"],
    ...["Content-Length", "5", "ETag", 'W/"a,b"', "X-Custom", "a", "Vary", "Accept"],
    ...["Date", "Wed, 01 Jan 2020 00:00:00 GMT", "Server", "old/1.0", "X-Powered-By", "it"],
  ];
  gateway.upstream.answers["/as-is"] = { headers, body: "as is" };
  const response = await gateway.request("/as-is");
  const sorted = (list) => {
    const pairs = list.flatMap((name, i) =>
      i % 2 ? [] : [`${name.toLowerCase()}: ${list[i + 1]}`],
    );
    return pairs.filter((line) => line !== "connection: close").sort();
  };
  assert.deepEqual(sorted(response.rawHeaders), sorted(headers));
  assert.equal(response.text, "as is");
});

describe("the example origin behind the gateway", () => {
  let app;
  let worker;
  const token = createSessionToken();
  const headers = { cookie: sessionCookies(token) };
  before(async () => {
    app = createOrigin({
      authSecret: AUTH_SECRET,
      upstreamSecret: UPSTREAM_SECRET,
      webRoot: "examples/spa/dist",
    });
    await app.listen({ host: "127.0.0.1", port: 0 });
    worker = await startWorker({ upstream: `http://127.0.0.1:${app.server.address().port}` });
  });
  after(async () => {
    await worker.stop();
    await app.close();
  });

  test("receives an upload and serves a large file, also in ranges", async () => {
    const body = randomBytes(5_000_000);
    const up = await request(worker.direct, "/api/uploads", { method: "PUT", headers, body });
    assert.deepEqual([up.status, up.json()], [201, { bytes: body.length, sha256: sha256(body) }]);

    const whole = await request(worker.direct, "/api/large?bytes=3000000", { headers });
    assert.equal(whole.body.length, 3_000_000);
    const part = await request(worker.direct, "/api/large?bytes=3000000", {
      headers: { ...headers, range: "bytes=1000000-1999999" },
    });
    assert.equal(part.status, 206);
    assert.ok(part.body.equals(whole.body.subarray(1_000_000, 2_000_000)));
    const known = await request(worker.direct, "/api/large?bytes=3000000", {
      headers: { ...headers, "if-none-match": whole.headers.etag },
    });
    assert.equal(known.status, 304);
  });

  test("streams events and sends a message on a socket", async () => {
    const events = await request(worker.direct, "/api/events?count=3&interval=1", { headers });
    assert.equal(events.text.match(/^data: /gm).length, 3);
    const socket = new WebSocket(`${worker.direct.replace("http", "ws")}/api/socket`, {
      headers,
      origin: PUBLIC,
    });
    const [hello] = await once(socket, "message");
    assert.deepEqual(JSON.parse(hello), { hello: true, userId: "usr_ada" });
    socket.close();
    await once(socket, "close");
  });

  test("verifies the assertion", async () => {
    const whoami = (await request(worker.direct, "/api/whoami?x=1", { headers })).json();
    assert.equal(whoami.assertion, "verified", whoami.reason);
    assert.equal(whoami.userId, "usr_ada");
    assert.equal(whoami.claims.path, "/api/whoami?x=1");
  });
});
