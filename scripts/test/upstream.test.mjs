// The option `--upstream`, and what it says of an address where nothing listens.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import test from "node:test";
import {
  announce,
  originOf,
  parseUpstream,
  takeOption,
} from "../../packages/vestibule/cli/upstream.mjs";
import { inProject } from "../lib/project.mjs";

for (const [text, want] of [
  ["http://localhost:5173", "http://localhost:5173"],
  ["http://localhost:5173/", "http://localhost:5173"],
  ["HTTPS://Origin.example:443", "https://origin.example"],
  ["http://[::1]:3000", "http://[::1]:3000"],
]) {
  test(`takes ${text}`, () => assert.equal(parseUpstream(text, "http://localhost:8787"), want));
}

for (const [text, message] of [
  ["localhost:5173", "expected an origin: did you mean http://localhost:5173?"],
  ["5173", "expected an origin, such as http://localhost:5173"],
  ["", "expected an origin, such as http://localhost:5173"],
  ["ws://localhost:5173", "expected an origin, such as http://localhost:5173"],
  ["http://localhost:99999", "expected an origin, such as http://localhost:5173"],
  ["http://a.example/b?c", "expected an origin without a path: did you mean http://a.example?"],
  ["http://a:b@a.example", "expected an origin, such as http://localhost:5173, without a user"],
  ["http://127.0.0.1:8787", "Vestibule itself is there"],
  ["http://localhost:8787", "Vestibule itself is there"],
]) {
  test(`rejects ${text || "nothing"}`, () => {
    const isClear = (error) =>
      error.code === 2 && error.message.startsWith(`--upstream ${text}: ${message}`);
    assert.throws(() => parseUpstream(text, "http://localhost:8787"), isClear);
  });
}

test("npm start rejects it before it builds anything", () => {
  const script = inProject("scripts/start.mjs");
  const args = [script, "--upstream", "localhost:5173"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args);
  assert.equal(status, 2);
  assert.equal(String(stdout), "");
  assert.match(
    String(stderr),
    /^--upstream localhost:5173: .*did you mean http:\/\/localhost:5173/,
  );
});

test("finds the origin in each form of UPSTREAM", () => {
  for (const [value, want] of [
    ["http://a.example/", "http://a.example"],
    [{ origin: "http://a.example", host: "public" }, "http://a.example"],
    ['{"origin":"http://a.example"}', "http://a.example"],
    ["{broken", undefined],
    [{ host: "public" }, undefined],
    [undefined, undefined],
  ]) {
    assert.equal(originOf(value), want);
  }
});

test("takes the option out of the arguments for wrangler", () => {
  const take = (...args) => takeOption(args, "--upstream");
  assert.deepEqual(take("--port", "1"), { args: ["--port", "1"], value: undefined });
  assert.deepEqual(take("--upstream", "a", "--port", "1"), { args: ["--port", "1"], value: "a" });
  assert.deepEqual(take("--upstream=a", "--upstream=b"), { args: [], value: "b" });
  assert.deepEqual(take("--upstream"), { args: [], value: "" });
});

// Listens on a free port, or on `port`.
async function listen(host, port = 0) {
  const server = createServer((socket) => socket.destroy()).listen(port, host);
  await once(server, "listening");
  return { port: server.address().port, stop: () => new Promise((done) => server.close(done)) };
}

test("says nothing of an application that runs, or of another machine", async (t) => {
  const { port, stop } = await listen("127.0.0.1");
  t.after(stop);
  const print = (line) => assert.fail(line);
  await announce(`http://localhost:${port}`, print);
  await announce(`http://127.0.0.1:${port}`, print);
  await announce("https://origin.example", print);
});

test("says that nothing listens, and then that something does", async () => {
  const { port, stop } = await listen("127.0.0.1");
  await stop();
  const lines = [];
  let isSaid;
  const said = new Promise((resolve) => {
    isSaid = resolve;
  });
  await announce(`http://127.0.0.1:${port}`, (line) => {
    lines.push(line);
    if (lines.length === 2) isSaid();
  });
  assert.match(lines[0], /^warning: nothing listens at http:\/\/127\.0\.0\.1:\d+ yet/);
  const application = await listen("127.0.0.1", port);
  // Keeps this process alive: the watch itself does not.
  const alive = setInterval(() => {}, 60_000);
  await said;
  clearInterval(alive);
  assert.equal(lines[1], `your application now listens at http://127.0.0.1:${port}`);
  await application.stop();
});

test("names the other address of this machine at which the application listens", async (t) => {
  const { port, stop } = await listen("127.0.0.1");
  t.after(stop);
  const lines = [];
  await announce(`http://[::1]:${port}`, (line) => lines.push(line));
  assert.equal(lines.length, 1);
  assert.match(lines[0], new RegExp(`nothing listens at http://\\[::1\\]:${port}, but at http://`));
  assert.match(lines[0], new RegExp(`set UPSTREAM to http://localhost:${port}$`));
});
