/** Signing in, and the cookies that a visitor may break to see them healed. */

import { randomBytes } from "node:crypto";
import { readBody } from "./body.mjs";
import { LIFETIME, sessionCookie, sessionUser, signSession, USERS } from "./session.mjs";

export async function accountRoutes(app, context) {
  app.post("/api/login", async (request, reply) => {
    const form = isForm(request);
    const fields = await readFields(request, form);
    if (typeof fields?.email !== "string" || typeof fields.password !== "string") {
      return reply.code(400).send({ error: "Expected an e-mail and a password." });
    }
    const email = fields.email.trim().toLowerCase();
    const user = USERS.find((one) => one.email === email && one.password === fields.password);
    if (!user) return reply.code(401).send({ error: "Wrong e-mail or password." });

    const token = await signSession(user, context.authSecret, seconds(context));
    reply.header("set-cookie", sessionCookie(request, token)).header("cache-control", "no-store");
    // For SESSION.login = "upstream": then the session is the edge's, and this cookie goes unused.
    reply.header("x-vestibule-login", user.userId);
    if (!form) return { userId: user.userId };
    // Handed on as given: holding it to the return-path rule is the edge's work.
    return reply.redirect(fields.next || "/", 303);
  });

  app.post("/api/break", async (request, reply) => {
    const { how } = (await readFields(request, isForm(request))) ?? {};
    if (!Object.hasOwn(BREAKS, how ?? "")) {
      return reply.code(400).send({ error: `Expected how: ${Object.keys(BREAKS).join(", ")}.` });
    }
    const stamped = USERS.find(({ userId }) => userId === request.headers["x-user-id"]);
    const user = stamped ?? (await sessionUser(request, context)) ?? USERS[0];
    const cookies = await BREAKS[how](user, context);
    const lines = cookies.map(({ value, path }) => sessionCookie(request, value, path));
    return reply.code(204).header("set-cookie", lines).send();
  });
}

/** What each way of breaking leaves in the browser. The good cookie lives at `/`. */
const BREAKS = {
  garbage: async () => [{ value: "garbage", path: "/" }],

  old_key: async (user, context) => [{ value: await forge(user, context), path: "/" }],

  expired: async (user, context) => {
    const issuedAt = seconds(context) - LIFETIME - 24 * 60 * 60;
    return [{ value: await signSession(user, context.authSecret, issuedAt), path: "/" }];
  },

  duplicates: async (user, context) => [
    { value: "garbage", path: "/m" },
    { value: await forge(user, context), path: "/api" },
  ],

  two_users: async (user, context) => {
    const other = USERS.find(({ userId }) => userId !== user.userId);
    const value = await signSession(other, context.authSecret, seconds(context));
    return [{ value, path: "/api" }];
  },
};

/** A token with nothing wrong but its signature. */
function forge(user, context) {
  return signSession(user, randomBytes(32), seconds(context));
}

/** The members of a JSON or form body, or undefined where it is neither. */
async function readFields(request, form) {
  const { text } = await readBody(request.raw, 16 * 1024);
  if (form) return Object.fromEntries(new URLSearchParams(text));
  try {
    return Object(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function isForm(request) {
  const type = request.headers["content-type"] ?? "";
  return type.split(";")[0].trim().toLowerCase() === "application/x-www-form-urlencoded";
}

function seconds({ now }) {
  return Math.floor(now() / 1000);
}
