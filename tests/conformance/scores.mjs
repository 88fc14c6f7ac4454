// Asks a reader the questions of each set, and counts.

/**
 * Returns the sets with the number of rows that were asked, and those that failed.
 *
 * @param {object[]} sets see `sets.mjs`
 * @param {import("./readers.mjs").Reader} reader
 */
export async function score(sets, { answers, overHttp }) {
  const scored = [];
  for (const { rows, ...set } of sets) {
    const possible = rows.filter(({ notOverHttp }) => !(overHttp && notOverHttp));
    const answered = await answers(possible.map(({ question }) => question));
    const asked = possible
      .map((row, at) => ({ ...row, answer: answered[at] }))
      .filter(({ answer }) => answer);
    const failed = asked.filter(({ passes, answer }) => !passes(answer));
    scored.push({ ...set, asked: asked.length, failed });
  }
  return scored;
}

/** Returns one line for each failed row. */
export function failuresOf(scored) {
  return scored.flatMap(({ name, failed }) =>
    failed.map(({ id, answer }) => `${name}: ${id} → ${JSON.stringify(answer)}`),
  );
}
