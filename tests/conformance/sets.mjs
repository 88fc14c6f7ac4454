// The sets of public vectors, as questions. The vectors are read from VECTORS_DIR and are not part of this repository.
//
// A row has
//
// - `question`: what the readers (`readers.mjs`) are asked;
// - `passes(answer)`: whether an answer is what the vector expects;
// - `notOverHttp`: true if only Vestibule's functions can be asked.
//
// A row is null if no reader can be asked.

import { readVectors } from "../support/vectors.mjs";
import { webhookRow } from "./schemes.mjs";

/** Returns the sets, or null if a file of the vectors is missing. */
export function readSets() {
  const sets = SETS.map(({ file, rows, ...set }) => ({
    ...set,
    file,
    content: readVectors(file),
    rows,
  }));
  if (sets.some(({ content }) => content === null)) return null;
  return sets.map(({ content, rows, ...set }) => {
    const list = rows(content);
    return { ...set, total: list.length, rows: list.filter(Boolean) };
  });
}

const SETS = [
  {
    name: "session tokens: Wycheproof, HS256",
    file: "jwt/wycheproof_hs256.json",
    rows: ({ tests }) => tests.map(wycheproof),
  },
  {
    name: "session tokens: Wycheproof, other algorithms",
    file: "jwt/wycheproof_foreign_alg_all_reject.json",
    rows: ({ tests }) =>
      tests.map(({ id, token }) => tokenRow(id, [key("11".repeat(32))], token, false)),
  },
  {
    name: "session tokens: examples of the RFCs",
    file: "jwt/rfc_examples.json",
    rows: ({ tests }) =>
      tests.map(({ id, key_hex: hex = "5a".repeat(32), token, signature }) =>
        token ? tokenRow(id, [key(hex)], token, signature === "valid") : null,
      ),
  },
  {
    name: "session tokens: tests of five libraries",
    file: "jwt/library_literals.json",
    rows: ({ tests }) => tests.map(literal),
  },
  {
    name: "cookies: http-state, jshttp/cookie and others",
    file: "cookies/cookie_request_header.json",
    rows: ({ tests }) => tests.map(({ input_latin1: header, pairs }) => cookieRow(header, pairs)),
  },
  {
    name: "cookies: headers of real sites",
    file: "cookies/top_sites_cookie.json",
    rows: (sites) =>
      Object.values(sites).map((header) =>
        cookieRow(
          header,
          header.split("; ").map((pair) => /^([^=]*)=(.*)$/.exec(pair).slice(1)),
        ),
      ),
  },
  {
    name: "return paths: open redirects",
    file: "redirects/open_redirect_cases.json",
    rows: ({ cases }) => cases.map(redirect),
  },
  {
    name: "return paths: safe ones are kept",
    file: "redirects/safe_return_paths.json",
    rows: ({ preserve }) =>
      preserve.map((next) => ({
        id: next,
        question: { ask: "return_path", next },
        passes: ({ accepted }) => accepted === next,
      })),
  },
  {
    name: "CSRF: Go, Astro, Hono, Rails, better-auth",
    file: "csrf/csrf_cases.json",
    rows: ({ tests }) => tests.filter(({ method }) => method).map(csrf),
  },
  {
    name: "origins in the configuration: Go",
    file: "csrf/csrf_cases.json",
    rows: ({ tests }) =>
      tests
        .filter((row) => "trusted_origin_config" in row)
        .map(({ id, trusted_origin_config: text, upstream_config_error: invalid }) => ({
          id,
          question: { ask: "origin", text },
          passes: ({ valid }) => valid === !invalid,
        })),
  },
  {
    name: "idempotency keys: structured fields",
    file: "idempotency/sf_string_items.json",
    rows: ({ tests }) => tests.map(idempotencyKey),
  },
  {
    name: "webhooks: vectors of the providers",
    file: "webhooks/webhook_vectors.json",
    rows: ({ tests }) =>
      tests.map((row) => webhookRow(row, { id: row.id, valid: row.expect === "accept" })),
  },
  {
    name: "webhooks: the same, with another body",
    file: "webhooks/webhook_vectors.json",
    rows: ({ tests }) =>
      tests
        .filter(({ expect, provider }) => expect === "accept" && provider !== "twilio")
        .map((row) => webhookRow({ ...row, body: `${row.body}x` }, { id: row.id, valid: false })),
  },
  {
    name: "webhooks: catalogue of schemes",
    file: "webhooks/scheme_catalogue.json",
    rows: ({ schemes, secret, body, url, now }) =>
      schemes.map((row) =>
        webhookRow(
          {
            ...row,
            ...{ url, now, body: row.provider === "twilio" ? "" : body },
            // The catalogue has this secret in the form that Svix shows in a remark.
            secret: /whsec_[\w+/=]+/.exec(row.dedup_key)?.[0] ?? secret,
          },
          { id: row.provider, valid: true },
        ),
      ),
  },
  {
    name: "headers: spoofed names",
    file: "headers/smuggling_cases.json",
    rows: ({ header_cases: cases }) => cases.map(spoofed),
  },
  {
    name: "paths: confusion",
    file: "headers/smuggling_cases.json",
    rows: ({ path_cases: cases }) =>
      cases.map(({ id, path }) => ({
        id,
        question: { ask: "path", path: path.split(" ")[0] },
        // U+FF0E is no dot: the path stays below /public, as it was sent.
        passes: ({ forwarded }) =>
          forwarded === (/\uff0e/.test(path) ? "/public/%EF%BC%8E%EF%BC%8E/admin" : null),
      })),
  },
  {
    name: "bearer tokens",
    file: "bearer/agent_tokens.json",
    rows: ({ token, tests }) =>
      tests.map(({ id, authorization, expect }) => ({
        id,
        question: { ask: "bearer", authorization, token },
        passes: (answer) => (answer.token === token) === (expect === "accept"),
      })),
  },
];

const key = (hex, id = "key") => ({ id, hex });

// No vector has the claims of a session, so the Worker accepts none, and over HTTP only refusals can be asked.
function tokenRow(id, keys, token, valid) {
  return {
    id,
    question: { ask: "token", keys, token },
    passes: ({ accepted }) => accepted === valid,
    notOverHttp: valid,
  };
}

// A key set that the configuration cannot express is not asked.
function wycheproof({ id, keys, token, expect, config_level_policy: policy }) {
  if (/mixes symmetric and asymmetric/.test(policy) || keys.some(({ alg }) => alg !== "HS256")) {
    return null;
  }
  const named = keys.map(({ kid, hex }) => key(hex, kid));
  return tokenRow(id, named, token, expect === "accept");
}

// Vestibule has no keys this short, and verifies a token that names a key only with that key.
function literal({ test, token, key_hex: hex, header, strict_jws_result: result }) {
  const valid = result === "ok";
  if (valid && (hex.length < 64 || header?.kid !== undefined)) return null;
  return tokenRow(test, [key(hex.length < 64 ? "11".repeat(32) : hex)], token, valid);
}

function cookieRow(header, pairs) {
  const want = JSON.stringify(pairs);
  return {
    id: header.slice(0, 60),
    question: { ask: "cookies", header },
    passes: (answer) => JSON.stringify(answer.pairs) === want,
  };
}

const BASE = "https://app.example.com/login";

// A backslash in a query is data. So an input that resolves to this site may be accepted.
function redirect({ input, class: worst, expect_path_only_sanitizer: expected }) {
  return {
    id: input,
    question: { ask: "return_path", next: input },
    passes: ({ accepted }) =>
      accepted === null ||
      (new URL(accepted, BASE).origin === new URL(BASE).origin &&
        (worst === "same_origin" || expected !== "fallback")),
  };
}

function csrf({
  id,
  method,
  url,
  headers,
  trusted_origins: trusted = [],
  bypass_patterns: bypass = [],
  gateway_expect: expected,
}) {
  const { origin } = new URL(url);
  return {
    id,
    question: {
      ask: "csrf",
      method,
      origin,
      trusted,
      bypass,
      headers,
      path: url.slice(origin.length),
    },
    passes: ({ passes }) => passes === (expected === 200),
  };
}

// Vestibule also accepts a bare key, without the characters that other structured fields use.
function idempotencyKey({ name, raw, idempotency_key_expect: verdict }) {
  const bare = raw.join(", ").replace(/^[ \t]+|[ \t]+$/g, "");
  const accepted = bare.startsWith('"')
    ? verdict === "accept"
    : /^(?:(?!["'\\,;])[!-~])+$/.test(bare);
  return {
    id: name,
    question: { ask: "key", lines: raw },
    passes: (answer) => answer.accepted === accepted,
  };
}

// The names of the vectors that Vestibule does not set are not its own to protect.
const NOT_OURS = new Set([
  "x-auth-scopes",
  "x-gateway-signature",
  "x-tenant-id",
  "cf-connecting-ip",
]);
// They are about other things than names: see "Not asked" in docs/conformance.md.
const NOT_ABOUT_NAMES = new Set([
  "conn-hop",
  "auth-dup",
  "host-mismatch",
  "crlf-value",
  "header-count",
]);

function spoofed({ id, request_headers: sent, expect, level }) {
  if (NOT_ABOUT_NAMES.has(id) || level === "function") return null;
  const headers = sent
    .map(([name, value]) => ({ name: name.replace(/^X-Gateway-/i, "X-Vestibule-"), value }))
    .filter(({ name }) => !NOT_OURS.has(name.toLowerCase()) && name !== "X-Vestibule-Signature");
  const removable = headers.map(({ name }) => name.toLowerCase());
  const optional = expect.startsWith("not a trusted name");
  return {
    id,
    question: { ask: "removed", headers },
    passes: ({ removed, user }) =>
      user === null && (optional || removable.every((name) => removed.includes(name))),
  };
}
