import assert from "node:assert/strict";
import { inTime, openNote } from "../support/walk.mjs";

const PAGE = "its page is a client of scripts";

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
  without: { HMR: "it is no development server", "expired: plain form": PAGE },
  steps: { stream: subscribeByEvents, socket: subscribeBySocket },
};

// Each asks for the next event once it has seen one: where events are held back, none comes.
async function subscribeByEvents({ open }) {
  const visitor = await open();
  await openNote(visitor);
  const told = visitor.page.evaluate(async () => {
    const query = encodeURIComponent("subscription { told }");
    const source = new EventSource(`/graphql?query=${query}`);
    const told = [];
    await new Promise((resolve) => {
      source.addEventListener("complete", resolve);
      source.addEventListener("next", (event) => {
        told.push(JSON.parse(event.data).data.told);
        if (told.length === 2) return resolve();
        ask("mutation { goOn }");
      });
    });
    source.close();
    return told;
  });
  assert.deepEqual(await inTime(told), ["one", "two"]);
}

async function subscribeBySocket({ open }) {
  const visitor = await open();
  await openNote(visitor);
  const told = visitor.page.evaluate(async () => {
    const url = `${location.origin.replace("http", "ws")}/graphql`;
    const socket = new WebSocket(url, "graphql-transport-ws");
    const say = (message) => socket.send(JSON.stringify(message));
    const told = [];
    await new Promise((resolve, reject) => {
      socket.addEventListener("error", () => reject(new Error("the socket failed")));
      socket.addEventListener("open", () => say({ type: "connection_init" }));
      socket.addEventListener("message", ({ data }) => {
        const { type, payload } = JSON.parse(data);
        const query = "subscription { told }";
        if (type === "connection_ack") say({ id: "1", type: "subscribe", payload: { query } });
        if (type !== "next") return;
        told.push(payload.data.told);
        if (told.length === 2) resolve();
        else ask("mutation { goOn }");
      });
    });
    const { protocol } = socket;
    socket.close();
    return [protocol, ...told];
  });
  assert.deepEqual(await inTime(told), ["graphql-transport-ws", "one", "two"]);
}
