import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import express from "express";
import session from "express-session";
import multer from "multer";
import passport from "passport";
import { Strategy } from "passport-local";
import { WebSocketServer } from "ws";

const USERS = [{ id: "usr_ada", username: "ada", password: "correct horse battery" }];

passport.use(
  new Strategy((username, password, done) => {
    const user = USERS.find((user) => user.username === username && user.password === password);
    done(null, user ?? false);
  }),
);
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => done(null, USERS.find((user) => user.id === id) ?? false));

const app = express();
// Vestibule sets X-Forwarded-*, and removes a client's own.
app.set("trust proxy", true);
app.use(
  session({
    secret: randomBytes(32).toString("hex"),
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { secure: "auto", sameSite: "lax" },
  }),
);
app.use(passport.session());
app.use(express.urlencoded());

app.get("/login", (request, response) => {
  response.send(
    page(`<form method="post" action="/login">
      <input type="hidden" name="next" value="${escaped(request.query.next ?? "/")}">
      <input name="username" data-testid="email">
      <input name="password" type="password" data-testid="password">
      <button data-testid="sign-in">Sign in</button>
    </form>`),
  );
});
app.post("/login", passport.authenticate("local"), (request, response) => {
  response.set("X-Vestibule-Login", request.user.id);
  response.redirect(request.body.next);
});

const signedIn = (request, response, next) => {
  if (!request.isAuthenticated()) {
    return response.redirect(`/login?next=${encodeURIComponent(request.originalUrl)}`);
  }
  // The browser keeps no copy, so nobody sees this page by "Back" after a sign-out.
  response.set("Cache-Control", "private, no-store");
  next();
};

app.get("/notes/:name", signedIn, (request, response) => {
  const { query, params, user } = request;
  const seen = {
    name: params.name,
    a: [query["a[]"] ?? []].flat(),
    q: query.q,
    user: user.id,
    url: `${request.protocol}://${request.host}`,
  };
  response.send(note(seen, request.query));
});
app.post("/notes/:name", signedIn, (request, response) => {
  response.redirect(303, `/notes/one?said=${encodeURIComponent(request.body.text)}`);
});
app.post("/notes/:name/file", signedIn, multer().single("file"), (request, response) => {
  const { buffer } = request.file;
  const sum = createHash("sha256").update(buffer).digest("hex");
  response.redirect(303, `/notes/one?uploaded=${buffer.length} ${sum}`);
});

app.get("/api/data", (request, response) => response.json({ user: request.get("X-User-ID") }));
let goOn;
app.get("/api/stream", async (_request, response) => {
  response.type("text/event-stream").write("data: one\n\n");
  await new Promise((resolve) => {
    goOn = resolve;
    response.once("close", resolve);
  });
  response.end("data: two\n\n");
});
app.post("/api/stream/go", (_request, response) => {
  goOn();
  response.json({});
});

const server = createServer(app);
const sockets = new WebSocketServer({ server, path: "/api/socket" });
sockets.on("connection", (socket) => {
  socket.on("message", (data) => {
    if (String(data) === "close") socket.close(4001, "as asked");
    else socket.send(String(data));
  });
});
server.listen(process.env.PORT, process.env.HOST, () => console.log("listening"));

const note = (seen, { said, uploaded }) =>
  page(`<h1>Notes</h1>
    <pre data-testid="seen">${escaped(JSON.stringify(seen))}</pre>
    <p><a href="/notes/two" data-testid="link">Two</a></p>
    <form method="post"><input name="text" data-testid="text"><button data-testid="send">Send</button></form>
    <output data-testid="said">${escaped(said ?? "")}</output>
    <form method="post" action="/notes/one/file" enctype="multipart/form-data">
      <input type="file" name="file" data-testid="file"><button data-testid="upload">Upload</button>
    </form>
    <output data-testid="uploaded">${escaped(uploaded ?? "")}</output>
    <form method="post" action="/api/auth/logout?cookies=all">
      <button data-testid="sign-out">Sign out</button>
    </form>`);

const page = (body) => `<!doctype html><html lang="en"><title>Notes</title>${body}</html>`;

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text) => String(text).replaceAll(/[&<>"]/g, (character) => ENTITIES[character]);
