// The frameworks. Each has its own folder with
//
// - `framework.mjs`: one definition, or a list of them if one application runs in several ways;
// - `recipe.toml`: the variables of Vestibule, as the page in docs/recipes shows them;
// - `app/`: the application, in the layout of the framework's template.

import { existsSync, readdirSync } from "node:fs";
import { inProject } from "../../../scripts/lib/project.mjs";

/**
 * @typedef {object} Framework
 * @property {string} name the name for `--only`
 * @property {string} title name and version
 * @property {string} folder the folder of its sources
 * @property {"npm" | "pip"} install the program that installs its packages
 * @property {string[]} [build] the command that builds it
 * @property {(port: number, origin: string) => { command: string[], env?: object }} start
 * @property {RegExp} ready the output that says that it serves requests
 * @property {boolean} [development] whether it is a development server, whose public origin is http
 * @property {"accounts" | "upstream" | "token"} login who signs people in
 * @property {string} [loginPath] the path of the login page
 * @property {string} [account] the account name to sign in with, if it is not Ada's e-mail address
 * @property {Record<string, string>} [shared] files of support/ to copy, and their paths in the application
 * @property {boolean} [hydrates] whether scripts hydrate the page, and then set `data-ready` on its root
 * @property {boolean} [keepsNoPages] whether its pages are `no-store`, so that Back does not show them after a sign-out
 * @property {boolean} [slash] whether its paths end in a slash
 * @property {[string, number][]} [spellings] other spellings of the page's path, and how the application answers them
 * @property {(visitor: object) => Promise<void>} [check] a further check after the sign-in
 * @property {Record<string, string>} without the steps that do not apply, and why
 * @property {Record<string, Function>} [steps] its own functions for some steps
 */

// Reads all definitions, in the order of their folders.
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
