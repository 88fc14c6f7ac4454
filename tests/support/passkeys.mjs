// A software authenticator, and the browser in front of it.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from "node:crypto";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const base64url = (bytes) => Buffer.from(bytes).toString("base64url");

const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
const HAS_CREDENTIAL = 0x40;

// The few forms of CBOR that a credential needs: small numbers, short bytes and texts, maps.
function cbor(value) {
  if (value instanceof Map)
    return Buffer.concat([head(5, value.size), ...[...value].flat().map(cbor)]);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  if (typeof value === "string") return Buffer.concat([head(3, value.length), Buffer.from(value)]);
  return value < 0 ? head(1, -1 - value) : head(0, value);
}

function head(major, number) {
  if (number < 24) return Buffer.from([(major << 5) | number]);
  if (number < 256) return Buffer.from([(major << 5) | 24, number]);
  return Buffer.from([(major << 5) | 25, number >> 8, number & 255]);
}

// Makes a passkey at `origin`. `algorithm` is "ES256" or "Ed25519". Its counter stays 0 unless `counts`. With `saved`,
// which another passkey's `save` has returned, it is that one.
export function newPasskey({ origin, algorithm = "ES256", counts = false, saved }) {
  const isEs256 = algorithm === "ES256";
  const keys = saved
    ? keysOf(saved)
    : isEs256
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("ed25519");
  const { x, y } = keys.publicKey.export({ format: "jwk" });
  const point = (text) => Buffer.from(text, "base64url");
  const cose = isEs256
    ? new Map([
        [1, 2],
        [3, -7],
        [-1, 1],
        [-2, point(x)],
        [-3, point(y)],
      ])
    : new Map([
        [1, 1],
        [3, -8],
        [-1, 6],
        [-2, point(x)],
      ]);
  const id = saved ? Buffer.from(saved.id, "base64url") : randomBytes(32);
  let userHandle = saved?.userHandle;

  const clientData = (type, challenge, more) =>
    Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false, ...more }));

  const passkey = {
    id: base64url(id),
    counter: 0,

    // Returns what is needed to use it in another process. Its counter must be 0.
    save: () => ({
      id: passkey.id,
      userHandle,
      privateKey: keys.privateKey.export({ format: "pem", type: "pkcs8" }),
    }),

    // Answers `navigator.credentials.create` as JSON. The options can be changed by `more`: `clientData`, `flags`,
    // `format`.
    create(publicKey, more = {}) {
      userHandle = publicKey.user.id;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(id.length);
      const flags = (more.flags ?? USER_PRESENT | USER_VERIFIED) | HAS_CREDENTIAL;
      const authData = Buffer.concat([
        authenticatorData(more.rpId ?? publicKey.rp.id, flags, passkey.counter),
        Buffer.alloc(16),
        length,
        id,
        cbor(more.cose ?? cose),
      ]);
      const attestationObject = cbor(
        new Map([
          ["fmt", more.format ?? "none"],
          ["attStmt", new Map()],
          ["authData", authData],
        ]),
      );
      const client = clientData("webauthn.create", publicKey.challenge, more.clientData);
      return {
        id: passkey.id,
        rawId: passkey.id,
        type: "public-key",
        clientExtensionResults: {},
        response: {
          clientDataJSON: base64url(client),
          attestationObject: base64url(attestationObject),
        },
      };
    },

    // Answers `navigator.credentials.get` as JSON.
    get(publicKey, more = {}) {
      if (counts) passkey.counter += 1;
      const flags = more.flags ?? USER_PRESENT | USER_VERIFIED;
      const data = authenticatorData(
        more.rpId ?? publicKey.rpId,
        flags,
        more.counter ?? passkey.counter,
      );
      const client = clientData("webauthn.get", publicKey.challenge, more.clientData);
      const signed = Buffer.concat([data, sha256(client)]);
      return {
        id: passkey.id,
        rawId: passkey.id,
        type: "public-key",
        clientExtensionResults: {},
        response: {
          clientDataJSON: base64url(client),
          authenticatorData: base64url(data),
          signature: base64url(sign(isEs256 ? "sha256" : null, signed, keys.privateKey)),
          userHandle: "userHandle" in more ? more.userHandle : userHandle,
        },
      };
    },
  };
  return passkey;
}

function keysOf({ privateKey: pem }) {
  const privateKey = createPrivateKey(pem);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function authenticatorData(rpId, flags, counter) {
  const tail = Buffer.alloc(5);
  tail[0] = flags;
  tail.writeUInt32BE(counter, 1);
  return Buffer.concat([sha256(rpId), tail]);
}
