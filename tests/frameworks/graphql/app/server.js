import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { useServer } from "graphql-ws/use/ws";
import { createSchema, createYoga } from "graphql-yoga";
import { WebSocketServer } from "ws";

let goOn;
const schema = createSchema({
  typeDefs: `
    scalar File
    type Query { seen(name: String!, a: [String!]!, q: String): String! }
    type Mutation { say(text: String!): String!, upload(file: File!): String!, goOn: Boolean }
    type Subscription { told: String! }
  `,
  resolvers: {
    Query: { seen: (_, args, { request }) => JSON.stringify({ ...args, user: userOf(request) }) },
    Mutation: {
      say: (_, { text }) => text,
      upload: async (_, { file }) => {
        const bytes = Buffer.from(await file.arrayBuffer());
        return `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;
      },
      goOn: () => goOn?.(),
    },
    Subscription: {
      told: {
        async *subscribe() {
          const asked = new Promise((resolve) => {
            goOn = resolve;
          });
          yield { told: "one" };
          await asked;
          yield { told: "two" };
        },
      },
    },
  },
});
const userOf = (request) => request?.headers.get("x-user-id");

const yoga = createYoga({ schema, graphiql: false });
const server = createServer((request, response) => {
  const [path] = request.url.split("?");
  if (path === "/graphql") return yoga(request, response);
  const file = FILES[path] ?? (/^\/notes\/[^/]+\/?$/.test(path) ? "page.html" : undefined);
  if (!file) return response.writeHead(404).end("not found");
  const type = file.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
  response.writeHead(200, { "Content-Type": type });
  response.end(readFileSync(new URL(file, import.meta.url)));
});
useServer({ schema }, new WebSocketServer({ server, path: "/graphql" }));
server.listen(process.env.PORT, process.env.HOST, () => console.log("listening"));

const FILES = {
  "/login.html": "login.html",
  "/sign-in-again.js": "sign-in-again.js",
  "/client.js": "client.js",
};
