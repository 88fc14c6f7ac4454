/** The ticket between a password and a second factor. It is kept for this tab only. */

import { enter } from "./go.ts";

export interface Ticket {
  ticket: string;
  methods: string[];
  /** Whether the user must set up a second factor first. */
  enroll: boolean;
}

const KEY = "vestibule-ticket";

/** Checks for a response that asks for a second factor. */
export function isTicket(data: unknown): data is Record<string, unknown> & { ticket: string } {
  return typeof Object(data).ticket === "string";
}

/** Keeps a ticket while the next page opens. */
export function keepTicket(data: Record<string, unknown>) {
  const { ticket, methods, error } = data;
  const kept = { ticket, methods: methods ?? [], enroll: error === ENROLL };
  sessionStorage.setItem(KEY, JSON.stringify(kept));
}

/** Returns the ticket of this tab. */
export function readTicket(): Ticket | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

export function dropTicket() {
  sessionStorage.removeItem(KEY);
}

/** Opens the site after an account was created. Where it must have a second factor, there is no session yet. */
export function enterOrEnroll(data: unknown) {
  const found: unknown = Object(data).secondFactorEnrollment;
  if (!found) return enter();
  keepTicket({ ticket: isTicket(found) ? found.ticket : found, error: ENROLL });
  location.assign(`factor${location.search}`);
}

const ENROLL = "second_factor_enrollment_required";
