// What a service that is asked something may do instead of answering. Each is a script for an upstream
// (see startUpstream), and none of it is an answer.

const says =
  (status, body, ...headers) =>
  (_request, response) =>
    response.writeHead(status, ["Content-Type", "application/json", ...headers]).end(body);

// `yes` is what it would answer if it answered yes, `elsewhere` a path where it does.
export const faultsOf = (yes, elsewhere) => [
  ["500", says(500, yes)],
  ["503", says(503, yes)],
  ["400", says(400, yes)],
  ["201", says(201, yes)],
  ["204", (_request, response) => response.writeHead(204).end()],
  ["a redirect to where the answer is", says(307, yes, "Location", elsewhere)],
  ["no JSON", says(200, "<html>yes</html>")],
  ["nothing", says(200, "")],
  ["half of it", says(200, yes.slice(0, -1))],
  ["more than it", says(200, `${yes}${yes}`)],
  ["null", says(200, "null")],
  ["a list", says(200, `[${yes}]`)],
  ["a text", says(200, JSON.stringify(yes))],
  ["far too much", says(200, yes.replace("{", `{"x":"${"x".repeat(1_048_576)}",`))],
  ["no UTF-8", says(200, Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(yes)]))],
  ["a line that breaks at once", (request) => request.socket.destroy()],
  [
    "a line that breaks in the middle",
    (request, response) => {
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "4096" });
      response.write(yes, () => request.socket.destroy());
    },
  ],
  ["silence", () => {}],
  [
    "a body that does not end",
    (_request, response) => {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.write(yes);
    },
  ],
];
