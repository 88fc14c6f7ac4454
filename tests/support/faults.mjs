// Faulty responses of an external service. Each is a script for `startUpstream`, and no caller may accept any of them.

const respond =
  (status, body, ...headers) =>
  (_request, response) =>
    response.writeHead(status, ["Content-Type", "application/json", ...headers]).end(body);

// `yes` is the body of a valid positive response. `elsewhere` is a path where the service does respond with it.
export const faultsOf = (yes, elsewhere) => [
  ["500", respond(500, yes)],
  ["503", respond(503, yes)],
  ["400", respond(400, yes)],
  ["201", respond(201, yes)],
  ["204", (_request, response) => response.writeHead(204).end()],
  ["a redirect to a valid response", respond(307, yes, "Location", elsewhere)],
  ["a body that is not JSON", respond(200, "<html>yes</html>")],
  ["an empty body", respond(200, "")],
  ["truncated JSON", respond(200, yes.slice(0, -1))],
  ["JSON twice", respond(200, `${yes}${yes}`)],
  ["null", respond(200, "null")],
  ["a JSON array", respond(200, `[${yes}]`)],
  ["a JSON string", respond(200, JSON.stringify(yes))],
  ["an oversized body", respond(200, yes.replace("{", `{"x":"${"x".repeat(1_048_576)}",`))],
  ["invalid UTF-8", respond(200, Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(yes)]))],
  ["a connection that closes before the response", (request) => request.socket.destroy()],
  [
    "a connection that closes within the body",
    (request, response) => {
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "4096" });
      response.write(yes, () => request.socket.destroy());
    },
  ],
  ["no response", () => {}],
  [
    "a body that never ends",
    (_request, response) => {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.write(yes);
    },
  ],
];
