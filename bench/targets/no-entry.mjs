// In place of the edge's entry, where only a function of the crate is called and nothing is waited for.

export const wait = () => {
  throw new Error("nothing waits here");
};
