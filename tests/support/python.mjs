// Python programs with one package, each in a virtual environment of its own.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Returns the `program` of a Python with a package of an exact version, or why it is `missing`. */
export function pythonWith(name, version) {
  const folder = fileURLToPath(new URL(`../../target/${name}`, import.meta.url));
  const program = `${folder}/bin/python`;
  const run = (...command) => execFileSync(command[0], command.slice(1), { stdio: "pipe" });
  const check = `from importlib.metadata import version; assert version("${name}") == "${version}"`;
  const options = ["--quiet", "--disable-pip-version-check"];
  try {
    if (!existsSync(program)) run("python3", "-m", "venv", "--clear", folder);
    try {
      run(program, "-c", check);
    } catch {
      run(program, "-m", "pip", "install", ...options, `${name}==${version}`);
    }
    return { program };
  } catch (error) {
    return {
      missing: `${name} cannot be installed: ${String(error.stderr ?? error.message).trim()}`,
    };
  }
}
