import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { expire } from "../support/browser.mjs";
import { openNote } from "../support/walk.mjs";

const SOCKETS = "it is about sockets alone";

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
      .map((step) => [step, SOCKETS]),
  ),
  steps: { socket: stayIdle },
};

// Seconds in which nothing is said. More than a minute, after which many a proxy gives up.
const IDLE = 65;

// Sockets that say nothing are there when they are spoken to, also where the session has expired meanwhile; no new one is
// opened then.
async function stayIdle({ open, origin, door }) {
  const visitor = await open();
  const { page } = visitor;
  await openNote(visitor);
  await page.evaluate(async () => {
    const url = `${location.origin.replace("http", "ws")}/api/socket`;
    window.sockets = Array.from({ length: 20 }, () => new WebSocket(url, "notes"));
    await Promise.all(
      window.sockets.map((socket) => new Promise((resolve) => (socket.onopen = resolve))),
    );
    window.told = Promise.all(
      window.sockets.map((socket) => {
        socket.binaryType = "arraybuffer";
        return new Promise((resolve, reject) => {
          socket.onmessage = ({ data }) => resolve(`${socket.protocol} ${new Uint8Array(data)}`);
          socket.onclose = () => reject(new Error("closed"));
        });
      }),
    );
    window.told.catch(() => {});
  });
  await expire(visitor, origin);
  await sleep(IDLE * 1_000);
  await fetch(`${door.app.origin}/tell`);
  const told = await page.evaluate(() => window.told);
  assert.deepEqual(told, Array(20).fill("notes 1,2,255"));
  const opened = await page.evaluate(async () => {
    const socket = new WebSocket(window.sockets[0].url, "notes");
    return new Promise((resolve) => {
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false);
    });
  });
  assert.equal(opened, false, "a socket was opened without a session");
}
