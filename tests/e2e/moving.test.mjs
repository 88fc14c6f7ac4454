// The code of docs/moving/README.md, against the gateway.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { openGateway } from "../support/gateway.mjs";
import { ACCOUNTS, callerOf, PASSWORD, setUpUsers } from "../support/people.mjs";
import { trackSecret } from "../support/tokens.mjs";

const guide = readFileSync(new URL("../../docs/moving/README.md", import.meta.url), "utf8");
const folder = new URL("../../target/e2e/", import.meta.url);
mkdirSync(folder, { recursive: true });

// Imports the code block after the comment `<!-- tested: NAME -->`.
async function codeOf(name) {
  const [, code] = new RegExp(`<!-- tested: ${name} -->\\s*\`\`\`js\n(.*?)\`\`\``, "s").exec(guide);
  const file = new URL(`moving-${name}.mjs`, folder);
  writeFileSync(file, code);
  return import(file);
}

describe("the bridge", async () => {
  const { startSession } = await codeOf("bridge");
  const users = { "old=ada": { id: "42" }, "old=root": { id: "1", isAdmin: true } };
  let gateway;

  before(async () => {
    gateway = await openGateway({
      routes: [
        {
          path: "/session",
          methods: ["POST"],
          access: "public",
          login: true,
          redirects: "strict",
          return_field: "next",
        },
        { path: "/admin", access: "admin" },
      ],
      variables: { SESSION: { login: "upstream" }, ENDPOINTS: "/_vestibule/api" },
      answers: {
        "/session": async (request, response, seen) => {
          const { method, headers } = request;
          const web = new Request("http://app", { method, headers, body: await seen.body });
          const answer = await startSession(web, ({ headers }) => users[headers.get("cookie")]);
          response.writeHead(answer.status, Object.fromEntries(answer.headers)).end();
        },
      },
    });
  });
  after(() => gateway.stop());

  const send = (Cookie, next) =>
    gateway.request("/session", {
      method: "POST",
      headers: {
        Cookie,
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
      },
      body: new URLSearchParams({ next }).toString(),
    });

  for (const [cookie, path] of [
    ["old=ada", "/reports?a=1"],
    ["old=root", "/admin"],
  ]) {
    test(`starts a session for the user of ${cookie}, and leads back`, async () => {
      const { response } = await gateway.expectForwarded(() => send(cookie, path));
      assert.equal(response.status, 303);
      assert.equal(response.headers.location, path);
      const [session] = response.cookies[0].split(";");
      trackSecret(session.split("=")[1]);
      const { seen } = await gateway.expectForwarded(() =>
        gateway.request(path, { headers: { Cookie: session } }),
      );
      assert.equal(seen.headers["x-user-id"], users[cookie].id);
    });
  }

  test("starts none without an old session", async () => {
    const { response } = await gateway.expectForwarded(() => send("old=nobody", "/"));
    assert.equal(response.headers.location, "/login");
    assert.deepEqual(response.cookies, []);
  });

  test("a target on another site does not reach it", async () => {
    const response = await gateway.expectNotForwarded(() =>
      send("old=ada", "https://evil.example/"),
    );
    assert.equal(response.status, 400);
  });
});

describe("moving a user", async () => {
  const { moveUser } = await codeOf("move-user");
  let gateway;
  let options;
  let call;

  before(async () => {
    gateway = await openGateway({ variables: ACCOUNTS });
    const people = await setUpUsers(gateway);
    call = callerOf(gateway);
    const made = await call("POST", "/api/agent-tokens", people.root, {
      name: "moving",
      prefix: "mul_",
      expiresIn: "30d",
      operations: ["vestibule.invites.create"],
    });
    assert.equal(made.status, 201, made.text);
    options = { gateway: gateway.direct, token: trackSecret(made.json().plaintext) };
  });
  after(() => gateway.stop());

  const signIn = (email, password) =>
    call("POST", "/api/auth/login", undefined, { email, password });

  test("keeps the password, and gives a new id", async () => {
    const user = { email: "ada@example.com", name: "Ada", password: PASSWORD };
    assert.equal((await signIn(user.email, PASSWORD)).status, 401);
    const { userId } = await moveUser(user, options);
    const signedIn = await signIn(user.email, PASSWORD);
    assert.equal(signedIn.status, 200);
    assert.equal(signedIn.json().userId, userId);
    // Only the session of this sign-in is left.
    const [Cookie] = signedIn.cookies[0].split(";");
    const { items } = (await call("GET", "/api/sessions", { headers: { Cookie } })).json();
    assert.equal(items.length, 1);
    assert.deepEqual(await moveUser(user, options), { reason: "exists" });
  });

  test("offers an invite if the password is refused", async () => {
    const user = { email: "bob@example.com", password: "short" };
    const { reason, link } = await moveUser(user, options);
    assert.equal(reason, "password");
    const [, token] = link.split("/_vestibule/invite#");
    const redeemed = await call("POST", `/api/invites/${trackSecret(token)}/redeem`, undefined, {
      email: user.email,
      password: PASSWORD,
    });
    assert.equal(redeemed.status, 201);
  });

  test("a wrong token makes nobody", async () => {
    const token = `${options.token.slice(0, -1)}!`;
    await assert.rejects(
      moveUser({ email: "eve@example.com", password: PASSWORD }, { ...options, token }),
      /no invite: 401/,
    );
    assert.equal((await signIn("eve@example.com", PASSWORD)).status, 401);
  });
});
