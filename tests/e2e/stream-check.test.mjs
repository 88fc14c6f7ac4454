// `stream_check`: WebSockets and event streams close when their session, token or user has ended, and pass unchanged
// until then.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { WebSocket } from "ws";
import { openResponse, read, withTimeout } from "../support/client.mjs";
import { assertMisconfigured, assertProblem, openGateway } from "../support/gateway.mjs";
import { CONTROLLED, streamsOf } from "../support/open-streams.mjs";
import { ACCOUNTS, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";

const CHECKED = { stream_check: "1s" };
const ROUTES = [
  { path: "/user/{*rest}", access: "user", ...CHECKED },
  { path: "/admin/{*rest}", access: "admin", ...CHECKED },
  { path: "/any/{*rest}", access: "authenticated", ...CHECKED },
  { path: "/maybe/{*rest}", access: "optional", ...CHECKED },
  { path: "/rarely/{*rest}", access: "user", stream_check: "1h" },
];
const DAY = 86_400;

async function open(t, session = {}) {
  const gateway = await openGateway({
    routes: ROUTES,
    variables: { ...ACCOUNTS, SESSION: { ...ACCOUNTS.SESSION, ...session } },
    wrapperModules: CONTROLLED,
  });
  if (t) t.after(() => gateway.stop());
  return { gateway, users: await setUpUsers(gateway), streams: streamsOf(gateway) };
}

let gateway;
let users;
let streams;
before(async () => {
  ({ gateway, users, streams } = await open());
});
after(() => gateway.stop());

let count = 0;
const unique = (name) => {
  count += 1;
  return `${name}${count}`;
};
const call = (...args) => users.call(...args);
const change = (id, body) => call("PATCH", `/api/users/${id}`, users.root, body);

async function signIn(name) {
  const body = { email: `${name}@example.com`, password: PASSWORD };
  const response = await call("POST", "/api/auth/login", undefined, body);
  assert.equal(response.status, 200, response.text);
  const [Cookie] = response.cookies[0].split(";");
  trackSecret(Cookie.slice(Cookie.indexOf("=") + 1));
  return { headers: { Cookie } };
}

// Who opens a stream where, what ends it, and the reason that the client gets.
const ENDINGS = {
  "the user signs out": [
    "/user",
    ({ ada }) => call("POST", "/api/auth/logout", ada),
    "session_revoked",
  ],
  "the user signs out everywhere": [
    "/user",
    async ({ name }) => call("DELETE", "/api/sessions?all=true", await signIn(name)),
    "session_revoked",
  ],
  "an admin ends the user's sessions": [
    "/user",
    ({ ada }) => call("DELETE", `/api/sessions?user=${ada.id}`, users.root),
    "session_revoked",
  ],
  "the user is disabled": [
    "/user",
    ({ ada }) => change(ada.id, { status: "disabled" }),
    "session_revoked",
  ],
  "the user is deleted": [
    "/user",
    ({ ada }) => call("DELETE", `/api/users/${ada.id}`, users.root),
    "session_revoked",
  ],
  "an admin is demoted": [
    "/admin",
    ({ ada }) => change(ada.id, { role: "user" }),
    "forbidden_role",
  ],
  "an admin is demoted, and users may open it": [
    "/user",
    ({ ada }) => change(ada.id, { role: "user" }),
    "forbidden_role",
  ],
  "a known user signs out, and anybody may open it": [
    "/maybe",
    ({ ada }) => call("POST", "/api/auth/logout", ada),
    "session_revoked",
  ],
  "its token is revoked": [
    "/user",
    ({ ada, token }) => call("DELETE", `/api/agent-tokens/${token.id}`, ada),
    "token_revoked",
    { prefix: "mul_" },
  ],
  "its token's owner is disabled": [
    "/user",
    ({ ada }) => change(ada.id, { status: "disabled" }),
    "token_revoked",
    { prefix: "mul_" },
  ],
  "its token expires": ["/user", () => {}, "token_expired", { prefix: "mul_", expiresIn: "3s" }],
  "an agent's token is revoked": [
    "/any",
    ({ ada, token }) => call("DELETE", `/api/agent-tokens/${token.id}`, ada),
    "token_revoked",
    { prefix: "mk_" },
  ],
};

describe("both kinds of streams close when", { concurrency: 4 }, () => {
  for (const [what, [folder, end, reason, tokenOf]] of Object.entries(ENDINGS)) {
    test(what, async () => {
      const name = unique("ada");
      const isAdmin = reason === "forbidden_role" || tokenOf?.prefix === "mk_";
      const ada = await users.createUser(name, isAdmin ? "admin" : "user");
      const token = tokenOf && (await users.createToken(ada, tokenOf.prefix, tokenOf));
      const { headers } = token ?? ada;
      const path = `${folder}/${name}`;
      const socket = await streams.socket(`${path}/socket`, headers);
      const events = await streams.events(`${path}/events`, headers);
      await Promise.all([socket.exchange(), events.exchange()]);

      const answer = await end({ name, ada, token });
      assert.ok(answer === undefined || answer.status < 300, answer?.text);
      const closed = { code: 1008, reason };
      assert.deepEqual(await withTimeout(socket.ended, "the end of the socket"), closed);
      assert.deepEqual(await withTimeout(socket.endedUpstream, "the end of the socket"), closed);
      const { isComplete } = await withTimeout(events.ended, "the end of the events");
      assert.equal(isComplete, false, "the events look complete");
      await withTimeout(events.endedUpstream, "upstream to notice");

      if (what.includes("open it")) return;
      const again = await gateway.request(`${path}/again`, { headers });
      assert.ok([401, 403].includes(again.status), again.text);
      const seen = gateway.upstreamRequests.filter(({ url }) => url.startsWith(path));
      assert.equal(seen.length, 2, "upstream received another request");
    });
  }

  test("and the log says so", async () => {
    const isEnd = (line) => line.includes("stream_ended") && line.includes("token_expired");
    const { event, code, reason, rule, operation, requestId, openMs } = JSON.parse(
      await gateway.waitForLog(isEnd),
    );
    assert.deepEqual(
      [event, code, reason, rule, operation],
      ["stream_ended", 1008, "token_expired", "/user/{*rest}", null],
    );
    assert.ok(
      openMs > 0 && gateway.log.some((line) => line.includes(`"requestId":"${requestId}"`)),
    );
  });
});

describe("sessions that end by themselves", () => {
  for (const [what, session, later] of [
    ["its expiry", { lifetime: "1h", refresh_after: "30m" }, 3_601],
    ["idle", { idle: "5m" }, 301],
    ["max_lifetime", { max_lifetime: "1h" }, 3_601],
  ]) {
    test(`streams close after ${what}`, async (t) => {
      const { users, streams } = await open(t, session);
      const socket = await streams.socket("/user/socket", users.root.headers);
      const events = await streams.events("/user/events", users.root.headers);
      await streams.checks(4);
      await Promise.all([socket.exchange(), events.exchange()]);
      await streams.control({ "x-clock": String(later) });
      const closed = { code: 1008, reason: "session_expired" };
      assert.deepEqual(await withTimeout(socket.ended, "the end of the socket"), closed);
      await withTimeout(events.ended, "the end of the events");
    });
  }

  test("an open stream does not keep a session from being idle", async (t) => {
    // The token is valid for five minutes from the last refresh, and the registry's row was seen when it was opened.
    const { users, streams, gateway } = await open(t, { idle: "5m" });
    const socket = await streams.socket("/user/socket", users.root.headers);
    await streams.control({ "x-clock": "200" });
    await streams.checks(2);
    await socket.exchange();
    const listed = await users.call("GET", "/api/sessions", await secondSession(users));
    const seen = listed.json().items.map(({ lastSeenAt }) => Date.parse(lastSeenAt));
    assert.ok(Math.min(...seen) < Date.now() + 100_000, "a check counts as a use");
    assert.equal(gateway.upstreamRequests.length, 1);
    socket.close();
  });
});

async function secondSession(users) {
  const body = { email: "root@example.com", password: PASSWORD };
  const response = await users.call("POST", "/api/auth/login", undefined, body);
  const [Cookie] = response.cookies[0].split(";");
  trackSecret(Cookie.slice(Cookie.indexOf("=") + 1));
  return { headers: { Cookie } };
}

describe("streams whose client may use them", () => {
  test("stay open over several checks, and no byte is lost", async () => {
    const ada = await users.createUser(unique("ada"));
    const socket = await streams.socket(`/user/${count}/socket`, ada.headers, {
      perMessageDeflate: false,
    });
    const events = await streams.events(`/user/${count}/events`, ada.headers);
    assert.equal(socket.client.protocol, "chat");
    for (let round = 0; round < 3; round += 1) {
      await Promise.all([socket.exchange(randomBytes(1_048_576)), events.exchange()]);
      for (const text of ["", "ünïcödé ".repeat(5_000)]) await socket.exchange(text);
      await streams.checks(2);
    }
    // Many frames at once arrive in order.
    const frames = Array.from({ length: 8 }, () => randomBytes(1_000_000));
    const echoed = [];
    const all = new Promise((resolve) => {
      socket.client.on("message", (data) => {
        if (echoed.push(data) === frames.length) resolve();
      });
    });
    for (const frame of frames) socket.client.send(frame);
    await withTimeout(all, "the frames");
    assert.ok(frames.every((frame, at) => frame.equals(echoed[at])));
    events.upstream.end();
    assert.deepEqual(await withTimeout(events.ended, "the end"), { isComplete: true });
    socket.client.close(4001, "bye");
    assert.deepEqual(await withTimeout(socket.endedUpstream, "the close"), {
      code: 4001,
      reason: "bye",
    });
    assert.deepEqual(await withTimeout(socket.ended, "the answer"), { code: 4001, reason: "bye" });
  });

  for (const [what, close, atClient, atUpstream] of [
    [
      "upstream closes",
      ({ upstream }) => upstream.close(4002, "done"),
      [4002, "done"],
      [4002, "done"],
    ],
    ["upstream closes without a code", ({ upstream }) => upstream.close(), [1005, ""], [1005, ""]],
    ["the client closes without a code", ({ client }) => client.close(), [1005, ""], [1005, ""]],
    ["upstream is lost", ({ upstream }) => upstream.terminate(), [1011, undefined], [1006, ""]],
    ["the client is lost", ({ client }) => client.terminate(), [1006, ""], [undefined, undefined]],
  ]) {
    test(`pass on the close frame when ${what}`, async () => {
      const socket = await streams.socket(`/user/${unique("close")}`, users.root.headers);
      await socket.exchange();
      close(socket);
      for (const [ended, [code, reason]] of [
        [socket.ended, atClient],
        [socket.endedUpstream, atUpstream],
      ]) {
        const found = await withTimeout(ended, "the close");
        if (code !== undefined) assert.equal(found.code, code);
        if (reason !== undefined) assert.equal(found.reason, reason);
      }
    });
  }

  test("a socket with compression works", async () => {
    const path = `/user/${unique("deflate")}`;
    const socket = await streams.socket(path, users.root.headers, { perMessageDeflate: true });
    for (const text of ["short", "long ".repeat(50_000)]) await socket.exchange(text);
    socket.close();
  });

  test("compressed events arrive", async () => {
    const path = `/user/${unique("gzip")}`;
    const packed = gzipSync("data: packed\n\n".repeat(1_000));
    gateway.upstream.answers[path] = (_request, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Content-Encoding": "gzip" });
      response.end(packed);
    };
    const headers = { ...users.root.headers, "accept-encoding": "gzip" };
    const response = await gateway.request(path, { headers });
    assert.equal(response.headers["content-encoding"], "gzip");
    assert.equal(String(gunzipSync(response.body)), "data: packed\n\n".repeat(1_000));
  });

  test("other responses are untouched", async () => {
    const path = `/user/${unique("plain")}`;
    const headers = ["Content-Type", "application/json", "Content-Length", "2"];
    gateway.upstream.answers[path] = { headers, body: "{}" };
    const response = await gateway.request(path, { headers: users.root.headers });
    assert.equal(response.headers["content-length"], "2");
    gateway.upstream.answers[path] = { headers: ["Content-Type", "text/event-stream"], body: "" };
    const head = await gateway.request(path, { method: "HEAD", headers: users.root.headers });
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-type"], "text/event-stream");
  });

  test("an anonymous stream is not watched", async () => {
    const path = `/maybe/${unique("nobody")}`;
    const anonymous = await streams.events(`${path}/events`);
    const ada = await users.createUser(unique("ada"));
    const known = await streams.events(`${path}/known`, ada.headers);
    await streams.checks(2);
    await call("POST", "/api/auth/logout", ada);
    await withTimeout(known.ended, "the end of the known one");
    await anonymous.exchange();
    anonymous.close();
  });

  test("upstream notices that a client of events has left", async () => {
    const events = await streams.events(`/user/${unique("left")}`, users.root.headers);
    await events.exchange();
    events.close();
    // The runtime notices at the next event.
    const ticking = setInterval(() => events.upstream.write(":\n\n"), 5);
    await withTimeout(events.endedUpstream, "upstream to notice");
    clearInterval(ticking);
  });
});

describe("a client that does not read", () => {
  const isDrained = (response) =>
    Promise.race([once(response, "drain").then(() => true), sleep(1_000, false)]);

  test("holds back an event stream", async () => {
    const events = await streams.events(`/rarely/${unique("slow")}`, users.root.headers);
    events.response.pause();
    const chunk = Buffer.alloc(1_048_576, ".");
    let written = 0;
    // A second without progress counts as held back. On a slow machine, that only weakens this test.
    do {
      events.upstream.write(chunk);
      written += 1;
      assert.ok(written < 64, "the gateway takes what the client does not read");
    } while (await isDrained(events.upstream));
    events.upstream.end();
    events.response.resume();
    assert.deepEqual(await withTimeout(events.ended, "the rest"), { isComplete: true });
    assert.equal(events.received().length, written * chunk.length);
  });

  test("loses its socket when too much waits for it", async () => {
    const socket = await streams.socket(`/rarely/${unique("slow")}`, users.root.headers, {
      perMessageDeflate: false,
      onConnection: () => {},
    });
    socket.client.pause();
    const chunk = Buffer.alloc(1_048_576);
    let sent = 0;
    while (socket.upstream.readyState === WebSocket.OPEN && sent < 200) {
      await new Promise((resolve) => socket.upstream.send(chunk, resolve));
      sent += 1;
    }
    assert.deepEqual(await withTimeout(socket.endedUpstream, "the end"), {
      code: 1013,
      reason: "too_slow",
    });
    assert.ok(sent < 100, `${sent} MiB were sent`);
    let received = 0;
    socket.client.on("message", (data) => {
      received += data.length;
    });
    socket.client.resume();
    assert.equal((await withTimeout(socket.ended, "the end")).code, 1013);
    assert.ok(received > 0);
    assert.equal((await gateway.request("/user/x", { headers: users.root.headers })).status, 200);
  });
});

describe("checks that fail", () => {
  test("once leave the stream open, twice in a row end it", async (t) => {
    const { users, streams } = await open(t);
    const socket = await streams.socket("/user/socket", users.root.headers);
    await streams.control({ "x-fail": "1" });
    await streams.checks(3);
    await socket.exchange();
    await streams.control({ "x-fail": "2" });
    const ended = await withTimeout(socket.ended, "the end");
    assert.deepEqual(ended, { code: 1013, reason: "store_unavailable" });
    assert.equal((await socket.endedUpstream).code, 1013);
  });

  test("because the module has stopped end it", async (t) => {
    const { gateway, users, streams } = await open(t);
    const socket = await streams.socket("/user/socket", users.root.headers);
    const events = await streams.events("/user/events", users.root.headers);
    await socket.exchange();
    await streams.control({ "x-trap": "1" });
    assertProblem(await gateway.request("/user/x"), 500, "internal");
    assert.deepEqual(await withTimeout(socket.ended, "the end"), {
      code: 1011,
      reason: "internal",
    });
    await withTimeout(events.ended, "the end of the events");
    // The new instance watches new streams.
    const again = await streams.socket("/user/again", users.root.headers);
    await again.exchange();
    await users.call("POST", "/api/auth/logout", users.root);
    assert.equal((await withTimeout(again.ended, "the end")).code, 1008);
  });
});

test("a cached answer counts for check_ttl", async (t) => {
  const { gateway, users, streams } = await open(t, { check_ttl: "60s" });
  const socket = await streams.socket("/user/socket", users.root.headers);
  const before = await streams.control();
  await streams.control({ "x-clock": "50" });
  const log = once(socket.client, "close").then(() => "closed");
  const response = await openResponse(gateway.direct, "/user/x", {
    host: "app.example",
    headers: users.root.headers,
  });
  await read(response);
  assert.equal(await streams.control(), before, "the answer is cached");
  await streams.control({ "x-clock": String(DAY) });
  await streams.checks(1);
  await socket.exchange();
  socket.close();
  await log;
});

describe("in the configuration", () => {
  const misconfigured = (rule, session) =>
    assertMisconfigured(
      { routes: [{ path: "/a", ...rule }], variables: { SESSION: session } },
      "ROUTES[0].stream_check",
    );
  test("a public rule is an error", () =>
    misconfigured({ access: "public", ...CHECKED }, { login: "upstream" }));
  test("sessions without a registry are an error", () =>
    misconfigured({ access: "user", ...CHECKED }, { check: "token" }));
});
