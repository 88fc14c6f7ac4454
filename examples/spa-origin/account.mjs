/** Sign-in, and an endpoint that breaks the session cookie so that a visitor can watch it heal. */

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
    const user = USERS.find(
      (candidate) => candidate.email === email && candidate.password === fields.password,
    );
    if (!user) return reply.code(401).send({ error: "Wrong e-mail or password." });

    const token = await signSession(user, context.authSecret, seconds(context));
    reply.header("set-cookie", sessionCookie(request, token)).header("cache-control", "no-store");
    // For SESSION.login = "upstream": Vestibule then makes the session, and this cookie is unused.
    reply.header("x-vestibule-login", user.userId);
    if (!form) return { userId: user.userId };
    // Not checked here: Vestibule checks return paths.
    return reply.redirect(fields.next || "/", 303);
  });

  app.post("/api/break", async (request, reply) => {
    const { how } = (await readFields(request, isForm(request))) ?? {};
    if (!Object.hasOwn(BREAKS, how ?? "")) {
      return reply.code(400).send({ error: `Expected how: ${Object.keys(BREAKS).join(", ")}.` });
    }
    const identified = USERS.find(({ userId }) => userId === request.headers["x-user-id"]);
    const user = identified ?? (await sessionUser(request, context)) ?? USERS[0];
    const cookies = await BREAKS[how](user, context);
    const lines = cookies.map(({ value, path }) => sessionCookie(request, value, path));
    return reply.code(204).header("set-cookie", lines).send();
  });
}

/** The cookies that each kind of break sets. The valid cookie has the path `/`. */
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

/** Returns a token that is valid except for its signature. */
function forge(user, context) {
  return signSession(user, randomBytes(32), seconds(context));
}

/** Returns the members of a JSON or form body, or undefined if it is neither. */
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
