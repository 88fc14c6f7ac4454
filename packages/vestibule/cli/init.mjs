/** Writes a Worker that puts Vestibule before an application: `vestibule init`. */

import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Failure } from "./failure.mjs";
import { parseUpstream } from "./upstream.mjs";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** Writes the files into a folder. Changes no existing file, except that `.gitignore` and `package.json` may grow. */
export function init(args) {
  const { folder, login, upstream, toml } = readArguments(args);
  const root = resolve(folder);
  const files = {
    [toml ? "wrangler.toml" : "wrangler.jsonc"]: configuration({ root, login, toml }),
    "src/index.ts": template("index.ts"),
    ".dev.vars": freshDevVars(upstream),
  };
  const existing = [
    ...Object.keys(files),
    "wrangler.json",
    "wrangler.jsonc",
    "wrangler.toml",
  ].filter((name) => existsSync(join(root, name)));
  if (existing.length > 0) {
    throw new Failure(
      `${root} has ${[...new Set(existing)].join(", ")} already: choose another folder, or remove them. Nothing was written.`,
    );
  }
  const manifest = packageManifest(root);
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    // The secrets are for this user only.
    writeFileSync(path, text, { flag: "wx", mode: name === ".dev.vars" ? 0o600 : 0o644 });
  }
  writeFileSync(join(root, "package.json"), manifest);
  ignore(root);
  console.log(nextSteps({ folder, login, upstream, file: Object.keys(files)[0] }));
}

/** Returns the text of `.dev.vars`: settings and random secrets for local runs. */
export function freshDevVars(upstream = DEFAULT_UPSTREAM) {
  const secret = () => randomBytes(32).toString("base64url");
  return `# For local runs only: keep this file out of git. Its values replace those of the configuration.
ENVIRONMENT=development
PUBLIC_ORIGINS=["http://localhost:8787"]
UPSTREAM=${upstream}
AUTH_SECRET=${secret()}
UPSTREAM_SECRET=${secret()}
SETUP_TOKEN=${secret()}
`;
}

function readArguments(args) {
  const options = {
    upstream: { type: "string", default: DEFAULT_UPSTREAM },
    login: { type: "string", default: "accounts" },
    toml: { type: "boolean", default: false },
  };
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    if (positionals.length > 1) throw new RangeError("expected one folder");
    if (!LOGINS.includes(values.login)) {
      throw new RangeError(`--login ${values.login}: expected ${LOGINS.join(", ")}`);
    }
    const upstream = parseUpstream(values.upstream, "http://localhost:8787");
    return { ...values, upstream, folder: positionals[0] ?? "." };
  } catch (error) {
    throw new Failure(
      `${error.message}\nusage: vestibule init [FOLDER] [--upstream URL] [--login WHO] [--toml]`,
      2,
    );
  }
}

/** Returns the configuration file: a template, without the parts that other sign-in methods need. */
function configuration({ root, login, toml }) {
  const name = basename(root)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const session = SESSIONS[login];
  const text = template(toml ? "wrangler.toml" : "wrangler.jsonc")
    .replace("{{name}}", name || "vestibule")
    .replace(
      "{{session}}",
      toml
        ? `{ ${Object.entries(session)
            .map(([key, value]) => `${key} = "${value}"`)
            .join(", ")} }`
        : JSON.stringify(session, null, 1).replaceAll(/\n */g, " "),
    );
  // Blocks between {{#part}} and {{/part}} belong to the sign-in methods that have the part.
  const whole = Object.entries(PARTS).reduce(
    (result, [part, logins]) =>
      result.replaceAll(
        new RegExp(
          `^[^\\n]*\\{\\{#${part}\\}\\}\\n([\\s\\S]*?)^[^\\n]*\\{\\{/${part}\\}\\}\\n`,
          "gm",
        ),
        logins.includes(login) ? "$1" : "",
      ),
    text,
  );
  // If the last block goes, the comma before it remains.
  return whole.replace(/,\s*\}\s*$/, "\n}\n");
}

const LOGINS = ["accounts", "upstream", "token"];
const PARTS = {
  pages: ["accounts"],
  objects: ["accounts", "upstream"],
  login: ["upstream", "token"],
};
const SESSIONS = {
  accounts: { login: "accounts", cookie: "__Host-session" },
  upstream: { login: "upstream", cookie: "__Host-session" },
  token: { check: "token" },
};
const DEFAULT_UPSTREAM = "http://localhost:5173";

const template = (name) => readFileSync(new URL(`../template/${name}`, import.meta.url), "utf8");

/** Returns `package.json` with the packages that the Worker needs. Keeps versions that are there. */
function packageManifest(root) {
  const path = join(root, "package.json");
  let manifest = { name: basename(root), private: true, type: "module" };
  if (existsSync(path)) {
    try {
      manifest = JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      throw new Failure(`${path}: ${error.message}. Nothing was written.`);
    }
  }
  manifest.scripts = { dev: "vestibule dev", deploy: "vestibule deploy", ...manifest.scripts };
  manifest.dependencies = { vestibule: `^${version}`, ...manifest.dependencies };
  manifest.devDependencies = { wrangler: "^4.0.0", ...manifest.devDependencies };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

function ignore(root) {
  const path = join(root, ".gitignore");
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const lines = text.split("\n").map((line) => line.trim().replace(/\/$/, ""));
  const missing = [".dev.vars", ".wrangler", "node_modules"].filter(
    (name) => !lines.includes(name),
  );
  if (missing.length === 0) return;
  const gap = text === "" || text.endsWith("\n") ? "" : "\n";
  appendFileSync(path, `${gap}${missing.join("\n")}\n`);
}

function nextSteps({ folder, login, upstream, file }) {
  const enter = folder === "." ? "" : `cd ${folder} && `;
  const first = {
    accounts: `4. Open http://localhost:8787/_vestibule/setup and create the first account, with SETUP_TOKEN of .dev.vars.`,
    upstream: `4. Open http://localhost:8787. Your login answers with X-Vestibule-Login: see docs/sessions.md, "Signing in by upstream".`,
    token: `4. Open http://localhost:8787. Your application signs its session tokens with AUTH_SECRET of .dev.vars.`,
  }[login];
  return `Wrote ${file}, src/index.ts and .dev.vars.

1. ${enter}npm install
2. Start your application at ${upstream} (or set UPSTREAM in .dev.vars).
3. npx vestibule dev
${first}

Before you deploy, set PUBLIC_ORIGINS and UPSTREAM in ${file}, and the secrets:
npx wrangler secret put AUTH_SECRET (and UPSTREAM_SECRET${login === "accounts" ? ", SETUP_TOKEN" : ""}). Then: npx vestibule deploy`;
}
