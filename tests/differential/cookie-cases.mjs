// Random cookies, as servers set them and as browsers send them.

const NAMES = [
  "a",
  "b",
  "mk_sessio",
  "mk_session2",
  "MK_SESSION",
  "mk-session",
  "__Host-x",
  "$Version",
  "",
  "a b",
  '"q"',
  "mk_session%20",
  "[x]",
];
const VALUES = [
  "",
  "1",
  '"quoted"',
  "a=b",
  "=",
  "mk_session=x",
  "a, mk_session=x",
  '{"a":1}',
  "%3B",
  "a b",
  "x\ty",
  "\\",
  "'",
];
const ATTRIBUTES = [
  "",
  "; Path=/",
  "; Path=/; HttpOnly",
  "; Path=/x",
  "; Max-Age=0",
  "; SameSite=Lax",
  ";",
  "; ;",
  "; Path",
];

/** Returns a `Set-Cookie` line. */
export function lineOf(random) {
  const name = random.one(NAMES);
  const equals = random.weighed([
    [20, "="],
    [1, ""],
    [2, " = "],
  ]);
  return `${name}${equals}${random.one(VALUES)}${random.one(ATTRIBUTES)}`;
}

/** Returns a `Cookie` header, with the session at a random place in every second one. */
export function headerOf(random, session) {
  const parts = Array.from({ length: random.below(6) }, () => {
    const equals = random.weighed([
      [20, "="],
      [1, ""],
      [2, " = "],
    ]);
    return `${random.one(NAMES)}${equals}${random.one(VALUES)}`;
  });
  if (random.chance(0.5)) parts.splice(random.below(parts.length + 1), 0, session);
  return parts.join(random.one(["; ", ";", " ; "]));
}
