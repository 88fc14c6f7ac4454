// The floor for answers without upstream: a bare Worker with a constant answer.

export default {
  fetch: (_request, env) => Response.json({ title: "constant" }, { status: env.STATUS }),
};
