// Credentials in the wrong place, tokens that parsers read differently, and concurrent copies of one request. Each is
// refused or runs once, and upstream gets no more requests than that.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { responseOf, startRequest } from "../support/client.mjs";
import { openGateway, PUBLIC } from "../support/gateway.mjs";
import { ACCOUNTS, SETUP_TOKEN, setUpUsers } from "../support/people.mjs";
import {
  createSessionToken,
  now,
  payloadOf,
  sessionCookies,
  sign,
  trackSecret,
} from "../support/tokens.mjs";
import { AUTH_SECRET, UPSTREAM_SECRET } from "../support/worker.mjs";

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const asCookie = (token) => ({ cookie: sessionCookies(token) });
const keyId = (secret) => createHash("sha256").update(secret).digest("hex").slice(0, 8);

describe("a credential in place of another kind", () => {
  const routes = [
    { path: "/user/{*rest}", access: "user" },
    { path: "/any/{*rest}", access: "authenticated" },
    { path: "/agent/{*rest}", access: "agent" },
    { path: "/maybe/{*rest}", access: "optional" },
  ];
  const OTHER = { AUTH_SECRET: "Rw5Jq8Zt2Lx9Vb4Nc7Mf1Gd6Hs3Kp0Ye" };
  let gateway;
  let otherDeployment;
  let own;
  let foreign;
  before(async () => {
    gateway = await openGateway({ routes, variables: ACCOUNTS });
    // Another deployment with the same UPSTREAM_SECRET.
    otherDeployment = await openGateway({ routes, variables: { ...ACCOUNTS, ...OTHER } });
    [own, foreign] = await Promise.all(
      [gateway, otherDeployment].map(async (deployment) => {
        const people = await setUpUsers(deployment);
        const ada = await people.createUser("ada");
        const { seen } = await deployment.expectForwarded(() => deployment.request("/user/x", ada));
        const session = trackSecret(ada.headers.Cookie.split("=")[1]);
        const assertion = trackSecret(seen.headers["x-vestibule-assertion"]);
        const { plaintext } = await people.createToken(ada, "mul_");
        const agent = await people.createToken(people.root, "mk_");
        return { session, assertion, machine: plaintext, agent: agent.plaintext, ada };
      }),
    );
  });
  after(async () => {
    await gateway.stop();
    await otherDeployment.stop();
  });

  const assertNotIdentified = async (headers, name) => {
    for (const path of ["/user/x", "/any/x", "/agent/x"]) {
      const response = await gateway.expectNotForwarded(() => gateway.request(path, { headers }));
      assert.equal(response.status, 401, `${name} at ${path}: ${response.text}`);
    }
    const { seen } = await gateway.expectForwarded(() => gateway.request("/maybe/x", { headers }));
    assert.equal(seen.headers["x-user-id"], undefined, name);
    const { sub, kind } = payloadOf(trackSecret(seen.headers["x-vestibule-assertion"]));
    assert.deepEqual([sub, kind], [undefined, undefined], name);
  };

  test("gets 401, and no principal under optional", async () => {
    for (const [name, headers] of [
      ["a session as Bearer", bearer(own.session)],
      ["a machine's token as cookie", asCookie(own.machine)],
      ["an agent's token as cookie", asCookie(own.agent)],
      ["an assertion as cookie", asCookie(own.assertion)],
      ["an assertion as Bearer", bearer(own.assertion)],
      ["the setup token as Bearer", bearer(SETUP_TOKEN)],
      ["AUTH_SECRET as Bearer", bearer(AUTH_SECRET)],
      ["another deployment's session", asCookie(foreign.session)],
      ["another deployment's session as Bearer", bearer(foreign.session)],
      ["another deployment's machine token", bearer(foreign.machine)],
      ["another deployment's agent token", bearer(foreign.agent)],
      ["another deployment's assertion", asCookie(foreign.assertion)],
      ["another deployment's assertion as Bearer", bearer(foreign.assertion)],
    ])
      await assertNotIdentified(headers, name);
  });

  test("gets the same after it was signed again as the other kind", async () => {
    const claims = payloadOf(own.session);
    const assertionClaims = payloadOf(own.assertion);
    const header = (more) => JSON.stringify({ alg: "HS256", typ: "JWT", ...more });
    const assertionType = "vestibule-assertion+jwt";
    const audiences = { aud: ["x", "vestibule-upstream"] };
    for (const [name, token] of [
      [
        "a session with an assertion's type",
        sign(header({ typ: assertionType }), JSON.stringify(claims)),
      ],
      [
        "a session with an assertion's audience",
        createSessionToken({ ...claims, aud: assertionClaims.aud }),
      ],
      [
        "a session with an assertion's audience and others",
        createSessionToken({ ...claims, ...audiences }),
      ],
      ["an assertion with a session's type", createSessionToken(assertionClaims)],
      [
        "the same with a longer lifetime",
        createSessionToken({ ...assertionClaims, exp: now() + 86_400 }),
      ],
      ["the same with other audiences", createSessionToken({ ...assertionClaims, ...audiences })],
      [
        "a session under upstream's secret",
        createSessionToken(claims, { secret: UPSTREAM_SECRET }),
      ],
      [
        "a session under upstream's secret with the kid of the session key",
        createSessionToken(claims, {
          secret: UPSTREAM_SECRET,
          header: { kid: keyId(AUTH_SECRET) },
        }),
      ],
      [
        "a session with the kid of upstream's key",
        createSessionToken(claims, { header: { kid: keyId(UPSTREAM_SECRET) } }),
      ],
      ["a session with an unknown id", createSessionToken({ ...claims, sessionId: "ses_none" })],
      ["a session of another user", createSessionToken({ ...claims, userId: "usr_none" })],
    ])
      await assertNotIdentified(asCookie(token), name);
    // The session itself is valid, unchanged and signed again.
    for (const token of [own.session, createSessionToken(claims)])
      await gateway.expectForwarded(() => gateway.request("/user/x", { headers: asCookie(token) }));
  });
});

describe("a token that parsers read differently", () => {
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
  const fromHex = (hex) => Buffer.from(hex, "hex");
  const concat = (before, hex, after) =>
    Buffer.concat([Buffer.from(before), fromHex(hex), Buffer.from(after)]);
  const encode = (text) => Buffer.from(text).toString("base64url");
  const tagOf = (signed, algorithm = "sha256") =>
    createHmac(algorithm, AUTH_SECRET).update(signed).digest("base64url");
  const signed = (header, payload) => `${header}.${payload}.${tagOf(`${header}.${payload}`)}`;
  const [encodedHeader, encodedPayload] = [encode(HEADER), encode(CLAIMS)];
  const tag = tagOf(`${encodedHeader}.${encodedPayload}`);
  // The last character of 32 encoded bytes has unused bits: the next character decodes to the same bytes.
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const withLooseBits = (text) => text.slice(0, -1) + ALPHABET[ALPHABET.indexOf(text.at(-1)) + 1];
  const withPadding = (text) => text + "=".repeat((4 - (text.length % 4)) % 4);
  const paddedPayload = encode(`${CLAIMS} `.padEnd(Math.ceil((CLAIMS.length + 1) / 3) * 3 + 1));

  const TOKENS = {
    "a header that is not UTF-8": sign(concat('{"alg":"HS256","x":"', "ff", '"}'), CLAIMS),
    "a header with an overlong encoding": sign(
      concat('{"alg":"HS256","x":"', "c0af", '"}'),
      CLAIMS,
    ),
    "a payload that is not UTF-8": sign(HEADER, concat(CLAIMS.replace("}", ',"x":"'), "c3", '"}')),
    "a payload with a surrogate": sign(
      HEADER,
      concat(CLAIMS.replace("}", ',"x":"'), "eda080", '"}'),
    ),
    "a header after a byte order mark": sign(concat("", "efbbbf", HEADER), CLAIMS),
    "a payload after a byte order mark": sign(HEADER, concat("", "efbbbf", CLAIMS)),
    "UTF-16": sign(Buffer.from(HEADER, "utf16le"), Buffer.from(CLAIMS, "utf16le")),
    "alg twice": withHeader('"alg":"none"'),
    "alg twice, the same": withHeader('"alg":"HS256"'),
    "alg twice, escaped": withHeader('"\\u0061lg":"HS256"'),
    "the user twice": withClaim('"userId":"usr_bob"'),
    "the user twice, escaped": withClaim('"user\\u0049d":"usr_bob"'),
    "exp twice": withClaim('"exp":9999999999'),
    "an object before the payload": sign(HEADER, `{}${CLAIMS}`),
    "an object after the payload": sign(HEADER, `${CLAIMS}{}`),
    "a NUL after the payload": sign(HEADER, `${CLAIMS}\0`),
    "the payload in an array": sign(HEADER, `[${CLAIMS}]`),
    "the payload as a JSON string": sign(HEADER, JSON.stringify(CLAIMS)),
    "deeply nested arrays": withClaim(`"x":${"[".repeat(1_400)}${"]".repeat(1_400)}`),
    "deeply nested objects": withClaim(`"x":${'{"a":'.repeat(500)}1${"}".repeat(500)}`),
    "deeply nested arrays in the header": withHeader(
      `"x":${"[".repeat(1_400)}${"]".repeat(1_400)}`,
    ),
    "exp beyond 64 bits": sign(HEADER, CLAIMS.replace(exp, "9223372036854775808")),
    "exp of a hundred digits": sign(HEADER, CLAIMS.replace(exp, "9".repeat(100))),
    "exp with an exponent": sign(HEADER, CLAIMS.replace(exp, "1e300")),
    "exp with a fraction": sign(HEADER, CLAIMS.replace(exp, `${exp}.0`)),
    "exp as text": sign(HEADER, CLAIMS.replace(exp, `"${exp}"`)),
    "no exp": sign(HEADER, CLAIMS.replace(`,"exp":${exp}`, "")),
    "exp as null": sign(HEADER, CLAIMS.replace(exp, "null")),
    "a negative exp": sign(HEADER, CLAIMS.replace(exp, "-1")),
    "the smallest exp": sign(HEADER, CLAIMS.replace(exp, "-9223372036854775808")),
    "a user that is a number": sign(HEADER, CLAIMS.replace('"usr_ada"', "1")),
    "a user that is an array": sign(HEADER, CLAIMS.replace('"usr_ada"', '["usr_ada"]')),
    "an escaped line break in the user": sign(HEADER, CLAIMS.replace("usr_ada", "usr\\nada")),
    crit: withHeader('"crit":["exp"]'),
    "an empty crit": withHeader('"crit":[]'),
    b64: withHeader('"b64":false,"crit":["b64"]'),
    "b64 alone": withHeader('"b64":true'),
    "a kid with a path": withHeader('"kid":"../../dev/null"'),
    "a kid with SQL": withHeader('"kid":"\' OR 1=1 --"'),
    "an empty kid": withHeader('"kid":""'),
    "a kid that is null": withHeader('"kid":null'),
    "a kid that is an array": withHeader(`"kid":["${keyId(AUTH_SECRET)}"]`),
    "a kid in capitals": withHeader(`"kid":"${keyId(AUTH_SECRET).toUpperCase()}X"`),
    "alg HS512": sign('{"alg":"HS512"}', CLAIMS),
    "no alg": sign('{"typ":"JWT"}', CLAIMS),
    "alg none without a tag": `${encode('{"alg":"none"}')}.${encodedPayload}.`,
    "alg none with a tag": sign('{"alg":"none"}', CLAIMS),
    "alg RS256": sign('{"alg":"RS256"}', CLAIMS),
    "alg in lower case": sign('{"alg":"hs256"}', CLAIMS),
    "the MAC of another algorithm": `${encodedHeader}.${encodedPayload}.${tagOf(`${encodedHeader}.${encodedPayload}`, "sha512")}`,
    "an empty tag": `${encodedHeader}.${encodedPayload}.`,
    "no tag": `${encodedHeader}.${encodedPayload}`,
    "half a tag": `${encodedHeader}.${encodedPayload}.${tag.slice(0, 22)}`,
    "a tag with more characters": `${encodedHeader}.${encodedPayload}.${tag}AAAA`,
    "a fourth part": `${encodedHeader}.${encodedPayload}.${tag}.`,
    "five parts": `${encodedHeader}.${encodedPayload}.${tag}.${tag}.${tag}`,
    "an empty part before it": `.${encodedHeader}.${encodedPayload}.${tag}`,
    "no payload": signed(encodedHeader, ""),
    "no header": signed("", encodedPayload),
    "a padded tag": `${encodedHeader}.${encodedPayload}.${withPadding(tag)}`,
    "a padded payload": signed(encodedHeader, withPadding(paddedPayload)),
    "a padded header": signed(`${encodedHeader}=`, encodedPayload),
    "loose bits in the tag": `${encodedHeader}.${encodedPayload}.${withLooseBits(tag)}`,
    "loose bits in the payload": signed(encodedHeader, withLooseBits(paddedPayload)),
    "the other base64 alphabet": `${encodedHeader}.${encodedPayload}.${tag.slice(0, 4)}+/${tag.slice(6)}`,
    "a line break in the payload, escaped": signed(encodedHeader, `${encodedPayload}%0A`),
    "an escaped dot": `${encodedHeader}%2E${encodedPayload}.${tag}`,
  };

  test("gets 401", async () => {
    for (const [name, token] of Object.entries(TOKENS)) {
      trackSecret(token);
      const headers = asCookie(token);
      const before = gateway.upstreamRequests.length;
      const response = await gateway.request("/user/x", { headers });
      assert.deepEqual([response.status, gateway.upstreamRequests.length - before], [401, 0], name);
      const { reason } = response.json();
      assert.match(reason, /^session_(malformed|bad_signature|expired)$/, `${name}: ${reason}`);
    }
    // The token without these changes is valid, and so is a header with links to keys, which are ignored.
    const jwk = `"jwk":{"kty":"oct","k":"${encode("x".repeat(32))}"}`;
    for (const token of [
      `${encodedHeader}.${encodedPayload}.${tag}`,
      signed(encodedHeader, paddedPayload),
      withHeader(`"jku":"https://evil.example/keys",${jwk},"x5u":"https://evil.example/"`),
    ])
      await gateway.expectForwarded(() => gateway.request("/user/x", { headers: asCookie(token) }));
    // Signed with a key of the client's own.
    const foreignMac = createHmac("sha256", "x".repeat(32)).update(
      `${encode(`{"alg":"HS256",${jwk}}`)}.${encodedPayload}`,
    );
    const token = trackSecret(
      `${encode(`{"alg":"HS256",${jwk}}`)}.${encodedPayload}.${foreignMac.digest("base64url")}`,
    );
    await gateway.expectRejected(
      "/user/x",
      { headers: asCookie(token) },
      401,
      "unauthorized",
      "session_bad_signature",
    );
  });

  test("gets 401 with white space or separators in it", async () => {
    for (const separator of [" ", "\t", '"', ",", "%20"])
      for (const position of [
        5,
        encodedHeader.length,
        encodedHeader.length + 1 + encodedPayload.length,
        encodedHeader.length + encodedPayload.length + 9,
      ]) {
        const validToken = `${encodedHeader}.${encodedPayload}.${tag}`;
        const token = validToken.slice(0, position) + separator + validToken.slice(position);
        const headers = asCookie(token);
        const response = await gateway.expectNotForwarded(() =>
          gateway.request("/user/x", { headers }),
        );
        assert.equal(response.status, 401, `${JSON.stringify(separator)} at ${position}`);
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

  test("is the URL that upstream gets, or its hash beyond 2,048 bytes", async () => {
    const urlsByClaim = new Map();
    for (const part of ["a", "'", '"', "<", "%7e", "%61", "é", "|", "%2B", "a=b&", "%C3%A9"])
      for (const prefix of ["/", "/?", "/b?"])
        for (const length of [500, 680, 2_045, 2_046, 2_047, 2_048, 2_049, 4_000]) {
          const isRaw = part === "é";
          const path =
            prefix + part.repeat(Math.ceil(length / part.length)).slice(0, length - prefix.length);
          if (/%.?$/.test(path)) continue;
          const sent = isRaw ? Buffer.from(path).toString("latin1") : path;
          const before = gateway.upstreamRequests.length;
          const response = await gateway.request(sent);
          if (response.status === 400) continue;
          assert.equal(
            gateway.upstreamRequests.length,
            before + 1,
            `${part} ${length}: ${response.status}`,
          );
          const { url, headers } = gateway.upstreamRequests[before];
          const claims = payloadOf(trackSecret(headers["x-vestibule-assertion"]));
          assert.equal("pathHash" in claims, url.length > 2_048, `${part} ${length} ${url.length}`);
          assert.equal("path" in claims, url.length <= 2_048, `${part} ${length}`);
          const claim = claims.path ?? claims.pathHash;
          assert.equal(claim, url.length > 2_048 ? sha256(url) : url);
          assert.equal(urlsByClaim.get(claim) ?? url, url, "two URLs have the same claim");
          urlsByClaim.set(claim, url);
        }
    assert.ok([...urlsByClaim.keys()].some((claim) => /^[0-9a-f]{64}$/.test(claim)));
    // A path that looks like the hash of another path stays a path.
    const { seen } = await gateway.expectForwarded(() => gateway.request(`/${sha256("/a")}`));
    assert.equal(payloadOf(trackSecret(seen.headers["x-vestibule-assertion"])).pathHash, undefined);
  });
});

// Makes upstream hold its responses at `path` until `release` is called. `reached` waits for the first request.
function holdBack(gateway, path, status = 200) {
  const waiting = [];
  let isOpen = false;
  const answer = (response) => response.writeHead(status).end("ran");
  gateway.upstream.answers[path] = (_, response, seen) => {
    seen.body.catch(() => {});
    if (isOpen) answer(response);
    else waiting.push(response);
  };
  const reached = async () => {
    while (waiting.length === 0 && !isOpen) await gateway.upstream.nextRequest();
  };
  return {
    reached,
    release() {
      isOpen = true;
      waiting.forEach(answer);
    },
  };
}

describe("a replayed webhook", () => {
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
  const countRuns = (path, before) =>
    gateway.upstreamRequests.slice(before).filter(({ url }) => url === path).length;
  const hub = (body, eventType, delivery) =>
    gateway.request("/hooks/hub", {
      method: "POST",
      headers: {
        "X-Hub-Signature-256": `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
        "X-GitHub-Event": eventType,
        "X-GitHub-Delivery": delivery,
      },
      body,
    });
  const shop = (body, topic, id) =>
    gateway.request("/hooks/shop", {
      method: "POST",
      headers: {
        "X-Shopify-Hmac-Sha256": createHmac("sha256", SECRET).update(body).digest("base64"),
        "X-Shopify-Topic": topic,
        "X-Shopify-Webhook-Id": id,
        "X-Shopify-Event-Id": id,
      },
      body,
    });

  for (const [path, deliver, eventTypes, expectedRuns] of [
    ["/hooks/hub", hub, ["push", "release", "ping"], 1],
    ["/hooks/shop", shop, ["orders/create", "orders/paid", "orders/none"], 2],
  ]) {
    test(`runs ${expectedRuns} time(s) for concurrent copies under other types and ids: ${path}`, async () => {
      const [body, before] = [event(), gateway.upstreamRequests.length];
      const all = Array.from({ length: 30 }, (_, i) => deliver(body, eventTypes[i % 3], `id-${i}`));
      const statuses = (await Promise.all(all)).map(({ status }) => status);
      assert.equal(countRuns(path, before), expectedRuns, statuses.join());
      for (const eventType of eventTypes) await deliver(body, eventType, "again");
      assert.equal(countRuns(path, before), expectedRuns);
    });

    test(`does not run again while it is being delivered: ${path}`, async () => {
      const [body, before] = [event(), gateway.upstreamRequests.length];
      const upstream = holdBack(gateway, path);
      const first = deliver(body, eventTypes[0], "id-1");
      await upstream.reached();
      for (const id of ["id-1", "id-2"]) {
        const response = await deliver(
          body,
          expectedRuns === 1 ? eventTypes[1] : eventTypes[0],
          id,
        );
        assert.ok(response.status >= 400 && response.status !== 401, response.text);
      }
      assert.equal(countRuns(path, before), 1);
      upstream.release();
      assert.equal((await first).status, 200);
      assert.equal(
        (await deliver(body, eventTypes[0], "id-3")).headers["x-webhook-duplicate"],
        "true",
      );
      assert.equal(countRuns(path, before), 1);
      delete gateway.upstream.answers[path];
    });

    test(`runs once more after a failure, for concurrent retries: ${path}`, async () => {
      const [body, before] = [event(), gateway.upstreamRequests.length];
      gateway.upstream.answers[path] = { status: 503 };
      await deliver(body, eventTypes[0], "id-1");
      delete gateway.upstream.answers[path];
      const all = Array.from({ length: 10 }, (_, i) => deliver(body, eventTypes[0], `id-${i}`));
      await Promise.all(all);
      assert.equal(countRuns(path, before), 2, "the failed attempt and one more");
      assert.equal(
        (await deliver(body, eventTypes[0], "id-1")).headers["x-webhook-duplicate"],
        "true",
      );
      assert.equal(countRuns(path, before), 2);
    });
  }
});

describe("one idempotency key in concurrent requests", () => {
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
  const newKey = () => {
    count += 1;
    return `moment-${count}`;
  };
  const ada = asCookie(createSessionToken());
  const bob = asCookie(createSessionToken({ userId: "usr_bob", sessionId: "ses_2" }));
  const pay = (url, key, headers = {}, body = "A") =>
    gateway.requestUrl(url, {
      method: "POST",
      headers: {
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "text/plain",
        "Idempotency-Key": key,
        ...headers,
      },
      body,
    });
  const countRuns = (before) => gateway.upstreamRequests.slice(before).length;

  test("runs once for each of two users, who get their own responses", async () => {
    const [key, before] = [newKey(), gateway.upstreamRequests.length];
    gateway.upstream.answers["/user/pay"] = (request, response, seen) => {
      seen.body.catch(() => {});
      response.end(`for ${request.headers["x-user-id"]}`);
    };
    const all = Array.from({ length: 20 }, (_, i) =>
      pay(`${PUBLIC}/user/pay`, key, i % 2 ? ada : bob),
    );
    const answers = await Promise.all(all);
    assert.equal(countRuns(before), 2);
    answers.forEach((answer, i) => {
      if (answer.status === 200) assert.equal(answer.text, i % 2 ? "for usr_ada" : "for usr_bob");
      else assert.equal(answer.status, 409);
    });
    delete gateway.upstream.answers["/user/pay"];
  });

  test("runs once for two hosts, or for two spellings of the path", async () => {
    for (const otherUrl of [
      `${SECOND}/open/pay`,
      ...["/OPEN/pay", "/open/pay/", "/open/pay;x", "/open//pay", "/open/pay%3F", "/open/pay."].map(
        (path) => PUBLIC + path,
      ),
    ]) {
      const [key, before] = [newKey(), gateway.upstreamRequests.length];
      const urls = [`${PUBLIC}/open/pay`, otherUrl];
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, i) => pay(urls[i % 2], key)),
      );
      const statuses = answers.map(({ status }) => status);
      assert.equal(countRuns(before), 1, `${otherUrl}: ${statuses}`);
      assert.ok(
        statuses.every((status) => [200, 400, 409, 422].includes(status)),
        `${otherUrl}: ${statuses}`,
      );
    }
  });

  test("does not run again under any spelling after the client disconnected", async () => {
    const key = newKey();
    const before = gateway.upstreamRequests.length;
    const upstream = holdBack(gateway, "/open/pay", 201);
    const request = startRequest(gateway.origin, "/open/pay", {
      method: "POST",
      url: `${PUBLIC}/open/pay`,
      host: "app.example",
      headers: {
        "Idempotency-Key": key,
        "Content-Type": "text/plain",
        "Sec-Fetch-Site": "same-origin",
      },
      body: "A",
    });
    const disconnected = responseOf(request).catch(() => {});
    request.end("A");
    await upstream.reached();
    request.destroy();
    await disconnected;
    for (const url of [`${PUBLIC}/open/pay`, `${PUBLIC}/open/pay/`, `${SECOND}/open/pay`]) {
      const answer = await pay(url, key);
      assert.ok([400, 409, 422].includes(answer.status), `${url}: ${answer.status}`);
    }
    assert.equal(countRuns(before), 1);
    upstream.release();
    // The response is stored as soon as upstream sends it.
    let replay = await pay(`${PUBLIC}/open/pay`, key);
    while (replay.status === 409) replay = await pay(`${PUBLIC}/open/pay`, key);
    assert.deepEqual([replay.status, replay.headers["idempotent-replayed"]], [201, "true"]);
    assert.equal(countRuns(before), 1);
    delete gateway.upstream.answers["/open/pay"];
  });

  test("is not claimed before the body is complete", async () => {
    const [key, before] = [newKey(), gateway.upstreamRequests.length];
    const request = startRequest(gateway.origin, "/open/pay", {
      method: "POST",
      url: `${PUBLIC}/open/pay`,
      host: "app.example",
      headers: {
        "Idempotency-Key": key,
        "Content-Type": "text/plain",
        "Content-Length": 10,
        "Sec-Fetch-Site": "same-origin",
      },
    });
    const disconnected = responseOf(request).catch(() => {});
    request.write("A");
    request.flushHeaders();
    const answer = await pay(`${PUBLIC}/open/pay`, key);
    assert.equal(answer.status, 200);
    request.destroy();
    await disconnected;
    assert.equal(countRuns(before), 1);
  });
});
