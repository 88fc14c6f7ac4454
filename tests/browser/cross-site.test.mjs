// Another site's page can make a browser send things here. None of it counts, cookie or not.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { cookie } from "../support/tokens.mjs";
import { ADA, fetchIn, openSite, plantSession, serve, sessions, shows } from "./support.mjs";

let site;
let stranger;
before(async () => {
  site = await openSite();
  stranger = await serve((_request, response) => {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    response.end("<!doctype html><title>A stranger</title><h1>You have won</h1>");
  });
});
after(async () => {
  await stranger.stop();
  await site.stop();
});

// Ports do not part sites: what another one on localhost sends carries the cookie, Lax or not.
const STRANGERS = {
  "another site": { host: "127.0.0.1", brings: false },
  "another origin of the same site": { host: "localhost", brings: true },
};

const ENCTYPES = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

const TARGETS = ["/api/uploads", "/api/auth/logout", "/api/auth/logout?cookies=all", "/api/login"];

for (const [name, { host, brings }] of Object.entries(STRANGERS)) {
  describe(`a page of ${name}`, () => {
    const open = async (t) => {
      const visitor = await site.visit(t);
      await plantSession(visitor);
      const before = { seen: await site.seen(), sessions: await sessions(visitor) };
      await visitor.page.goto(`http://${host}:${stranger.port}/`);
      return { ...visitor, before };
    };

    // A form's refusal, what it brought along, and that nothing came of it.
    const assertRefused = async (visitor, response) => {
      assert.equal(response.status(), 403);
      // A form shows its answer to a person.
      assert.match(response.headers()["content-type"], /^text\/html/);
      assert.match(await response.text(), /<code>forbidden_origin<\/code>/);
      const sent = await response.request().allHeaders();
      const [session] = await sessions(visitor);
      assert.equal(sent.cookie, brings ? cookie(session.value) : undefined);
      assert.equal(sent["sec-fetch-site"], brings ? "same-site" : "cross-site");
      await assertUntouched(visitor);
    };

    const assertUntouched = async (visitor) => {
      assert.deepEqual(await site.seen(), visitor.before.seen);
      assert.deepEqual(await sessions(visitor), visitor.before.sessions);
      const me = await visitor.context.request.get("/api/auth/me");
      assert.equal((await me.json()).userId, ADA.userId);
    };

    for (const target of TARGETS) {
      test(`posts a form to ${target} in vain`, async (t) => {
        const visitor = await open(t);
        const response = await postForm(visitor.page, site.origin + target);
        await assertRefused(visitor, response);
      });
    }

    for (const enctype of ENCTYPES.slice(1)) {
      test(`posts a form as ${enctype} in vain`, async (t) => {
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
      test(`sends a ${how} in vain`, async (t) => {
        const visitor = await open(t);
        const url = `${site.origin}/api/uploads`;
        const answered = visitor.page.waitForResponse(url);
        await visitor.page.evaluate(send, url);
        assert.equal((await answered).status(), 403);
        await assertUntouched(visitor);
      });
    }

    test("opens a WebSocket in vain", async (t) => {
      const visitor = await open(t);
      const heard = await visitor.page.evaluate(listen, socketUrl());
      assert.deepEqual(heard, ["error", "close 1006"]);
      await assertUntouched(visitor);
    });

    test("may link here: a navigation arrives signed in", async (t) => {
      const visitor = await open(t);
      await visitor.page.evaluate((url) => location.assign(url), `${site.origin}/deep/a`);
      await shows(visitor.page, "deep-link", "/deep/a");
    });
  });
}

describe("the site's own page", () => {
  const open = async (t) => {
    const visitor = await site.visit(t);
    await plantSession(visitor);
    await visitor.page.goto("/deep/a");
    return visitor;
  };

  for (const enctype of ENCTYPES) {
    test(`posts a form as ${enctype}`, async (t) => {
      const { page } = await open(t);
      const response = await postForm(page, `${site.origin}/api/uploads`, enctype);
      assert.equal(response.status(), 201);
      assert.ok((await response.json()).bytes > 0);
    });
  }

  test("fetches, sends a beacon", async (t) => {
    const { page } = await open(t);
    const options = { method: "POST", body: "four" };
    const { status, body } = await fetchIn(page, "/api/uploads", options);
    assert.deepEqual([status, body.bytes], [201, 4]);

    const url = `${site.origin}/api/uploads?beacon`;
    const answered = page.waitForResponse(url);
    assert.equal(await page.evaluate((url) => navigator.sendBeacon(url, "x"), url), true);
    assert.equal((await answered).status(), 201);
  });

  test("opens a WebSocket", async (t) => {
    const { page } = await open(t);
    const heard = await page.evaluate(listen, socketUrl());
    assert.deepEqual(heard, [
      "open",
      `message {"hello":true,"userId":"${ADA.userId}"}`,
      "close 1005",
    ]);
  });

  test("may not be used from a frame without an origin", async (t) => {
    const visitor = await open(t);
    const before = await site.seen();
    const url = `${site.origin}/api/uploads`;
    await visitor.page.evaluate((url) => {
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-forms";
      frame.srcdoc = `<form method="post" action="${url}"><button>Go</button></form>`;
      document.body.append(frame);
    }, url);
    const answered = visitor.page.waitForResponse(url);
    await visitor.page.frameLocator("iframe").getByRole("button").click();
    const response = await answered;
    assert.equal((await response.request().allHeaders()).origin, "null");
    assert.equal(response.status(), 403);
    assert.deepEqual(await site.seen(), before);
  });
});

const socketUrl = () => `${site.origin.replace("http", "ws")}/api/socket`;

// Has the page post a form, and gives the answer that it then shows.
async function postForm(page, url, enctype = ENCTYPES[0]) {
  const answered = page.waitForResponse(url);
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
  const response = await answered;
  await response.finished();
  return response;
}

// Runs in the page: opens a socket and tells what happened until it is closed.
function listen(url) {
  return new Promise((resolve) => {
    const heard = [];
    const socket = new WebSocket(url);
    socket.onopen = () => heard.push("open");
    socket.onerror = () => heard.push("error");
    socket.onmessage = ({ data }) => {
      heard.push(`message ${data}`);
      socket.close();
    };
    socket.onclose = ({ code }) => resolve([...heard, `close ${code}`]);
  });
}
