// A typical Worker with Hono: its jwt, csrf and secure-headers middleware, then forwarding.

import { Hono } from "hono";
import { deleteCookie, getCookie } from "hono/cookie";
import { csrf } from "hono/csrf";
import { jwt } from "hono/jwt";
import { secureHeaders } from "hono/secure-headers";

const app = new Hono();

app.use(secureHeaders());
app.use(csrf({ origin: "https://app.example" }));
app.use((c, next) =>
  jwt({ secret: c.env.AUTH_SECRET, cookie: "mk_session", alg: "HS256" })(c, next),
);

app.get("/api/auth/me", (c) => {
  const { userId, sessionId } = c.get("jwtPayload");
  return c.json({ userId, sessionId });
});

app.all("*", async (c) => {
  const forwarded = new Request(c.req.raw);
  forwarded.headers.set("x-user-id", c.get("jwtPayload").userId);
  const response = await c.env.UPSTREAM.fetch(forwarded);
  // secure-headers adds headers, but the headers of a fetched response are immutable.
  return new Response(response.body, response);
});

app.onError((error, c) => {
  if (error.status !== 401) throw error;
  if (getCookie(c, "mk_session")) deleteCookie(c, "mk_session", { path: "/" });
  return c.json({ error: "unauthorized" }, 401);
});

export default app;
