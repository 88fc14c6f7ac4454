// The binary encoding of the commands that Durable Objects receive. tests/commands.txt lists their types.

import { readFileSync } from "node:fs";

// Returns the source of a function that maps a command for the class `name` to the name of its kind. A Worker that
// wraps the tested one uses it. For a `Transition` of one key of the ledger, it returns the name of the transition.
export function kindOf(name) {
  const [commands, transitions] = ["Command", "Transition"].map((type) =>
    JSON.stringify(variants(name, type)),
  );
  return `(command) => {
    const kind = ${commands}[command[1]];
    // The transition comes after the key, and the key starts with its length.
    return kind === "Transition" ? ${transitions}[command[3 + command[2]]] : kind;
  }`;
}

// The source of a function that decodes a command as latin1, so that the texts in it stay readable.
export const textOf = `(command) => new TextDecoder("latin1").decode(command)`;

// Encodes a reply. Only for numbers below 64 and short texts.
export const reply = (...values) => new Uint8Array([FORMAT, ...values.flat()]);
export const text = (value) => [value.length, ...Buffer.from(value)];
export const number = (value) => [value * 2];
export const some = (value) => [1, ...value];
export const none = [0];

const FORMAT = Number(/^format (\d+)$/m.exec(readCommands())[1]);

// Encodes a variant of an enum that a reply of the class `name` contains.
export const variant = (name, type, variantName) => [
  variants(name, type, "reply").indexOf(variantName),
];

// Returns the names of an enum's variants, in order.
function variants(name, type, message = "command") {
  const section = readCommands().split(`\n${name} ${message}\n`)[1]?.split("\n\n")[0] ?? "";
  const line = section.split("\n").find((line) => line.startsWith(`${type}: `)) ?? "";
  return [...line.matchAll(/\d+: Named \{ name: "(\w+)"/g)].map(([, variant]) => variant);
}

function readCommands() {
  return readFileSync(new URL("../commands.txt", import.meta.url), "utf8");
}
