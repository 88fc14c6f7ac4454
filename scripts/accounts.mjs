/** Exports the users of a deployment, or imports them: `npm run accounts -- export|import URL FILE`. */

import { accounts } from "../packages/vestibule/cli/accounts.mjs";
import { main } from "./lib/process.mjs";

await main(() => accounts(process.argv.slice(2), { command: "npm run accounts --" }));
