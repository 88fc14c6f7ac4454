//! Workers KV: short texts, and sealed responses with an expiration.

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use worker::Env;

use super::{
    pending::JsResult,
    sys::{self, KvNamespace},
};

/// Reads a text. Returns a promise of the text, or of null.
pub(super) fn get(env: &Env, name: &str) -> JsResult {
    namespace(env)?.get(name, "text")
}

/// Reads bytes. Returns a promise of an `ArrayBuffer`, or of null.
pub(super) fn get_bytes(env: &Env, name: &str) -> JsResult {
    namespace(env)?.get(name, "arrayBuffer")
}

/// Writes a text.
pub(super) fn put(env: &Env, name: &str, value: &str) -> JsResult {
    namespace(env)?.put(name, &JsValue::from_str(value), &JsValue::UNDEFINED)
}

/// Writes bytes that expire after this many seconds. KV's minimum is 60 seconds.
#[expect(clippy::cast_precision_loss, reason = "a lifetime is far from 2^53 seconds")]
pub(super) fn put_bytes(env: &Env, name: &str, bytes: &Uint8Array, seconds: i64) -> JsResult {
    let options = sys::object_with("expirationTtl", &JsValue::from_f64(seconds.max(60) as f64));
    namespace(env)?.put(name, bytes, &options)
}

fn namespace(env: &Env) -> Result<KvNamespace, JsValue> {
    sys::binding(env, "KV")
}
