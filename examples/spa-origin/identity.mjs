/**
 * Shows the identity that Vestibule sends to this server.
 *
 * The identity headers name the principal. `X-Vestibule-Assertion` proves that the identity, the method and the path
 * come from Vestibule.
 */

import { createHash } from "node:crypto";
import { jwtVerify } from "jose";

export async function identityRoutes(app, context) {
  app.get("/api/whoami", async (request, reply) => {
    reply.header("cache-control", "no-store");
    const { headers } = request;
    return {
      userId: headers["x-user-id"] ?? null,
      sessionId: headers["x-session-id"] ?? null,
      requestId: headers["x-request-id"] ?? null,
      ...(await readAssertion(request, context)),
    };
  });

  const mockup = async (request, reply) => {
    reply.type("text/html; charset=utf-8").header("cache-control", "no-store");
    reply.header("content-security-policy", PAGE_POLICY);
    // The id of a user, or of an agent with its own token.
    const userId = request.headers["x-author-id"];
    if (!userId) return reply.code(500).send("this page requires an identity from Vestibule");
    const { assertion } = await readAssertion(request, context);
    const requestId = request.headers["x-request-id"] ?? "none";
    const { id, "*": file } = request.params;
    return mockupPage({ id, file, userId, requestId, assertion });
  };
  app.get("/m/:id", mockup);
  app.get("/m/:id/*", mockup);
}

/** Verifies the assertion of a request. The result is `verified`, `missing`, or `invalid` with a reason. */
async function readAssertion(request, { upstreamSecret, now }) {
  const token = request.headers["x-vestibule-assertion"];
  if (!token) return { assertion: "missing", claims: null };
  try {
    if (!upstreamSecret) throw new Error("UPSTREAM_SECRET is not set here");
    const { payload } = await jwtVerify(token, upstreamSecret, {
      algorithms: ["HS256"],
      issuer: "vestibule",
      requiredClaims: ["exp"],
      currentDate: new Date(now()),
    });
    if (payload.method !== request.method) throw new Error("signed for another method");
    // A long path is replaced by its hash.
    const hash = createHash("sha256").update(request.raw.url).digest("hex");
    const isSame = payload.path ? payload.path === request.raw.url : payload.pathHash === hash;
    if (!isSame) throw new Error("signed for another path");
    return { assertion: "verified", claims: payload };
  } catch (error) {
    return { assertion: "invalid", reason: error.message, claims: null };
  }
}

function mockupPage({ id, file, userId, requestId, assertion }) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Mock-up ${escapeHtml(id)}</title>
<style>
  body { margin: 0; padding: 1.25rem; font: 0.95rem/1.5 system-ui, sans-serif; }
  h1 { margin: 0 0 0.75rem; font-size: 1.15rem; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin: 0; }
  dt { opacity: 0.65; }
  dd { margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }
</style>
<h1>Mock-up <span data-testid="mockup-id">${escapeHtml(id)}</span></h1>
<dl>
  <dt>File</dt><dd data-testid="mockup-file">${escapeHtml(file || "index")}</dd>
  <dt>Opened by</dt><dd data-testid="mockup-user-id">${escapeHtml(userId)}</dd>
  <dt>Request</dt><dd data-testid="mockup-request-id">${escapeHtml(requestId)}</dd>
  <dt>Assertion</dt><dd data-testid="mockup-assertion">${assertion}</dd>
</dl>
</html>
`;
}

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";
