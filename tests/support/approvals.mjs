// Approvals: requests of machines that a person must confirm, and the decisions about them.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { assertProblem } from "./gateway.mjs";
import { trackSecret } from "./tokens.mjs";

// Returns an unknown id in the format of a user's confirmations. Only that user's object can tell that it is unknown.
export function unknownId(userId) {
  const object = createHash("sha256").update(`user:${userId}`).digest("hex").slice(0, 16);
  return `cnf_${object}.${"A".repeat(27)}`;
}

const ID = /^cnf_[0-9a-f]{16}\.[\w-]{16,}$/;

export function approvalsOf(gateway, people) {
  const { call } = people;
  const approvals = {
    // Asserts that a request needs approval. Returns the problem document, with the confirmation's id.
    async expectRequired(send) {
      const response = await gateway.expectNotForwarded(send);
      const problem = assertProblem(response, 403, "confirmation_required");
      assert.equal(response.headers["retry-after"], "5");
      assert.match(problem.confirmationId, ID);
      trackSecret(problem.confirmationId);
      const url = `https://app.example/api/confirmations/${problem.confirmationId}`;
      assert.equal(problem.approveUrl, url);
      assert.match(problem.expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      return problem;
    },

    // Asserts that the confirmation id of a request is refused with `reason`.
    async expectInvalid(reason, send) {
      const response = await gateway.expectNotForwarded(send);
      assertProblem(response, 403, "confirmation_invalid", reason);
      return response;
    },

    // Sends a decision: `verdict` is "approve" or "reject".
    decide: (id, verdict, caller, request) =>
      gateway.expectNotForwarded(() =>
        call("POST", `/api/confirmations/${id}/${verdict}`, caller, undefined, { request }),
      ),

    async expectDecided(id, verdict, caller, request) {
      const response = await approvals.decide(id, verdict, caller, request);
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    async item(id, caller, request) {
      const path = `/api/confirmations/${id}`;
      const response = await gateway.expectNotForwarded(() =>
        call("GET", path, caller, undefined, { request }),
      );
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    async page(caller, query = "", request = undefined) {
      const path = `/api/confirmations${query}`;
      const response = await gateway.expectNotForwarded(() =>
        call("GET", path, caller, undefined, { request }),
      );
      assert.equal(response.status, 200, response.text);
      return response.json();
    },

    // Returns the items of all pages.
    async listAll(caller, query = "?", request = undefined) {
      const items = [];
      const params = new URLSearchParams(query);
      for (let pages = 0; pages < 1_000; pages += 1) {
        const page = await approvals.page(caller, `?${params}`, request);
        items.push(...page.items);
        if (page.next === null) return items;
        params.set("cursor", page.next);
      }
      assert.fail("the list does not end");
    },
  };
  return approvals;
}
