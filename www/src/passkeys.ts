/** Passkeys by the browser's WebAuthn API. Its JSON forms are those of WebAuthn level 3. */

interface PublicKeyJson {
  parseCreationOptionsFromJSON?(options: unknown): PublicKeyCredentialCreationOptions;
  parseRequestOptionsFromJSON?(options: unknown): PublicKeyCredentialRequestOptions;
}

const api = () => (globalThis as { PublicKeyCredential?: PublicKeyJson }).PublicKeyCredential ?? {};

/** Checks whether this browser can use passkeys here. */
export function hasPasskeys() {
  return Boolean(api().parseRequestOptionsFromJSON);
}

/** Asks for a passkey. Returns nothing if the person or the browser declines. */
export async function getPasskey(options: unknown) {
  const publicKey = api().parseRequestOptionsFromJSON?.(publicKeyOf(options));
  return publicKey && json(navigator.credentials.get({ publicKey }));
}

/** Makes a passkey. Returns nothing if the person or the browser declines. */
export async function makePasskey(options: unknown) {
  const publicKey = api().parseCreationOptionsFromJSON?.(publicKeyOf(options));
  return publicKey && json(navigator.credentials.create({ publicKey }));
}

const publicKeyOf = (options: unknown) => Object(options).publicKey ?? options;

async function json(promise: Promise<Credential | null>) {
  try {
    const credential = await promise;
    return (credential as (Credential & { toJSON(): unknown }) | null)?.toJSON();
  } catch {
    return undefined;
  }
}
