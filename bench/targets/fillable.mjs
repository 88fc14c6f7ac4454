// Vestibule as built; its ledgers also take what filler.mjs has for them, all at once.

import { Ledger as Kept } from "./index.js";

export { default } from "./index.js";

export class Ledger extends Kept {
  fill(commands) {
    for (const [command, bytes] of commands) this.command(command, "", bytes);
  }
}
