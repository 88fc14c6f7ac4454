// The application behind every target. Its answer is constant, with two exceptions: /api/seen returns the received
// headers, to check each target before it is measured, and /api/login signs in the user of the query.

const BODY = JSON.stringify({
  orders: Array.from({ length: 12 }, (_, at) => ({
    id: `ord_${4711 + at}`,
    state: at % 3 ? "shipped" : "open",
    total: 1299 + 100 * at,
    currency: "EUR",
  })),
});

export default {
  async fetch(request) {
    if (request.url.endsWith("/api/seen")) {
      return Response.json(Object.fromEntries(request.headers));
    }
    if (request.body) await request.arrayBuffer();
    const [, user] = request.url.split("/api/login?user=");
    if (user) return new Response("in", { headers: { "x-vestibule-login": user } });
    return new Response(BODY, {
      headers: {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "private, max-age=0, must-revalidate",
        etag: '"33a64df551425fcc55e4d42a148795d9f25f89d4"',
        vary: "Accept-Encoding",
      },
    });
  },
};
