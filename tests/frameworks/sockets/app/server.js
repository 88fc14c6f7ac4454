import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => {
  const html = (text) => response.setHeader("Content-Type", "text/html; charset=utf-8").end(text);
  const name = /^\/notes\/(\w+)$/.exec(request.url)?.[1];
  if (name) return html(PAGE.replace("{}", JSON.stringify({ name })));
  if (request.url.startsWith("/login.html")) {
    return html(readFileSync(new URL("login.html", import.meta.url)));
  }
  if (request.url === "/tell") {
    for (const socket of sockets.clients) socket.send(Buffer.from([1, 2, 255]));
    return response.end();
  }
  response.writeHead(404).end();
});

// What is nobody's is cut off by a server's own time-outs too, if it has such: this one has none.
const sockets = new WebSocketServer({ server, path: "/api/socket" });
server.listen(process.env.PORT, process.env.HOST, () => console.log("listening"));

const PAGE = `<!doctype html><html lang="en"><title>Notes</title>
  <pre data-testid="seen">{}</pre>
  <form method="post" action="/api/auth/logout"><button data-testid="sign-out">Sign out</button></form></html>`;
