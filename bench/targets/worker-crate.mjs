// `stamps` with the `worker` crate, as its templates use it. The crate's build tool would add a class, a proxy and a
// promise for each request. They are left out, because this target measures only the crate.

import { fetch as handle, initSync } from "vestibule-worker-crate";
import module from "./worker_crate_bg.wasm";

initSync({ module });

export default { fetch: (request, env, context) => handle(request, env, context) };
