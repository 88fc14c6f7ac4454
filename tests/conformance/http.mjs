// Asks the built Worker over HTTP, in front of a real upstream. A question with a configuration of its own gets an
// isolate of its own.

import { request, sendRaw, statusesOf } from "../support/client.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";
import { startUpstream } from "../support/upstream.mjs";
import { startWorker } from "../support/worker.mjs";

/**
 * Answers the questions of one set. An answer is null if a question cannot be asked: Node cannot send it, or the
 * configuration refuses it.
 */
export async function answersOver(questions) {
  const asked = questions.map((question) => ({ ...HANDLERS[question.ask], question }));
  const variables = merged(questions.map(variablesOf));
  // Equal configurations share an isolate.
  const names = variables.map((own) => JSON.stringify(own));
  const distinct = [...new Set(names)];
  const isolates = Object.fromEntries(
    distinct.map((name, at) => [`isolate-${at}`, JSON.parse(name)]),
  );
  const upstream = await startUpstream();
  const worker = await startWorker({ upstream: upstream.origin, others: isolates }).catch(
    async (error) => {
      await upstream.stop();
      throw error;
    },
  );
  try {
    const results = [];
    for (const [at, { ask, question }] of asked.entries()) {
      const origin = worker.others[`isolate-${distinct.indexOf(names[at])}`];
      results.push(await ask(question, new Client(origin, upstream), at));
    }
    return results;
  } finally {
    await worker.stop();
    await upstream.stop();
  }
}

/** Returns the variables of the Worker that a question needs. */
export const variablesOf = (question, at) => HANDLERS[question.ask].configure?.(question, at) ?? {};

// Merges webhooks of the same time, so that they share an isolate. One with a doubtful secret is on its own, because
// the configuration may refuse it.
function merged(variables) {
  const shared = new Map();
  return variables.map((own) => {
    const isDoubtful = own.WEBHOOKS?.[0].scheme === "standard" && !isStandardKey(own);
    if (!own.WEBHOOKS || own.PUBLIC_ORIGINS || isDoubtful) return own;
    const key = own.DANGER_FIXED_NOW;
    const hooks = [...(shared.get(key)?.WEBHOOKS ?? []), ...own.WEBHOOKS];
    const all = shared.get(key) ?? {};
    if (!shared.has(key)) shared.set(key, all);
    return Object.assign(all, own, { WEBHOOKS: hooks });
  });
}

const isStandardKey = (variables) =>
  Object.entries(variables).every(
    ([name, value]) => !name.endsWith("_SECRET") || /^whsec_[\w+/]{32,}=*$/.test(value),
  );

class Client {
  #origin;
  #upstream;

  constructor(origin, upstream) {
    this.#origin = origin;
    this.#upstream = upstream;
  }

  /** Sends a request. Returns its response and upstream's requests; null if Node cannot send it. */
  async send(path, options = {}) {
    const before = this.#upstream.seen.length;
    let response;
    try {
      response = await request(this.#origin, path, { host: "app.example", ...options });
    } catch (error) {
      if (/^ERR_(INVALID|UNESCAPED|HTTP_INVALID)/.test(error.code)) return null;
      throw error;
    }
    if (response.status >= 500) {
      const error = response.text.includes("misconfigured") ? null : response.text;
      if (error !== null) throw new Error(`${path}: ${error}`);
      return { misconfigured: true };
    }
    return { ...response, seen: this.#upstream.seen.slice(before) };
  }

  /** Sends bytes. Returns the status and upstream's requests. */
  async sendRaw(text) {
    const before = this.#upstream.seen.length;
    const [status] = statusesOf(await sendRaw(this.#origin, Buffer.from(text).toString("latin1")));
    return { status, seen: this.#upstream.seen.slice(before) };
  }
}

const PUBLIC_RULES = { ROUTES: [{ path: "/{*rest}", access: "public" }] };
const session = () => sessionCookies(createSessionToken());

const HANDLERS = {
  token: {
    configure: ({ keys: [current, previous] }) => ({
      AUTH_SECRET: `hex:${current.hex}`,
      ...(previous && { AUTH_SECRET_PREVIOUS: `hex:${previous.hex}` }),
    }),
    async ask({ token, keys: [{ hex }] }, client) {
      const secret = Buffer.from(hex, "hex");
      // Without this, a wrong configuration would look like a refusal of the token.
      const good = await client.send("/", {
        headers: { cookie: sessionCookies(createSessionToken({}, { secret })) },
      });
      if (good.misconfigured) return { accepted: false };
      if (good.status !== 200) throw new Error(`the key verifies no session: ${good.text}`);
      const response = await client.send("/", { headers: { cookie: `mk_session=${token}` } });
      return response && { accepted: response.seen.length > 0 };
    },
  },

  // What upstream receives still has these cookies, and the gateway finds its own among them.
  cookies: {
    async ask({ header }, client) {
      const sent = `${header}; ${session()}`;
      const response = await client.send("/", { headers: { cookie: sent } });
      if (response === null) return null;
      if (response.status !== 200) return { pairs: response.status };
      const [{ headers }] = response.seen;
      const [own, ...others] = pairs(headers.cookie).reverse();
      const isFound = headers["x-user-id"] && own[0] === "mk_session";
      return { pairs: isFound ? others.reverse() : "no session" };
    },
  },

  return_path: {
    configure: () => ({ PUBLIC_ORIGINS: ["https://app.example.com"] }),
    async ask({ next }, client) {
      const headers = { accept: "text/html", "sec-fetch-mode": "navigate", cookie: session() };
      const path = `/login?next=${encodeURIComponent(next)}`;
      const response = await client.send(path, {
        headers: { ...headers },
        host: "app.example.com",
      });
      if (response.status !== 302) throw new Error(`${path}: ${response.status} ${response.text}`);
      const { location } = response.headers;
      return { accepted: location === "/" && next !== "/" ? null : location };
    },
  },

  origin: {
    configure: ({ text }) => ({ ALLOWED_ORIGINS: [text] }),
    ask: async (_, client) => ({ valid: !(await client.send("/login")).misconfigured }),
  },

  key: {
    configure: () => ({ ROUTES: [{ path: "/keyed", access: "public", idempotency: "required" }] }),
    async ask({ lines }, client) {
      const headers = [...lines.map((line) => ["Idempotency-Key", line]), ["Content-Length", "0"]];
      const response = await client.send("/keyed", { method: "POST", headers });
      return response && { accepted: response.status === 200 };
    },
  },

  csrf: {
    configure: ({ origin, trusted, bypass }) => ({
      CSRF: "strict",
      PUBLIC_ORIGINS: [origin],
      ALLOWED_ORIGINS: trusted,
      ROUTES: bypass.flatMap(ruleOf),
    }),
    async ask({ method, headers: others, path, origin }, client) {
      const headers = { ...others, cookie: session() };
      const response = await client.send(path, { method, headers, host: new URL(origin).host });
      return response && { passes: response.seen.length > 0 };
    },
  },

  removed: {
    configure: () => PUBLIC_RULES,
    async ask({ headers }, client) {
      const pairs = headers.map(({ name, value }) => [name, value]);
      const response = await client.send("/", { headers: pairs });
      if (response === null) return null;
      const names = headers.map(({ name }) => name.toLowerCase());
      const received = response.seen[0]?.headers ?? {};
      const removed = names.filter((name) => received[name] === undefined);
      return { removed, user: received["x-user-id"] ?? null };
    },
  },

  path: {
    configure: () => ({
      ROUTES: [
        { path: "/public/{*rest}", access: "public" },
        { path: "/{*rest}", access: "user" },
      ],
    }),
    async ask({ path }, client) {
      const lines = [`GET ${path} HTTP/1.1`, "Host: app.example", "Connection: close", "", ""];
      const { status, seen } = await client.sendRaw(lines.join("\r\n"));
      if (status >= 500) throw new Error(`${path}: ${status}`);
      return { status, forwarded: seen[0]?.url ?? null };
    },
  },

  bearer: {
    configure: ({ token }) => ({
      SESSION: { check: "registry", login: "accounts" },
      CREDENTIALS: [{ prefix: "egw_live_", kind: "agent", source: "agent_token", machine: true }],
      AGENT_TOKENS: `deploy:${token}`,
      ROUTES: [{ path: "/{*rest}", access: "agent" }],
    }),
    async ask({ authorization, token }, client) {
      const response = await client.send("/x", { headers: { authorization } });
      return response && { token: response.seen.length > 0 ? token : null };
    },
  },

  webhook: {
    configure: (question, at) => (isConfigurable(question) ? webhookVariables(question, at) : {}),
    async ask(question, client, at) {
      if (!isConfigurable(question)) return null;
      const { body, headers } = question;
      const { path, host } = placeOf(question, at);
      const response = await client.send(path, { method: "POST", headers, body, host });
      if (response === null || response.misconfigured) return null;
      return { valid: response.seen.length > 0 };
    },
  },
};

const trim = (text) => text.replace(/^[ \t]+|[ \t]+$/g, "");

// Returns the pairs of a Cookie header by the rule of the vectors (RFC 6265 §5.4), in other code than Vestibule's.
function pairs(header) {
  return header
    .split(";")
    .map((part) => /^([^=]*)=(.*)$/s.exec(part)?.slice(1).map(trim))
    .filter((pair) => pair?.[0]);
}

// Converts a pattern of Go's ServeMux to rules: a trailing slash also matches all paths below.
function ruleOf(pattern) {
  const [, method, path] = /^(?:([A-Z]+) )?(\/\S*)$/.exec(pattern);
  const rule = { access: "public", insecure_skip_csrf: true, ...(method && { methods: [method] }) };
  if (!path.endsWith("/")) return [{ path, ...rule }];
  return [path, `${path}{*rest}`].map((path) => ({ path, ...rule }));
}

// The configuration needs a secret of at least six characters without a comma, and a URL in its canonical form.
export function isConfigurable({ secrets, url }) {
  const isSecret = (secret) => secret.length >= 6 && !/[,\s]/.test(secret);
  return (
    secrets.every(isSecret) &&
    (url === "" || (new URL(url).href === url && url.startsWith("https:")))
  );
}

function placeOf({ url }, at) {
  if (url === "") return { path: `/hooks/${at}`, host: "app.example" };
  const { pathname, search, host } = new URL(url);
  return { path: pathname + search, host };
}

function webhookVariables(question, at) {
  const { scheme, settings, more, untimed, tolerance, now, secrets, url } = question;
  const { path } = placeOf(question, at);
  const hook = {
    ...{ name: `hook-${at}`, scheme, path: path.split("?")[0], ...settings, ...more },
    ...(!untimed && { tolerance: `${tolerance}s` }),
  };
  return {
    DANGER_FIXED_NOW: now,
    WEBHOOKS: [hook],
    [`WEBHOOK_HOOK_${at}_SECRET`]: secrets.join(","),
    ...(url && { PUBLIC_ORIGINS: [new URL(url).origin] }),
  };
}
