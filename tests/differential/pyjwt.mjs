// PyJWT, in a virtual environment of its own.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const VERSION = "2.10.1";
const FOLDER = fileURLToPath(new URL("../../target/pyjwt", import.meta.url));

/** Returns the `program` of a Python with PyJWT, or why it is `missing`. */
export function pyJwt() {
  const program = `${FOLDER}/bin/python`;
  const run = (...command) => execFileSync(command[0], command.slice(1), { stdio: "pipe" });
  try {
    if (!existsSync(program)) run("python3", "-m", "venv", "--clear", FOLDER);
    try {
      run(program, "-c", `import jwt; assert jwt.__version__ == "${VERSION}"`);
    } catch {
      run(
        program,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        `pyjwt==${VERSION}`,
      );
    }
    return { program };
  } catch (error) {
    return {
      missing: `PyJWT cannot be installed: ${String(error.stderr ?? error.message).trim()}`,
    };
  }
}
