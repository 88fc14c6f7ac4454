// Pages of other sites can make a browser send requests here. All unsafe ones are rejected, with or without the cookie.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sessionCookies } from "../support/tokens.mjs";
import {
  ADA,
  addSession,
  assertText,
  fetchInPage,
  openSite,
  serve,
  sessionCookiesOf,
} from "./support.mjs";

let site;
let otherSite;
before(async () => {
  site = await openSite();
  otherSite = await serve((_request, response) => {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    response.end("<!doctype html><title>A stranger</title><h1>You have won</h1>");
  });
});
after(async () => {
  await otherSite.stop();
  await site.stop();
});

// A site includes all ports: requests from another port of localhost carry the cookie, even with SameSite=Lax.
const OTHER_SITES = {
  "another site": { host: "127.0.0.1", sendsCookie: false },
  "another origin of the same site": { host: "localhost", sendsCookie: true },
};

const ENCTYPES = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

const TARGETS = ["/api/uploads", "/api/auth/logout", "/api/auth/logout?cookies=all", "/api/login"];

for (const [name, { host, sendsCookie }] of Object.entries(OTHER_SITES)) {
  describe(`a page of ${name}`, () => {
    const open = async (t) => {
      const visitor = await site.visit(t);
      await addSession(visitor);
      const before = { seen: await site.seen(), sessions: await sessionCookiesOf(visitor) };
      await visitor.page.goto(`http://${host}:${otherSite.port}/`);
      return { ...visitor, before };
    };

    // Asserts that a form was rejected, which headers it had, and that nothing changed.
    const assertRefused = async (visitor, response) => {
      assert.equal(response.status(), 403);
      // A form navigates, so its refusal is a page.
      assert.match(response.headers()["content-type"], /^text\/html/);
      assert.match(await response.text(), /<code>forbidden_origin<\/code>/);
      const sent = await response.request().allHeaders();
      const [session] = await sessionCookiesOf(visitor);
      assert.equal(sent.cookie, sendsCookie ? sessionCookies(session.value) : undefined);
      assert.equal(sent["sec-fetch-site"], sendsCookie ? "same-site" : "cross-site");
      await assertUntouched(visitor);
    };

    const assertUntouched = async (visitor) => {
      assert.deepEqual(await site.seen(), visitor.before.seen);
      assert.deepEqual(await sessionCookiesOf(visitor), visitor.before.sessions);
      const me = await visitor.context.request.get("/api/auth/me");
      assert.equal((await me.json()).userId, ADA.userId);
    };

    for (const target of TARGETS) {
      test(`cannot post a form to ${target}`, async (t) => {
        const visitor = await open(t);
        const response = await postForm(visitor.page, site.origin + target);
        await assertRefused(visitor, response);
      });
    }

    for (const enctype of ENCTYPES.slice(1)) {
      test(`cannot post a form as ${enctype}`, async (t) => {
        const visitor = await open(t);
        const response = await postForm(visitor.page, `${site.origin}/api/uploads`, enctype);
        await assertRefused(visitor, response);
      });
    }

    for (const [how, send] of Object.entries({
      fetch: (url) =>
        fetch(url, { method: "POST", mode: "no-cors", credentials: "include", body: "x" }).then(
          () => {},
        ),
      beacon: (url) => navigator.sendBeacon(url, "x"),
    })) {
      test(`cannot send a ${how}`, async (t) => {
        const visitor = await open(t);
        const url = `${site.origin}/api/uploads`;
        const responded = visitor.page.waitForResponse(url);
        await visitor.page.evaluate(send, url);
        assert.equal((await responded).status(), 403);
        await assertUntouched(visitor);
      });
    }

    test("cannot open a WebSocket", async (t) => {
      const visitor = await open(t);
      const events = await visitor.page.evaluate(listen, socketUrl());
      assert.deepEqual(events, ["error", "close 1006"]);
      await assertUntouched(visitor);
    });

    test("can link here: the navigation arrives signed in", async (t) => {
      const visitor = await open(t);
      await visitor.page.evaluate((url) => location.assign(url), `${site.origin}/deep/a`);
      await assertText(visitor.page, "deep-link", "/deep/a");
    });
  });
}

describe("the site's own page", () => {
  const open = async (t) => {
    const visitor = await site.visit(t);
    await addSession(visitor);
    await visitor.page.goto("/deep/a");
    return visitor;
  };

  for (const enctype of ENCTYPES) {
    test(`can post a form as ${enctype}`, async (t) => {
      const { page } = await open(t);
      const response = await postForm(page, `${site.origin}/api/uploads`, enctype);
      assert.equal(response.status(), 201);
      assert.ok((await response.json()).bytes > 0);
    });
  }

  test("can fetch and send a beacon", async (t) => {
    const { page } = await open(t);
    const options = { method: "POST", body: "four" };
    const { status, body } = await fetchInPage(page, "/api/uploads", options);
    assert.deepEqual([status, body.bytes], [201, 4]);

    const url = `${site.origin}/api/uploads?beacon`;
    const responded = page.waitForResponse(url);
    assert.equal(await page.evaluate((url) => navigator.sendBeacon(url, "x"), url), true);
    assert.equal((await responded).status(), 201);
  });

  test("can open a WebSocket", async (t) => {
    const { page } = await open(t);
    const events = await page.evaluate(listen, socketUrl());
    assert.deepEqual(events, [
      "open",
      `message {"hello":true,"userId":"${ADA.userId}"}`,
      "close 1005",
    ]);
  });

  test("cannot post a form from a frame without an origin", async (t) => {
    const visitor = await open(t);
    const before = await site.seen();
    const url = `${site.origin}/api/uploads`;
    await visitor.page.evaluate((url) => {
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-forms";
      frame.srcdoc = `<form method="post" action="${url}"><button>Go</button></form>`;
      document.body.append(frame);
    }, url);
    const responded = visitor.page.waitForResponse(url);
    await visitor.page.frameLocator("iframe").getByRole("button").click();
    const response = await responded;
    assert.equal((await response.request().allHeaders()).origin, "null");
    assert.equal(response.status(), 403);
    assert.deepEqual(await site.seen(), before);
  });
});

const socketUrl = () => `${site.origin.replace("http", "ws")}/api/socket`;

// Posts a form from the page and returns the response.
async function postForm(page, url, enctype = ENCTYPES[0]) {
  const responded = page.waitForResponse(url);
  await page.evaluate(
    ([url, enctype]) => {
      const form = Object.assign(document.createElement("form"), {
        method: "post",
        action: url,
        enctype,
      });
      for (const [name, value] of [
        ["email", "bob@example.com"],
        ["password", "staple battery horse"],
      ]) {
        form.append(Object.assign(document.createElement("input"), { name, value }));
      }
      document.body.append(form);
      form.submit();
    },
    [url, enctype],
  );
  const response = await responded;
  await response.finished();
  return response;
}

// Runs in the page: opens a socket and returns its events until it is closed.
function listen(url) {
  return new Promise((resolve) => {
    const events = [];
    const socket = new WebSocket(url);
    socket.onopen = () => events.push("open");
    socket.onerror = () => events.push("error");
    socket.onmessage = ({ data }) => {
      events.push(`message ${data}`);
      socket.close();
    };
    socket.onclose = ({ code }) => resolve([...events, `close ${code}`]);
  });
}
