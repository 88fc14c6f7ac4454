/**
 * Measures what requests of accounts take with few and with many users, in workerd:
 *
 *     node bench/at-size.mjs [--users 100000]
 *
 * Build the Worker first (`npm run build`). The users are imported, from lines that this script seals. Times are
 * medians of single requests, one at a time, on this machine.
 */

import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { openGateway } from "../tests/support/gateway.mjs";
import { ACCOUNTS, callerOf, PASSWORD, setUpUsers } from "../tests/support/people.mjs";

const EXPORT_KEY = randomBytes(32).toString("hex");
const REQUESTS = 60;
const HASH = `1$${Buffer.alloc(16, 7).toString("base64url")}$${Buffer.alloc(32, 7).toString("base64url")}`;

const { values } = parseArgs({ options: { users: { type: "string", default: "100000" } } });
const many = Number(values.users);

const gateway = await openGateway({
  shards: true,
  variables: { ...ACCOUNTS, SESSION: { login: "accounts" }, EXPORT_KEY, LOG_SAMPLE: 1_000_000 },
});
const call = callerOf(gateway);
try {
  const people = await setUpUsers(gateway);
  const known = [];
  for (let at = 0; at < 9; at += 1) known.push(await people.createUser(`known${at}`));
  const few = await measureAll(people, known);
  const begun = performance.now();
  await importUsers(people.root, many - 10);
  const seconds = (performance.now() - begun) / 1000;
  // A search for the last user also shows that the import is complete.
  const last = await get(people.root, `/api/users?q=${emailOf(many - 11)}`);
  if (last.json().items.length !== 1) throw new Error(last.text);
  const lots = await measureAll(people, known);
  console.log(`imported ${many - 10} users in ${seconds.toFixed(0)} s`);
  console.log(`| ms | 10 users | ${many.toLocaleString("en")} users |\n|---|---:|---:|`);
  for (const [name, time] of few) {
    console.log(`| ${name} | ${time.toFixed(1)} | ${lots.get(name).toFixed(1)} |`);
  }
} finally {
  await gateway.stop();
}

async function measureAll({ root }, known) {
  const times = new Map();
  const measure = async (name, send) => {
    const taken = [];
    for (let at = 0; at < REQUESTS; at += 1) {
      const begun = performance.now();
      const response = await send(at);
      taken.push(performance.now() - begun);
      if (response.status >= 300 && response.status !== 401) throw new Error(response.text);
    }
    taken.sort((one, other) => one - other);
    times.set(name, taken[Math.floor(taken.length / 2)]);
  };
  const logIn = (email) =>
    call(
      "POST",
      "/api/auth/login",
      undefined,
      { email, password: PASSWORD },
      { headers: newAddress() },
    );
  await measure("sign in", (at) => logIn(`known${at % 9}@example.com`));
  await measure("sign in, unknown address", () => logIn(`${newId()}@example.com`));
  await measure("list a page of 10 users", () => get(root, "/api/users?limit=10"));
  await measure("list the disabled users", () => get(root, "/api/users?status=disabled"));
  await measure("search, one match", (at) => get(root, `/api/users?q=known${at % 9}`));
  await measure("search, all match, a page of 10", () =>
    get(root, "/api/users?q=example&limit=10"),
  );
  await measure("make an invite", () => call("POST", "/api/invites", root, { role: "user" }));
  await measure("disable and enable a user", async (at) => {
    const path = `/api/users/${known[at % 9].id}`;
    const disabled = await call("PATCH", path, root, { status: "disabled" });
    return disabled.status === 200 ? call("PATCH", path, root, { status: "active" }) : disabled;
  });
  return times;
}

async function importUsers(root, count) {
  for (let from = 0; from < count; from += 100) {
    const lines = Array.from({ length: Math.min(100, count - from) }, (_, at) => lineOf(from + at));
    const response = await call("POST", "/api/users/import", root, lines.join("\n"), {
      headers: { "Content-Type": "application/jsonl" },
    });
    const { added } = response.status === 200 ? response.json() : {};
    if (added !== lines.length) throw new Error(response.text);
  }
}

/** Returns a line as an export writes it. */
function lineOf(at) {
  const [id, email] = [newId(), emailOf(at)];
  const shown = { name: `Name ${at}`, role: "user", status: "active" };
  const createdAt = 1_700_000_000;
  const secret = {
    v: 1,
    ...shown,
    createdAt,
    password: HASH,
    totp: null,
    recoveryCodes: [],
    passkeys: [],
  };
  const mac = createHmac("sha256", EXPORT_KEY);
  for (const part of ["vestibule/export/1", id, email]) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(Buffer.byteLength(part)));
    mac.update(length).update(part);
  }
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", mac.digest(), nonce);
  const parts = [nonce, cipher.update(JSON.stringify(secret)), cipher.final(), cipher.getAuthTag()];
  const sealed = Buffer.concat(parts).toString("base64url");
  const written = new Date(createdAt * 1000).toISOString().replace(".000", "");
  return JSON.stringify({ id, email, ...shown, createdAt: written, sealed });
}

function emailOf(at) {
  return `user${at}@example.com`;
}

function newId() {
  return `usr_${randomBytes(20).toString("base64url")}`;
}

function get(caller, path) {
  return call("GET", path, caller);
}

/** Returns a header with a new address, so that no request reaches a limit by address. */
function newAddress() {
  const [high, low] = randomBytes(4).toString("hex").match(/.{4}/g);
  return { "CF-Connecting-IP": `2001:db8:${high}:${low}::1` };
}
