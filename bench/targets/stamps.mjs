// A bare Worker that decides nothing, but sends upstream the same headers as Vestibule, with values of the same length,
// and has the same deadline and the same log line for one in 100 requests. The floor for any gateway that sends
// upstream these headers.

const STAMPS = Object.entries({
  "x-forwarded-host": "app.example",
  "x-forwarded-proto": "https",
  "x-request-id": "req_0123456789abcdef0123456789abcdef",
  "x-operation": "api.orders.id",
  "x-user-id": "usr_01J8ZK4T6Q2MV5XAC9",
  "x-session-id": "ses_01J8ZK4X9B7RWE3NP5HD01GSY",
  "x-author-id": "usr_01J8ZK4T6Q2MV5XAC9",
  "x-author-type": "user",
  "x-vestibule-assertion": `${"h".repeat(36)}.${"p".repeat(370)}.${"s".repeat(43)}`,
});

const LINE = JSON.stringify({
  event: "request",
  requestId: "req_0123456789abcdef0123456789abcdef",
  method: "GET",
  rule: "/api/orders/{id}",
  operation: "api.orders.id",
  decision: "allow",
  principal: "user",
  status: 200,
  cookiesChanged: 0,
  upstreamMs: 0,
  durationMs: 0,
});

let passes = 0;

export default {
  async fetch(request, env) {
    const forwarded = new Request(request.url, request);
    for (const [name, value] of STAMPS) forwarded.headers.set(name, value);
    const deadline = setTimeout(() => {}, 30_000);
    const response = await env.UPSTREAM.fetch(forwarded);
    clearTimeout(deadline);
    passes += 1;
    if (passes % 100 === 1) console.log(LINE);
    return response;
  },
};
