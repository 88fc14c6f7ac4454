// Verifies one token `n` times in one request, with the crate's own code in wasm.

import { initSync, verify_many } from "vestibule-verify";
import module from "./verify_bg.wasm";

initSync({ module });

export default {
  async fetch(request, env) {
    const { n, token } = await request.json();
    const held = verify_many(token, env.AUTH_SECRET, n, Math.floor(Date.now() / 1000));
    return Response.json({ held });
  },
};
