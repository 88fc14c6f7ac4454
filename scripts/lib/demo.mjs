/** The demo accounts, and the text that `npm start` prints. The passwords are public: the demo has no real data. */

import { Failure } from "./process.mjs";

export const DEMO = [
  { email: "ada@example.com", name: "Ada", password: "correct horse battery" },
  { email: "bob@example.com", name: "Bob", password: "staple battery horse" },
];

/**
 * Creates the demo accounts: the first one as the admin, the second one with an invite.
 *
 * @param {string} [endpoints] the path prefix of Vestibule's own endpoints
 * @returns {Promise<string[] | undefined>} the user ids; undefined if there is an account already
 */
export async function seed(origin, setupToken, endpoints = "/api") {
  const [first, second] = DEMO;
  const post = postTo(origin + endpoints);
  const created = await post("/auth/setup", { setupToken, ...first });
  // 409: there is an account already. 429: too many setup attempts.
  if ([409, 429].includes(created.status)) return;
  expect(created, 201);
  const cookie = cookieOf(created);
  const invited = await post("/invites", { role: "user", email: second.email }, cookie);
  expect(invited, 201);
  const { token } = await invited.json();
  const redeemed = await post(`/invites/${token}/redeem`, second);
  expect(redeemed, 201);
  return Promise.all([created, redeemed].map(async (response) => (await response.json()).userId));
}

/** Returns true if the demo accounts exist, and false if others were created instead. */
export async function hasDemoAccounts(origin, endpoints = "/api") {
  const post = postTo(origin + endpoints);
  const [{ email, password }] = DEMO;
  const response = await post("/auth/login", { email, password });
  if (response.status !== 200) return false;
  await post("/auth/logout", {}, cookieOf(response));
  return true;
}

/**
 * Returns the text that `npm start` prints once everything runs.
 *
 * @param {object} options
 * @param {string} options.site URL of Vestibule
 * @param {string} [options.upstream] URL of the application
 * @param {string} [options.endpoints] the path prefix of Vestibule's own endpoints
 * @param {boolean} options.isSample whether the application is the sample
 * @param {boolean} options.hasAccounts whether Vestibule keeps the accounts
 * @param {boolean} options.hasUsers whether the demo users can sign in
 * @param {string} [options.warning] a likely problem
 */
export function welcome({ site, upstream, endpoints = "/api", ...options }) {
  const rows = [
    ["Vestibule is at", site],
    ["", `open ${site}, not 127.0.0.1`],
    ["in front of", upstream ?? "the upstream of wrangler.toml"],
    ...(options.warning ? [["WARNING", options.warning]] : []),
    [],
    ...(options.isSample ? howToSignIn(site, options) : []),
    ...(!options.isSample && options.hasAccounts ? firstAccount(site + endpoints) : []),
    ...(options.isSample
      ? [["break the cookie", "use the buttons on the page, the browser's developer tools, or"]]
      : []),
    [
      options.isSample ? "" : "break the cookie",
      `curl -i ${site}${endpoints}/auth/me -H 'Cookie: mk_session=broken'`,
    ],
    ...(options.isSample && options.hasAccounts ? howToApprove(site) : []),
    [],
    ["stop", "Ctrl-C"],
    ["start over", "stop, delete .wrangler/state (it has the users and sessions), npm start"],
    ...(options.isSample && options.hasAccounts
      ? [["start empty", "the same, but npm start -- --empty: then create the first account"]]
      : []),
  ];
  const lines = rows.map(([label = "", text = ""]) => `  ${label.padEnd(18)}${text}`.trimEnd());
  return `\n${lines.join("\n")}\n`;
}

function howToSignIn(site, { hasAccounts, hasUsers }) {
  if (!hasUsers) {
    return [
      ["first account", `${site}/_vestibule/setup, with the SETUP_TOKEN of .dev.vars`],
      ["", "if it exists already, sign in with it, or start over"],
      [],
    ];
  }
  const [first, ...others] = DEMO.map(({ email, password }) => `${email}   ${password}`);
  return [
    ["sign in", hasAccounts ? `${first}   (admin)` : first],
    ...others.map((other) => ["", other]),
    ["your account", hasAccounts ? `${site}/_vestibule/account` : `${site}/account`],
    ...(hasAccounts ? [["the console", `${site}/_vestibule/console   (for admins)`]] : []),
    [],
  ];
}

/** Your own application has no demo accounts, and its login page may have no form for the first account. */
function firstAccount(base) {
  const members = '"email":"you@example.com","password":"12 characters or more"';
  return [
    ["first account", "create it once, with the SETUP_TOKEN of .dev.vars:"],
    ["", `curl ${base}/auth/setup --json '{"setupToken":"…",${members}}'`],
    [],
  ];
}

function howToApprove(site) {
  return [
    ["approve an agent", `create a task token at ${site}/_vestibule/account#tokens, run`],
    ["", `VESTIBULE_URL=${site} VESTIBULE_TOKEN=mat_… node examples/agent/agent.mjs carol 250`],
    ["", `and approve or reject the transfer at ${site}/_vestibule/account#approvals`],
  ];
}

const postTo = (base) => (path, body, cookie) =>
  fetch(base + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(cookie && { Cookie: cookie }) },
    body: JSON.stringify(body),
  });

const cookieOf = (response) => response.headers.getSetCookie()[0].split(";")[0];

function expect(response, status) {
  if (response.status !== status) {
    const { pathname } = new URL(response.url);
    throw new Failure(`${pathname} answered ${response.status}, expected ${status}`);
  }
}
