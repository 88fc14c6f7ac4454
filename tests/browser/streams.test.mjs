// Events, a socket, an upload and a download pass Vestibule unchanged.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { ADA, assertText, openSite, signIn } from "./support.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let site;
before(async () => {
  site = await openSite();
});
after(() => site.stop());

test("live events arrive one by one", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await signIn(visitor);
  await page.getByTestId("events-start").click();
  const lines = page.getByTestId("events-list").locator("li");
  await lines.filter({ hasText: "Event 5 of 5" }).waitFor();
  const times = (await lines.allTextContents()).map((line, index) => {
    const [, n, ms] = /^Event (\d) of 5 after (\d+) ms$/.exec(line);
    assert.equal(Number(n), index + 1);
    return Number(ms);
  });
  assert.equal(times.length, 5);
  // They are sent over 1.6 s. If they were buffered, all would arrive at once.
  assert.ok(times[4] - times[0] > 1000, `arrived at ${times.join(", ")} ms`);
});

test("a socket sends the user's id and echoes messages", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await signIn(visitor);
  await page.getByTestId("socket-start").click();
  const message = 'Grüße 🚪 \\ "quoted"';
  const lines = page.getByTestId("socket-log").locator("li");
  await lines.filter({ hasText: `← {"hello":true,"userId":"${ADA.userId}"}` }).waitFor();
  await page.getByTestId("socket-input").fill(message);
  await page.getByTestId("socket-send").click();
  await lines.filter({ hasText: `← ${message}` }).waitFor();
  assert.deepEqual((await lines.allTextContents()).slice(1), [`→ ${message}`, `← ${message}`]);
});

for (const size of [0, 1, 3 * 1024 * 1024 + 7]) {
  test(`an upload of ${size} bytes arrives unchanged`, async (t) => {
    const visitor = await site.visit(t);
    const { page } = visitor;
    await signIn(visitor);
    const buffer = randomBytes(size);
    await page
      .getByTestId("upload-input")
      .setInputFiles({ name: "some.bin", mimeType: "application/octet-stream", buffer });
    const facts = page.getByTestId("upload-result").locator("dd");
    await facts.first().waitFor();
    assert.deepEqual(await facts.allTextContents(), [String(size), sha256(buffer), "the same"]);
  });
}

test("a large file can be read in full and in ranges", async (t) => {
  const visitor = await site.visit(t);
  await signIn(visitor, "/deep/a");
  const { whole, part, status, range } = await visitor.page.evaluate(async () => {
    const url = "/api/large?bytes=8388608";
    const read = async (response) => new Uint8Array(await response.arrayBuffer());
    const whole = await read(await fetch(url, { cache: "no-store" }));
    const headers = { range: "bytes=5000000-5000999" };
    const response = await fetch(url, { cache: "no-store", headers });
    const part = await read(response);
    const expected = whole.slice(5000000, 5001000);
    return {
      whole: whole.length,
      part: part.length === 1000 && part.every((byte, index) => byte === expected[index]),
      status: response.status,
      range: response.headers.get("content-range"),
    };
  });
  assert.deepEqual(
    { whole, part, status, range },
    { whole: 8388608, part: true, status: 206, range: "bytes 5000000-5000999/8388608" },
  );
});

test("without a session, streams and uploads are rejected with a message", async (t) => {
  const visitor = await site.visit(t);
  const { page } = visitor;
  await signIn(visitor);
  await assertText(page, "whoami-user-id", ADA.userId);
  await visitor.context.clearCookies();
  const before = await site.seen();
  await page.getByTestId("events-start").click();
  await page.getByText("The stream was refused or broke off.").waitFor();
  await page.getByTestId("socket-start").click();
  await page.getByText("Closed (1006).").waitFor();
  const buffer = Buffer.from("x");
  await page
    .getByTestId("upload-input")
    .setInputFiles({ name: "some.bin", mimeType: "application/octet-stream", buffer });
  await page.getByTestId("upload-result").getByText("no_credential").waitFor();
  assert.deepEqual(await site.seen(), before);
});
