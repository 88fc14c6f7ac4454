/** The principal of a request, and the machine that acts for it, if there is one. */
export interface Asking {
  kind: "user" | "agent";
  /** The id of the user or of the agent. */
  id: string;
  /** The same id if the principal is a user. */
  userId?: string;
  role?: "user" | "admin";
  /** Present if the request has a session. */
  sessionId?: string;
  /** The source of the machine credential, if the request has one. */
  actorSource?: string;
  agentId?: string;
  taskId?: string;
  /** The id of the token, not the token itself. */
  tokenId?: string;
}

/** A request that every earlier check has admitted. */
export interface Act {
  /** The policy that the rule names. */
  policy: string | null;
  /** The operation of the rule. Decide by it where you can: a path has several spellings. */
  operation: string | null;
  method: string;
  /** The canonical path. Case, `;parameters` and runs of slashes are as the client sent them. */
  path: string;
  /** The query with its `?`, or an empty string. */
  query: string;
  /** Absent for anonymous requests. */
  principal: Asking | null;
}

/** A decision. `fail` is a whole response (status 400 to 599), which the client gets with `body` as JSON. */
export type Decision =
  | { decision: "allow" }
  | { decision: "forbid" }
  | { decision: "fail"; status: number; body?: unknown };

/** The decisions of your own code. */
export interface Hooks {
  /**
   * Decides about a request, after the access check and the guards of the rule. It must not have side effects, because
   * an explanation calls it, too, and it cannot be asynchronous. If it throws, the request is forbidden.
   */
  decide(act: Act): Decision;
}

/** The handlers of the Worker. */
export interface Vestibule {
  fetch(request: Request, env: unknown, context: unknown): Response | Promise<Response>;
  scheduled(event: unknown, env: unknown, context: unknown): void | Promise<void>;
  /** Lets your own code decide, too. Returns the handlers. */
  withHooks(hooks: Hooks): Vestibule;
}

declare const vestibule: Vestibule;
export default vestibule;

/** A class of Durable Objects. wrangler creates its instances. */
interface ObjectClass {
  new (state: never, env: never): object;
}

export declare const Accounts: ObjectClass;
export declare const Audit: ObjectClass;
export declare const Checkouts: ObjectClass;
export declare const Confirmations: ObjectClass;
export declare const Inbox: ObjectClass;
export declare const Ledger: ObjectClass;
export declare const Limiter: ObjectClass;
export declare const Logins: ObjectClass;
export declare const Metrics: ObjectClass;
export declare const Sessions: ObjectClass;
export declare const Tokens: ObjectClass;
