/** The requests of the cases, as bytes, and the expected answers. */

import { createHmac } from "node:crypto";
import { ORIGIN } from "./targets/vestibule.mjs";
import { AUTH_SECRET } from "./workerd.mjs";

/**
 * @typedef {object} Case
 * @property {string} name the name for `--only`
 * @property {string} about
 * @property {Buffer} request
 * @property {number} status that every target answers
 * @property {string} floor the bare Worker for comparison
 * @property {number} connections
 * @property {number} share factor for the number of requests in a round
 * @property {RegExp} [heals] pattern that the answer must match
 */

/** A session token that was issued now. It has 232 bytes, like the token of a typical application. */
export const token = mint(0);
const expired = mint(-2 * 86_400);

/** @type {Case[]} */
export const CASES = [
  {
    name: "refuse",
    about: "401 at the edge: fetch() without a session",
    request: get("/api/orders/4711", cookies()),
    status: 401,
    floor: "constant401",
  },
  {
    name: "local",
    about: "200 at the edge: /api/auth/me",
    request: get("/api/auth/me", cookies(token)),
    status: 200,
    floor: "constant200",
  },
  {
    name: "heal",
    about: "401 at the edge that clears an expired cookie",
    request: get("/api/orders/4711", cookies(expired)),
    status: 401,
    floor: "constant401",
    heals: /\r\nset-cookie: mk_session=;[^\r]*max-age=0/i,
  },
  {
    name: "get",
    about: "GET, forwarded",
    request: get("/api/orders/4711?expand=items", cookies(token)),
    status: 200,
    floor: "pass",
  },
  {
    name: "post",
    about: "POST of 10 KB, forwarded",
    request: post("/api/orders", cookies(token)),
    status: 200,
    floor: "pass",
  },
  {
    name: "crowd",
    about: "GET, forwarded, on 200 connections",
    request: get("/api/orders/4711?expand=items", cookies(token)),
    status: 200,
    floor: "pass",
    connections: 200,
    share: 4,
  },
].map((values) => ({ connections: 8, share: 1, ...values }));

/** A request whose answer shows the headers that upstream received. */
export const seen = get("/api/seen", cookies(token));

/** Returns a GET. `more` has further header lines, each with its line end. */
export function get(path, cookie, more = "") {
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${headers(cookie)}${more}\r\n`);
}

/** Returns a POST with a JSON body. */
export function send(path, cookie, body, more = "") {
  const entity = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nOrigin: ${ORIGIN}\r\n${more}`;
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${headers(cookie)}${entity}\r\n${body}`);
}

function post(path, cookie) {
  const item = { sku: "AB-1234", quantity: 2, note: "leave it with the neighbours" };
  return send(path, cookie, JSON.stringify(Array(160).fill(item)).slice(0, 10_239).concat("]"));
}

/** The headers that Chrome sends for fetch() on a page of the site. */
function headers(cookie) {
  return `Host: ${ORIGIN.slice(8)}
Connection: keep-alive
sec-ch-ua-platform: "Windows"
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36
Accept: application/json, text/plain, */*
sec-ch-ua: "Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"
sec-ch-ua-mobile: ?0
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
Referer: ${ORIGIN}/orders?page=3
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7
Cookie: ${cookie}
`.replaceAll("\n", "\r\n");
}

/** Returns the value of a typical Cookie header with this session. */
export function cookies(session) {
  const others = "_ga=GA1.1.1432958214.1763890001; theme=dark";
  return session ? `_ga=GA1.1.1432958214.1763890001; mk_session=${session}; theme=dark` : others;
}

/** Signs a session token that is issued `offset` seconds from now and valid for an hour. */
export function mint(offset, userId = "usr_01J8ZK4T6Q2MV5XAC9") {
  const iat = Math.floor(Date.now() / 1_000) + offset;
  const ids = { userId, sessionId: "ses_01J8ZK4X9B7RWE3NP5HD01GSY" };
  const claims = { ...ids, iat, exp: iat + 3_600 };
  const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${text({ alg: "HS256", typ: "JWT" })}.${text(claims)}`;
  return `${signed}.${createHmac("sha256", AUTH_SECRET).update(signed).digest("base64url")}`;
}
