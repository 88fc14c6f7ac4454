// Delivers the events of an inbox: many at a time, each settled on its own, so that none waits for a slow one.
//
// A delivery that has run for a second is slow. It no longer counts against `AT_ONCE`, only against `MOST`. Repeated
// deliveries never use all places. The object's database picks the next events. Only this instance knows which events
// are being delivered: after a crash they are delivered again.

/** Most deliveries at once that are younger than `SLOW`. */
const AT_ONCE = 32;

/** Most deliveries at once, and most of them that have failed before. */
const MOST = 128;
const MOST_RETRIES = 64;

/** Bytes of all bodies at once. */
const MOST_BYTES = 24 * 1_048_576;

/** Milliseconds. */
const SLOW = 1_000;

/** Deliveries that one alarm starts, and milliseconds that it goes on: the platform bounds both. */
const MOST_OF_A_RUN = 40;
const LONGEST_RUN = 300_000;

export class Deliveries {
  /** By id: since when, how long its body is, and whether it has failed before. */
  #flying = new Map();
  #pick;
  #load;
  #deliver;
  #wake = () => {};

  /** `pick` returns the next events, `load` an event with its body; `deliver` sends it and stores the outcome. */
  constructor({ pick, load, deliver }) {
    this.#pick = pick;
    this.#load = load;
    this.#deliver = deliver;
  }

  get isBusy() {
    return this.#flying.size > 0;
  }

  /** Something new may be due. */
  nudge() {
    this.#wake();
  }

  /** Delivers until nothing is left or this run has done enough. What is on its way then goes on. */
  async run() {
    const end = Date.now() + LONGEST_RUN;
    let left = MOST_OF_A_RUN;
    for (;;) {
      try {
        left -= this.#start(left);
      } catch {
        // The failure is in the log. The alarm that is set handles the rest later.
        await this.#change();
        return;
      }
      if (!this.isBusy || left <= 0 || Date.now() > end) return;
      await this.#change();
    }
  }

  /** Starts what there is room for; answers how many. */
  #start(left) {
    const all = [...this.#flying.values()];
    const young = all.filter(({ since }) => Date.now() - since < SLOW).length;
    const room = Math.min(left, AT_ONCE - young, MOST - all.length);
    if (room <= 0) return 0;
    const failed = all.filter(({ retry }) => retry).length;
    const flying = [...this.#flying.keys()];
    let started = 0;
    for (const { id, retry } of this.#pick({ flying, room, retries: MOST_RETRIES - failed })) {
      if (this.#bytes() >= MOST_BYTES) break;
      this.#fly(id, retry);
      started += 1;
    }
    return started;
  }

  #fly(id, retry) {
    const [event, body] = this.#load(id);
    this.#flying.set(id, { since: Date.now(), length: body?.byteLength ?? 0, retry });
    const over = () => {
      this.#flying.delete(id);
      this.#wake();
    };
    // If the outcome cannot be stored, don't try again at once.
    this.#deliver(id, event, body).then(over, () => setTimeout(over, SLOW));
  }

  #bytes() {
    return [...this.#flying.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Resolves when one is over, something new came, or a second has passed: by then more may be due, or slow. */
  #change() {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, SLOW);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
    });
  }
}
