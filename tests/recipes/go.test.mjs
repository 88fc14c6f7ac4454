// docs/recipes/go.md

import { after, before, test } from "node:test";
import { checkRecipe, openRecipe, runIn } from "./support.mjs";

let site;
before(async () => {
  site = await openRecipe("go", {
    install: async (folder) => {
      console.log(await runIn(folder, ["go", "version"]));
      await runIn(folder, ["go", "vet", "."]);
      await runIn(folder, ["go", "build", "-o", "notes", "."]);
    },
    command: () => ["./notes"],
    ready: /listening on/,
  });
});
after(() => site?.stop());

checkRecipe(test, () => site, { role: "admin", loginPath: "/_vestibule/sign-in" });
