/** Passkeys by the browser's WebAuthn API. Its JSON forms are those of WebAuthn level 3. */

import { type Answer, call } from "./api.ts";

/** What the gateway answers to a request for options. The ceremony goes back with the passkey. */
export interface PasskeyOptions {
  ceremony: string;
  publicKey: unknown;
}

/** What proves that a passkey was used. */
export type PasskeyProof = { ceremony: string; passkey: unknown };

interface PublicKeyJson {
  parseCreationOptionsFromJSON?(options: unknown): PublicKeyCredentialCreationOptions;
  parseRequestOptionsFromJSON?(options: unknown): PublicKeyCredentialRequestOptions;
}

const api = () => (globalThis as { PublicKeyCredential?: PublicKeyJson }).PublicKeyCredential ?? {};

/** Checks whether this browser can use passkeys here. */
export function hasPasskeys() {
  return Boolean(api().parseRequestOptionsFromJSON);
}

/** Uses a passkey: to sign in, or with a ticket or a reason as `json`. `declined` is the problem if nobody used one. */
export async function usePasskey(
  json: Record<string, unknown>,
  declined: string,
): Promise<Answer<PasskeyProof>> {
  const options = await call<PasskeyOptions>("POST", "/auth/passkeys/login-options", { json });
  if (!options.ok) return options;
  const { ceremony, publicKey } = options.data;
  const parsed = api().parseRequestOptionsFromJSON?.(publicKey);
  const passkey = parsed && (await written(navigator.credentials.get({ publicKey: parsed })));
  return proof(ceremony, passkey, { title: declined });
}

/** Makes a passkey, for the user or for that of a ticket in `json`. `declined` is the problem if nobody made one. */
export async function makePasskey(
  json: Record<string, unknown>,
  declined: { title: string; detail: string },
): Promise<Answer<PasskeyProof>> {
  const options = await call<PasskeyOptions>("POST", "/auth/passkeys/options", { json });
  if (!options.ok) return options;
  const { ceremony, publicKey } = options.data;
  const parsed = api().parseCreationOptionsFromJSON?.(publicKey);
  const passkey = parsed && (await written(navigator.credentials.create({ publicKey: parsed })));
  return proof(ceremony, passkey, declined);
}

function proof(
  ceremony: string,
  passkey: unknown,
  problem: { title: string; detail?: string },
): Answer<PasskeyProof> {
  if (!passkey) return { ok: false, status: 0, problem, data: {} };
  return { ok: true, status: 200, data: { ceremony, passkey } };
}

/** Returns a credential as JSON. Returns nothing if the person or the browser declines. */
async function written(promise: Promise<Credential | null>) {
  try {
    const credential = await promise;
    return (credential as (Credential & { toJSON(): unknown }) | null)?.toJSON();
  } catch {
    return undefined;
  }
}
