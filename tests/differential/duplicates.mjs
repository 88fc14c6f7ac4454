// Member names that a JSON text has twice in one object. JSON.parse keeps the last one and cannot tell.

/** Returns whether a valid JSON text has a name twice in one object. */
export function hasDuplicateNames(text) {
  const open = [];
  let found = false;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]/gs)) {
    if (token === "{" || token === "[") open.push(token === "{" ? new Set() : null);
    else if (token === "}" || token === "]") open.pop();
    else if (open.at(-1) && /^\s*:/.test(text.slice(index + token.length))) {
      const name = JSON.parse(token);
      found ||= open.at(-1).has(name);
      open.at(-1).add(name);
    }
  }
  return found;
}
