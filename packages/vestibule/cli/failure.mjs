/** An error that the user can act on. It is printed as a message, without a stack trace. */
export class Failure extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}
