import { signIn } from "../support/walk.mjs";

export default {
  name: "express",
  title: "Express 5 with passport",
  login: "upstream",
  loginPath: "/login",
  start: (port, origin) => ({
    command: ["node", "server.js"],
    env: { NODE_ENV: "production", HOST: "127.0.0.1", PORT: String(port), ORIGIN: origin },
  }),
  ready: /listening/,
  // Its router takes both for the same path.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 200],
  ],
  without: { HMR: "it is no development server" },
  account: "ada",
  check: async (visitor) => {
    await hasOwnSession(visitor.context);
    await signInAgain(visitor);
  },
};

// The application has lost its session, and Vestibule has not: the login page is shown.
async function signInAgain(visitor) {
  const { context, page } = visitor;
  await context.clearCookies({ name: "connect.sid" });
  await page.goto("/notes/one");
  await signIn(visitor, visitor);
  await page.waitForURL((url) => url.pathname === "/");
  await page.goto("/notes/one");
  await page.getByTestId("seen").waitFor();
  await hasOwnSession(context);
}

async function hasOwnSession(context) {
  const own = (await context.cookies()).find(({ name }) => name === "connect.sid");
  if (!own?.secure) throw new Error("the application's own cookie is missing, or not Secure");
}
