// Runs the code of a recipe, exactly as its page in docs/recipes shows it, behind the built Worker, and checks what the
// page promises.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { launch } from "../../scripts/lib/process.mjs";
import { inProject, toolEnvironment } from "../../scripts/lib/project.mjs";
import { freePort } from "../frameworks/support/app.mjs";
import { openResponse, request } from "../support/client.mjs";
import { openGateway } from "../support/gateway.mjs";
import { filesOf } from "../support/pages.mjs";
import { trackSecret } from "../support/tokens.mjs";
import { PAGES, UPSTREAM_SECRET } from "../support/worker.mjs";

const SITE = "https://app.example.com";
const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const ADA = { email: "ada@example.com", name: "Ada", password: "correct horse battery" };

// Opens a recipe. Options:
//
// - `install(folder)`: installs and builds, in the folder with the files of the page;
// - `command(port)`, `env`: start it; `PORT` and `UPSTREAM_SECRET` are set;
// - `ready`: the output that says that it serves requests;
// - `signIn(site)`: signs Ada in and returns her cookie; by default with an account of Vestibule.
export async function openRecipe(name, { install, command, env, ready, signIn = useAccount }) {
  const closers = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), `vestibule-${name}-`)));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const page = readFileSync(inProject(`docs/recipes/${name}.md`), "utf8");
    for (const [file, text] of Object.entries(filesOf(page))) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    await install(folder);
    const app = await startApp({ folder, command, env, ready });
    closers.push(app.stop);
    const relay = await startRelay(app.port);
    closers.push(relay.stop);
    const { vars } = unstable_readConfig({ config: join(folder, "wrangler.toml") });
    const gateway = await openGateway({
      upstream: relay.origin,
      bindings: vars.SESSION.login === "accounts" ? { assets: PAGES } : {},
      variables: {
        ...vars,
        ENVIRONMENT: "production",
        UPSTREAM: relay.origin,
        ...(vars.SESSION.login === "accounts" && { SETUP_TOKEN }),
      },
    });
    closers.push(gateway.stop);
    const { host } = new URL(SITE);
    const site = {
      app,
      relay,
      send: (path, options = {}) =>
        request(gateway.origin, path, { host, url: SITE + path, ...options }),
      open: (path, options = {}) =>
        openResponse(gateway.origin, path, { host, url: SITE + path, ...options }),
    };
    site.cookie = await signIn(site);
    return { ...site, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

// Runs a program to its end, with the files of a page in `folder`.
export async function runIn(folder, [program, ...args], env) {
  let output = "";
  const { code, error } = await launch(program, args, {
    cwd: folder,
    env: toolEnvironment(env),
    silent: true,
    onOutput: (text) => {
      output += text;
    },
  }).done;
  assert.ok(!error && code === 0, `${[program, ...args].join(" ")} failed\n${output}`);
  return output.trim();
}

async function startApp({ folder, command, env, ready }) {
  const port = await freePort();
  const [program, ...args] = command(port);
  let output = "";
  let markReady;
  const served = new Promise((resolve) => {
    markReady = resolve;
  });
  const job = launch(program, args, {
    cwd: folder,
    env: toolEnvironment({ UPSTREAM_SECRET, PORT: String(port), ...env }),
    silent: true,
    onOutput: (text) => {
      output += text;
      if (ready.test(output)) markReady("ready");
    },
  });
  const outcome = await Promise.race([served, job.done]);
  assert.equal(outcome, "ready", `the application did not start:\n${output}`);
  return { port, output: () => output, stop: () => job.stop() };
}

// Forwards connections to the application, and counts the bytes of requests. So a test sees that none arrived.
async function startRelay(port) {
  const relay = { received: 0 };
  const sockets = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (bytes) => {
      relay.received += bytes.length;
    });
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(relay, {
    origin: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  });
}

async function useAccount({ send }) {
  const response = await send("/api/auth/setup", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ setupToken: SETUP_TOKEN, ...ADA }),
  });
  assert.equal(response.status, 201, response.text);
  return cookieOf(response);
}

// Returns the session cookie that a response sets, as a `Cookie` header has it.
export function cookieOf({ cookies }) {
  const [pair] = cookies.find((cookie) => cookie.startsWith("__Host-session=")).split(";");
  trackSecret(pair.slice(pair.indexOf("=") + 1));
  return pair;
}

const NAVIGATION = {
  "Sec-Fetch-Mode": "navigate",
  "Sec-Fetch-Dest": "document",
  Accept: "text/html",
};
const DEEP = "/notes/Gr%C3%BC%C3%9Fe%20one?q=%C3%BC%20%26&page=2";

// Registers the tests that all recipes pass. `site()` is the opened recipe.
export function checkRecipe(test, site, { role, loginPath }) {
  const signedIn = (headers = {}) => ({ headers: { Cookie: site().cookie, ...headers } });

  // Sends a request, and asserts that no byte reached the application.
  const refused = async (path, options) => {
    const before = site().relay.received;
    const response = await site().send(path, options);
    assert.equal(site().relay.received, before, "the application received a request");
    return response;
  };

  test("a deep link leads to the login page without a session, and to the page with one", async () => {
    const stranger = await refused(DEEP, { headers: NAVIGATION });
    assert.equal(stranger.status, 302);
    assert.equal(stranger.headers.location, `${loginPath}?next=${encodeURIComponent(DEEP)}`);
    const script = await refused(DEEP);
    assert.equal(script.status, 401);

    const page = await site().send(DEEP, signedIn(NAVIGATION));
    assert.equal(page.status, 200, page.text);
    const { name, query } = page.json();
    assert.deepEqual({ name, query }, { name: "Grüße one", query: { q: "ü &", page: "2" } });
  });

  test("the application knows the user from the verified assertion, not from the client", async () => {
    const forged = {
      "X-User-ID": "usr_root",
      "X-User-Role": "root",
      "X-Vestibule-Assertion": "a.b.c",
    };
    const seen = (await site().send("/notes/one", signedIn(forged))).json();
    assert.match(seen.userId, /^usr_(?!root)/);
    assert.equal(seen.role, role);
  });

  test("the application refuses requests that did not come through Vestibule", async () => {
    const direct = `http://127.0.0.1:${site().app.port}`;
    for (const headers of [{}, { "X-User-ID": "usr_root" }, { "X-Vestibule-Assertion": "a.b.c" }]) {
      const response = await request(direct, "/notes/one", { headers });
      assert.equal(response.status, 403, response.text);
    }
  });

  test("a public file needs no session", async () => {
    const file = await site().send("/assets/app.js");
    assert.equal(file.status, 200, file.text);
    assert.equal(file.text.trim(), "// public");
  });

  test("each of the application's cookies arrives, and only the browser may store the answer", async () => {
    const { headers, cookies } = await site().send("/notes/one", signedIn());
    const own = cookies.map((cookie) => cookie.split(";")[0]);
    assert.ok(own.includes("seen=1") && own.includes("theme=dark"), cookies.join("\n"));
    assert.match(headers["cache-control"], /private/);
  });

  test("a POST of the own site is redirected on the site, and one of another site is refused", async () => {
    // Some frameworks have a token for forms, in a session of their own.
    const page = await site().send("/notes/one", signedIn());
    const Cookie = [site().cookie, ...page.cookies.map((cookie) => cookie.split(";")[0])].join(
      "; ",
    );
    const post = (origin) => ({
      method: "POST",
      headers: { Cookie, Origin: origin, "X-CSRF-Token": page.json().token },
    });
    const foreign = await refused("/notes/one", post("https://evil.example"));
    assert.equal(foreign.status, 403);
    const response = await site().send("/notes/one", post(SITE));
    assert.equal(response.status, 303, response.text);
    assert.equal(new URL(response.headers.location, SITE).href, `${SITE}/notes/one`);
  });

  test("an event arrives while the stream is still open", async () => {
    const response = await site().open("/events", signedIn());
    assert.match(response.headers["content-type"], /^text\/event-stream/);
    let text = "";
    for await (const chunk of response) {
      text += chunk;
      if (text.includes("\n\n")) break;
    }
    assert.match(text, /^data: ?usr_/);
    assert.ok(!response.complete, "the stream has ended");
    response.destroy();
  });
}
