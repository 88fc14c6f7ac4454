// The built Vestibule. Its ledgers also accept the commands of filler.mjs, many in one call.

import { Ledger as BuiltLedger } from "./index.js";

export { default } from "./index.js";

export class Ledger extends BuiltLedger {
  fill(commands) {
    for (const [command, bytes] of commands) this.command(command, "", bytes);
  }
}
