// Commands as objects get them: encoded. tests/commands.txt lists their types.

import { readFileSync } from "node:fs";

// The source of a function of a command, for a Worker around the one that is tested: the name of a command of this class.
// What a ledger is to do with a key has a name of its own.
export function kindOf(name) {
  const [commands, steps] = ["Command", "Step"].map((type) => JSON.stringify(variants(name, type)));
  return `(command) => {
    const kind = ${commands}[command[1]];
    // Behind the key, which begins with its length.
    return kind === "Step" ? ${steps}[command[3 + command[2]]] : kind;
  }`;
}

// The source of a function of a command: its bytes as text. Texts in it are as they were.
export const textOf = `(command) => new TextDecoder("latin1").decode(command)`;

// The names of an enum's variants, in their order.
function variants(name, type) {
  const list = readFileSync(new URL("../commands.txt", import.meta.url), "utf8");
  const section = list.split(`\n${name} command\n`)[1]?.split("\n\n")[0] ?? "";
  const line = section.split("\n").find((line) => line.startsWith(`${type}: `)) ?? "";
  return [...line.matchAll(/\d+: Named \{ name: "(\w+)"/g)].map(([, variant]) => variant);
}
