// Answers as they are kept: sealed, status, headers and body in one.

import { BODILESS, joined } from "./bodies.js";

const encoder = new TextEncoder();

/** AES-256-GCM over the head's length, the head and the body; before it, the nonce. */
export async function seal(key, head, body) {
  const lines = encoder.encode(head);
  const plain = new Uint8Array(4 + lines.byteLength + body.byteLength);
  new DataView(plain.buffer).setUint32(0, lines.byteLength);
  plain.set(lines, 4);
  plain.set(body, 4 + lines.byteLength);
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  const cipher = await crypto.subtle.encrypt(gcm(nonce), await keyOf(key, "encrypt"), plain);
  return joined([nonce, new Uint8Array(cipher)], nonce.byteLength + cipher.byteLength);
}

/** The response that was sealed under one of these keys; nothing where it was sealed under none. */
export async function unseal(keys, sealed) {
  const bytes = new Uint8Array(sealed);
  if (!sealed) throw new Error("the answer is not there");
  const plain = await Promise.any(keys.map((key) => opened(key, bytes))).catch(() => undefined);
  if (!plain) return undefined;
  const length = new DataView(plain).getUint32(0);
  const head = new TextDecoder().decode(new Uint8Array(plain, 4, length));
  const [status, ...lines] = head.split("\n");
  const headers = new Headers();
  for (let at = 0; at < lines.length; at += 2) headers.append(lines[at], lines[at + 1]);
  const body = BODILESS.has(Number(status)) ? null : plain.slice(4 + length);
  return new Response(body, { status: Number(status), headers });
}

const opened = async (key, bytes) =>
  crypto.subtle.decrypt(
    gcm(bytes.subarray(0, 12)),
    await keyOf(key, "decrypt"),
    bytes.subarray(12),
  );

const gcm = (iv) => ({ name: "AES-GCM", iv });
const keyOf = (key, usage) => crypto.subtle.importKey("raw", unhex(key), "AES-GCM", false, [usage]);

export const hex = (buffer) =>
  Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => Number.parseInt(pair, 16));
