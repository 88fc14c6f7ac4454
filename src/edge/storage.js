// An object's database, while one of its commands is carried out, and randomness.

let database;

/** Carries a command out with this database at hand. */
export function using(sql, step) {
  database = sql;
  try {
    return step();
  } finally {
    database = undefined;
  }
}

/** Runs a statement: its rows as JSON, or "!" and what went wrong. */
export function run(statement, parameters) {
  try {
    return JSON.stringify([...database.exec(statement, ...JSON.parse(parameters)).raw()]);
  } catch (error) {
    return `!${error.message}`;
  }
}

export const random = (bytes) => void crypto.getRandomValues(bytes);
