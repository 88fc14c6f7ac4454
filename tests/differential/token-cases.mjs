// Random changes of good session tokens. Most are signed after the change, so that the signature is right.

import { createHmac } from "node:crypto";

const base64url = (bytes) => Buffer.from(bytes).toString("base64url");
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Returns a token. `now` is the time in seconds, `secret` the key. */
export function tokenCase(random, { now, secret }) {
  const header = headerOf(random);
  const payload = payloadOf(random, now);
  let parts = [
    random.weighed(ENCODINGS)(header, random),
    random.weighed(ENCODINGS)(payload, random),
  ];
  const key = random.weighed([
    [30, secret],
    [1, `${secret}x`],
    [1, secret.slice(0, 32)],
    [1, ""],
  ]);
  const hash = random.weighed([
    [40, "sha256"],
    [1, "sha384"],
    [1, "sha512"],
  ]);
  const tag = createHmac(hash, key).update(parts.join(".")).digest();
  parts = [...parts, random.weighed(ENCODINGS)(tag, random)];
  return random.weighed(SHAPES)(parts, random);
}

const ALGORITHMS = [
  '"HS384"',
  '"none"',
  '"hs256"',
  '"HS256 "',
  '["HS256"]',
  "null",
  '"RS256"',
  '""',
  "256",
];

function headerOf(random) {
  return random.weighed([
    [30, () => '{"alg":"HS256"}'],
    [20, () => '{"alg":"HS256","typ":"JWT"}'],
    [3, () => `{"alg":${random.one(ALGORITHMS)}}`],
    [1, () => '{"typ":"JWT"}'],
    [
      2,
      () =>
        `{"alg":"HS256","typ":${random.one(['"jwt"', '"at+jwt"', '"application/jwt"', "1", "null"])}}`,
    ],
    [2, () => `{"alg":"HS256","kid":${random.one(['"x"', '""', "1", "null"])}}`],
    [
      2,
      () => `{"alg":"HS256","crit":${random.one(['["exp"]', "[]", '["b64"]', '"exp"', "null"])}}`,
    ],
    [1, () => '{"alg":"HS256","b64":false,"crit":["b64"]}'],
    [1, () => '{"alg":"HS256","b64":true}'],
    [2, () => '{"alg":"none","alg":"HS256"}'],
    [1, () => '{"alg":"HS256","alg":"none"}'],
    [1, () => '{"alg":"HS256","\\u0061lg":"HS256"}'],
    [1, () => '{"\\u0061lg":"HS256"}'],
    [1, () => ' {\t"alg" : "HS256" }\r\n'],
    [1, () => '{"alg":"HS256"} x'],
    [1, () => '\ufeff{"alg":"HS256"}'],
    [1, () => '{"alg":"HS256",}'],
    [1, () => '["HS256"]'],
    [1, () => '{"alg":"HS256","jku":"https://x.example","jwk":{"kty":"oct","k":"AA"},"cty":"JWT"}'],
    [1, () => '{"alg":"HS256","zip":"DEF"}'],
  ])();
}

const ODD_VALUES = [
  '"1"',
  "null",
  "true",
  "1.5",
  "-1",
  "1e400",
  "1e12",
  "99999999999999999999",
  "[]",
  "{}",
  '""',
  '"x"',
];
const TIMES = [-1e9, -100_000, -5_000, 0, 5_000, 100_000, 1e9];

function payloadOf(random, now) {
  const claims = [
    ["userId", '"usr_ada"'],
    ["sessionId", '"ses_1"'],
    ["iat", String(now)],
    ["exp", String(now + 3_600)],
  ];
  const edits = random.weighed([
    [30, 0],
    [40, 1],
    [10, 2],
    [3, 3],
  ]);
  for (let edit = 0; edit < edits; edit += 1) random.weighed(CLAIM_EDITS)(claims, random, now);
  const text = `{${claims.map(([name, value]) => `"${name}":${value}`).join(",")}}`;
  return random.weighed([
    [60, () => text],
    [1, () => ` ${text}\n`],
    [1, () => `${text}x`],
    [1, () => `\ufeff${text}`],
    [1, () => random.one(["null", "[]", '"x"', "1", "{}", "", "{"])],
    [
      1,
      () =>
        Buffer.concat([
          Buffer.from(text.slice(0, -1)),
          Buffer.from(',"a":"'),
          random.bytes(2),
          Buffer.from('"}'),
        ]),
    ],
  ])();
}

const replace = (claims, name, value) => {
  const found = claims.find(([own]) => own === name);
  if (found) found[1] = value;
  else claims.push([name, value]);
};
const time = (random, now) =>
  random.weighed([
    [20, String(now + random.one(TIMES))],
    [3, `${now + random.one(TIMES)}.5`],
    [3, `${now + 100_000}e0`],
    [6, random.one(ODD_VALUES)],
  ]);
const CLAIM_EDITS = [
  [10, (claims, random, now) => replace(claims, "exp", time(random, now))],
  [6, (claims, random, now) => replace(claims, "nbf", time(random, now))],
  [6, (claims, random, now) => replace(claims, "iat", time(random, now))],
  [4, (claims, random) => claims.splice(random.below(claims.length), 1)],
  [
    4,
    (claims, random) =>
      replace(
        claims,
        random.one(["userId", "sessionId"]),
        random.one([...ODD_VALUES, '"é"', '"a b"', `"${"u".repeat(129)}"`]),
      ),
  ],
  [4, (claims, random) => claims.splice(random.below(claims.length), 0, [...random.one(claims)])],
  [
    2,
    (claims, random) =>
      replace(
        claims,
        random.one(["iss", "sub", "aud", "jti"]),
        random.one([...ODD_VALUES, '"vestibule"', '"vestibule-upstream"', '"vestibule-session"']),
      ),
  ],
  [
    2,
    (claims, random) =>
      replace(claims, "role", random.one(['"admin"', '{"a":1,"a":2}', "[[[[1]]]]", '"\\ud800"'])),
  ],
  [1, (claims) => replace(claims, "pad", `"${"p".repeat(4_000)}"`)],
];

const ENCODINGS = [
  [60, (bytes) => base64url(bytes)],
  [1, (bytes) => Buffer.from(bytes).toString("base64")],
  [1, (bytes) => `${base64url(bytes)}${"=".repeat((4 - (base64url(bytes).length % 4)) % 4)}`],
  [1, (bytes) => `${base64url(bytes)}=`],
  [1, (bytes) => loose(base64url(bytes))],
  [1, (bytes) => `${base64url(bytes)}A`],
  [1, (bytes) => base64url(bytes).slice(0, -1)],
  [
    1,
    (bytes, random) =>
      insert(
        base64url(bytes),
        random.one(["-", "_", "+", "/", "=", "!", "%41", "\\", "*"]),
        random,
      ),
  ],
];

// Changes the bits of the last character that encode nothing.
function loose(text) {
  const spare = { 2: 16, 3: 4 }[text.length % 4];
  if (!spare) return text;
  const last = ALPHABET.indexOf(text.at(-1));
  return text.slice(0, -1) + ALPHABET[last - (last % spare) + ((last + 1) % spare)];
}

function insert(text, part, random) {
  const at = random.below(text.length + 1);
  return text.slice(0, at) + part + text.slice(at);
}

const SHAPES = [
  [60, (parts) => parts.join(".")],
  [1, ([header, payload]) => `${header}.${payload}.`],
  [1, ([header, payload]) => `${header}.${payload}`],
  [1, (parts) => `${parts.join(".")}.`],
  [1, (parts) => `.${parts.join(".")}`],
  [1, (parts) => `${parts.join(".")}.${parts[2]}`],
  [1, ([header, payload, tag]) => `${header}..${payload}.${tag}`],
  [1, ([header, payload, tag]) => `${payload}.${header}.${tag}`],
  [1, (parts, random) => flip(parts.join("."), random)],
  [1, (parts) => parts.join(".").toUpperCase()],
];

function flip(text, random) {
  const at = random.below(text.length);
  return text.slice(0, at) + random.one([...ALPHABET]) + text.slice(at + 1);
}
