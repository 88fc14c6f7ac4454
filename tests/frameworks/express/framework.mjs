import { signIn } from "../support/steps.mjs";

const express = {
  name: "express",
  title: "Express 5 with passport",
  login: "upstream",
  loginPath: "/login",
  start: (port, origin) => ({
    command: ["node", "server.js"],
    env: { NODE_ENV: "production", HOST: "127.0.0.1", PORT: String(port), ORIGIN: origin },
  }),
  ready: /listening/,
  // Its router treats both as the same path.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 200],
  ],
  without: { HMR: "it is not a development server" },
  keepsNoPages: true,
  account: "ada",
  check: async (visitor) => {
    await hasOwnSession(visitor);
    await signInAgain(visitor);
  },
};

// As with `npm start`: by http.
const http = {
  ...express,
  name: "express-http",
  title: "Express 5 with passport, by http on this machine",
  development: true,
};

export default [express, http];

// The application has lost its session, but Vestibule has not: the login page is shown and leads back.
async function signInAgain(visitor) {
  const { context, page } = visitor;
  await context.clearCookies({ name: "connect.sid" });
  await page.goto("/notes/two");
  await signIn(visitor, visitor);
  await page.waitForURL((url) => url.pathname === "/notes/two");
  await page.getByTestId("seen").waitFor();
  await hasOwnSession(visitor);
  await page.goto("/notes/one");
}

async function hasOwnSession({ context, page }) {
  const own = (await context.cookies()).find(({ name }) => name === "connect.sid");
  if (!own) throw new Error("the application's own cookie is missing");
  if (own.secure !== page.url().startsWith("https:"))
    throw new Error("the application's own cookie must be Secure by https, and only then");
}
