/** The requests of a soak, one function for each kind. Any of them may fail, but none may break an invariant. */

import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { problemOf } from "./book.mjs";
import { CHECK_TTL, WEBHOOK_SECRET } from "./deployment.mjs";

/** How often each act is chosen. */
export const WEIGHTS = {
  public: 12,
  page: 25,
  me: 5,
  token: 12,
  heal: 6,
  ended: 4,
  signIn: 1,
  write: 12,
  approval: 2,
  inbox: 5,
  direct: 4,
  forged: 4,
  audited: 5,
  limited: 5,
  stream: 1,
  tokens: 1,
};

export const JSON_TYPE = { "Content-Type": "application/json" };
/** Milliseconds after which an isolate has surely forgotten what it knew of a session or token. */
export const FORGOTTEN = (CHECK_TTL + 3) * 1_000;

/** The addresses that are counted under the limit. All users share them. */
const ADDRESSES = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];

export const ACTS = {
  public: (client) => client.get("public", `/open/${client.name()}`, {}, null),
  page: (client) => client.get("page", `/app/${client.name()}`, client.session, client.id),
  audited: (client) =>
    client.get("audited", `/audited/${client.name()}`, client.session, client.id),

  async me(client) {
    const response = await client.send("me", "/api/auth/me", { headers: client.session });
    if (response?.status !== 200) return;
    const { userId } = JSON.parse(response.text);
    if (userId !== client.id) client.breaks(`/api/auth/me said ${userId} to ${client.id}`);
  },

  async token(client) {
    const token = client.random.pick(client.tokens);
    const isOver = token.revokedAt !== undefined;
    if (isOver && performance.now() - token.revokedAt < FORGOTTEN) return;
    const name = client.name();
    if (isOver) client.book.refused.add(name);
    const response = await client.get("token", `/any/${name}`, token.headers, token.user);
    if (isOver && response?.status === 200) client.breaks(`a revoked token passed: ${name}`);
  },

  /** An invalid cookie must be refused, and expired by the same response. */
  async heal(client) {
    const { Cookie } = client.session;
    const name = client.name();
    const broken = client.random.pick([
      () => "mk_session=broken",
      () => `${Cookie.slice(0, -4)}AAAA`,
      () => `mk_session=${client.random.hex(200)}`,
    ])();
    if (broken === Cookie) return;
    client.book.refused.add(name);
    const response = await client.send("heal", `/app/${name}`, { headers: { Cookie: broken } });
    if (response?.status === 200) client.breaks(`an invalid cookie passed: ${name}`);
    if (response?.status !== 401) return;
    const isExpired = response.headers["set-cookie"]?.some((line) =>
      /^mk_session=;.*Max-Age=0/.test(line),
    );
    if (!isExpired) client.breaks(`an invalid cookie was not expired: ${name}`);
  },

  /** A session that was ended passes nowhere. */
  async ended(client) {
    const ended = client.random.pick(client.ended);
    if (!ended || performance.now() - ended.at < FORGOTTEN) return;
    const name = client.name();
    client.book.refused.add(name);
    const { Cookie } = ended;
    const response = await client.send("ended", `/app/${name}`, { headers: { Cookie } });
    if (response?.status === 200) client.breaks(`an ended session passed: ${name}`);
  },

  /** Signs in anew, and ends the session before. */
  async signIn(client) {
    const old = client.session;
    if (!(await client.signIn())) return;
    const response = await client.send("signOut", "/api/auth/logout", {
      method: "POST",
      headers: old,
    });
    if (response && response.status < 300) client.ends(old);
  },

  /** Sends a write under a key, sometimes twice at once, until it is answered or its outcome is unknown. */
  async write(client) {
    const open = client.writes.length > 0 && client.random.chance(0.5);
    const write = open ? client.random.pick(client.writes) : client.newWrite();
    const attempts = client.random.chance(0.2) ? 2 : 1;
    await Promise.all(Array.from({ length: attempts }, () => client.sendWrite(write)));
  },

  /** A machine asks, its user approves, and it asks again, twice at once. */
  async approval(client) {
    const name = client.name();
    const { book, machine, session } = client;
    book.approvals.set(name, false);
    const ask = (more) => {
      const headers = { ...machine.headers, ...JSON_TYPE, ...more };
      return client.send("approval", `/deploys/${name}`, { method: "POST", headers, body: "{}" });
    };
    const response = await ask();
    const { error, confirmationId } = response ? problemOf(response) : {};
    if (response?.status === 200) client.breaks(`a machine's request ran unapproved: ${name}`);
    if (error !== "confirmation_required" || client.random.chance(0.2)) return;
    // The decision may be made although its answer is lost.
    book.approvals.set(name, true);
    const path = `/api/confirmations/${confirmationId}/approve`;
    const decided = await client.send("approve", path, { method: "POST", headers: session });
    if (decided?.status !== 200) return;
    const again = { "Confirmation-ID": confirmationId };
    for (const one of await Promise.all([ask(again), ask(again)])) {
      client.expectOwn(one, name, client.id);
    }
  },

  inbox: (client) => client.deliver("inbox", client.book.inbox),
  direct: (client) => client.deliver("direct", client.book.direct),

  async forged(client) {
    const id = `evt_forged_${client.name()}`;
    client.book.refused.add(id);
    const body = JSON.stringify({ id, type: "charge.refunded" });
    const headers = client.random.chance(0.5) ? {} : signatureOf(body, "whsec_another_secret");
    const path = client.random.pick(["/hooks/direct", "/hooks/inbox"]);
    const response = await client.send("forged", path, { method: "POST", headers, body });
    if (response && response.status < 300) client.breaks(`a forged event was accepted: ${id}`);
  },

  limited(client) {
    const address = client.random.pick(ADDRESSES);
    // The name carries the address to upstream, where the passes are counted.
    const name = `${client.name()}-${address}`;
    return client.get("limited", `/limited/${name}`, { "CF-Connecting-IP": address }, null);
  },

  /** Reads an event stream for a while. Sometimes its session ends meanwhile: then the stream has to end. */
  async stream(client) {
    const session = { ...client.session };
    const ends = client.random.chance(0.5) && (await client.signIn());
    const name = client.name();
    let endedAt;
    const onOpen = async (response) => {
      const closed = new Promise((resolve) => response.once("close", resolve));
      response.on("error", () => {});
      const { statusCode: status, headers } = response;
      let text = "";
      response.on("data", (bytes) => {
        text += bytes;
      });
      if (status !== 200) {
        await closed;
        return { status, headers, text };
      }
      await sleep(300 + client.random.below(700));
      if (ends) {
        const ended = await client.send("signOut", "/api/auth/logout", {
          method: "POST",
          headers: session,
        });
        if (ended && ended.status < 300) {
          client.ends(session);
          endedAt = performance.now();
          await Promise.race([closed, sleep(STREAM_PATIENCE, undefined, { ref: false })]);
          client.book.streams.push(performance.now() - endedAt);
          if (!response.closed) client.breaks(`a stream outlived its session: ${name}`);
        }
      }
      response.destroy();
      for (const [, event] of text.matchAll(/^data: (.*)\n\n/gm)) {
        client.expectOwn({ status, text: event }, name, client.id);
      }
      return { status, headers: {}, text: "" };
    };
    const options = { headers: session, onOpen, abortAfter: 2 * STREAM_PATIENCE };
    const response = await client.deployment.send(client.isolate(), `/stream/${name}`, options);
    client.book.note("stream", response);
  },

  /** Makes a token, and revokes another one. */
  async tokens(client) {
    const old = client.tokens.filter(({ revokedAt, isKept }) => !isKept && revokedAt === undefined);
    if (old.length > 5) {
      const [token] = old;
      const path = `/api/agent-tokens/${token.id}`;
      const options = { method: "DELETE", headers: client.session };
      const response = await client.send("revokeToken", path, options);
      if (response && response.status < 300) token.revokedAt = performance.now();
      // It may be revoked all the same.
      else client.tokens.splice(client.tokens.indexOf(token), 1);
    }
    await client.makeToken("mul_");
  },
};

/** Milliseconds within which a stream has to end, on a machine that is busy. */
const STREAM_PATIENCE = 30_000;

/** Returns the headers by which the provider signs an event. */
export function signatureOf(body, secret = WEBHOOK_SECRET) {
  const at = Math.floor(Date.now() / 1_000);
  const mac = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
  return { ...JSON_TYPE, "Stripe-Signature": `t=${at},v1=${mac}` };
}
