// An object's database, while one of its commands is carried out, and randomness.

let database;
/** What came with the command, and what goes with its reply. */
let given;
let attached;

/**
 * Carries a step out with this database at hand. `bytes` are attached to its command; resolves to what it
 * answers and the bytes that are attached to that, if any.
 */
export function using(sql, bytes, step) {
  database = sql;
  given = bytes;
  attached = undefined;
  try {
    return [step(), attached];
  } finally {
    database = undefined;
    given = undefined;
    attached = undefined;
  }
}

/** Runs a statement: its rows as JSON, or "!" and what went wrong. */
export function run(statement, parameters) {
  try {
    const values = JSON.parse(parameters).map((value) => (value?.attached ? taken() : value));
    const cursor = database.exec(statement, ...values);
    const isAttachment = cursor.columnNames[0] === "sealed";
    const rows = [...cursor.raw()];
    if (isAttachment && rows.length > 0) {
      attached = rows[0][0];
      return "[[null]]";
    }
    return JSON.stringify(rows);
  } catch (error) {
    return `!${error.message}`;
  }
}

function taken() {
  if (given === undefined) throw new Error("nothing is attached");
  const bytes = given;
  given = undefined;
  return bytes;
}

export const random = (bytes) => void crypto.getRandomValues(bytes);

export const log = (line) => console.log(line);
