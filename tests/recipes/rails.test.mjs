// docs/recipes/rails.md

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { checkRecipe, cookieOf, openRecipe, runIn } from "./support.mjs";

let site;
before(async () => {
  site = await openRecipe("rails", {
    install: async (folder) => {
      console.log(await runIn(folder, ["rails", "--version"]));
      console.log(await runIn(folder, ["puma", "--version"]));
    },
    command: (port) => ["puma", "--quiet", "--bind", `tcp://127.0.0.1:${port}`, "config.ru"],
    env: { RAILS_ENV: "production", SECRET_KEY_BASE: "a".repeat(64) },
    ready: /Listening on|Use Ctrl-C/,
    signIn,
  });
});
after(() => site?.stop());

// Signs in at the application's own form, which has a token of Rails.
async function signIn({ send }) {
  const page = await send("/login?next=%2Fnotes%2Fone");
  assert.equal(page.status, 200, page.text);
  const [, token] = /name="authenticity_token" value="([^"]+)"/.exec(page.text);
  const [pair] = page.cookies[0].split(";");
  const body = new URLSearchParams({
    authenticity_token: token,
    next: "/notes/one",
    email: "ada@example.com",
    password: "correct horse battery",
  });
  const response = await send("/login", {
    method: "POST",
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
      Cookie: pair,
      Origin: "https://app.example.com",
    },
    body: body.toString(),
  });
  assert.equal(response.status, 302, response.text);
  assert.equal(response.headers.location, "https://app.example.com/notes/one");
  return cookieOf(response);
}

checkRecipe(test, () => site, { role: "user", loginPath: "/login" });
