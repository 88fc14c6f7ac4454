// Random variants of a provider's requests: signed with some secret, body and time, and then changed. The same seed
// gives the same requests.

// Returns a random generator (mulberry32). The same seed gives the same values.
export function randomGenerator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count) => Math.floor(next() * count);
  const one = (list) => list[below(list.length)];
  return {
    below,
    one,
    chance: (share) => next() < share,
    // Picks a value from [weight, value] pairs.
    weighed(pairs) {
      let rest = next() * pairs.reduce((sum, [weight]) => sum + weight, 0);
      return pairs.find(([weight]) => {
        rest -= weight;
        return rest < 0;
      })[1];
    },
    shuffled(list) {
      const rest = [...list];
      return list.map(() => rest.splice(below(rest.length), 1)[0]);
    },
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))),
  };
}

// Plans what to sign: a unique body, a time around `now`, and one of the provider's secrets or a wrong one.
export function signingPlan(random, { now, id, secrets, bodies = BODIES }) {
  const at = now + random.weighed(OFFSETS);
  const { written, read = written } = random.weighed(SPELLINGS)(at);
  const body = random.weighed(bodies)(id, random);
  return {
    id: random.weighed(IDS)(`msg_${id}`, now),
    body,
    // Some signers sign the body decoded as text instead of its bytes, or the time as they parse it.
    signedBody: random.one([
      body,
      Buffer.from(body.toString()),
      Buffer.from(new TextDecoder().decode(body)),
    ]),
    written,
    signedTime: random.chance(0.5) ? written : read,
    secret: random.weighed([
      [14, secrets[0]],
      [4, secrets.at(-1)],
      [1, `${secrets[0]} `],
      [1, secrets[0].slice(0, -4)],
      [1, secrets.join(",")],
      [1, "c29tZSBvdGhlciBzZWNyZXQ="],
    ]),
  };
}

const OFFSETS = [
  [40, 0],
  ...[-1, 1, -5, 5, -6, 6, -299, 299, -300, 300, -301, 301].map((offset) => [2, offset]),
  ...[-86_400, 86_400, -(10 ** 9), 10 ** 10].map((offset) => [1, offset]),
];

// Spellings of a time: as written, and as a lenient parser reads it.
const SPELLINGS = [
  [80, (at) => ({ written: `${at}` })],
  ...[
    (at) => [`0${at}`, `${at}`],
    (at) => [`+${at}`, `${at}`],
    (at) => [`${at}x`, `${at}`],
    (at) => [`${at}.5`, `${at}`],
    (at) => [`${at}000`],
    (at) => [`0x${at.toString(16)}`, "0"],
    (at) => [`-${at}`],
    () => ["soon", "NaN"],
    () => ["99999999999999999999", "100000000000000000000"],
  ].map((spell) => [
    1,
    (at) => {
      const [written, read] = spell(at);
      return { written, read };
    },
  ]),
];

const IDS = [
  [20, (id) => id],
  [2, (id) => `${id}.part`],
  [1, (id, now) => `${id}.${now}`],
  [1, (id, now) => `${id}.${now - 86_400}`],
];

const json = (id, more) => Buffer.from(JSON.stringify({ ...more, id: `evt_${id}`, event_id: id }));
export const BODIES = [
  [60, (id) => json(id, { type: "thing.done" })],
  [6, (id) => json(id, { type: "thing.done", note: "é – 𝄞 \u2028" })],
  [3, (id, random) => json(id, { note: "x".repeat(random.below(20_000)) })],
  [3, (id) => Buffer.from(`text ${id}`)],
  [3, (id, random) => Buffer.concat([json(id), random.bytes(8)])],
  [3, (id) => Buffer.concat([Buffer.from("\ufeff"), json(id)])],
  [2, () => Buffer.alloc(0)],
];

// Builds a list for a header: the time, the signature, and other elements around them.
export function arrangeList(random, { separator, time, tag, wrong, unknown }) {
  const wrongCount = random.weighed([
    [60, 0],
    [10, 1],
    [3, 2],
    ...[14, 15, 16, 40].map((count) => [1, count]),
  ]);
  const others = random.chance(0.2) ? [random.one(unknown)] : [];
  const parts = [...time, ...Array(wrongCount).fill(wrong), ...tag, ...others];
  const mixed = random.chance(0.5) ? parts : random.shuffled(parts);
  const between = random.weighed([
    [20, separator],
    [1, `${separator} `],
    [1, ` ${separator}`],
    [1, `${separator}${separator}`],
  ]);
  return mixed.join(between);
}

// Changes a signed request: in half of the cases not at all, often once, rarely more than once.
export function mutate(random, request) {
  const times = random.weighed([
    [50, 0],
    [38, 1],
    [8, 2],
    [4, 3],
  ]);
  let result = request;
  for (let time = 0; time < times; time += 1) result = random.weighed(CHANGES)(random, result);
  return result;
}

const CHANGES = [
  [60, changeHeader],
  [20, (random, request) => ({ ...request, body: changeBody(random, request.body) })],
  [4, (random, request) => ({ ...request, query: random.one(["", "?a=1", "?a=2", "?"]) })],
];

function changeHeader(random, request) {
  const { headers, ...rest } = request;
  const name = random.one(Object.keys(headers));
  if (name === undefined) return request;
  const value = random.weighed(EDITS)(random, headers[name]);
  const { [name]: _, ...others } = headers;
  return { ...rest, headers: value === undefined ? others : { ...headers, [name]: value } };
}

const CHARACTERS = [..."019afAF,;=:. \t+-/_vth"];
const cut = (text, at, length, middle = "") => text.slice(0, at) + middle + text.slice(at + length);
const swapCase = (text) => (text === text.toLowerCase() ? text.toUpperCase() : text.toLowerCase());
const EDITS = [
  [6, (random, text) => cut(text, random.below(text.length), 1, random.one(CHARACTERS))],
  [4, (random, text) => cut(text, random.below(text.length), 1)],
  [4, (random, text) => cut(text, random.below(text.length + 1), 0, random.one(CHARACTERS))],
  [2, (random, text) => text.slice(0, random.below(text.length))],
  [2, (random, text) => text + random.one(["=", "=00", ",", ", ", "00", "A", " x", ";"])],
  [2, (random, text) => `${text}${random.one([", ", ",", " ", ";"])}${text}`],
  [2, (_, text) => text.replace(/[0-9a-f]{40,}/gi, swapCase)],
  [1, (_, text) => swapCase(text)],
  [1, (_, text) => text.replace(/^[^=,]*[=,]/, "")],
  [1, (_, text) => text.replaceAll(/[,;]/g, "$& ")],
  [1, () => ""],
  [1, () => undefined],
];

function changeBody(random, body) {
  const at = random.below(body.length + 1);
  const [before, after] = [body.subarray(0, at), body.subarray(at)];
  return random.one([
    () => Buffer.concat([before, Buffer.from(" "), after]),
    () => Buffer.concat([before, random.bytes(1), after.subarray(1)]),
    () => before,
    () => Buffer.concat([body, Buffer.from("\n")]),
    () => Buffer.alloc(0),
  ])();
}
