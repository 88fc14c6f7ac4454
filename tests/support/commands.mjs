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

// A reply, encoded. Numbers are below 64, texts short.
export const reply = (...values) => new Uint8Array([FORMAT, ...values.flat()]);
export const text = (value) => [value.length, ...Buffer.from(value)];
export const number = (value) => [value * 2];
export const some = (value) => [1, ...value];
export const none = [0];

const FORMAT = Number(/^format (\d+)$/m.exec(listed())[1]);

// A variant of an enum that is in a reply of this class.
export const variant = (name, type, which) => [variants(name, type, "reply").indexOf(which)];

// The names of an enum's variants, in their order.
function variants(name, type, what = "command") {
  const section = listed().split(`\n${name} ${what}\n`)[1]?.split("\n\n")[0] ?? "";
  const line = section.split("\n").find((line) => line.startsWith(`${type}: `)) ?? "";
  return [...line.matchAll(/\d+: Named \{ name: "(\w+)"/g)].map(([, variant]) => variant);
}

function listed() {
  return readFileSync(new URL("../commands.txt", import.meta.url), "utf8");
}
