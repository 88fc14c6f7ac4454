// A typical Worker with jose: finds the cookie, verifies the token, sets the user header, forwards.

import { jwtVerify } from "jose";

let key;

// Imports the key once. From raw bytes, jose would import it for each token.
function keyOf(secret) {
  key ??= crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["verify"],
  );
  return key;
}

export default {
  async fetch(request, env) {
    const token = cookie(request.headers.get("cookie"), "mk_session");
    if (!token) return Response.json({ error: "unauthorized" }, { status: 401 });
    let claims;
    try {
      const options = { algorithms: ["HS256"] };
      claims = (await jwtVerify(token, await keyOf(env.AUTH_SECRET), options)).payload;
    } catch {
      return Response.json(
        { error: "unauthorized" },
        { status: 401, headers: { "set-cookie": "mk_session=; Path=/; Max-Age=0" } },
      );
    }
    if (new URL(request.url).pathname === "/api/auth/me") {
      return Response.json({ userId: claims.userId, sessionId: claims.sessionId });
    }
    const forwarded = new Request(request);
    forwarded.headers.set("x-user-id", claims.userId);
    return env.UPSTREAM.fetch(forwarded);
  },
};

function cookie(header, name) {
  for (const pair of header?.split(";") ?? []) {
    const at = pair.indexOf("=");
    if (pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
}
