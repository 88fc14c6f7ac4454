// The audit trail, as an admin reads it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

// Turns a hang into a failure, in milliseconds. It is long enough for a slow machine and measures nothing.
const TIMEOUT_MS = 20_000;

// Calls `look` until it returns at least `count` items. Fails if there are more, or if there are too few in time.
async function until(count, look) {
  const end = performance.now() + TIMEOUT_MS;
  for (;;) {
    const found = await look();
    if (found.length >= count || performance.now() > end) {
      assert.equal(found.length, count, JSON.stringify(found));
      return found;
    }
    await sleep(10);
  }
}

// Returns functions that read the trail as the admin `root`.
export function auditTrailOf({ call, root }) {
  const trail = {
    async page(query = "", request = undefined) {
      const path = `/api/audit?${query}`;
      const response = await call("GET", path, root, undefined, { request });
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    // Returns the rows of all pages, and the number of pages.
    async allRows(query = "limit=100", request = undefined) {
      const items = [];
      let [cursor, pages] = ["", 0];
      do {
        const page = await trail.page(`${query}${cursor}`, request);
        items.push(...page.items);
        pages += 1;
        cursor = page.next && `&cursor=${encodeURIComponent(page.next)}`;
      } while (cursor);
      return { items, pages };
    },

    // Waits until there are `count` rows. They are written after the response.
    waitForRows: (count, request = undefined) =>
      until(count, async () => (await trail.allRows("limit=100", request)).items),

    // Runs `run`, waits until it has written `count` rows, and returns them, the oldest first.
    async rowsAddedBy(count, run, filter = "", request = undefined) {
      const rows = async () => (await trail.allRows(`limit=100&${filter}`, request)).items;
      const before = new Set((await rows()).map(({ id }) => id));
      await run();
      return until(count, async () => (await rows()).filter(({ id }) => !before.has(id)).reverse());
    },

    // Verifies the trail, or one day of it.
    async verify(day, request = undefined) {
      const path = `/api/audit/verify${day ? `?day=${day}` : ""}`;
      const response = await call("GET", path, root, undefined, { request });
      assert.equal(response.status, 200, response.text);
      return response.json();
    },
  };
  return trail;
}
