// Verifies one token `n` times in one request. With `raw`, jose is handed the secret's bytes, which it
// imports for each token; without, a key that was imported once.

import { jwtVerify } from "jose";

export default {
  async fetch(request, env) {
    const { n, token, raw } = await request.json();
    const bytes = new TextEncoder().encode(env.AUTH_SECRET);
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = raw
      ? bytes
      : await crypto.subtle.importKey("raw", bytes, algorithm, false, ["verify"]);
    let held = 0;
    for (let at = 0; at < n; at += 1) {
      const { payload } = await jwtVerify(token, key, { algorithms: ["HS256"] });
      if (payload.userId) held += 1;
    }
    return Response.json({ held });
  },
};
