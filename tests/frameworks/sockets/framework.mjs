import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { expireSession } from "../support/browser.mjs";
import { openNote } from "../support/steps.mjs";

const ONLY_SOCKETS = "it tests only sockets";

export default {
  name: "sockets",
  title: "ws 8, with idle sockets",
  shared: { "login.html": "login.html" },
  start: (port) => ({
    command: ["node", "server.js"],
    env: { NODE_ENV: "production", HOST: "127.0.0.1", PORT: String(port) },
  }),
  ready: /listening/,
  without: Object.fromEntries(
    ["deep link", "other spelling", "form", "upload", "stream", "HMR", "expired: form"]
      .concat("expired: plain form", "expired: link")
      .map((step) => [step, ONLY_SOCKETS]),
  ),
  steps: { socket: stayIdle },
};

// Seconds without a message. Many proxies close an idle connection after one minute.
const IDLE = 65;

// Idle sockets still receive messages, even after the session has expired. A new socket cannot be opened then.
async function stayIdle({ open, origin, gateway }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  await page.evaluate(async () => {
    const url = `${location.origin.replace("http", "ws")}/api/socket`;
    window.sockets = Array.from({ length: 20 }, () => new WebSocket(url, "notes"));
    await Promise.all(
      window.sockets.map((socket) => new Promise((resolve) => (socket.onopen = resolve))),
    );
    window.received = Promise.all(
      window.sockets.map((socket) => {
        socket.binaryType = "arraybuffer";
        return new Promise((resolve, reject) => {
          socket.onmessage = ({ data }) => resolve(`${socket.protocol} ${new Uint8Array(data)}`);
          socket.onclose = () => reject(new Error("closed"));
        });
      }),
    );
    window.received.catch(() => {});
  });
  await expireSession(visitor, origin);
  await sleep(IDLE * 1_000);
  await fetch(`${gateway.app.origin}/tell`);
  const received = await page.evaluate(() => window.received);
  assert.deepEqual(received, Array(20).fill("notes 1,2,255"));
  const isOpened = await page.evaluate(async () => {
    const socket = new WebSocket(window.sockets[0].url, "notes");
    return new Promise((resolve) => {
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    });
  });
  assert.equal(isOpened, false, "a socket was opened without a session");
}
