// Verifies a token `n` times in one request, with the crate's code in WebAssembly.

import { initSync, verify_many } from "vestibule-verify";
import module from "./verify_bg.wasm";

initSync({ module });

export default {
  async fetch(request, env) {
    const { n, token } = await request.json();
    const valid = verify_many(token, env.AUTH_SECRET, n, Math.floor(Date.now() / 1000));
    return Response.json({ valid });
  },
};
