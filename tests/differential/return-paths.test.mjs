// Return paths against the WHATWG URL parser of Node and against Chromium: wherever the login page sends a browser, it
// stays on the site. The inputs are random, made of the parts of known attacks.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { before, test } from "node:test";
import { launchBrowser } from "../browser/support.mjs";
import { randomGenerator } from "../support/mutations.mjs";
import { createSessionToken } from "../support/tokens.mjs";
import { CASES, openBatches, SEED, withSeed } from "./support.mjs";

const PARTS = [
  ..."/\\.@:?#%;&=~|^`'\"<>{}[]*+-_ \t\r\n",
  ...[
    "//",
    "/\\",
    "\\/",
    "..",
    "/..",
    "/../",
    "/./",
    "/.//",
    "https:",
    "http:",
    "javascript:",
    "data:",
  ],
  ...["evil.example", "evil.example/", "app.example", "@evil.example", ":80", "a", "b/c", "login"],
  ...["%2f", "%5c", "%2e", "%2e%2e", "%09", "%0a", "%00", "%25", "%252f", "%", "%zz", "%u2215"],
  ..."\u0000\u0001\u007f\u00a0\u00ad\u200b\u2028\u2215\u3002\uff0f\uff0e\uff3c\ufeffé𝄞",
];

const random = randomGenerator(SEED);
const inputs = Array.from({ length: CASES }, () => {
  const start = random.chance(0.8) ? "/" : "";
  const parts = Array.from({ length: 1 + random.below(6) }, () => random.one(PARTS));
  return start + parts.join("");
});

let locations;
before(async () => {
  const worker = await openBatches({ PUBLIC_ORIGINS: ["http://app.example"] });
  try {
    const headers = {
      accept: "text/html",
      "sec-fetch-mode": "navigate",
      cookie: `mk_session=${createSessionToken()}`,
    };
    const asked = inputs.map((input) => ({
      path: `/login?next=${encodeURIComponent(input)}`,
      headers,
    }));
    const answers = await worker.ask(asked);
    for (const { status } of answers) assert.equal(status, 302);
    locations = answers.map(({ location }) => location);
  } finally {
    await worker.stop();
  }
});

test("the cases reach both sides", () => {
  const share = locations.filter((location) => location !== "/").length / CASES;
  assert.ok(share > 0.1 && share < 0.9, withSeed(`${share} of the paths are kept`));
});

test("each location stays on the site by the WHATWG URL rules", () => {
  const base = "http://app.example/login";
  for (const [at, location] of locations.entries()) {
    const found = new URL(location, base);
    assert.equal(found.origin, "http://app.example", withSeed(JSON.stringify(inputs[at])));
    // As a string it is a URI reference: a stricter parser than a browser's reads it the same way.
    assert.match(
      location,
      /^\/(?!\/)[\w.~!$&'()*+,;=:@%/?#-]*$/,
      withSeed(JSON.stringify(inputs[at])),
    );
  }
});

test("Chromium follows each location to the site", async () => {
  const kept = [...new Set(locations)];
  const server = createServer((request, response) => {
    const [, at] = /^\/go\/(\d+)$/.exec(request.url) ?? [];
    if (at === undefined) return response.writeHead(200, { "content-type": "text/html" }).end("ok");
    response.writeHead(302, { location: kept[at] }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(origin);
    // A redirect to another origin is an error here: the server there would have to allow it.
    const ends = await page.evaluate(async (count) => {
      const found = [];
      for (let at = 0; at < count; at += 1) {
        found.push(await fetch(`/go/${at}`).then(({ url }) => url, String));
      }
      return found;
    }, kept.length);
    for (const [at, end] of ends.entries()) {
      assert.equal(end, new URL(kept[at], origin).href.replace(/#.*$/s, ""), withSeed(kept[at]));
      assert.ok(end.startsWith(`${origin}/`), withSeed(kept[at]));
    }
    // A navigation reads the same locations as a fetch does. A sample is enough to see it.
    for (const at of kept.keys().take(25)) {
      await page.goto(`${origin}/go/${at}`);
      assert.equal(new URL(page.url()).origin, origin, withSeed(kept[at]));
    }
  } finally {
    await browser.close();
    server.close();
  }
});
