// The built Vestibule. A response header has the number of calls to the ledger.

import worker from "./index.js";

export * from "./index.js";

export default {
  async fetch(request, env, context) {
    let calls = 0;
    const LEDGER = {
      idFromName: (name) => env.LEDGER.idFromName(name),
      get: (id) => ({
        command: (...args) => {
          calls += 1;
          return env.LEDGER.get(id).command(...args);
        },
      }),
    };
    const response = await worker.fetch(request, { ...env, LEDGER }, context);
    const counted = new Response(response.body, response);
    counted.headers.set("x-ledger-calls", calls);
    return counted;
  },
};
