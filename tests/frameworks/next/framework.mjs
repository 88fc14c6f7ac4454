import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assertText, openNote } from "../support/steps.mjs";

const NEXT = {
  hydrates: true,
  shared: {
    "login.html": "public/login.html",
    "sign-in-again.js": "instrumentation-client.js",
  },
  ready: /Ready in/,
  // Next.js redirects to the path without a slash, and the 404 is that of Next.js.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
};

const NO_SOCKETS = "its route handlers have no sockets";

export default [
  {
    ...NEXT,
    name: "next",
    title: "Next.js 16, built",
    build: ["next", "build"],
    start: (port) => ({
      command: ["next", "start", "--hostname", "127.0.0.1", "--port", `${port}`],
    }),
    without: { socket: NO_SOCKETS, HMR: "it is not a development server" },
  },
  {
    ...NEXT,
    name: "next-dev",
    title: "Next.js 16, the development server",
    development: true,
    start: (port) => ({ command: ["next", "dev", "--hostname", "127.0.0.1", "--port", `${port}`] }),
    without: { socket: `${NO_SOCKETS}; HMR uses one` },
    steps: { HMR: editSource },
  },
];

async function editSource({ open, gateway }) {
  const visitor = await open();
  const { page } = visitor;
  // The first frame may arrive before the page is ready.
  const connected = page
    .waitForEvent("websocket")
    .then((socket) => socket.waitForEvent("framereceived"));
  await openNote(visitor);
  await connected;
  await page.evaluate(() => {
    window.kept = true;
  });
  const path = join(gateway.app.folder, "app/notes/[name]/title.js");
  writeFileSync(path, readFileSync(path, "utf8").replace("Notes", "Edited"));
  await assertText(page, "title", "Edited");
  if (!(await page.evaluate(() => window.kept))) throw new Error("the page was loaded again");
}
