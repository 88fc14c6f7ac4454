// The frameworks, each in a folder of its own with
//
// - `framework.mjs`: one definition, or a list of them where one application is run in several ways;
// - `recipe.toml`: the variables of Vestibule, as the page in docs/recipes shows them;
// - `app/`: the application, laid out as the framework's template lays it out.

import { existsSync, readdirSync } from "node:fs";
import { inProject } from "../../../scripts/lib/project.mjs";

/**
 * @typedef {object} Framework
 * @property {string} name what `--only` takes
 * @property {string} title name and version
 * @property {string} folder of its sources
 * @property {"npm" | "pip"} install what its packages are installed with
 * @property {string[]} [build] the command that builds it
 * @property {(port: number, origin: string) => { command: string[], env?: object }} start
 * @property {RegExp} ready what it prints once it serves
 * @property {boolean} [development] whether it is a development server, reached by http
 * @property {"accounts" | "upstream" | "token"} login who signs people in
 * @property {string} [loginPath] the path of the login page
 * @property {string} [account] what is typed there, where it isn't Ada's e-mail address
 * @property {Record<string, string>} [shared] files of support/ that go into the application, and where
 * @property {boolean} [hydrates] whether scripts take the page over, and then set `data-ready` on its root
 * @property {boolean} [keepsNoPages] whether its pages are `no-store`, so that Back does not show them after a sign-out
 * @property {boolean} [slash] whether its paths end in a slash
 * @property {[string, number][]} [spellings] other spellings of the page's path, and how the application answers them
 * @property {(visitor: object) => Promise<void>} [check] what else holds once somebody has signed in
 * @property {Record<string, string>} without the steps that do not apply, and why
 * @property {Record<string, Function>} [steps] its own way of doing a step
 */

// Every definition, in the order of folders.
export async function readFrameworks() {
  const all = [];
  for (const name of readdirSync(inProject(FOLDER)).sort()) {
    const path = inProject(FOLDER, name, "framework.mjs");
    if (!existsSync(path)) continue;
    const { default: definitions } = await import(path);
    for (const definition of [definitions].flat()) {
      all.push({ folder: inProject(FOLDER, name), ...DEFAULTS, ...definition });
    }
  }
  return all;
}

const FOLDER = "tests/frameworks";

const DEFAULTS = { install: "npm", login: "accounts", loginPath: "/login.html", without: {} };
