// A development server of Vite behind the gateway, whose configuration has no rule at all. The application has its own
// login page, so its modules load without a session.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { createServer } from "vite";
import { WebSocket } from "ws";
import { inProject } from "../../scripts/lib/project.mjs";
import { request } from "../support/client.mjs";
import { ADA, addSessionCookie, assertText, openSite, sessionCookiesOf } from "./support.mjs";

const FILES = {
  "package.json": '{ "private": true, "type": "module" }',
  "index.html": `<!doctype html><html lang="en"><head><title>Notes</title></head>
    <body><div id="app"></div><script type="module" src="/src/main.js"></script></body></html>`,
  "src/title.js": 'export const title = "Notes";',
  "src/style.css": "h1 { color: rgb(1, 2, 3); }",
  "src/main.js": `
    import { h, render } from "preact";
    import { title } from "./title.js";
    import "./style.css";

    async function signIn(event) {
      event.preventDefault();
      const response = await fetch("/api/auth/login", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(Object.fromEntries(new FormData(event.target))),
      });
      if (response.ok) location.reload();
    }
    const form = () => h("form", { onSubmit: signIn },
      h("input", { name: "email", "data-testid": "email" }),
      h("input", { name: "password", type: "password", "data-testid": "password" }),
      h("button", { "data-testid": "sign-in" }, "Sign in"));
    const show = (title) => render(
      h("main", null,
        h("h1", { "data-testid": "title" }, title),
        h("output", { "data-testid": "who" }),
        location.pathname === "/login" && h(form)),
      document.querySelector("#app"));
    show(title);
    import.meta.hot.accept("./title.js", (fresh) => show(fresh.title));
    if (location.pathname !== "/login") {
      const response = await fetch("/api/who");
      document.querySelector("output").textContent = response.status + " " + await response.text();
    }
  `,
};

let root;
let vite;
let site;
// The paths that the development server got, and those of them that came with an identity.
const received = [];
const identified = [];

before(async () => {
  root = mkdtempSync(join(tmpdir(), "vestibule-vite-"));
  for (const [name, text] of Object.entries(FILES)) write(name, text);
  mkdirSync(join(root, "node_modules"));
  symlinkSync(inProject("node_modules/preact"), join(root, "node_modules/preact"));
  site = await openSite({
    startUpstream,
    variables: {
      ROUTES: [],
      RATE_LIMITS: [],
      SESSION: { login: "accounts", login_path: "/login" },
    },
  });
});
after(async () => {
  await site?.stop();
  rmSync(root, { recursive: true, force: true });
});

function write(name, text) {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
}

async function startUpstream() {
  const api = {
    name: "api",
    configureServer({ middlewares }) {
      middlewares.use((request, _response, next) => {
        // In development, Vestibule asks once whether its endpoints hide a path of the application.
        const isProbe = request.headers["x-operation"] === "vestibule.probe";
        if (!isProbe) received.push(request.url.split("?")[0]);
        if (request.headers["x-user-id"]) identified.push(request.url.split("?")[0]);
        next();
      });
      middlewares.use("/api/who", (request, response) =>
        response.end(request.headers["x-user-id"]),
      );
    },
  };
  vite = await createServer({
    root,
    configFile: false,
    cacheDir: join(root, "node_modules/.vite"),
    plugins: [api],
    optimizeDeps: { include: ["preact"] },
    server: { host: "127.0.0.1", port: 0, watch: { usePolling: true, interval: 50 } },
    logLevel: "silent",
  });
  await vite.listen();
  return {
    origin: `http://127.0.0.1:${vite.httpServer.address().port}`,
    stop: () => vite.close(),
  };
}

// Opens a page, and waits until its socket for hot module replacement is open.
async function openPage({ page }, path) {
  const lines = [];
  page.on("console", (line) => lines.push(line.text()));
  const connected = page.waitForEvent("console", (line) => line.text() === "[vite] connected.");
  await page.goto(path);
  await connected;
  await page.evaluate(() => {
    window.kept = true;
  });
  return lines;
}

async function signIn({ page }) {
  await page.getByTestId("email").fill(ADA.email);
  await page.getByTestId("password").fill(ADA.password);
  await page.getByTestId("sign-in").click();
}

const colorOf = (page) =>
  page.getByTestId("title").evaluate((element) => getComputedStyle(element).color);

test("without a session, the login page loads its modules, and an edit arrives without a reload", async (t) => {
  received.length = 0;
  const visitor = await site.visit(t);
  const { page } = visitor;
  const lines = await openPage(visitor, "/reports?a=1");
  assert.equal(page.url(), `${site.origin}/login?next=%2Freports%3Fa%3D1`);
  assert.ok(!received.includes("/reports"));
  for (const path of ["/src/main.js", "/@vite/client", "/node_modules/.vite/deps/preact.js"]) {
    assert.ok(received.includes(path), path);
  }
  write("src/title.js", 'export const title = "Edited";');
  await assertText(page, "title", "Edited");
  write("src/style.css", "h1 { color: rgb(4, 5, 6); }");
  await page.waitForFunction(
    () => getComputedStyle(document.querySelector("h1")).color === "rgb(4, 5, 6)",
  );
  assert.equal(await page.evaluate(() => window.kept), true, "the page was loaded again");
  // The socket is that of the gateway: otherwise Vite's client says that it has connected directly.
  assert.deepEqual(
    lines.filter((line) => /websocket|WebSocket/.test(line)),
    [],
  );
});

test("signing in leads to the page, edits arrive, and a broken cookie heals", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await page.goto("/reports?a=1");
  await signIn(visitor);
  await page.waitForURL(`${site.origin}/reports?a=1`);
  await assertText(page, "who", `200 ${ADA.userId}`);
  await openPage(visitor, "/reports");
  write("src/title.js", 'export const title = "Edited again";');
  await assertText(page, "title", "Edited again");
  assert.equal(await page.evaluate(() => window.kept), true, "the page was loaded again");

  await addSessionCookie(visitor, "broken");
  identified.length = 0;
  await page.reload();
  await page.waitForURL((url) => url.pathname === "/login");
  assert.deepEqual(await sessionCookiesOf(visitor), []);
  assert.equal(await colorOf(page), "rgb(4, 5, 6)", "the modules of the login page load");
  await signIn(visitor);
  await page.waitForURL(`${site.origin}/reports`);
  await assertText(page, "who", `200 ${ADA.userId}`);
  // Modules are the same for everybody, so they come without an identity.
  assert.deepEqual(
    identified.filter((path) => /^\/(src|@vite|node_modules)\//.test(path)),
    [],
  );
});

test("everything else needs a session, and does not reach the development server", async () => {
  const own = { host: new URL(site.origin).host };
  received.length = 0;
  const refused = [
    ["/api/who", {}],
    ["/index.html", {}],
    ["/src/main.js", { method: "POST" }],
    ["/src/main.js", { headers: { "Sec-Fetch-Mode": "navigate", Accept: "text/html" } }],
    ["/src/main.js", { host: "rebound.example:8787" }],
    ["/Src/main.js", {}],
  ];
  for (const [path, options] of refused) {
    const { status, text } = await request(site.origin, path, { ...own, ...options });
    assert.ok([302, 401, 403].includes(status), `${path} ${status} ${text}`);
  }
  assert.deepEqual(received, []);
  const module = await request(site.origin, "/src/main.js", own);
  assert.equal(module.status, 200);
  assert.deepEqual(received, ["/src/main.js"]);
});

test("the socket opens only for Vite's protocol, and not for a page of another site", async () => {
  const url = `${site.origin.replace("http", "ws")}/?token=${vite.config.webSocketToken}`;
  const outcome = async (protocol, origin) => {
    const socket = new WebSocket(url, protocol, { origin });
    const opened = await Promise.race([
      once(socket, "open").then(() => 101),
      once(socket, "unexpected-response").then(([, response]) => response.statusCode),
    ]);
    socket.terminate();
    return opened;
  };
  assert.equal(await outcome("vite-hmr", site.origin), 101);
  assert.equal(await outcome("notes", site.origin), 401);
  assert.equal(await outcome("vite-hmr", "https://evil.example"), 403);
});
