// The Durable Objects: each a database and one function, both ends of which are in WebAssembly.

import { DurableObject } from "cloudflare:workers";
import { command, errands, schema } from "vestibule";
import { using } from "vestibule-storage";

// By its name and not by that of the class, which a minifier changes.
const objectOf = (name, failed, listErrands) =>
  class extends DurableObject {
    #due = 0;

    constructor(context, env) {
      super(context, env);
      for (const statement of schema(name).split("\0")) context.storage.sql.exec(statement);
    }

    /**
     * One command, one transaction: what throws leaves nothing behind. `now` is the fixed clock of tests,
     * in seconds, or empty.
     */
    command(text, now = "") {
      const { storage } = this.ctx;
      const seconds = now === "" ? Math.floor(Date.now() / 1_000) : Number(now);
      return storage.transactionSync(() => {
        const reply = this.#call(() => command(name, text, seconds));
        // With what is still to be seen to, so that it is seen to even if nobody comes back.
        if (listErrands && this.#call(listErrands) !== "") this.#wake();
        return reply;
      });
    }

    async alarm() {
      this.#due = 0;
      const all = this.#call(listErrands);
      const run = all
        .split("\0")
        .filter(Boolean)
        .map((errand) => this.#run(errand));
      const failed = (await Promise.allSettled(run)).find(({ status }) => status === "rejected");
      // The platform comes back for what is left.
      if (failed) throw failed.reason;
    }

    async #run(errand) {
      const [binding, whom, order, done] = errand.split("\n");
      const namespace = this.env[binding];
      await namespace.get(namespace.idFromName(whom)).command(order);
      this.command(done);
    }

    /** Once: who keeps asking does not put it off. */
    #wake() {
      if (Date.now() < this.#due) return;
      this.#due = Date.now() + ERRANDS_AFTER;
      this.ctx.storage.setAlarm(this.#due);
    }

    #call(step) {
      try {
        const reply = using(this.ctx.storage.sql, step);
        if (reply.startsWith("!")) throw new Error(reply.slice(1));
        return reply;
      } catch (error) {
        console.error(`${name}: ${error.message}`);
        failed(error);
        throw error;
      }
    }
  };

/** Milliseconds. The Worker that gave the command sees to it sooner, unless something stops it. */
const ERRANDS_AFTER = 2_000;

/** The classes; `failed` is told what went wrong in one. */
export const objects = (failed) => ({
  Accounts: objectOf("Accounts", failed, errands),
  Limiter: objectOf("Limiter", failed),
  Sessions: objectOf("Sessions", failed),
  Tokens: objectOf("Tokens", failed),
});
