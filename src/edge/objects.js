// The Durable Objects: each a database and a few functions, both ends of which are in WebAssembly.

import { DurableObject } from "cloudflare:workers";
import { command, migrate, over, schema, wake, wakes, was_done } from "vestibule";
import { using } from "vestibule-storage";
import { Deliveries } from "./deliveries.js";

// By its name and not by that of the class, which a minifier changes.
const objectOf = (name, { failed, deliver }, soon) =>
  class extends DurableObject {
    /** When it is woken next, in milliseconds, as far as this instance knows. */
    #due = 0;

    /** Whether there are tables. */
    #prepared = false;

    /** Whether an alarm is being seen to; the next one waits for it. */
    #alarmed = false;

    #deliveries = new Deliveries({
      pick: (pick) => JSON.parse(this.command(JSON.stringify({ Pick: pick }))).Picked,
      load: (id) => {
        const { reply, sealed } = this.command(JSON.stringify({ Load: id }));
        return [reply, sealed];
      },
      deliver: async (id, event, body) => {
        const status = await deliver(this.env, event, body);
        this.command(JSON.stringify({ Tried: [id, status] }));
      },
    });

    /** Carries a statement of a schema out, unless it was carried out before. */
    #apply(statement) {
      try {
        this.ctx.storage.sql.exec(statement);
      } catch (error) {
        if (!was_done(statement, error.message)) throw error;
      }
    }

    #prepare() {
      this.ctx.storage.transactionSync(() => {
        this.#call(() => migrate(name));
        for (const statement of schema(name).split("\0")) this.#apply(statement);
      });
      this.#prepared = true;
    }

    /**
     * One command, one transaction: what throws leaves nothing behind. `now` is the fixed clock of tests, in
     * seconds, or empty; `bytes` are attached. Answers a reply, or a reply and the bytes attached to it.
     */
    command(text, now = "", bytes) {
      const seconds = now === "" ? wholeSeconds() : Number(now);
      const done = this.#transaction(seconds, () => {
        const [reply, sealed] = this.#call(() => command(name, text, seconds), bytes);
        return sealed === undefined ? reply : { reply, sealed };
      });
      this.#deliveries.nudge();
      return done;
    }

    async alarm() {
      this.#due = 0;
      this.#alarmed = true;
      try {
        await this.#seeToAll();
      } finally {
        this.#alarmed = false;
      }
    }

    async #seeToAll() {
      const seconds = wholeSeconds();
      const [all] = this.#transaction(seconds, () => this.#call(() => wake(name, seconds)));
      const ends = await Promise.allSettled(inOrder(all).map((errands) => this.#runAll(errands)));
      // What is left has an alarm already. The platform's own would come a few times only.
      for (const { reason } of ends.filter(({ status }) => status === "rejected"))
        console.error(`${name}: ${reason?.message}`);
      const [isOver] = this.#transaction(seconds, () => this.#call(() => over(name)));
      if (isOver === "yes") return this.#clear();
      if (name !== "Inbox") return;
      await this.#deliveries.run();
      // The next alarm handles the rest, and events that arrive in the meantime.
      if (this.#deliveries.isBusy) this.ctx.storage.setAlarm(Date.now());
    }

    /** The database goes, and with it what it takes to keep one. Should somebody ask again, there is another. */
    async #clear() {
      this.#prepared = false;
      this.#due = 0;
      // Both at once: nothing comes in between that would go with it.
      await Promise.all([this.ctx.storage.deleteAlarm(), this.ctx.storage.deleteAll()]);
    }

    /** One after the other: what is told one object is told in order, and no further than it listens. */
    async #runAll(errands) {
      for (const errand of errands) await this.#run(errand);
    }

    async #run(errand) {
      const [binding, whom, order, done] = errand.split("\n");
      const namespace = this.env[binding];
      await namespace.get(namespace.idFromName(whom)).command(order);
      this.command(done);
    }

    #transaction(seconds, step) {
      if (!this.#prepared) this.#prepare();
      return this.ctx.storage.transactionSync(() => {
        const done = step();
        if (soon !== undefined) this.#arm(seconds);
        return done;
      });
    }

    /** With what is still to be seen to, so that it is seen to even if nobody comes back. */
    #arm(seconds) {
      const [at] = this.#call(() => wakes(name, seconds));
      if (at === "") return;
      const due = Math.max(Number(at) * 1_000, Date.now() + soon);
      // Requests do not postpone it. No alarm goes off before the running one has ended.
      if ((this.#alarmed ? this.#due > 0 : this.#due > Date.now()) && this.#due <= due) return;
      this.#due = due;
      this.ctx.storage.setAlarm(due);
    }

    #call(step, bytes) {
      try {
        const [reply, sealed] = using(this.ctx.storage.sql, bytes, step);
        if (reply.startsWith("!")) throw new Error(reply.slice(1));
        return [reply, sealed];
      } catch (error) {
        console.error(`${name}: ${error.message}`);
        failed(error);
        throw error;
      }
    }
  };

/** Errands by whom they are for. */
function inOrder(all) {
  const groups = new Map();
  for (const errand of all.split("\0").filter(Boolean)) {
    const whom = errand.split("\n", 2).join("\n");
    groups.set(whom, [...(groups.get(whom) ?? []), errand]);
  }
  return [...groups.values()];
}

const wholeSeconds = () => Math.floor(Date.now() / 1_000);

/** Milliseconds. The Worker that gave the command sees to an errand sooner, unless something stops it. */
const SOON = 2_000;

/** The classes; `failed` is told what went wrong in one, `deliver` sends an event to upstream. */
export const objects = (outside) => ({
  Accounts: objectOf("Accounts", outside, SOON),
  Audit: objectOf("Audit", outside, SOON),
  Checkouts: objectOf("Checkouts", outside),
  Confirmations: objectOf("Confirmations", outside, SOON),
  Inbox: objectOf("Inbox", outside, 0),
  Ledger: objectOf("Ledger", outside, SOON),
  Limiter: objectOf("Limiter", outside),
  Sessions: objectOf("Sessions", outside),
  Tokens: objectOf("Tokens", outside),
});
