/** Writes `.dev.vars`, the settings and random secrets for local runs. Never changes an existing file. */

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Failure, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

export async function setUpDevVars(path = inProject(".dev.vars")) {
  if (!existsSync(path)) {
    say("writing .dev.vars with random secrets");
    writeFileSync(path, freshDevVars(), { mode: 0o600, flag: "wx" });
  }
  const missing = missingSecrets(readFileSync(path, "utf8"));
  if (missing.length > 0) {
    throw new Failure(
      `.dev.vars lacks ${missing.join(" and ")}: add them, or delete the file to have it written again`,
    );
  }
}

export function freshDevVars() {
  const secret = () => randomBytes(32).toString("base64url");
  return `# For local runs only, not in git. \`npm start\` writes this file if it is missing.
ENVIRONMENT=development
PUBLIC_ORIGINS=["http://localhost:8787"]
UPSTREAM=http://127.0.0.1:8788
AUTH_SECRET=${secret()}
UPSTREAM_SECRET=${secret()}
SETUP_TOKEN=${secret()}
`;
}

/** Returns the names of required secrets that this text does not set. */
export function missingSecrets(text) {
  return ["AUTH_SECRET", "UPSTREAM_SECRET"].filter(
    (name) =>
      !new RegExp(`^\\s*(export\\s+)?${name}[ \\t]*[=:][ \\t]*(?!""|'')\\S`, "m").test(text),
  );
}
