// An upstream that fails in every possible way. The client gets 502 or 504 and does not hang, and the next request
// succeeds.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { openResponse, read, sendRaw, startRequest, withTimeout } from "../support/client.mjs";
import { assertProblem, DEVELOPMENT, openGateway, PRODUCTION } from "../support/gateway.mjs";
import { startWorker } from "../support/worker.mjs";

const ROUTES = [
  { path: "/{*rest}", access: "public" },
  { path: "/quick/{*rest}", access: "public", timeout: "1s" },
];

// Answers with exactly these bytes and closes the connection.
const bytes = (text) => (request) => request.socket.end(text, "latin1");

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    const assertHealthy = async () => assert.equal((await gateway.request("/fine")).text, "ok");

    for (const [label, answer] of [
      ["resets the connection before any response", (request) => request.socket.resetAndDestroy()],
      ["closes the connection before any response", (request) => request.socket.end()],
      ["answers something other than HTTP", bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n")],
      ["answers half a status line", bytes("HTTP/1.1 2")],
      ["answers incomplete headers", bytes("HTTP/1.1 200 OK\r\nX-Half: ")],
      ["answers an invalid header", bytes("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")],
      ["answers an invalid length", bytes("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx")],
      ["answers status 99", bytes("HTTP/1.1 99 What\r\nContent-Length: 0\r\n\r\n")],
      ["answers status 0", bytes("HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n")],
    ]) {
      test(`returns 502 if upstream ${label}`, async () => {
        gateway.upstream.answers["/broken"] = answer;
        // The length of a response to HEAD is never read.
        for (const method of label.includes("length") ? ["GET", "POST"] : ["GET", "POST", "HEAD"]) {
          const response = await gateway.request("/broken", { method });
          assert.equal(response.status, 502, `${method}: ${response.text}`);
          assert.equal(response.headers["content-type"], "application/problem+json");
          if (method !== "HEAD") assertProblem(response, 502, "upstream_failed");
        }
        await assertHealthy();
      });
    }

    for (const [status, head] of [
      [101, "HTTP/1.1 101 Switching Protocols"],
      [600, "HTTP/1.1 600 What\r\nContent-Length: 0"],
      [999, "HTTP/1.1 999 What\r\nContent-Length: 0"],
    ]) {
      test(`returns 502 if upstream answers the invalid status ${status}`, async () => {
        gateway.upstream.answers["/broken"] = bytes(`${head}\r\n\r\n`);
        assertProblem(await gateway.request("/broken"), 502, "upstream_failed");
        await assertHealthy();
      });
    }

    test("returns 504 at the rule's timeout and closes the connection to upstream", async () => {
      const released = Promise.withResolvers();
      gateway.upstream.answers["/quick/hang"] = (request) => {
        request.socket.once("close", released.resolve);
      };
      const response = await gateway.request("/quick/hang");
      assertProblem(response, 504, "upstream_timeout");
      await withTimeout(released.promise, "the connection to upstream to close");
      await assertHealthy();
    });

    test("returns 504 if upstream hangs during an upload", async () => {
      gateway.upstream.answers["/quick/hang"] = () => {};
      const body = Buffer.alloc(3_000_000, "x");
      const response = await gateway.request("/quick/hang", { method: "POST", body });
      assertProblem(response, 504, "upstream_timeout");
      await assertHealthy();
    });

    test("a response body may take longer than the timeout, which covers only the headers", async () => {
      gateway.upstream.answers["/quick/body"] = (_request, response) => {
        response.writeHead(200, { "Content-Type": "text/plain" });
        response.write("slow ");
        // Longer than the rule's timeout of one second, which is the point of this test.
        setTimeout(() => response.end("but whole"), 1_500);
      };
      const response = await gateway.request("/quick/body");
      assert.equal(response.status, 200);
      assert.equal(response.text, "slow but whole");
    });

    for (const [label, headers] of [
      ["with a length", { "Content-Length": "1000" }],
      ["without a length", {}],
    ]) {
      test(`the client notices that a response body ${label} breaks off`, async () => {
        let breakOff;
        gateway.upstream.answers["/half"] = (request, response) => {
          response.writeHead(200, { "Content-Type": "text/plain", ...headers });
          response.write("half");
          breakOff = () => request.socket.resetAndDestroy();
        };
        const response = await openResponse(gateway.direct, "/half");
        assert.equal(response.statusCode, 200);
        const [chunk] = await once(response, "data");
        assert.equal(String(chunk), "half");
        breakOff();
        await assert.rejects(read(response), { code: "ECONNRESET" });
        await assertHealthy();
      });
    }

    test("a response before the end of the upload is passed on", async () => {
      gateway.upstream.answers["/early"] = (_request, response) => {
        response.writeHead(413, { Connection: "close" }).end("too much");
      };
      const request = startRequest(gateway.direct, "/early", { method: "POST" });
      request.on("error", () => {});
      request.write("first");
      const [response] = await once(request, "response");
      assert.equal(response.statusCode, 413);
      assert.equal((await read(response)).text, "too much");
      request.destroy();
      await assertHealthy();
    });

    test("large headers pass or return 502", async () => {
      for (const size of [1_000, 30_000, 100_000]) {
        gateway.upstream.answers["/huge"] = { headers: ["X-Huge", "h".repeat(size)] };
        const response = await gateway.request("/huge");
        if (response.status === 200) assert.equal(response.headers["x-huge"].length, size);
        else assertProblem(response, 502, "upstream_failed");
        await assertHealthy();
      }
    });

    test("400 header lines pass", async () => {
      const lines = Array.from({ length: 400 }, (_, i) => [`X-Line-${i}`, String(i)]);
      gateway.upstream.answers["/lines"] = { headers: lines.flat() };
      const response = await gateway.request("/lines");
      assert.equal(response.status, 200);
      for (const [name, value] of lines) assert.equal(response.headers[name.toLowerCase()], value);
    });

    test("header values beyond ASCII pass byte for byte", async () => {
      const value = Buffer.from("caf\u00e9 \u2615").toString("latin1");
      gateway.upstream.answers["/bytes"] = bytes(
        `HTTP/1.1 200 OK\r\nX-Utf8: ${value}\r\nX-Latin: caf\u00e9\r\nX-User-Id: upstream's\r\nContent-Length: 2\r\n\r\nok`,
      );
      const text = await sendRaw(
        gateway.direct,
        "GET /bytes HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n",
      );
      assert.match(text, /^HTTP\/1\.1 200 /);
      const headerOf = (name) => {
        const line = text.split("\r\n").find((line) => line.toLowerCase().startsWith(`${name}: `));
        return line?.slice(name.length + 2);
      };
      assert.equal(headerOf("x-utf8"), value);
      assert.equal(headerOf("x-latin"), "caf\u00e9");
      // The gateway removes this header, so it sends a copy of upstream's response.
      assert.equal(headerOf("x-user-id"), undefined);
      await assertHealthy();
    });
  });
}

test("returns 502 if nothing listens at upstream's address", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const upstream = `http://127.0.0.1:${server.address().port}`;
  server.close();
  await once(server, "close");
  const gateway = await openGateway({ routes: ROUTES, upstream });
  t.after(() => gateway.stop());
  for (let time = 0; time < 3; time += 1) {
    assertProblem(await gateway.request("/x"), 502, "upstream_failed");
  }
  assertProblem(await gateway.request("/x", { method: "POST", body: "x" }), 502, "upstream_failed");
  // Endpoints that need no upstream still work.
  assert.equal((await gateway.request("/.well-known/vestibule")).status, 200);
});

test("returns 502 for a port that browsers block", async (t) => {
  const worker = await startWorker({ upstream: "http://127.0.0.1:1", variables: { ROUTES } });
  t.after(() => worker.stop());
  assertProblem(
    await read(await openResponse(worker.direct, "/x", { host: "app.example" })),
    502,
    "upstream_failed",
  );
});
