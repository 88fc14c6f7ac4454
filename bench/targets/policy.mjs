// An external policy that allows every request. Under the name `cached`, the decision may be cached for 60 seconds.

export default {
  async fetch(request) {
    const { policy } = await request.json();
    return Response.json({ decision: "allow", ...(policy === "cached" && { ttl: 60 }) });
  },
};
