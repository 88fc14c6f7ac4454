/** The people of the demo, and how they get in. Their passwords stand in the open: nothing is behind them. */

import { Failure } from "./process.mjs";

export const DEMO = [
  { email: "ada@example.com", name: "Ada", password: "correct horse battery" },
  { email: "bob@example.com", name: "Bob", password: "staple battery horse" },
];

/**
 * Sets a fresh Vestibule up: the first of them as its admin, the second by an invite.
 *
 * @param {string} [endpoints] what the paths of Vestibule's own endpoints begin with
 * @returns {Promise<string[] | undefined>} their ids; undefined where somebody was there already
 */
export async function seed(origin, setupToken, endpoints = "/api") {
  const [first, second] = DEMO;
  const post = posting(origin + endpoints);
  const made = await post("/auth/setup", { setupToken, ...first });
  // Who asks over and over is told no more than that.
  if ([409, 429].includes(made.status)) return;
  expect(made, 201);
  const cookie = cookieOf(made);
  const invited = await post("/invites", { role: "user", email: second.email }, cookie);
  expect(invited, 201);
  const { token } = await invited.json();
  const redeemed = await post(`/invites/${token}/redeem`, second);
  expect(redeemed, 201);
  return Promise.all([made, redeemed].map(async (answer) => (await answer.json()).userId));
}

/** Whether they are there, and not somebody else who came first. */
export async function hasDemo(origin, endpoints = "/api") {
  const post = posting(origin + endpoints);
  const [{ email, password }] = DEMO;
  const entered = await post("/auth/login", { email, password });
  if (entered.status !== 200) return false;
  await post("/auth/logout", {}, cookieOf(entered));
  return true;
}

/**
 * What `npm start` says once everything runs.
 *
 * @param {object} facts
 * @param {string} facts.site where it is
 * @param {string} [facts.upstream] where the application is
 * @param {string} [facts.endpoints] what the paths of Vestibule's own endpoints begin with
 * @param {boolean} facts.isSample whether that is the sample
 * @param {boolean} facts.hasAccounts whether Vestibule keeps the accounts
 * @param {boolean} facts.hasPeople whether those of the demo can sign in
 * @param {string} [facts.warning] what is likely to go wrong
 */
export function welcome({ site, upstream, endpoints = "/api", ...facts }) {
  const rows = [
    ["Vestibule is at", site],
    ["", `open ${site}, not 127.0.0.1`],
    ["in front of", upstream ?? "what wrangler.toml says"],
    ...(facts.warning ? [["WARNING", facts.warning]] : []),
    [],
    ...(facts.isSample ? whoMayComeIn(site, facts) : []),
    ...(!facts.isSample && facts.hasAccounts ? firstAccount(site + endpoints) : []),
    ...(facts.isSample
      ? [["break the cookie", "with the buttons on the page, in the browser's developer tools, or"]]
      : []),
    [
      facts.isSample ? "" : "break the cookie",
      `curl -i ${site}${endpoints}/auth/me -H 'Cookie: mk_session=broken'`,
    ],
    ...(facts.isSample && facts.hasAccounts ? howToApprove(site) : []),
    [],
    ["stop", "Ctrl-C"],
    ["start afresh", "stop, remove .wrangler/state (users and sessions are there), npm start"],
    ...(facts.isSample && facts.hasAccounts
      ? [["with nobody", "the same, then npm start -- --empty: the first run is yours"]]
      : []),
  ];
  const lines = rows.map(([label = "", text = ""]) => `  ${label.padEnd(18)}${text}`.trimEnd());
  return `\n${lines.join("\n")}\n`;
}

function whoMayComeIn(site, { hasAccounts, hasPeople }) {
  if (!hasPeople) {
    return [
      ["first account", `${site}/login#setup, with the SETUP_TOKEN of .dev.vars`],
      ["", "where it is made already, sign in by it, or start afresh"],
      [],
    ];
  }
  const [first, ...others] = DEMO.map(({ email, password }) => `${email}   ${password}`);
  return [
    ["sign in", hasAccounts ? `${first}   an admin` : first],
    ...others.map((other) => ["", other]),
    ["your account", `${site}/account`],
    [],
  ];
}

/** In front of somebody's own application nobody made accounts, and its login page may have no form for the first one. */
function firstAccount(base) {
  const person = '"email":"you@example.com","password":"12 characters or more"';
  return [
    ["first account", "with the SETUP_TOKEN of .dev.vars, once:"],
    ["", `curl ${base}/auth/setup --json '{"setupToken":"…",${person}}'`],
    [],
  ];
}

function howToApprove(site) {
  return [
    ["approve an agent", `make a task token at ${site}/account#tokens, then`],
    ["", `VESTIBULE_URL=${site} VESTIBULE_TOKEN=mat_… node examples/agent/agent.mjs carol 250`],
    ["", `and say yes or no at ${site}/account#approvals`],
  ];
}

const posting = (base) => (path, body, cookie) =>
  fetch(base + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(cookie && { Cookie: cookie }) },
    body: JSON.stringify(body),
  });

const cookieOf = (answer) => answer.headers.getSetCookie()[0].split(";")[0];

function expect(answer, status) {
  if (answer.status !== status) {
    throw new Failure(`${new URL(answer.url).pathname} answers ${answer.status}, not ${status}`);
  }
}
