/** One client of a soak: a user with sessions and tokens, who sends one request after the other. */

import { PASSWORD } from "../../tests/support/people.mjs";
import { ACTS, JSON_TYPE, signatureOf, WEIGHTS } from "./acts.mjs";
import { labelOf } from "./book.mjs";
import { OBJECTS, trapNames, WAYS } from "./entry.mjs";

/** Shares of requests with an object that fails, with a trap, and with a client that disconnects. */
const FAULTS = { object: 0.03, trap: 0.001, disconnect: 0.02 };

/** Milliseconds within which a trap surely happens, after it was asked for. */
const TRAP_MS = 20_000;

export class Client {
  /** Whether the client injects no more faults. */
  isCalm = false;
  ended = [];
  tokens = [];
  writes = [];
  events = { inbox: [], direct: [] };
  #count = 0;

  constructor({ at, isolates, random, deployment, upstream, book, user }) {
    Object.assign(this, { at, isolates, random, deployment, upstream, book });
    this.id = user.id;
    this.session = user.headers;
    this.email = `user${at}@example.com`;
  }

  /** Does each act once, without faults, so that there is something of everything to compare. */
  async runOnce() {
    this.isCalm = true;
    for (const act of Object.values(ACTS)) await act(this);
    this.isCalm = false;
  }

  /** Does one act after the other until `isOver`. */
  async run(isOver) {
    while (!isOver()) {
      await this.deployment.running();
      await ACTS[this.random.weighted(WEIGHTS)](this);
    }
  }

  /** Returns a name that no other request has. */
  name() {
    this.#count += 1;
    return `${this.at}-${this.#count}`;
  }

  isolate() {
    return this.random.below(this.isolates);
  }

  breaks(text) {
    this.book.breaks(text);
  }

  /** Sends a request, sometimes with a fault. Takes over the session that a response renews. */
  async send(act, path, { headers = {}, ...options } = {}) {
    const { random } = this;
    const fault = this.isCalm ? undefined : this.#fault();
    const abortAfter =
      !this.isCalm && random.chance(FAULTS.disconnect) ? random.below(30) : undefined;
    const began = performance.now();
    const response = await this.deployment.send(this.isolate(), path, {
      ...options,
      abortAfter,
      headers: { "CF-Connecting-IP": random.address(), ...headers, ...fault },
    });
    if (response) response.fault = fault?.["X-Fault"] ?? "";
    const isPlain = response && !fault && abortAfter === undefined;
    this.book.note(act, response, isPlain ? performance.now() - began : undefined);
    if (headers.Cookie === this.session.Cookie) this.#renew(response);
    return response;
  }

  async get(act, path, headers, user) {
    const response = await this.send(act, path, { headers });
    if (response?.status === 200) this.expectOwn(response, path.split("/").at(-1), user);
    return response;
  }

  /** Expects that a response of upstream is for this request and this user. `null`: for nobody. */
  expectOwn(response, name, user) {
    if (response?.status !== 200) return;
    const found = JSON.parse(response.text);
    if (found.name !== name || (found.user ?? null) !== user) {
      this.breaks(`${name} of ${user} was answered for ${JSON.stringify(found)}`);
    }
  }

  /** Signs in, and continues with the new session. */
  async signIn() {
    const response = await this.send("signIn", "/api/auth/login", {
      method: "POST",
      headers: JSON_TYPE,
      body: JSON.stringify({ email: this.email, password: PASSWORD }),
    });
    if (response?.status !== 200) return false;
    const Cookie = this.#sessionOf(response);
    if (!Cookie) this.breaks(`a sign-in of ${this.id} set no session`);
    this.session = { Cookie };
    return true;
  }

  /** Notes that the end of a session was acknowledged. */
  ends({ Cookie }) {
    const ended = { Cookie, at: performance.now() };
    this.ended.push(ended);
    this.book.ended.push(ended);
  }

  async makeToken(prefix) {
    const response = await this.send("makeToken", "/api/agent-tokens", {
      method: "POST",
      headers: { ...this.session, ...JSON_TYPE },
      body: JSON.stringify({ name: "soak", prefix }),
    });
    if (response?.status !== 201) return;
    const { id, plaintext } = JSON.parse(response.text);
    this.addToken({ id, headers: { Authorization: `Bearer ${plaintext}` }, user: this.id });
  }

  addToken(token) {
    this.tokens.push(token);
    this.book.tokens.push(token);
  }

  newWrite() {
    const name = this.name();
    const write = { key: `soak-${name}`, name, client: this };
    this.writes.push(write);
    this.book.writes.set(write.key, write);
    if (this.writes.length > 20) this.writes.shift();
    return write;
  }

  async sendWrite(write) {
    const { key, name } = write;
    const response = await this.send("write", `/pay/${name}`, {
      method: "POST",
      headers: { ...this.session, ...JSON_TYPE, "Idempotency-Key": key },
      body: JSON.stringify({ name }),
    });
    this.judgeWrite(write, response);
    return response;
  }

  /** Compares an answer to a write with those before. */
  judgeWrite(write, response) {
    const isUnknown = labelOf(response).startsWith("409 idempotency_outcome_unknown");
    if (isUnknown && write.text && !write.mayBeUnknown)
      this.breaks(`${write.key} was answered, and is unknown now`);
    if (isUnknown) this.writes = this.writes.filter((one) => one !== write);
    if (response?.status !== 200) return;
    this.expectOwn(response, write.name, this.id);
    if (write.text && write.text !== response.text) this.breaks(`${write.key} has two answers`);
    write.text = response.text;
    // The ledger was made to fail after upstream's answer: the client has it, and the ledger does not.
    const wasTrapped = performance.now() - this.book.trappedAt < TRAP_MS;
    if (wasTrapped || response.fault.startsWith("LEDGER:")) write.mayBeUnknown = true;
  }

  /** Sends an event once: a new one, one that was not accepted, or sometimes one that was. */
  async deliver(kind, accepted) {
    const open = this.events[kind];
    const event = open.length > 0 && this.random.chance(0.5) ? this.random.pick(open) : undefined;
    const id = event ?? `evt_${kind}_${this.name()}`;
    if (!event) open.push(id);
    const body = JSON.stringify({ id, type: "charge.refunded" });
    const headers = signatureOf(body);
    const response = await this.send(kind, `/hooks/${kind}`, { method: "POST", headers, body });
    if (!response || response.status < 200 || response.status >= 300) return;
    if (!accepted.has(id)) accepted.set(id, this.upstream.events.get(id)?.length ?? 0);
    // It stays open with the last ones, so that some are sent again.
    if (open.length > 5) open.splice(open.indexOf(id), 1);
  }

  #fault() {
    const { random } = this;
    if (random.chance(FAULTS.trap)) {
      this.book.trappedAt = performance.now();
      return { "X-Fault": `trap:${random.pick(trapNames())}` };
    }
    if (!random.chance(FAULTS.object)) return undefined;
    return { "X-Fault": `${random.pick(OBJECTS)}:${random.pick(WAYS)}` };
  }

  #renew(response) {
    const Cookie = response && this.#sessionOf(response);
    if (Cookie) this.session = { Cookie };
  }

  /** Returns the session that a response sets, and expects that it is this user's. */
  #sessionOf(response) {
    const lines = response.headers["set-cookie"] ?? [];
    const Cookie = lines.find((line) => /^mk_session=[^;]/.test(line))?.split(";")[0];
    if (!Cookie) return undefined;
    const { userId } = JSON.parse(Buffer.from(Cookie.split(".")[1], "base64url"));
    if (userId !== this.id) this.breaks(`${this.id} got a session of ${userId}`);
    return Cookie;
  }
}
