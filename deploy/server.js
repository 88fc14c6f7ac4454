// What differs on workerd: secrets that are not set, and a handler in place of a cron trigger.

/** Returns an environment without the secrets that are not set: workerd gives them as null. */
function present(env) {
  if (!environments.has(env)) {
    const entries = Object.entries(env).filter(([, value]) => value !== null);
    environments.set(env, Object.fromEntries(entries));
  }
  return environments.get(env);
}

const environments = new WeakMap();

/** The Worker's handler. */
export const gatewayOf = (worker) => ({
  fetch: (request, env, context) => worker.fetch(request, present(env), context),
});

/** Runs the maintenance for each POST. */
export const timerOf = (worker) => ({
  async fetch(request, env, context) {
    if (request.method !== "POST") {
      return new Response(null, { status: 405, headers: { Allow: "POST" } });
    }
    await worker.scheduled({ scheduledTime: Date.now(), cron: "" }, present(env), context);
    return new Response(null, { status: 204 });
  },
});

/** A class of Durable Objects. */
export const objectOf = (Class) =>
  class extends Class {
    constructor(context, env) {
      super(context, present(env));
    }
  };
