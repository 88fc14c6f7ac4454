// The floor: a bare Worker that only forwards.

export default {
  fetch: (request, env) => env.UPSTREAM.fetch(request),
};
