//! Sealed texts, and sealed responses, as they are stored: status, headers and body in one encrypted value.
//!
//! The format is a nonce of twelve bytes, then AES-256-GCM over the length of the head (four bytes, big endian), the
//! head and the body. The head is the status and then each header's name and value, one per line. A body never enters
//! WebAssembly's memory, which is never given back.

use js_sys::{Array, Object, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CryptoKey, Headers, Response, ResponseInit, SubtleCrypto};

use crate::crypto::derive::DerivedKey;

use super::{
    pending::{Deadline, Waiter},
    response::is_null_body_status,
    sys,
};

/// Seals a response with a key of 32 bytes in hex.
pub(super) async fn seal(
    waiter: &Waiter,
    key: &str,
    head: &str,
    body: &Uint8Array,
    deadline: Deadline,
) -> Result<Uint8Array, JsValue> {
    let length =
        u32::try_from(head.len()).map_err(|_| js_sys::Error::new("the head of the response is too long"))?;
    let mut plain = Vec::with_capacity(head.len().saturating_add(LENGTH_BYTES));
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(head.as_bytes());
    let plain = concat(&plain, body);
    let nonce = sys::random::<NONCE_BYTES>();
    let key = import_key(waiter, key, "encrypt", deadline).await?;
    let cipher = subtle().encrypt_with_object_and_buffer_source(&gcm(&nonce), &key, &plain);
    let cipher = waiter.value(cipher.map(JsValue::from), deadline).await?;
    Ok(concat(&nonce, &Uint8Array::new(&cipher)))
}

/// Opens a sealed response with one of these keys. Returns `None` if no key fits.
pub(super) async fn unseal(
    waiter: &Waiter,
    keys: &[String],
    sealed: &JsValue,
    deadline: Deadline,
) -> Result<Option<Response>, JsValue> {
    let sealed = Uint8Array::new(sealed);
    let nonce = sealed.slice(0, NONCE_BYTES_U32).to_vec();
    let cipher = sealed.subarray(NONCE_BYTES_U32, sealed.byte_length());
    for key in keys {
        let Ok(key) = import_key(waiter, key, "decrypt", deadline).await else { continue };
        let plain = subtle().decrypt_with_object_and_buffer_source(&gcm(&nonce), &key, &cipher);
        if let Ok(plain) = waiter.value(plain.map(JsValue::from), deadline).await {
            return parse_response(&Uint8Array::new(&plain)).map(Some);
        }
    }
    Ok(None)
}

fn parse_response(plain: &Uint8Array) -> Result<Response, JsValue> {
    let invalid = || js_sys::Error::new("not a sealed response");
    let length = plain.slice(0, LENGTH_BYTES_U32).to_vec().try_into().map_err(|_| invalid())?;
    let end = u32::from_be_bytes(length).saturating_add(LENGTH_BYTES_U32);
    let head = String::from_utf8(plain.slice(LENGTH_BYTES_U32, end).to_vec()).map_err(|_| invalid())?;
    let mut lines = head.split('\n');
    let status: u16 = lines.next().and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    let headers = Headers::new()?;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        headers.append(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&headers);
    let body = plain.slice(end, plain.byte_length());
    Response::new_with_opt_buffer_source_and_init((!is_null_body_status(status)).then_some(&body), &init)
}

/// Seals a text: the nonce, then the cipher.
pub(super) async fn seal_text(
    waiter: &Waiter,
    key: &DerivedKey,
    text: &str,
    deadline: Deadline,
) -> Result<Vec<u8>, JsValue> {
    let nonce = sys::random::<NONCE_BYTES>();
    let key = import_raw_key(waiter, key, "encrypt", deadline).await?;
    let plain = Uint8Array::from(text.as_bytes());
    let cipher = subtle().encrypt_with_object_and_buffer_source(&gcm(&nonce), &key, &plain);
    let cipher = waiter.value(cipher.map(JsValue::from), deadline).await?;
    Ok(concat(&nonce, &Uint8Array::new(&cipher)).to_vec())
}

/// Opens a sealed text with one key. Returns `None` if the key does not fit.
pub(super) async fn open_text(
    waiter: &Waiter,
    key: &DerivedKey,
    sealed: &[u8],
    deadline: Deadline,
) -> Result<Option<String>, JsValue> {
    let Some((nonce, cipher)) = sealed.split_at_checked(NONCE_BYTES) else { return Ok(None) };
    let key = import_raw_key(waiter, key, "decrypt", deadline).await?;
    let cipher = Uint8Array::from(cipher);
    let plain = subtle().decrypt_with_object_and_buffer_source(&gcm(nonce), &key, &cipher);
    let Ok(plain) = waiter.value(plain.map(JsValue::from), deadline).await else { return Ok(None) };
    Ok(String::from_utf8(Uint8Array::new(&plain).to_vec()).ok())
}

async fn import_key(
    waiter: &Waiter,
    key: &str,
    usage: &str,
    deadline: Deadline,
) -> Result<CryptoKey, JsValue> {
    let bytes = base16ct::lower::decode_vec(key).map_err(|_| js_sys::Error::new("not a key in hex"))?;
    import_raw_key(waiter, &bytes, usage, deadline).await
}

async fn import_raw_key(
    waiter: &Waiter,
    key: &[u8],
    usage: &str,
    deadline: Deadline,
) -> Result<CryptoKey, JsValue> {
    let bytes = Uint8Array::from(key);
    let usages = Array::of1(&JsValue::from_str(usage));
    let key = subtle().import_key_with_str("raw", &bytes, "AES-GCM", false, &usages);
    Ok(waiter.value(key.map(JsValue::from), deadline).await?.unchecked_into())
}

fn subtle() -> SubtleCrypto {
    sys::CRYPTO.with(web_sys::Crypto::subtle)
}

fn gcm(nonce: &[u8]) -> Object {
    let algorithm = sys::object_with("name", &JsValue::from_str("AES-GCM"));
    // Setting a property fails only on a frozen object.
    let _ = js_sys::Reflect::set(&algorithm, &JsValue::from_str("iv"), &Uint8Array::from(nonce));
    algorithm
}

fn concat(first: &[u8], rest: &Uint8Array) -> Uint8Array {
    let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
    let both = Uint8Array::new_with_length(length.saturating_add(rest.byte_length()));
    both.subarray(0, length).copy_from(first);
    both.set(rest, length);
    both
}

const NONCE_BYTES: usize = 12;
const NONCE_BYTES_U32: u32 = 12;
const LENGTH_BYTES: usize = 4;
const LENGTH_BYTES_U32: u32 = 4;
