// An external policy: it allows, and says for how long that may be gone by where its name asks for it.

export default {
  async fetch(request) {
    const { policy } = await request.json();
    return Response.json({ decision: "allow", ...(policy === "kept" && { ttl: 60 }) });
  },
};
