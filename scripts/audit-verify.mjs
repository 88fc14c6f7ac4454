/** Verifies the audit trail of a deployment: `npm run audit-verify -- URL [--days N] [--endpoints /api]`. */

import { auditVerify } from "../packages/vestibule/cli/audit-verify.mjs";
import { main } from "./lib/process.mjs";

await main(() => auditVerify(process.argv.slice(2), { command: "npm run audit-verify --" }));
