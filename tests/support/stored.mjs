// A deployment that has stored data of every kind, and its databases as SQL. `tests/stored/make.mjs` writes the SQL
// files, `tests/e2e/stored.test.mjs` opens them with the current build, and `tests/migrations.rs` opens them natively.

import { createHmac } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { openGateway } from "./gateway.mjs";
import { SETUP_TOKEN } from "./people.mjs";
import { pollUntil } from "./poll.mjs";

// In 2033. The platform's clock, which fires alarms, is far behind that, so no alarm fires during a test.
export const MADE_AT = 2_000_000_000;
const SECRET = "whsec_test_secret_of_the_provider";

const webhook = (name, more) => ({ name, scheme: "stripe", path: `/hooks/${name}`, ...more });

// The password of a user who has changed it.
export const NEW_PASSWORD = "a quite different phrase";

// Opens the deployment with the data in `folder`. Its clock is `later` seconds after `MADE_AT`.
export const openDeployment = (folder, later = 0) =>
  openGateway({
    folder,
    shards: true,
    metrics: true,
    routes: [
      { path: "/orders", methods: ["POST"], access: "authenticated", idempotency: "required" },
      {
        path: "/checkouts",
        methods: ["POST"],
        access: "authenticated",
        idempotency: "required",
        checkout: { provider: "shop", ref: "/id", reserve: "30m" },
      },
      {
        path: "/deploys/{*rest}",
        access: "authenticated",
        confirm: "human",
        operation: "deploys.create",
        audit: "required",
      },
      { path: "/limited", access: "public", limit: "three" },
      { path: "/{*rest}", access: "authenticated" },
    ],
    variables: {
      SESSION: { login: "accounts", check_ttl: "0s", lifetime: "30d" },
      SETUP_TOKEN,
      DANGER_FIXED_NOW: MADE_AT + later,
      RATE_LIMITS: [{ name: "three", limit: 3, period: "1h", by: "address" }],
      WEBHOOKS: [webhook("shop"), webhook("later", { delivery: "inbox" })],
      WEBHOOK_SHOP_SECRET: SECRET,
      WEBHOOK_LATER_SECRET: SECRET,
      CHECKOUT_PROVIDERS: [{ provider: "shop", confirm: [{ event: "paid", ref: "/data" }] }],
    },
    answers: {
      "/orders": jsonResponse(201, { order: 7 }),
      "/checkouts": (_, response, { body }) =>
        body.then((body) => response.writeHead(201, JSON_TYPE).end(body)),
      "/hooks/later": jsonResponse(503, {}),
    },
  });

const JSON_TYPE = { "Content-Type": "application/json" };
const jsonResponse = (status, body) => ({
  status,
  headers: Object.entries(JSON_TYPE).flat(),
  body: JSON.stringify(body),
});

// Resolves to the number of requests that are counted in the hour of `MADE_AT`, once there are some.
export const requestsOfHour = (call, admin) =>
  pollUntil(
    async () => {
      const [from, to] = [MADE_AT - 3_600, MADE_AT + 1].map((seconds) =>
        new Date(seconds * 1_000).toISOString(),
      );
      const path = `/api/metrics?step=hour&from=${from}&to=${to}`;
      const { buckets } = (await call("GET", path, admin)).json();
      return buckets.reduce((sum, { requests }) => sum + requests, 0);
    },
    (requests) => requests > 0,
    "counts",
  );

// Sends a webhook event as its provider would.
export function deliver(gateway, path, event, at = MADE_AT) {
  const body = JSON.stringify(event);
  const mac = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = { ...JSON_TYPE, "Stripe-Signature": `t=${at},v1=${mac}` };
  return gateway.request(path, { method: "POST", headers, body });
}

// Excludes the tables of SQLite and of the platform.
const isOwnTable = ({ name }) => !/^(sqlite|_cf)_/.test(name);

// Writes each database below `folder` that has rows to an SQL file below `to`, one statement a line.
export function dump(folder, to) {
  for (const path of databases(folder)) {
    const database = new DatabaseSync(path, { readOnly: true });
    const schema = database
      .prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
      .all();
    const statements = schema.filter(isOwnTable).map(({ sql }) => `${sql.replace(/\s+/g, " ")};`);
    const rows = [];
    for (const { name } of schema.filter(({ type }) => type === "table").filter(isOwnTable)) {
      const columns = database.prepare(`SELECT name FROM pragma_table_info('${name}')`).all();
      const quoted = columns.map(({ name }) => `quote("${name}")`).join(" || ', ' || ");
      const lines = database.prepare(`SELECT ${quoted} AS line FROM "${name}"`).all();
      rows.push(...lines.map(({ line }) => `INSERT INTO ${name} VALUES (${line});`));
    }
    database.close();
    // An object that was only read has the number of its migrations, and nothing else.
    if (rows.every((row) => row.startsWith("INSERT INTO schema_version "))) continue;
    const file = join(to, classOf(path), `${basename(path, ".sqlite")}.sql`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${[...statements, ...rows].join("\n")}\n`);
  }
}

// Makes databases from such SQL files, in the folders where the platform expects them.
export function restore(from, folder) {
  for (const file of filesBelow(from, ".sql")) {
    const path = join(
      ...[folder, "do", `vestibule-${basename(dirname(file))}`],
      `${basename(file, ".sql")}.sqlite`,
    );
    mkdirSync(dirname(path), { recursive: true });
    const database = new DatabaseSync(path);
    database.exec(readFileSync(file, "utf8"));
    database.close();
  }
}

export const STORED = fileURLToPath(new URL("../stored", import.meta.url));

const databases = (folder) =>
  filesBelow(folder, ".sqlite").filter((path) => basename(path) !== "metadata.sqlite");
const classOf = (path) => basename(dirname(path)).replace(/^vestibule-/, "");

const filesBelow = (folder, ending) =>
  readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
