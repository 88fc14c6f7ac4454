// The built Worker with the recipe of a framework, in front of its application.

import assert from "node:assert/strict";
import { join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { request } from "../../support/client.mjs";
import { assertNoSecretsLogged } from "../../support/gateway.mjs";
import { startWorker } from "../../support/worker.mjs";
import { freePort } from "./app.mjs";

export const ADA = { email: "ada@example.com", name: "Ada", password: "correct horse battery" };

const SETUP_TOKEN = "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p";

// Chooses the public origin: http for a development server, https otherwise.
export async function chooseOrigin({ development }) {
  return `${development ? "http" : "https"}://localhost:${await freePort()}`;
}

// Starts the Worker in front of an application. The variables are those of the recipe, except the environment, the two
// origins and the setup token.
export async function openGateway(framework, app, origin) {
  const { development = false } = framework;
  const { vars } = unstable_readConfig({ config: join(framework.folder, "recipe.toml") });
  const worker = await startWorker({
    port: Number(new URL(origin).port),
    https: !development,
    variables: {
      ...vars,
      ENVIRONMENT: development ? "development" : "production",
      PUBLIC_ORIGINS: [origin],
      UPSTREAM: app.origin,
      ...(framework.login === "accounts" && { SETUP_TOKEN }),
    },
  });
  if (framework.login === "accounts") await setUp(worker, origin);
  return {
    app,
    origin,
    log: worker.log,
    stop: async () => {
      await worker.stop();
      assertNoSecretsLogged(worker.log);
    },
  };
}

async function setUp(worker, origin) {
  const { host } = new URL(origin);
  const answer = await request(worker.direct, "/api/auth/setup", {
    method: "POST",
    host,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ setupToken: SETUP_TOKEN, ...ADA }),
  });
  assert.equal(answer.status, 201, answer.text);
}
