// Asks the Worker the questions of each set, and counts.

import { answersOver } from "./http.mjs";

/** Returns the sets with the number of rows that were asked, and those that failed. */
export async function score(sets) {
  const scored = [];
  for (const { rows, ...set } of sets) {
    const answers = await answersOver(rows.map(({ question }) => question));
    const asked = rows
      .map((row, at) => ({ ...row, answer: answers[at] }))
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
