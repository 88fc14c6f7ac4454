// An upstream that fails, in each way that one can. The client gets a 502 or a 504 and never a hang,
// and the next request is answered as if nothing had been.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { open, raw, read, send, within } from "../support/client.mjs";
import { assertProblem, DEVELOPMENT, openGateway, PRODUCTION } from "../support/gateway.mjs";
import { startWorker } from "../support/worker.mjs";

const ROUTES = [
  { path: "/{*rest}", access: "public" },
  { path: "/quick/{*rest}", access: "public", timeout: "1s" },
];

// Answers with these very bytes, and hangs up.
const bytes = (text) => (request) => request.socket.end(text, "latin1");

for (const [environment, variables] of Object.entries({ DEVELOPMENT, PRODUCTION })) {
  describe(environment.toLowerCase(), () => {
    let gateway;
    before(async () => {
      gateway = await openGateway({ routes: ROUTES, variables });
    });
    after(() => gateway.stop());

    const wellAgain = async () => assert.equal((await gateway.ask("/fine")).text, "ok");

    for (const [what, answer] of [
      ["is reset before any answer", (request) => request.socket.resetAndDestroy()],
      ["is closed before any answer", (request) => request.socket.end()],
      ["answers what is no HTTP", bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n")],
      ["answers half a status line", bytes("HTTP/1.1 2")],
      ["answers headers that never end", bytes("HTTP/1.1 200 OK\r\nX-Half: ")],
      ["answers a header that is none", bytes("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")],
      ["answers a length that is none", bytes("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx")],
      ["answers status 99", bytes("HTTP/1.1 99 What\r\nContent-Length: 0\r\n\r\n")],
      ["answers status 0", bytes("HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n")],
    ]) {
      test(`${what}: 502`, async () => {
        gateway.upstream.answers["/broken"] = answer;
        // No length of a HEAD's answer is ever read.
        for (const method of what.includes("length") ? ["GET", "POST"] : ["GET", "POST", "HEAD"]) {
          const response = await gateway.ask("/broken", { method });
          assert.equal(response.status, 502, `${method}: ${response.text}`);
          assert.equal(response.headers["content-type"], "application/problem+json");
          if (method !== "HEAD") assertProblem(response, 502, "upstream_failed");
        }
        await wellAgain();
      });
    }

    for (const [status, head] of [
      [101, "HTTP/1.1 101 Switching Protocols"],
      [600, "HTTP/1.1 600 What\r\nContent-Length: 0"],
      [999, "HTTP/1.1 999 What\r\nContent-Length: 0"],
    ]) {
      test(`answers status ${status}, which is no answer: 502`, async () => {
        gateway.upstream.answers["/broken"] = bytes(`${head}\r\n\r\n`);
        assertProblem(await gateway.ask("/broken"), 502, "upstream_failed");
        await wellAgain();
      });
    }

    test("hangs beyond the rule's timeout: 504, and upstream is let go", async () => {
      const released = Promise.withResolvers();
      gateway.upstream.answers["/quick/hang"] = (request) => {
        request.socket.once("close", released.resolve);
      };
      const response = await gateway.ask("/quick/hang");
      assertProblem(response, 504, "upstream_timeout");
      await within(released.promise, "upstream to be let go");
      await wellAgain();
    });

    test("hangs while it is sent a body: 504", async () => {
      gateway.upstream.answers["/quick/hang"] = () => {};
      const body = Buffer.alloc(3_000_000, "x");
      const response = await gateway.ask("/quick/hang", { method: "POST", body });
      assertProblem(response, 504, "upstream_timeout");
      await wellAgain();
    });

    test("a body may take longer than the timeout, which is for the headers", async () => {
      gateway.upstream.answers["/quick/body"] = (_request, response) => {
        response.writeHead(200, { "Content-Type": "text/plain" });
        response.write("slow ");
        // Past the rule's one second: that is what is tried here, so it has to pass.
        setTimeout(() => response.end("but whole"), 1_500);
      };
      const response = await gateway.ask("/quick/body");
      assert.equal(response.status, 200);
      assert.equal(response.text, "slow but whole");
    });

    for (const [what, headers] of [
      ["with a length", { "Content-Length": "1000" }],
      ["chunked", {}],
    ]) {
      test(`a body that breaks off, ${what}, is not taken for a whole one`, async () => {
        let breakOff;
        gateway.upstream.answers["/half"] = (request, response) => {
          response.writeHead(200, { "Content-Type": "text/plain", ...headers });
          response.write("half");
          breakOff = () => request.socket.resetAndDestroy();
        };
        const response = await open(gateway.direct, "/half");
        assert.equal(response.statusCode, 200);
        const [chunk] = await once(response, "data");
        assert.equal(String(chunk), "half");
        breakOff();
        await assert.rejects(read(response), { code: "ECONNRESET" });
        await wellAgain();
      });
    }

    test("an answer before the upload has ended is passed on", async () => {
      gateway.upstream.answers["/early"] = (_request, response) => {
        response.writeHead(413, { Connection: "close" }).end("too much");
      };
      const request = send(gateway.direct, "/early", { method: "POST" });
      request.on("error", () => {});
      request.write("first");
      const [response] = await once(request, "response");
      assert.equal(response.statusCode, 413);
      assert.equal((await read(response)).text, "too much");
      request.destroy();
      await wellAgain();
    });

    test("headers by the hundred kilobytes pass, or are a 502", async () => {
      for (const size of [1_000, 30_000, 100_000]) {
        gateway.upstream.answers["/huge"] = { headers: ["X-Huge", "h".repeat(size)] };
        const response = await gateway.ask("/huge");
        if (response.status === 200) assert.equal(response.headers["x-huge"].length, size);
        else assertProblem(response, 502, "upstream_failed");
        await wellAgain();
      }
    });

    test("400 header lines pass, in order", async () => {
      const lines = Array.from({ length: 400 }, (_, i) => [`X-Line-${i}`, String(i)]);
      gateway.upstream.answers["/lines"] = { headers: lines.flat() };
      const response = await gateway.ask("/lines");
      assert.equal(response.status, 200);
      for (const [name, value] of lines) assert.equal(response.headers[name.toLowerCase()], value);
    });

    test("header values beyond ASCII come back as the bytes that they were", async () => {
      const value = Buffer.from("caf\u00e9 \u2615").toString("latin1");
      gateway.upstream.answers["/bytes"] = bytes(
        `HTTP/1.1 200 OK\r\nX-Utf8: ${value}\r\nX-Latin: caf\u00e9\r\nX-User-Id: upstream's\r\nContent-Length: 2\r\n\r\nok`,
      );
      const text = await raw(
        gateway.direct,
        "GET /bytes HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n",
      );
      assert.match(text, /^HTTP\/1\.1 200 /);
      assert.ok(text.includes(`: ${value}\r\n`), text);
      await wellAgain();
    });
  });
}

test("nobody listens there: 502", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const upstream = `http://127.0.0.1:${server.address().port}`;
  server.close();
  await once(server, "close");
  const gateway = await openGateway({ routes: ROUTES, upstream });
  t.after(() => gateway.stop());
  for (let time = 0; time < 3; time += 1) {
    assertProblem(await gateway.ask("/x"), 502, "upstream_failed");
  }
  assertProblem(await gateway.ask("/x", { method: "POST", body: "x" }), 502, "upstream_failed");
  // What needs no upstream is answered as ever.
  assert.equal((await gateway.ask("/.well-known/vestibule")).status, 200);
});

test("a port that no browser would connect to: 502", async (t) => {
  const worker = await startWorker({ upstream: "http://127.0.0.1:1", variables: { ROUTES } });
  t.after(() => worker.stop());
  assertProblem(
    await read(await open(worker.direct, "/x", { host: "app.example" })),
    502,
    "upstream_failed",
  );
});
