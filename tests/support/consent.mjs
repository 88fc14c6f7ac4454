// What machines have to ask people for, and what people say to it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { assertProblem } from "./gateway.mjs";
import { remember } from "./tokens.mjs";

// An id of the form of one of a user's, that there is not: only its store can tell.
export function madeUpId(userId) {
  const object = createHash("sha256").update(`user:${userId}`).digest("hex").slice(0, 16);
  return `cnf_${object}.${"A".repeat(27)}`;
}

const ID = /^cnf_[0-9a-f]{16}\.[\w-]{16,}$/;

export function consentOf(gateway, people) {
  const { call } = people;
  const consent = {
    // Asserts that a request has to be consented to; gives the id, and the rest of what it was told.
    async asked(sending) {
      const response = await gateway.untouched(sending);
      const problem = assertProblem(response, 403, "confirmation_required");
      assert.equal(response.headers["retry-after"], "5");
      assert.match(problem.confirmationId, ID);
      remember(problem.confirmationId);
      const url = `https://app.example/api/confirmations/${problem.confirmationId}`;
      assert.equal(problem.approveUrl, url);
      assert.match(problem.expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      return problem;
    },

    // Asserts that the id, which is one, does not help.
    async invalid(reason, sending) {
      const response = await gateway.untouched(sending);
      assertProblem(response, 403, "confirmation_invalid", reason);
      return response;
    },

    // "approve" or "reject".
    decide: (id, verdict, who, ask) =>
      gateway.untouched(() =>
        call("POST", `/api/confirmations/${id}/${verdict}`, who, undefined, { ask }),
      ),

    async decided(id, verdict, who, ask) {
      const response = await consent.decide(id, verdict, who, ask);
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    async item(id, who, ask) {
      const path = `/api/confirmations/${id}`;
      const response = await gateway.untouched(() => call("GET", path, who, undefined, { ask }));
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    async page(who, query = "", ask = undefined) {
      const path = `/api/confirmations${query}`;
      const response = await gateway.untouched(() => call("GET", path, who, undefined, { ask }));
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    // All that there are, page by page.
    async listed(who, query = "?", ask = undefined) {
      const items = [];
      const asked = new URLSearchParams(query);
      for (let pages = 0; pages < 1_000; pages += 1) {
        const page = await consent.page(who, `?${asked}`, ask);
        items.push(...page.items);
        if (page.next === null) return items;
        asked.set("cursor", page.next);
      }
      assert.fail("the list has no end");
    },
  };
  return consent;
}
