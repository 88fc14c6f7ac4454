// Cache headers of upstream on responses that set cookies or depend on the user.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openGateway } from "../support/gateway.mjs";
import { createSessionToken, now, sessionCookies } from "../support/tokens.mjs";

const CACHED = ["Cache-Control", "public, max-age=600, s-maxage=60", "ETag", '"1"'];
const SHARED = ["CDN-Cache-Control", "max-age=600", "Surrogate-Control", "max-age=600"];
const DATED = ["Expires", "Thu, 01 Jan 2099 00:00:00 GMT"];
const OWN = ["Set-Cookie", "rolling=1; Path=/"];
const SESSION = ["Set-Cookie", "mk_session=x; Path=/"];
// Responses that may be specific to one user, with headers by which shared caches may store them.
const PERSONAL = {
  public: CACHED,
  varies: ["Cache-Control", "public", "Vary", "X-User-ID"],
  dated: DATED,
  modified: ["Last-Modified", "Thu, 01 Jan 2009 00:00:00 GMT"],
  revalidated: [...DATED, "Cache-Control", "no-cache"],
  quoted: ["Cache-Control", 'x="a, public'],
};
const answer = (status, ...headers) => ({ status, headers: headers.flat(), body: "" });

describe("upstream's cache headers", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: [
        { path: "/p/{*rest}", access: "public" },
        { path: "/o/{*rest}", access: "optional" },
        { path: "/g/{*rest}", access: "user" },
      ],
      variables: { SESSION: { check: "token", refresh_after: "60s" } },
      answers: {
        ...Object.fromEntries(
          Object.entries(PERSONAL).flatMap(([name, headers]) =>
            ["/o/", "/g/"].map((prefix) => [prefix + name, answer(200, headers)]),
          ),
        ),
        "/p/plain": answer(200, CACHED, SHARED, DATED),
        "/p/plain304": answer(304, CACHED, SHARED),
        "/p/own": answer(200, CACHED, SHARED, DATED, OWN),
        "/p/own304": answer(304, CACHED, SHARED, OWN),
        "/p/own-bare": answer(200, OWN),
        "/p/own-no-store": answer(200, ["Cache-Control", "no-store"], OWN),
        "/p/session": answer(200, CACHED, SHARED, DATED, SESSION),
        "/p/session304": answer(304, CACHED, SHARED, SESSION),
      },
    });
  });
  after(() => gateway.stop());

  for (const [path, cacheControl, kept, removed] of [
    ["/p/plain", "public, max-age=600, s-maxage=60", ["cdn-cache-control", "expires", "etag"], []],
    ["/p/plain304", "public, max-age=600, s-maxage=60", ["cdn-cache-control", "etag"], []],
    ["/p/own", "private, max-age=600", ["expires", "etag"], ["cdn-cache-control"]],
    ["/p/own304", "private, max-age=600", ["etag"], ["cdn-cache-control", "surrogate-control"]],
    ["/p/own-bare", "private", [], []],
    ["/p/own-no-store", "private, no-store", [], []],
    ["/p/session", "private, no-store", ["etag"], ["expires", "cdn-cache-control"]],
    ["/p/session304", "private, max-age=600", ["etag"], ["cdn-cache-control"]],
  ]) {
    test(`become \`${cacheControl}\` on ${path}`, async () => {
      const { response } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(response.headers["cache-control"], cacheControl);
      for (const name of kept) assert.ok(response.headers[name], `${name} was removed`);
      for (const name of removed) assert.equal(response.headers[name], undefined, name);
    });
  }

  for (const [path, personal, anonymous] of [
    ["/o/public", "private, max-age=600", "public, max-age=600, s-maxage=60"],
    ["/o/varies", "private", "public"],
    ["/o/dated", "private", undefined],
    ["/o/modified", "private", undefined],
    ["/o/revalidated", "no-cache", "no-cache"],
    ["/o/quoted", 'private, x="a', 'x="a, public'],
  ]) {
    test(`become \`${personal}\` on ${path} for a user who is named to upstream`, async () => {
      const headers = { cookie: sessionCookies(createSessionToken()) };
      for (const url of [path, path.replace("/o/", "/g/")]) {
        const { response } = await gateway.expectForwarded(() => gateway.request(url, { headers }));
        assert.equal(response.headers["cache-control"], personal, url);
      }
      const { response } = await gateway.expectForwarded(() => gateway.request(path));
      assert.equal(response.headers["cache-control"], anonymous);
    });
  }

  test("become `private, no-store` if the session is renewed", async () => {
    const headers = { cookie: sessionCookies(createSessionToken({ iat: now() - 600 })) };
    const { response } = await gateway.expectForwarded(() =>
      gateway.request("/own/x", { headers }),
    );
    assert.match(response.headers["set-cookie"][0], /^mk_session=/);
    assert.equal(response.headers["cache-control"], "private, no-store");
  });
});
