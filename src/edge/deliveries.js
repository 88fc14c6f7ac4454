// How an inbox delivers: many events at a time, each settled by itself, so that none waits for a slow one.
//
// A delivery that has run for a second is slow: it no longer counts among those that go at once, of which there are a
// few, but among all, of which there may be many more. What has failed before never fills all places. Which events
// are next, the object's database says; what is being delivered, only this instance knows: after a crash it is
// delivered again.

/** Deliveries younger than `SLOW` that go at once. */
const AT_ONCE = 32;

/** All deliveries that go at once, and those of them that have failed before. */
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

  /** `pick` says what is next, `load` gives an event and its body, `deliver` sends it and notes what came of it. */
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
