import assert from "node:assert/strict";
import { openNote, withTimeout } from "../support/steps.mjs";

const NEEDS_SCRIPTS = "its page needs scripts";

export default {
  name: "graphql",
  title: "GraphQL Yoga 5",
  hydrates: true,
  shared: { "login.html": "login.html", "sign-in-again.js": "sign-in-again.js" },
  start: (port) => ({
    command: ["node", "server.js"],
    env: { NODE_ENV: "production", HOST: "127.0.0.1", PORT: String(port) },
  }),
  ready: /listening/,
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
  without: { HMR: "it is not a development server", "expired: plain form": NEEDS_SCRIPTS },
  steps: { stream: subscribeByEvents, socket: subscribeBySocket },
};

// Both subscriptions ask for the next event after the first one. If events are buffered, none arrives.
async function subscribeByEvents({ open }) {
  const visitor = await open();
  await openNote(visitor);
  const received = visitor.page.evaluate(async () => {
    const query = encodeURIComponent("subscription { told }");
    const source = new EventSource(`/graphql?query=${query}`);
    const received = [];
    await new Promise((resolve) => {
      source.addEventListener("complete", resolve);
      source.addEventListener("next", (event) => {
        received.push(JSON.parse(event.data).data.told);
        if (received.length === 2) return resolve();
        ask("mutation { goOn }");
      });
    });
    source.close();
    return received;
  });
  assert.deepEqual(await withTimeout(received), ["one", "two"]);
}

async function subscribeBySocket({ open }) {
  const visitor = await open();
  await openNote(visitor);
  const received = visitor.page.evaluate(async () => {
    const url = `${location.origin.replace("http", "ws")}/graphql`;
    const socket = new WebSocket(url, "graphql-transport-ws");
    const say = (message) => socket.send(JSON.stringify(message));
    const received = [];
    await new Promise((resolve, reject) => {
      socket.addEventListener("error", () => reject(new Error("the socket failed")));
      socket.addEventListener("open", () => say({ type: "connection_init" }));
      socket.addEventListener("message", ({ data }) => {
        const { type, payload } = JSON.parse(data);
        const query = "subscription { told }";
        if (type === "connection_ack") say({ id: "1", type: "subscribe", payload: { query } });
        if (type !== "next") return;
        received.push(payload.data.told);
        if (received.length === 2) resolve();
        else ask("mutation { goOn }");
      });
    });
    const { protocol } = socket;
    socket.close();
    return [protocol, ...received];
  });
  assert.deepEqual(await withTimeout(received), ["graphql-transport-ws", "one", "two"]);
}
