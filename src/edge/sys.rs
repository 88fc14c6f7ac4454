//! JavaScript APIs that the crates lack, each with the reason why it is here.

use js_sys::{Array, Function, Iterator, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use web_sys::{Request, RequestInit, Response};
use worker::Env;

#[wasm_bindgen(raw_module = "vestibule-entry")]
extern "C" {
    /// Returns a promise of what `resume(id)` returns. `resume` is called when the promise settles or the time is over.
    /// The futures of `js_sys` cost twice as much, leak if a promise never settles, and hide a trap from `entry.js`.
    pub(super) fn wait(promise: &JsValue, id: u32, milliseconds: f64) -> JsValue;

    /// Returns the function of the Worker's own code that decides about each request.
    #[wasm_bindgen(js_name = installedHook)]
    pub(super) fn installed_hook() -> Option<Function>;
}

/// Headers as one text. With `web_sys`, each header costs a call.
#[wasm_bindgen(raw_module = "vestibule-headers")]
extern "C" {
    #[wasm_bindgen(js_name = describeRequest)]
    pub(super) fn describe_request(request: &Request) -> Vec<u8>;

    #[wasm_bindgen(js_name = describeResponse)]
    pub(super) fn describe_response(response: &Response) -> Vec<u8>;

    /// `new Request(url, request)`. With a URL, `web_sys` accepts only a `RequestInit`.
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

    /// The same with a stream as the body.
    #[wasm_bindgen(catch, js_name = respond)]
    pub(super) fn respond_with(status: u16, edits: &str, body: &JsValue) -> Result<Response, JsValue>;
}

/// A relay must still end after the module has stopped, so it cannot be Rust.
#[wasm_bindgen(raw_module = "vestibule-streams")]
extern "C" {
    /// A stream that is passed on to the client, and can be ended.
    #[derive(Clone)]
    pub(super) type Relay;

    /// Starts to relay the WebSocket or the body of a response. `None` if it has neither.
    #[wasm_bindgen(catch)]
    pub(super) fn relay(response: &Response) -> Result<Option<Relay>, JsValue>;

    /// The response for the client.
    #[wasm_bindgen(method, getter)]
    pub(super) fn response(this: &Relay) -> Response;

    /// Whether it was ended. Its sides may still wait for the other one's close frame.
    #[wasm_bindgen(method, getter, js_name = isEnded)]
    pub(super) fn is_ended(this: &Relay) -> bool;

    /// Returns a promise that resolves when both sides are closed.
    #[wasm_bindgen(method, js_name = whenClosed)]
    pub(super) fn when_closed(this: &Relay) -> JsValue;

    /// Ends the stream. Returns whether it was open.
    #[wasm_bindgen(method)]
    pub(super) fn end(this: &Relay, code: u16, reason: &str) -> bool;

    /// Ends the stream when the promise settles.
    #[wasm_bindgen(method, js_name = endWith)]
    pub(super) fn end_with(this: &Relay, checks: &js_sys::Promise);
}

#[wasm_bindgen]
extern "C" {
    /// The storage of an object, with `transactionSync`. `worker` has only `transaction`: its closure is asynchronous,
    /// so other commands would run in between.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type TransactionalStorage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub(super) fn transaction_sync(
        this: &TransactionalStorage,
        step: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;

    /// A stub of an object of the gateway, which is called by RPC. `worker`'s stub calls `fetch`, which costs more.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type ObjectStub;

    #[wasm_bindgen(method, catch)]
    pub(super) fn command(
        this: &ObjectStub,
        command: &Uint8Array,
        now: &str,
        attached: &JsValue,
    ) -> Result<JsValue, JsValue>;

    /// A KV namespace. `worker`'s reads and writes through `serde_wasm_bindgen` and a queue of futures.
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

    /// A stream of the platform that passes bytes on. `web_sys` has only the standard one, of which the platform's is a
    /// copy in JavaScript.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    pub(super) fn new() -> Result<IdentityTransformStream, JsValue>;

    #[wasm_bindgen(method, getter)]
    pub(super) fn readable(this: &IdentityTransformStream) -> JsValue;

    #[wasm_bindgen(method, getter)]
    pub(super) fn writable(this: &IdentityTransformStream) -> ByteSink;

    /// The other end of such a stream.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type ByteSink;

    #[wasm_bindgen(method, catch, js_name = getWriter)]
    pub(super) fn get_writer(this: &ByteSink) -> Result<ByteWriter, JsValue>;

    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type ByteWriter;

    /// A promise that settles when the stream is closed or lost.
    #[wasm_bindgen(method, getter)]
    pub(super) fn closed(this: &ByteWriter) -> JsValue;

    /// Returns a promise that resolves when the client has taken the bytes.
    #[wasm_bindgen(method, catch)]
    pub(super) fn write(this: &ByteWriter, bytes: &Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn close(this: &ByteWriter) -> Result<JsValue, JsValue>;

    /// A dataset of Workers Analytics Engine. `worker`'s builder copies the data twice.
    #[wasm_bindgen(extends = js_sys::Object)]
    pub(super) type Dataset;

    #[wasm_bindgen(method, catch, js_name = writeDataPoint)]
    pub(super) fn write_data_point(this: &Dataset, point: &js_sys::Object) -> Result<(), JsValue>;

    /// `web_sys` has `fetch` only as a method of a window or of a worker's global scope. workerd has neither.
    #[wasm_bindgen(catch, js_name = fetch)]
    pub(super) fn fetch(request: &Request) -> Result<JsValue, JsValue>;

    /// `fetch` of an existing request, with `cache: "no-store"` or `cf`.
    #[wasm_bindgen(catch, js_name = fetch)]
    pub(super) fn fetch_with(request: &Request, init: &RequestInit) -> Result<JsValue, JsValue>;

    /// Reads all rows of a cursor. An error of the cursor is thrown; `js_sys` does not catch it.
    #[wasm_bindgen(catch, js_namespace = Array, js_name = from)]
    pub(super) fn array_from(rows: &Iterator) -> Result<Array, JsValue>;

    /// `web_sys` has `crypto` only as a property of a window.
    #[wasm_bindgen(js_name = crypto, thread_local_v2)]
    pub(super) static CRYPTO: web_sys::Crypto;
}

/// Returns a binding without checking its type: a binding of a wrong type fails at its first call. `worker` compares
/// the names of constructors instead, which is slow and rejects a proxy around a binding.
pub(super) fn binding<T: JsCast>(env: &Env, name: &str) -> Result<T, JsValue> {
    Ok(property(env, name)?.unchecked_into())
}

/// Returns a property of an object. An extern for each property would be more code.
pub(super) fn property(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    js_sys::Reflect::get(object, &JsValue::from_str(name))
}

/// Returns an object with one property.
pub(super) fn object_with(name: &str, value: &JsValue) -> js_sys::Object {
    let object = js_sys::Object::new();
    // Setting a property fails only on a frozen object.
    let _ = js_sys::Reflect::set(&object, &JsValue::from_str(name), value);
    object
}

/// Returns cryptographically random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // This fails only for more than 65,536 bytes.
    let _ = CRYPTO.with(|crypto| crypto.get_random_values_with_u8_array(&mut bytes));
    bytes
}

/// Makes a panic log only its location. `worker`'s own hook also logs its message, which may quote client input.
pub(super) fn log_panic_locations() {
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

/// Returns the message of a thrown error.
pub(super) fn message(error: &JsValue) -> String {
    property(error, "message").ok().and_then(|message| message.as_string()).unwrap_or_default()
}
