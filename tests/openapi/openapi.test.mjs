// docs/openapi.yaml describes what the Worker does: schemathesis makes valid and invalid requests from it and checks
// every response against it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openGateway } from "../support/gateway.mjs";
import { PAGES } from "../support/worker.mjs";

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";
const DOCUMENT = fileURLToPath(new URL("../../docs/openapi.yaml", import.meta.url));
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
];

let gateway;
let cookie;
before(async () => {
  // Every feature is on, so that every endpoint exists.
  const use = { feature: "f", confirm: "human", idempotency: "optional" };
  const hub = { name: "hub", scheme: "stripe", path: "/hub", delivery: "inbox" };
  gateway = await openGateway({
    routes: [{ path: "/used", access: "user", ...use }],
    variables: {
      SESSION: { login: "accounts" },
      SETUP_TOKEN,
      EXPORT_KEY: "eXp0rtK3yZq8vR5sX1bC7dE3fG6hL9pT0k",
      WEBHOOKS: [hub],
      WEBHOOK_HUB_SECRET: "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldA==",
      CHECKOUT_PROVIDERS: [{ provider: "hub", confirm: [{ event: "paid", ref: "/id" }] }],
    },
    metrics: true,
    bindings: { kvNamespaces: ["KV"], assets: PAGES },
  });
  const response = await gateway.request("/api/auth/setup", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      setupToken: SETUP_TOKEN,
      email: "root@example.com",
      password: "correct horse battery",
    }),
  });
  cookie = response.headers["set-cookie"][0].split(";")[0];
});
after(() => gateway.stop());

// schemathesis cannot make a body of JSON Lines: tests/e2e/user-transfer.test.mjs tests the import. It would wait for the
// end of the live tail: tests/e2e/metrics.test.mjs tests that.
const EXCLUDED = ["/api/users/import", "/api/metrics/tail"].flatMap((path) => [
  "--exclude-path",
  path,
]);

// Signing out ends the session that the other requests use, so it is tested last.
for (const [client, options] of [
  [
    "an admin's requests",
    (admin) => ["--header", `Cookie: ${admin}`, "--exclude-path", "/api/auth/logout", ...EXCLUDED],
  ],
  ["requests without a credential", () => ["--exclude-path", "/api/auth/logout", ...EXCLUDED]],
  [
    "signing out",
    (admin) => ["--header", `Cookie: ${admin}`, "--include-path", "/api/auth/logout"],
  ],
]) {
  test(`the responses to ${client} match the document`, async () => {
    const { code, output } = await schemathesis(options(cookie));
    assert.equal(code, 0, output);
    assert.match(output, /passed/, output);
  });
}

// TRACE returns 501 on purpose, which schemathesis counts as a server error.
const UNEXPECTED = `[phases.coverage]
unexpected-methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"]
`;

async function schemathesis(options) {
  const program = process.env.SCHEMATHESIS;
  assert.ok(program, "SCHEMATHESIS is not set: npm test -- --only openapi does it");
  const all = [
    ...["run", DOCUMENT, "--url", gateway.direct, "--checks", CHECKS.join(",")],
    ...["--header", "Sec-Fetch-Site: same-origin", "--max-examples", "20", "--seed", "1"],
    ...["--phases", "examples,coverage,fuzzing", "--no-color", "--generation-database", "none"],
    ...options,
  ];
  // schemathesis leaves a folder in its working directory.
  const cwd = mkdtempSync(join(tmpdir(), "vestibule-"));
  after(() => rmSync(cwd, { recursive: true, force: true }));
  writeFileSync(join(cwd, "schemathesis.toml"), UNEXPECTED);
  const child = spawn(program, all, { cwd });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
    });
  }
  const [code] = await once(child, "close");
  return { code, output };
}

test("the document has every endpoint", () => {
  const document = readFileSync(DOCUMENT, "utf8");
  const code = readFileSync(new URL("../../src/routing/built_in.rs", import.meta.url), "utf8");
  const routes = code.matchAll(/route\(Endpoint::\w+, "(\w+)", "(\/[^"]+)"/g);
  let count = 0;
  for (const [, method, path] of routes) {
    const [, rest] = document.split(`\n  ${path}:`);
    assert.ok(rest, path);
    const [block] = rest.split(/\n {2}\/|\ncomponents:/);
    assert.match(block, new RegExp(`\n {4}${method.toLowerCase()}:\n`), `${method} ${path}`);
    count += 1;
  }
  assert.ok(count >= 20, "this test finds too few routes in src/routing/built_in.rs");
});
