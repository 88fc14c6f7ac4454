// Replaces src/edge/entry.js for targets that only call a synchronous function of the crate.

export const wait = () => {
  throw new Error("wait is not available here");
};
