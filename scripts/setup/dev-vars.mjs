/**
 * `.dev.vars`: what a local run needs beside `wrangler.toml`, with secrets of its own. A file that
 * is there is never touched.
 */

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Failure, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

export async function setUpDevVars(path = inProject(".dev.vars")) {
  if (!existsSync(path)) {
    say("writing .dev.vars with random secrets");
    writeFileSync(path, freshDevVars(), { mode: 0o600, flag: "wx" });
  }
  const missing = missingNames(readFileSync(path, "utf8"));
  if (missing.length > 0) {
    throw new Failure(
      `.dev.vars lacks ${missing.join(" and ")}: add what is missing, or remove the file to have it written anew`,
    );
  }
}

export function freshDevVars() {
  const secret = () => randomBytes(32).toString("base64url");
  return `# Local only: kept out of git, and made by \`npm start\` where it is missing.
ENVIRONMENT=development
PUBLIC_ORIGINS=["http://localhost:8787"]
UPSTREAM=http://127.0.0.1:8788
AUTH_SECRET=${secret()}
UPSTREAM_SECRET=${secret()}
SETUP_TOKEN=${secret()}
`;
}

/** The secrets that a local run cannot do without and that this text does not set. */
export function missingNames(text) {
  return ["AUTH_SECRET", "UPSTREAM_SECRET"].filter(
    (name) =>
      !new RegExp(`^\\s*(export\\s+)?${name}[ \\t]*[=:][ \\t]*(?!""|'')\\S`, "m").test(text),
  );
}
