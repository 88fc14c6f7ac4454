// The application's own server, in the development server's process.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { WebSocketServer } from "ws";

export const api = () => ({
  name: "api",
  configureServer({ httpServer, middlewares }) {
    const sockets = new WebSocketServer({ noServer: true });
    httpServer.on("upgrade", (request, socket, head) => {
      if (request.url !== "/api/socket") return;
      sockets.handleUpgrade(request, socket, head, serve);
    });
    let goOn;
    middlewares.use("/api", async (request, response, next) => {
      const { pathname: path } = new URL(request.url, "http://localhost");
      const json = (value) => {
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify(value));
      };
      if (path === "/data") return json({ user: request.headers["x-user-id"] });
      if (path === "/say") return json({ said: JSON.parse(await bodyOf(request)).text });
      if (path === "/upload") {
        const bytes = await bodyOf(request);
        const sum = createHash("sha256").update(bytes).digest("hex");
        return json({ uploaded: `${bytes.length} ${sum}` });
      }
      if (path === "/stream") {
        const gone = once(response, "close");
        response.setHeader("Content-Type", "text/event-stream");
        response.write("data: one\n\n");
        await Promise.race([new Promise((resolve) => (goOn = resolve)), gone]);
        return response.end("data: two\n\n");
      }
      if (path === "/stream/go") {
        goOn();
        return json({});
      }
      next();
    });
  },
});

function serve(socket) {
  socket.on("message", (data) => {
    if (String(data) === "close") socket.close(4001, "as asked");
    else socket.send(String(data));
  });
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
