// Twilio: a signature over the URL and the sorted and joined fields of a form or, for other bodies, over a URL with the
// hash of the body.

import { createHmac } from "node:crypto";
import { parse, stringify } from "node:querystring";
import library from "twilio";
import { BYTES, CAPITALS, isText, noText, PUBLIC, sha256, TEXT } from "./common.mjs";

const TAG = "x-twilio-signature";
const FORM = "application/x-www-form-urlencoded; charset=utf-8";
const URL = `${PUBLIC}/hooks/twilio`;
const secrets = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

const isForm = ({ headers }) =>
  /^application\/x-www-form-urlencoded[ \t]*(;|$)/i.test(headers["content-type"] ?? "");
const hashIn = (query) => /[?&]bodySHA256=([^&]*)/.exec(query)?.[1];
// Parses a form like `express.urlencoded`, whose result the library takes.
const fieldsOf = (body) => parse(body.toString(), "&", "=", { maxKeys: 0 });
const request = (body, query, tag, type = FORM) => ({
  headers: { "content-type": type, [TAG]: tag },
  body,
  query,
});
const good = (body, { query = "", signedQuery = query, fields = fieldsOf(body), type } = {}) =>
  request(
    body,
    query,
    library.getExpectedTwilioSignature(secrets[0], URL + signedQuery, fields),
    type,
  );
const hashed = (body, hash) => good(body, { query: `?bodySHA256=${hash}`, fields: {} });

// The same without the library, on bytes: latin1 has one character for each byte and sorts as bytes do.
const unescaped = (text) =>
  text
    .replaceAll("+", " ")
    .replace(/%([0-9a-f]{2})/gi, (_, byte) => String.fromCharCode(Number.parseInt(byte, 16)));
const decoded = (body) => Buffer.from(unescaped(body.toString("latin1")), "latin1");
function joinedFields(body) {
  const pairs = body.toString("latin1").split("&").filter(Boolean);
  const halves = pairs.map((pair) => /^([^=]*)=?(.*)$/s.exec(pair).slice(1).map(unescaped));
  const once = [...new Set(halves.map((pair) => JSON.stringify(pair)))].map(JSON.parse);
  const compare = (a, b) => (a < b ? -1 : Number(a > b));
  once.sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]));
  return Buffer.from(once.flat().join(""), "latin1");
}
const spellings = (url) =>
  [url, url.replace("app.example", "app.example:443")].flatMap((url) => [
    url,
    url.replaceAll("%27", "'"),
    url.replaceAll("'", "%27"),
  ]);
const reformatted = (query) => `?${stringify(parse(query.slice(1)))}`;

const WORDS = [
  "From",
  "To",
  "Body",
  "body",
  "Media Url",
  "é",
  "a",
  "aa",
  "",
  "😀",
  "Ａ",
  "it's",
  "1",
];
const QUERIES = ["?a=1", "?q=it's", "?q=it%27s", "?q=it's&b", "?q=it%27s&b", "?q=a+b"];
const pair = (random) =>
  random.weighed([
    [16, new URLSearchParams([[random.one(WORDS), random.one(WORDS)]]).toString()],
    [2, encodeURIComponent(random.one(WORDS))],
    [1, "%zz=%"],
    [1, ""],
  ]);

export const twilio = {
  name: "twilio",
  secrets,
  endpoint: { scheme: "twilio" },
  bodies: [
    [
      60,
      (id, random) => {
        const pairs = Array.from({ length: random.below(8) }, () => pair(random));
        return Buffer.from([`MessageSid=${id}`, ...pairs].join("&"));
      },
    ],
    [5, (id) => Buffer.from(JSON.stringify({ id }))],
    [3, () => Buffer.alloc(0)],
    [3, (id) => noText(Buffer.from(`a=${id}&b=%ff&c=`))],
  ],
  sdk(body, secret) {
    const form = Buffer.from(
      new URLSearchParams({ MessageSid: sha256(body), Body: "it's" }).toString(),
    );
    return request(form, "", library.getExpectedTwilioSignature(secret, URL, fieldsOf(form)));
  },
  sign(random, { body, secret }) {
    const hash = random.weighed([
      [6, undefined],
      [2, sha256(body)],
      [1, sha256(body).toUpperCase()],
      [1, sha256(body).slice(1)],
    ]);
    const plain = random.weighed([
      [7, ""],
      [6, random.one(QUERIES)],
      [1, "?xbodySHA256=1"],
    ]);
    const query = hash === undefined ? plain : `${plain || "?"}&bodySHA256=${hash}`;
    const url = URL + query;
    const signedUrl = random.weighed([
      [6, url],
      [1, url.replace("app.example", "app.example:443")],
      [1, url.replace("app.example", "app.example:80")],
      [1, url.replaceAll("'", "%27")],
      [1, url.replaceAll("%27", "'")],
      [1, url.replace("+", "%20")],
      [1, url.replace("https:", "http:")],
    ]);
    const type = random.weighed([
      [10, FORM],
      [1, "Application/X-WWW-form-urlencoded"],
      [1, "application/json"],
      [1, "text/plain"],
    ]);
    const isPlain = hash === undefined && isForm({ headers: { "content-type": type } });
    const fields = isPlain ? fieldsOf(body) : {};
    return request(
      body,
      query,
      library.getExpectedTwilioSignature(secret, signedUrl, fields),
      type,
    );
  },
  accepts(request, secret) {
    const incoming = {
      header: (name) => request.headers[name.toLowerCase()],
      body: isForm(request) ? fieldsOf(request.body) : {},
      rawBody: request.body.toString(),
    };
    return library.validateExpressRequest(incoming, secret, { url: URL + request.query });
  },
  proves(request) {
    const { headers, body, query } = request;
    const hash = hashIn(query);
    if (hash === undefined && !isForm(request) && body.length > 0) return false;
    if (hash !== undefined && hash.toLowerCase() !== sha256(body)) return false;
    const rest = hash === undefined ? joinedFields(body) : "";
    const tagOf = (secret, url) =>
      createHmac("sha1", secret).update(url).update(rest).digest("base64");
    return secrets.some((secret) =>
      spellings(URL + query).some((url) => tagOf(secret, url) === headers[TAG]),
    );
  },
  differences: [
    {
      ...CAPITALS,
      when: ({ query }) => /[A-F]/.test(hashIn(query)),
      example: (body) => hashed(body, sha256(body).toUpperCase()),
    },
    {
      by: "ours",
      what: "an empty body with its hash",
      why: "the library replaces it with `{}`",
      when: ({ body, query }) => body.length === 0 && hashIn(query),
      example: () => hashed(Buffer.alloc(0), sha256("")),
    },
    {
      by: "ours",
      what: "`bodySHA256` within another parameter's name in the URL",
      why: "the library takes it for the hash of the body",
      when: ({ query }) => !hashIn(query) && query.includes("bodySHA256"),
      example: (body) => good(Buffer.from(`a=${body}`), { query: "?xbodySHA256=1" }),
    },
    {
      by: "ours",
      what: "`'` for `%27` or the reverse, in a query that Node would format in another way",
      why: "the library reformats the whole query; the gateway changes only this character",
      when: ({ query }) => /'|%27/.test(query),
      example: (body) =>
        good(Buffer.from(`a=${body}`), { query: "?q=it%27s&b", signedQuery: "?q=it's&b" }),
    },
    {
      ...BYTES,
      when: ({ body }) => !isText(decoded(body)),
      example: (body) => hashed(noText(body), sha256(noText(body))),
    },
    {
      by: "theirs",
      what: "a body that is neither a form nor hashed",
      why: "the signature does not cover it",
      when: (request) => !isForm(request) && hashIn(request.query) === undefined,
      example: (body) => good(body, { fields: {}, type: "application/json" }),
    },
    {
      ...TEXT,
      when: ({ body }) => !isText(decoded(body)),
      example: (body) => good(Buffer.from(`a=${body}&b=%ff`)),
    },
    {
      by: "theirs",
      what: "names with characters above U+FFFF, sorted as UTF-16",
      why: "the gateway sorts by bytes; Twilio's names are ASCII",
      when: ({ body }) => /[\u{10000}-\u{10ffff}]/u.test(decoded(body)),
      example: (body) =>
        good(Buffer.from(new URLSearchParams({ "😀": "1", Ａ: "2", a: body }).toString())),
    },
    {
      by: "theirs",
      what: "a query that was signed as Node formats it, not as it was sent",
      why: "the only known spelling differences of Twilio's senders are `'` and the port",
      when: ({ query }) => query !== reformatted(query),
      example: (body) =>
        good(Buffer.from(`a=${body}`), { query: "?q=a+b", signedQuery: "?q=a%20b" }),
    },
  ],
};
