// Credentials where they do not belong, tokens that readers read differently, and the same act at the same moment from two
// sides. Each is refused or run once, and upstream is asked no more often than that.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { responseOf, send } from "../support/client.mjs";
import { openGateway, PUBLIC } from "../support/gateway.mjs";
import { ACCOUNTS, SETUP_TOKEN, settle } from "../support/people.mjs";
import { cookie, mint, now, payloadOf, remember, sign } from "../support/tokens.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const asCookie = (token) => ({ cookie: cookie(token) });
const keyId = (secret) => createHash("sha256").update(secret).digest("hex").slice(0, 8);

describe("a credential in another's place", () => {
  const routes = [
    { path: "/user/{*rest}", access: "user" },
    { path: "/any/{*rest}", access: "authenticated" },
    { path: "/agent/{*rest}", access: "agent" },
    { path: "/maybe/{*rest}", access: "optional" },
  ];
  const OTHER = { AUTH_SECRET: "Rw5Jq8Zt2Lx9Vb4Nc7Mf1Gd6Hs3Kp0Ye" };
  let gateway;
  let other;
  let own;
  let foreign;
  before(async () => {
    gateway = await openGateway({ routes, variables: ACCOUNTS });
    // Another deployment, whose assertions are signed with the same secret.
    other = await openGateway({ routes, variables: { ...ACCOUNTS, ...OTHER } });
    [own, foreign] = await Promise.all(
      [gateway, other].map(async (at) => {
        const people = await settle(at);
        const ada = await people.invited("ada");
        const { seen } = await at.passed(() => at.ask("/user/x", ada));
        const session = remember(ada.headers.Cookie.split("=")[1]);
        const assertion = remember(seen.headers["x-vestibule-assertion"]);
        const { plaintext } = await people.token(ada, "mul_");
        const agent = await people.token(people.root, "mk_");
        return { session, assertion, machine: plaintext, agent: agent.plaintext, ada };
      }),
    );
  });
  after(async () => {
    await gateway.stop();
    await other.stop();
  });

  const nobody = async (headers, what) => {
    for (const path of ["/user/x", "/any/x", "/agent/x"]) {
      const response = await gateway.untouched(() => gateway.ask(path, { headers }));
      assert.equal(response.status, 401, `${what} at ${path}: ${response.text}`);
    }
    const { seen } = await gateway.passed(() => gateway.ask("/maybe/x", { headers }));
    assert.equal(seen.headers["x-user-id"], undefined, what);
    const { sub, kind } = payloadOf(remember(seen.headers["x-vestibule-assertion"]));
    assert.deepEqual([sub, kind], [undefined, undefined], what);
  };

  test("is nobody", async () => {
    for (const [what, headers] of [
      ["a session as Bearer", bearer(own.session)],
      ["a machine's token as cookie", asCookie(own.machine)],
      ["an agent's token as cookie", asCookie(own.agent)],
      ["an assertion as cookie", asCookie(own.assertion)],
      ["an assertion as Bearer", bearer(own.assertion)],
      ["the secret of the setup as Bearer", bearer(SETUP_TOKEN)],
      ["a secret as Bearer", bearer(AUTH_SECRET)],
      ["another's session", asCookie(foreign.session)],
      ["another's session as Bearer", bearer(foreign.session)],
      ["another's machine", bearer(foreign.machine)],
      ["another's agent", bearer(foreign.agent)],
      ["another's assertion", asCookie(foreign.assertion)],
      ["another's assertion as Bearer", bearer(foreign.assertion)],
    ])
      await nobody(headers, what);
  });

  test("is nobody after it was signed again as something else", async () => {
    const claims = payloadOf(own.session);
    const said = payloadOf(own.assertion);
    const header = (more) => JSON.stringify({ alg: "HS256", typ: "JWT", ...more });
    const kind = "vestibule-assertion+jwt";
    const list = { aud: ["x", "vestibule-upstream"] };
    for (const [what, token] of [
      ["a session of an assertion's type", sign(header({ typ: kind }), JSON.stringify(claims))],
      ["a session for an assertion's audience", mint({ ...claims, aud: said.aud })],
      ["among other audiences", mint({ ...claims, ...list })],
      ["an assertion of a session's type", mint(said)],
      ["with a longer life", mint({ ...said, exp: now() + 86_400 })],
      ["with other audiences too", mint({ ...said, ...list })],
      ["a session under upstream's secret", mint(claims, { secret: UPSTREAM_SECRET })],
      [
        "under the name of the session key",
        mint(claims, { secret: UPSTREAM_SECRET, header: { kid: keyId(AUTH_SECRET) } }),
      ],
      ["under the name of another key", mint(claims, { header: { kid: keyId(UPSTREAM_SECRET) } })],
      ["of a session that was never opened", mint({ ...claims, sessionId: "ses_none" })],
      ["of another user's session", mint({ ...claims, userId: "usr_none" })],
    ])
      await nobody(asCookie(token), what);
    // The session itself is good, as it is and signed again.
    for (const token of [own.session, mint(claims)])
      await gateway.passed(() => gateway.ask("/user/x", { headers: asCookie(token) }));
  });
});

describe("a token that readers read differently", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: [{ path: "/user/{*rest}", access: "user" }] });
  });
  after(() => gateway.stop());

  const HEADER = '{"alg":"HS256"}';
  const exp = now() + 3_600;
  const CLAIMS = `{"userId":"usr_ada","sessionId":"ses_1","iat":${now()},"exp":${exp}}`;
  const withHeader = (more) => sign(`{"alg":"HS256",${more}}`, CLAIMS);
  const withClaim = (more) => sign(HEADER, CLAIMS.replace("}", `,${more}}`));
  const bytes = (hex) => Buffer.from(hex, "hex");
  const around = (before, hex, after) =>
    Buffer.concat([Buffer.from(before), bytes(hex), Buffer.from(after)]);
  const encode = (text) => Buffer.from(text).toString("base64url");
  const tagOf = (signed, algorithm = "sha256") =>
    createHmac(algorithm, AUTH_SECRET).update(signed).digest("base64url");
  const signed = (header, payload) => `${header}.${payload}.${tagOf(`${header}.${payload}`)}`;
  const [head, body] = [encode(HEADER), encode(CLAIMS)];
  const tag = tagOf(`${head}.${body}`);
  // The last character of 32 bytes has four bits of its own: the next one decodes to the same bytes.
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const loose = (text) => text.slice(0, -1) + ALPHABET[ALPHABET.indexOf(text.at(-1)) + 1];
  const padded = (text) => text + "=".repeat((4 - (text.length % 4)) % 4);
  const odd = encode(`${CLAIMS} `.padEnd(Math.ceil((CLAIMS.length + 1) / 3) * 3 + 1));

  const TOKENS = {
    "a header that is not UTF-8": sign(around('{"alg":"HS256","x":"', "ff", '"}'), CLAIMS),
    "an overlong encoding in it": sign(around('{"alg":"HS256","x":"', "c0af", '"}'), CLAIMS),
    "a payload that is not UTF-8": sign(HEADER, around(CLAIMS.replace("}", ',"x":"'), "c3", '"}')),
    "a surrogate in it": sign(HEADER, around(CLAIMS.replace("}", ',"x":"'), "eda080", '"}')),
    "a header after a byte order mark": sign(around("", "efbbbf", HEADER), CLAIMS),
    "a payload after one": sign(HEADER, around("", "efbbbf", CLAIMS)),
    "UTF-16": sign(Buffer.from(HEADER, "utf16le"), Buffer.from(CLAIMS, "utf16le")),
    "alg twice": withHeader('"alg":"none"'),
    "alg twice, the same": withHeader('"alg":"HS256"'),
    "alg twice, escaped": withHeader('"\\u0061lg":"HS256"'),
    "the user twice": withClaim('"userId":"usr_bob"'),
    "the user twice, escaped": withClaim('"user\\u0049d":"usr_bob"'),
    "exp twice": withClaim('"exp":9999999999'),
    "an object before the payload's": sign(HEADER, `{}${CLAIMS}`),
    "an object behind it": sign(HEADER, `${CLAIMS}{}`),
    "a NUL behind it": sign(HEADER, `${CLAIMS}\0`),
    "a list of it": sign(HEADER, `[${CLAIMS}]`),
    "a text of it": sign(HEADER, JSON.stringify(CLAIMS)),
    "a bomb of lists": withClaim(`"x":${"[".repeat(1_400)}${"]".repeat(1_400)}`),
    "a bomb of objects": withClaim(`"x":${'{"a":'.repeat(500)}1${"}".repeat(500)}`),
    "a bomb in the header": withHeader(`"x":${"[".repeat(1_400)}${"]".repeat(1_400)}`),
    "exp beyond 64 bits": sign(HEADER, CLAIMS.replace(exp, "9223372036854775808")),
    "exp of a hundred digits": sign(HEADER, CLAIMS.replace(exp, "9".repeat(100))),
    "exp with an exponent": sign(HEADER, CLAIMS.replace(exp, "1e300")),
    "exp with a fraction": sign(HEADER, CLAIMS.replace(exp, `${exp}.0`)),
    "exp as text": sign(HEADER, CLAIMS.replace(exp, `"${exp}"`)),
    "no exp": sign(HEADER, CLAIMS.replace(`,"exp":${exp}`, "")),
    "exp as null": sign(HEADER, CLAIMS.replace(exp, "null")),
    "a negative exp": sign(HEADER, CLAIMS.replace(exp, "-1")),
    "exp at the end of time, below": sign(HEADER, CLAIMS.replace(exp, "-9223372036854775808")),
    "a user that is a number": sign(HEADER, CLAIMS.replace('"usr_ada"', "1")),
    "a user that is a list": sign(HEADER, CLAIMS.replace('"usr_ada"', '["usr_ada"]')),
    "an escaped line break in the user": sign(HEADER, CLAIMS.replace("usr_ada", "usr\\nada")),
    crit: withHeader('"crit":["exp"]'),
    "an empty crit": withHeader('"crit":[]'),
    b64: withHeader('"b64":false,"crit":["b64"]'),
    "b64 alone": withHeader('"b64":true'),
    "a kid with a path": withHeader('"kid":"../../dev/null"'),
    "a kid with SQL": withHeader('"kid":"\' OR 1=1 --"'),
    "an empty kid": withHeader('"kid":""'),
    "a kid that is null": withHeader('"kid":null'),
    "a kid that is a list": withHeader(`"kid":["${keyId(AUTH_SECRET)}"]`),
    "a kid in capitals": withHeader(`"kid":"${keyId(AUTH_SECRET).toUpperCase()}X"`),
    "an alg of another length": sign('{"alg":"HS512"}', CLAIMS),
    "no alg": sign('{"typ":"JWT"}', CLAIMS),
    "alg none without a tag": `${encode('{"alg":"none"}')}.${body}.`,
    "alg none with a tag": sign('{"alg":"none"}', CLAIMS),
    "a public key's alg": sign('{"alg":"RS256"}', CLAIMS),
    "alg in lower case": sign('{"alg":"hs256"}', CLAIMS),
    "the MAC of another algorithm": `${head}.${body}.${tagOf(`${head}.${body}`, "sha512")}`,
    "an empty tag": `${head}.${body}.`,
    "no tag": `${head}.${body}`,
    "half a tag": `${head}.${body}.${tag.slice(0, 22)}`,
    "a tag and more": `${head}.${body}.${tag}AAAA`,
    "a fourth part": `${head}.${body}.${tag}.`,
    "five parts": `${head}.${body}.${tag}.${tag}.${tag}`,
    "a part before it": `.${head}.${body}.${tag}`,
    "no payload": signed(head, ""),
    "no header": signed("", body),
    "a padded tag": `${head}.${body}.${padded(tag)}`,
    "a padded payload": signed(head, padded(odd)),
    "a padded header": signed(`${head}=`, body),
    "loose bits in the tag": `${head}.${body}.${loose(tag)}`,
    "loose bits in the payload": signed(head, loose(odd)),
    "the other alphabet": `${head}.${body}.${tag.slice(0, 4)}+/${tag.slice(6)}`,
    "a line break in the payload, escaped": signed(head, `${body}%0A`),
    "an escaped dot": `${head}%2E${body}.${tag}`,
  };

  test("is nobody's session", async () => {
    for (const [what, token] of Object.entries(TOKENS)) {
      remember(token);
      const headers = asCookie(token);
      const before = gateway.seen.length;
      const response = await gateway.ask("/user/x", { headers });
      assert.deepEqual([response.status, gateway.seen.length - before], [401, 0], what);
      const { reason } = response.json();
      assert.match(reason, /^session_(malformed|bad_signature|expired)$/, `${what}: ${reason}`);
    }
    // What they are variants of is good, and so is a header that names keys which nobody follows.
    const jwk = `"jwk":{"kty":"oct","k":"${encode("x".repeat(32))}"}`;
    for (const token of [
      `${head}.${body}.${tag}`,
      signed(head, odd),
      withHeader(`"jku":"https://evil.example/keys",${jwk},"x5u":"https://evil.example/"`),
    ])
      await gateway.passed(() => gateway.ask("/user/x", { headers: asCookie(token) }));
    // Spoilt by a key of the client's own.
    const own = createHmac("sha256", "x".repeat(32)).update(
      `${encode(`{"alg":"HS256",${jwk}}`)}.${body}`,
    );
    const token = remember(
      `${encode(`{"alg":"HS256",${jwk}}`)}.${body}.${own.digest("base64url")}`,
    );
    await gateway.refused(
      "/user/x",
      { headers: asCookie(token) },
      401,
      "unauthorized",
      "session_bad_signature",
    );
  });

  test("with white space in it is nobody's session", async () => {
    for (const mark of [" ", "\t", '"', ",", "%20"])
      for (const at of [
        5,
        head.length,
        head.length + 1 + body.length,
        head.length + body.length + 9,
      ]) {
        const whole = `${head}.${body}.${tag}`;
        const token = whole.slice(0, at) + mark + whole.slice(at);
        const headers = asCookie(token);
        const response = await gateway.untouched(() => gateway.ask("/user/x", { headers }));
        assert.equal(response.status, 401, `${JSON.stringify(mark)} at ${at}`);
      }
  });
});

describe("an assertion's path", () => {
  let gateway;
  before(async () => {
    gateway = await openGateway({ routes: [{ path: "/{*rest}", access: "public" }] });
  });
  after(() => gateway.stop());
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");

  test("is what upstream gets, or the hash of all of it, however long it becomes on its way", async () => {
    const all = new Map();
    for (const part of ["a", "'", '"', "<", "%7e", "%61", "é", "|", "%2B", "a=b&", "%C3%A9"])
      for (const where of ["/", "/?", "/b?"])
        for (const length of [500, 680, 2_045, 2_046, 2_047, 2_048, 2_049, 4_000]) {
          const isRaw = part === "é";
          const path =
            where + part.repeat(Math.ceil(length / part.length)).slice(0, length - where.length);
          if (/%.?$/.test(path)) continue;
          const sent = isRaw ? Buffer.from(path).toString("latin1") : path;
          const before = gateway.seen.length;
          const response = await gateway.ask(sent);
          if (response.status === 400) continue;
          assert.equal(gateway.seen.length, before + 1, `${part} ${length}: ${response.status}`);
          const { url, headers } = gateway.seen[before];
          const claims = payloadOf(remember(headers["x-vestibule-assertion"]));
          assert.equal("pathHash" in claims, url.length > 2_048, `${part} ${length} ${url.length}`);
          assert.equal("path" in claims, url.length <= 2_048, `${part} ${length}`);
          const bound = claims.path ?? claims.pathHash;
          assert.equal(bound, url.length > 2_048 ? sha256(url) : url);
          assert.equal(all.get(bound) ?? url, url, "two URLs share one");
          all.set(bound, url);
        }
    assert.ok([...all.keys()].some((bound) => /^[0-9a-f]{64}$/.test(bound)));
    // A path that looks like the hash of another one is a path.
    const { seen } = await gateway.passed(() => gateway.ask(`/${sha256("/a")}`));
    assert.equal(payloadOf(remember(seen.headers["x-vestibule-assertion"])).pathHash, undefined);
  });
});

// Waits for upstream to be asked at `path`, and holds its answers back until it is told to give them.
function holdBack(gateway, path, status = 200) {
  const waiting = [];
  let isOpen = false;
  const give = (response) => response.writeHead(status).end("ran");
  gateway.upstream.answers[path] = (_, response, seen) => {
    seen.body.catch(() => {});
    if (isOpen) give(response);
    else waiting.push(response);
  };
  const reached = async () => {
    while (waiting.length === 0 && !isOpen) await gateway.upstream.arrival();
  };
  return {
    reached,
    release() {
      isOpen = true;
      waiting.forEach(give);
    },
  };
}

describe("a webhook, replayed", () => {
  const SECRET = "secret_of_the_provider";
  const WEBHOOKS = [
    { name: "hub", scheme: "github", path: "/hooks/hub" },
    {
      name: "shop",
      scheme: "shopify",
      path: "/hooks/shop",
      events: ["orders/create", "orders/paid"],
    },
  ];
  let gateway;
  before(async () => {
    gateway = await openGateway({
      variables: { WEBHOOKS, WEBHOOK_HUB_SECRET: SECRET, WEBHOOK_SHOP_SECRET: SECRET },
    });
  });
  after(() => gateway.stop());

  let count = 0;
  const event = () => {
    count += 1;
    return JSON.stringify({ id: count });
  };
  const hits = (path, from) => gateway.seen.slice(from).filter(({ url }) => url === path).length;
  const hub = (body, kind, delivery) =>
    gateway.ask("/hooks/hub", {
      method: "POST",
      headers: {
        "X-Hub-Signature-256": `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
        "X-GitHub-Event": kind,
        "X-GitHub-Delivery": delivery,
      },
      body,
    });
  const shop = (body, topic, id) =>
    gateway.ask("/hooks/shop", {
      method: "POST",
      headers: {
        "X-Shopify-Hmac-Sha256": createHmac("sha256", SECRET).update(body).digest("base64"),
        "X-Shopify-Topic": topic,
        "X-Shopify-Webhook-Id": id,
        "X-Shopify-Event-Id": id,
      },
      body,
    });

  for (const [path, deliver, kinds, most] of [
    ["/hooks/hub", hub, ["push", "release", "ping"], 1],
    ["/hooks/shop", shop, ["orders/create", "orders/paid", "orders/none"], 2],
  ]) {
    test(`${path}: of many at once, under other types and ids, it is run at most ${most} times`, async () => {
      const [body, from] = [event(), gateway.seen.length];
      const all = Array.from({ length: 30 }, (_, at) => deliver(body, kinds[at % 3], `id-${at}`));
      const statuses = (await Promise.all(all)).map(({ status }) => status);
      assert.equal(hits(path, from), most, statuses.join());
      for (const kind of kinds) await deliver(body, kind, "again");
      assert.equal(hits(path, from), most);
    });

    test(`${path}: while it is being delivered, it is not run again`, async () => {
      const [body, from] = [event(), gateway.seen.length];
      const held = holdBack(gateway, path);
      const first = deliver(body, kinds[0], "id-1");
      await held.reached();
      for (const id of ["id-1", "id-2"]) {
        const again = await deliver(body, most === 1 ? kinds[1] : kinds[0], id);
        assert.ok(again.status >= 400 && again.status !== 401, again.text);
      }
      assert.equal(hits(path, from), 1);
      held.release();
      assert.equal((await first).status, 200);
      assert.equal((await deliver(body, kinds[0], "id-3")).headers["x-webhook-duplicate"], "true");
      assert.equal(hits(path, from), 1);
      delete gateway.upstream.answers[path];
    });

    test(`${path}: after it failed, it is run once more, whichever attempt comes first`, async () => {
      const [body, from] = [event(), gateway.seen.length];
      gateway.upstream.answers[path] = { status: 503 };
      await deliver(body, kinds[0], "id-1");
      delete gateway.upstream.answers[path];
      const all = Array.from({ length: 10 }, (_, at) => deliver(body, kinds[0], `id-${at}`));
      await Promise.all(all);
      assert.equal(hits(path, from), 2, "the failed attempt and one more");
      assert.equal((await deliver(body, kinds[0], "id-1")).headers["x-webhook-duplicate"], "true");
      assert.equal(hits(path, from), 2);
    });
  }
});

describe("one key at the same moment", () => {
  const SECOND = "https://b.example";
  let gateway;
  before(async () => {
    gateway = await openGateway({
      routes: [
        { path: "/user/{*rest}", access: "user", idempotency: "required" },
        { path: "/open/pay", access: "public", idempotency: "required" },
      ],
      variables: { PUBLIC_ORIGINS: [PUBLIC, SECOND] },
    });
  });
  after(() => gateway.stop());

  let count = 0;
  const key = () => {
    count += 1;
    return `moment-${count}`;
  };
  const ada = asCookie(mint());
  const bob = asCookie(mint({ userId: "usr_bob", sessionId: "ses_2" }));
  const pay = (url, name, headers = {}, body = "A") =>
    gateway.visit(url, {
      method: "POST",
      headers: {
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "text/plain",
        "Idempotency-Key": name,
        ...headers,
      },
      body,
    });
  const runs = (from) => gateway.seen.slice(from).length;

  test("of two users: each is run once, and neither gets the other's answer", async () => {
    const [name, from] = [key(), gateway.seen.length];
    gateway.upstream.answers["/user/pay"] = (request, response, seen) => {
      seen.body.catch(() => {});
      response.end(`for ${request.headers["x-user-id"]}`);
    };
    const all = Array.from({ length: 20 }, (_, at) =>
      pay(`${PUBLIC}/user/pay`, name, at % 2 ? ada : bob),
    );
    const answers = await Promise.all(all);
    assert.equal(runs(from), 2);
    answers.forEach((answer, at) => {
      if (answer.status === 200) assert.equal(answer.text, at % 2 ? "for usr_ada" : "for usr_bob");
      else assert.equal(answer.status, 409);
    });
    delete gateway.upstream.answers["/user/pay"];
  });

  test("at two hosts, or in two spellings: one is run", async () => {
    for (const twin of [
      `${SECOND}/open/pay`,
      ...["/OPEN/pay", "/open/pay/", "/open/pay;x", "/open//pay", "/open/pay%3F", "/open/pay."].map(
        (path) => PUBLIC + path,
      ),
    ]) {
      const [name, from] = [key(), gateway.seen.length];
      const urls = [`${PUBLIC}/open/pay`, twin];
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, at) => pay(urls[at % 2], name)),
      );
      const statuses = answers.map(({ status }) => status);
      assert.equal(runs(from), 1, `${twin}: ${statuses}`);
      assert.ok(
        statuses.every((status) => [200, 400, 409, 422].includes(status)),
        `${twin}: ${statuses}`,
      );
    }
  });

  test("after the client went away in the middle, no spelling runs it again", async () => {
    const name = key();
    const from = gateway.seen.length;
    const held = holdBack(gateway, "/open/pay", 201);
    const request = send(gateway.origin, "/open/pay", {
      method: "POST",
      url: `${PUBLIC}/open/pay`,
      host: "app.example",
      headers: {
        "Idempotency-Key": name,
        "Content-Type": "text/plain",
        "Sec-Fetch-Site": "same-origin",
      },
      body: "A",
    });
    const gone = responseOf(request).catch(() => {});
    request.end("A");
    await held.reached();
    request.destroy();
    await gone;
    for (const url of [`${PUBLIC}/open/pay`, `${PUBLIC}/open/pay/`, `${SECOND}/open/pay`]) {
      const answer = await pay(url, name);
      assert.ok([400, 409, 422].includes(answer.status), `${url}: ${answer.status}`);
    }
    assert.equal(runs(from), 1);
    held.release();
    // Its answer is kept as soon as it has come.
    let again = await pay(`${PUBLIC}/open/pay`, name);
    while (again.status === 409) again = await pay(`${PUBLIC}/open/pay`, name);
    assert.deepEqual([again.status, again.headers["idempotent-replayed"]], [201, "true"]);
    assert.equal(runs(from), 1);
    delete gateway.upstream.answers["/open/pay"];
  });

  test("before the body is complete: nothing is claimed or run", async () => {
    const [name, from] = [key(), gateway.seen.length];
    const request = send(gateway.origin, "/open/pay", {
      method: "POST",
      url: `${PUBLIC}/open/pay`,
      host: "app.example",
      headers: {
        "Idempotency-Key": name,
        "Content-Type": "text/plain",
        "Content-Length": 10,
        "Sec-Fetch-Site": "same-origin",
      },
    });
    const gone = responseOf(request).catch(() => {});
    request.write("A");
    request.flushHeaders();
    const answer = await pay(`${PUBLIC}/open/pay`, name);
    assert.equal(answer.status, 200);
    request.destroy();
    await gone;
    assert.equal(runs(from), 1);
  });
});
