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
export function trailOf({ call, root }) {
  const trail = {
    async page(query = "", ask = undefined) {
      const path = `/api/audit?${query}`;
      const response = await call("GET", path, root, undefined, { ask });
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    // Returns the rows of all pages, and the number of pages.
    async all(query = "limit=100", ask = undefined) {
      const items = [];
      let [cursor, pages] = ["", 0];
      do {
        const page = await trail.page(`${query}${cursor}`, ask);
        items.push(...page.items);
        pages += 1;
        cursor = page.next && `&cursor=${encodeURIComponent(page.next)}`;
      } while (cursor);
      return { items, pages };
    },

    // Waits until there are `count` rows. They are written after the response.
    has: (count, ask = undefined) =>
      until(count, async () => (await trail.all("limit=100", ask)).items),

    // Runs `run`, waits until it has written `count` rows, and returns them, the oldest first.
    async left(count, run, filter = "", ask = undefined) {
      const rows = async () => (await trail.all(`limit=100&${filter}`, ask)).items;
      const before = new Set((await rows()).map(({ id }) => id));
      await run();
      return until(count, async () => (await rows()).filter(({ id }) => !before.has(id)).reverse());
    },

    // Verifies the trail, or one day of it.
    async verified(day, ask = undefined) {
      const path = `/api/audit/verify${day ? `?day=${day}` : ""}`;
      const response = await call("GET", path, root, undefined, { ask });
      assert.equal(response.status, 200, response.text);
      return response.json();
    },
  };
  return trail;
}
