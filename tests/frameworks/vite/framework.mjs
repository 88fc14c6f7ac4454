import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assertText, openNote } from "../support/steps.mjs";

export default {
  name: "vite",
  title: "Vite 8, the development server",
  development: true,
  hydrates: true,
  shared: { "sign-in-again.js": "src/sign-in-again.js" },
  loginPath: "/login",
  start: (port) => ({ command: ["vite", "--host", "127.0.0.1", "--port", port, "--strictPort"] }),
  ready: /ready in/,
  // The server of a single-page application serves one page for all paths.
  spellings: [["/notes/one/", 200]],
  without: { "expired: plain form": "it is a single-page application" },
  steps: { HMR: editSource },
};

async function editSource({ open, gateway }) {
  const visitor = await open();
  const { page } = visitor;
  const connected = page.waitForEvent("console", (line) => /\[vite\] connected/.test(line.text()));
  await openNote(visitor);
  await connected;
  await page.evaluate(() => {
    window.kept = true;
  });
  const path = join(gateway.app.folder, "src/title.js");
  writeFileSync(path, readFileSync(path, "utf8").replace("Notes", "Edited"));
  await assertText(page, "title", "Edited");
  if (!(await page.evaluate(() => window.kept))) throw new Error("the page was loaded again");
}
