// The Durable Objects: each a database and one function, both ends of which are in WebAssembly.

import { DurableObject } from "cloudflare:workers";
import { command, schema } from "vestibule";
import { using } from "vestibule-storage";

// By its name and not by that of the class, which a minifier changes.
const objectOf = (name, broken) =>
  class extends DurableObject {
    constructor(context, env) {
      super(context, env);
      for (const statement of schema(name).split("\0")) context.storage.sql.exec(statement);
    }

    /** One command, one transaction: what throws leaves nothing behind. */
    command(text) {
      const { storage } = this.ctx;
      try {
        return storage.transactionSync(() => {
          const reply = using(storage.sql, () => command(name, text, Math.floor(Date.now() / 1_000)));
          if (reply.startsWith("!")) throw new Error(reply.slice(1));
          return reply;
        });
      } catch (error) {
        console.error(`${name}: ${error.message}`);
        if (error instanceof WebAssembly.RuntimeError) broken();
        throw error;
      }
    }
  };

/** The classes; `broken` is told where the module trapped. */
export const objects = (broken) => ({ Sessions: objectOf("Sessions", broken) });
