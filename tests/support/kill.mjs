// Kills workerd at a random time, or after a number of events.

import { killAll } from "./worker.mjs";

// Kills at a random time within so many milliseconds, and at the latest when `end` is called.
export function killWithin(milliseconds) {
  const timer = setTimeout(killAll, Math.random() * milliseconds);
  const end = () => {
    clearTimeout(timer);
    killAll();
  };
  return { end };
}

// Kills within 20 ms after so many steps, and at the latest when `end` is called. The test must call `source.step` at
// each step; this function replaces it.
export function killAfter(source, steps) {
  let left = steps;
  let kill = { end: killAll };
  source.step = () => {
    left -= 1;
    if (left > 0) return;
    source.step = () => {};
    kill = killWithin(20);
  };
  const end = () => {
    // Later steps do not count for this kill.
    source.step = () => {};
    kill.end();
  };
  return { end };
}
