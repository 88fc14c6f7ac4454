// The floor of what is answered without upstream: a bare Worker that says the same to everyone.

export default {
  fetch: (_request, env) => Response.json({ title: "constant" }, { status: env.STATUS }),
};
