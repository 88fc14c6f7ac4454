// The audit trail, as an admin reads it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

// Long enough for a slow machine: it turns a hang into a failure and measures nothing.
const PATIENCE = 20_000;

// Gives what `look` finds as soon as there is so much of it, and fails where that never is.
async function until(count, look) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found.length >= count || performance.now() > end) {
      assert.equal(found.length, count, JSON.stringify(found));
      return found;
    }
    await sleep(10);
  }
}

export function trailOf({ call, root }) {
  const trail = {
    async page(query = "", ask = undefined) {
      const path = `/api/audit?${query}`;
      const response = await call("GET", path, root, undefined, { ask });
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    // All of it, page by page, and how many pages that were.
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

    // Waits until there are so many rows: they are written after the answer.
    has: (count, ask = undefined) =>
      until(count, async () => (await trail.all("limit=100", ask)).items),

    // Runs something, and gives the rows it leaves, the oldest first, when there are so many.
    async left(count, run, filter = "", ask = undefined) {
      const rows = async () => (await trail.all(`limit=100&${filter}`, ask)).items;
      const before = new Set((await rows()).map(({ id }) => id));
      await run();
      return until(count, async () => (await rows()).filter(({ id }) => !before.has(id)).reverse());
    },

    async verified(day, ask = undefined) {
      const path = `/api/audit/verify${day ? `?day=${day}` : ""}`;
      const response = await call("GET", path, root, undefined, { ask });
      assert.equal(response.status, 200, response.text);
      return response.json();
    },
  };
  return trail;
}
