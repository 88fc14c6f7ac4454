// When the process is killed: by the clock, or by what has happened.

import { killAll } from "./worker.mjs";

// Kills within so many milliseconds; at the latest when it is told that this is the end.
export function killWithin(milliseconds) {
  const timer = setTimeout(killAll, Math.random() * milliseconds);
  const end = () => {
    clearTimeout(timer);
    killAll();
  };
  return { end };
}

// Likewise, a moment after so many steps. Whoever takes one calls the `step` of `scene`.
export function killAfter(scene, steps) {
  let left = steps;
  let plot = { end: killAll };
  scene.step = () => {
    left -= 1;
    if (left > 0) return;
    scene.step = () => {};
    plot = killWithin(20);
  };
  const end = () => {
    // What comes later counts for nothing: by then another plot is made, or none.
    scene.step = () => {};
    plot.end();
  };
  return { end };
}
