// `stamps`, by the `worker` crate as its templates use it. Its build tool adds a class, a proxy and a promise for each
// request to this, which is left out: what is compared is the crate.

import { fetch as answer, initSync } from "vestibule-worker-crate";
import module from "./worker_crate_bg.wasm";

initSync({ module });

export default { fetch: (request, env, context) => answer(request, env, context) };
