/** What the gateway tells all pages: `GET /_vestibule/settings`. */

import { request, useEndpoints } from "./api.ts";

export interface TokenKind {
  prefix: string;
  kind: "user" | "agent";
  source: string | null;
  machine: boolean;
}

export interface Settings {
  /** Whether the first account can be made. Undefined without an answer. */
  setupOpen?: boolean;
  endpoints: string;
  home: string;
  branding: { name: string | null; logo: string | null; accent: string | null };
  approvals: boolean;
  /** The names of the features whose endpoints exist. */
  features?: string[];
  tokens: { makers: "users" | "admins"; kinds: TokenKind[]; scopes?: boolean };
  mailer: boolean;
  passkeys: boolean;
  /** `null` if there are no second factors. */
  secondFactor: "nobody" | "admins" | "everybody" | null;
  /** Whether passwords can be changed and reset. */
  passwords?: boolean;
  /** The minimum length of a new password. */
  passwordMinLength: number;
}

const DEFAULTS: Settings = {
  endpoints: "/api",
  home: "/",
  branding: { name: null, logo: null, accent: null },
  approvals: false,
  tokens: { makers: "users", kinds: [] },
  mailer: false,
  passkeys: false,
  secondFactor: null,
  passwordMinLength: 12,
};

/** Reads the settings. Without an answer, the pages work with the defaults. */
export async function readSettings(): Promise<Settings> {
  const answer = await request<Settings>("GET", "settings");
  const settings = answer.ok ? { ...DEFAULTS, ...answer.data } : DEFAULTS;
  useEndpoints(settings.endpoints);
  return settings;
}

/** Returns the name of the site. */
export function siteName({ branding }: Settings) {
  return branding.name ?? location.host;
}
