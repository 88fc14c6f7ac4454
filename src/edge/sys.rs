//! What JavaScript has and the crates lack, each with its reason.

use js_sys::{Array, Iterator, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use web_sys::{Request, RequestInit, Response};
use worker::Env;

#[wasm_bindgen(raw_module = "vestibule-entry")]
extern "C" {
    /// Calls `resume` with this id when a promise settles, or after so many milliseconds; gives a promise of the answer.
    /// The futures of `js_sys` cost twice as much, leak where a promise never settles, and hide a trap from the entry.
    pub(super) fn wait(promise: &JsValue, id: u32, milliseconds: f64) -> JsValue;
}

/// Headers as one text. `web_sys` has a call for each of them.
#[wasm_bindgen(raw_module = "vestibule-headers")]
extern "C" {
    #[wasm_bindgen(js_name = describeRequest)]
    pub(super) fn describe_request(request: &Request) -> Vec<u8>;

    #[wasm_bindgen(js_name = describeResponse)]
    pub(super) fn describe_response(response: &Response) -> Vec<u8>;

    /// `new Request(url, request)`: `web_sys` takes only a `RequestInit` beside a URL.
    #[wasm_bindgen(catch, js_name = copyRequest)]
    pub(super) fn copy_request(
        request: &Request,
        url: &str,
        edits: &str,
        body: Option<&Uint8Array>,
    ) -> Result<Request, JsValue>;

    #[wasm_bindgen(catch, js_name = copyResponse)]
    pub(super) fn copy_response(response: &Response, edits: &str) -> Result<Response, JsValue>;

    #[wasm_bindgen(catch)]
    pub(super) fn respond(status: u16, edits: &str, body: Option<&str>) -> Result<Response, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    /// `worker` has `transaction`, whose closure is asynchronous: other commands would come in between.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type TransactionalStorage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub(super) fn transaction_sync(
        this: &TransactionalStorage,
        step: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;

    /// What an object of ours can be called for: its classes have no `fetch`, since RPC is cheaper.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type ObjectStub;

    #[wasm_bindgen(method, catch)]
    pub(super) fn command(
        this: &ObjectStub,
        command: &Uint8Array,
        now: &str,
        attached: &JsValue,
    ) -> Result<JsValue, JsValue>;

    /// `worker`'s store reads and writes through `serde_wasm_bindgen` and a queue of futures.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type KvNamespace;

    #[wasm_bindgen(method, catch)]
    pub(super) fn get(this: &KvNamespace, name: &str, kind: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn put(
        this: &KvNamespace,
        name: &str,
        value: &JsValue,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;

    /// `web_sys` has it as a method of a window or a worker's scope, neither of which workerd is.
    #[wasm_bindgen(catch, js_name = fetch)]
    pub(super) fn fetch(request: &Request) -> Result<JsValue, JsValue>;

    /// The same with `cache: "no-store"` or `cf` for a request that exists.
    #[wasm_bindgen(catch, js_name = fetch)]
    pub(super) fn fetch_with(request: &Request, init: &RequestInit) -> Result<JsValue, JsValue>;

    /// `Array.from`, which throws what goes wrong in a cursor; that of `js_sys` does not catch it.
    #[wasm_bindgen(catch, js_namespace = Array, js_name = from)]
    pub(super) fn collect(rows: &Iterator) -> Result<Array, JsValue>;

    /// `web_sys` has it as a member of a window.
    #[wasm_bindgen(js_name = crypto, thread_local_v2)]
    pub(super) static CRYPTO: web_sys::Crypto;
}

/// Returns a binding as a type that it is not checked for: a wrong one fails when it is called. `worker` compares the
/// names of constructors, which costs more than some calls, and which a proxy around a binding does not pass.
pub(super) fn binding<T: JsCast>(env: &Env, name: &str) -> Result<T, JsValue> {
    Ok(member(env, name)?.unchecked_into())
}

/// Returns a member of an object. Externs for each would be more code.
pub(super) fn member(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    js_sys::Reflect::get(object, &JsValue::from_str(name))
}

/// Returns an object with one member.
pub(super) fn object_with(name: &str, value: &JsValue) -> js_sys::Object {
    let object = js_sys::Object::new();
    // It fails on a frozen object.
    let _ = js_sys::Reflect::set(&object, &JsValue::from_str(name), value);
    object
}

/// Fills with random bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It fails beyond 65,536 bytes.
    let _ = CRYPTO.with(|crypto| crypto.get_random_values_with_u8_array(&mut bytes));
    bytes
}

/// Has a panic log where it was. `worker`'s own hook logs its message too, which may quote what a client sent.
pub(super) fn log_panics_briefly() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some(location) = panic.location() {
            web_sys::console::error_1(&JsValue::from_str(&format!("panic at {location}")));
        }
    }));
}

/// Writes a line to the log.
pub(super) fn log(line: &str) {
    web_sys::console::log_1(&JsValue::from_str(line));
}

/// Returns the message of something that was thrown.
pub(super) fn message(error: &JsValue) -> String {
    member(error, "message").ok().and_then(|message| message.as_string()).unwrap_or_default()
}
