// The readers: three ways to ask Vestibule the questions of the vectors.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { inProject } from "../../scripts/lib/project.mjs";
import { sessionCookies } from "../support/tokens.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";
import { answersOver, isConfigurable, variablesOf } from "./http.mjs";

/**
 * @typedef {object} Reader
 * @property {string} name the heading of its column
 * @property {boolean} [overHttp] whether it sends requests, and does not call functions
 * @property {(questions: object[]) => Promise<(object | null)[]>} answers null if a question cannot be asked
 * @property {() => Promise<void>} [stop]
 */

/** @type {Reader} */
export const OVER_HTTP = { name: "HTTP", overHttp: true, answers: answersOver };

/** @type {Reader} */
export const NATIVE = { name: "functions", answers: (questions) => asked(questions, native) };

async function native(questions) {
  const args = ["run", "--quiet", "--package", "conformance-reader"];
  const reader = spawn("cargo", args, { cwd: inProject(), stdio: ["pipe", "pipe", "inherit"] });
  reader.stdin.end(questions.map((question) => `${JSON.stringify(question)}\n`).join(""));
  const [output, [code]] = await Promise.all([text(reader.stdout), once(reader, "close")]);
  if (code !== 0) throw new Error(`the reader ended with ${code}`);
  return output.trimEnd().split("\n").map(JSON.parse);
}

/**
 * Starts the same functions in workerd. `scripts/lib/conformance-reader.mjs` has built them in a folder.
 *
 * @returns {Promise<Reader>}
 */
export async function startWasm(folder) {
  const modules = [
    { type: "ESModule", path: `${folder}/index.js` },
    { type: "CompiledWasm", path: `${folder}/index_bg.wasm` },
  ];
  const worker = new Miniflare(
    convertV4MiniflareOptions({ modules, modulesRoot: folder, compatibilityDate: "2026-01-01" }),
  );
  const origin = await worker.ready;
  const ask = async (questions) => {
    const response = await fetch(origin, { method: "POST", body: JSON.stringify(questions) });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return response.json();
  };
  return {
    name: "wasm in workerd",
    answers: (questions) => asked(questions, ask),
    stop: () => worker.dispose(),
  };
}

// Asks functions with the same configurations as over HTTP. Those that the configuration cannot express are left out.
async function asked(questions, ask) {
  const possible = questions.map(
    (question) => question.ask !== "webhook" || isConfigurable(question),
  );
  const complete = questions.map((question, at) => ({
    headers: {},
    ...question,
    ...headersOf(question),
    url: urlOf(question),
    variables: { ...BASE, ...variablesOf(question, at) },
  }));
  const answers = await ask(complete.filter((_, at) => possible[at]));
  return possible.map((isPossible) => (isPossible ? answers.shift() : null));
}

const BASE = {
  ENVIRONMENT: "development",
  SESSION: { check: "token" },
  PUBLIC_ORIGINS: ["https://app.example"],
  UPSTREAM: "http://localhost:9",
  AUTH_SECRET,
  UPSTREAM_SECRET,
};

function headersOf({ ask, authorization, headers }) {
  if (ask === "bearer") return { headers: { Authorization: authorization } };
  return ask === "csrf" && { headers: { ...headers, cookie: sessionCookies("any") } };
}

// A webhook has the URL that its provider signed. The vectors of the CSRF check are about paths that nobody resolved.
function urlOf({ ask, url, path = "/", origin = "https://app.example" }) {
  if (ask === "csrf") return origin + path;
  return url ?? new URL(path, origin).href;
}
