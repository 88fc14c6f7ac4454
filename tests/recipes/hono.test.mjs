// docs/recipes/hono.md

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inProject, npmProgram } from "../../scripts/lib/project.mjs";
import { checkRecipe, openRecipe } from "./support.mjs";

// The block of docs/upstream.md that the page refers to.
const [, verifyAssertion] = /^<!-- tested: assertion -->\n```js\n([\s\S]*?)^```$/m.exec(
  readFileSync(inProject("docs/upstream.md"), "utf8"),
);

let site;
before(async () => {
  site = await openRecipe("hono", {
    // What the page installs, from the packages of this checkout.
    install: (folder) => {
      writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
      writeFileSync(join(folder, "assertion.js"), verifyAssertion);
      mkdirSync(join(folder, "node_modules/@hono"), { recursive: true });
      for (const name of ["hono", "@hono/node-server", "jose"]) {
        symlinkSync(inProject("node_modules", name), join(folder, "node_modules", name));
      }
    },
    command: () => [npmProgram("node"), "server.js"],
    ready: /^listening on/m,
  });
});
after(() => site?.stop());

checkRecipe(test, () => site, { role: "admin", loginPath: "/_vestibule/sign-in" });
