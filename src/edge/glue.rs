//! The functions of `glue.js`, and the text in which header changes cross over.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use worker::worker_sys::web_sys::{Request, Response};

use crate::effects::HeaderEdits;

#[wasm_bindgen(module = "/src/edge/glue.js")]
extern "C" {
    /// A request as one text.
    pub(super) fn describe(request: &Request) -> String;

    /// A response as one text.
    #[wasm_bindgen(js_name = describeResponse)]
    pub(super) fn describe_response(response: &Response) -> String;

    /// Every variable and secret as JSON.
    pub(super) fn variables(env: &JsValue) -> String;

    /// Whether a binding can be fetched from.
    #[wasm_bindgen(js_name = isFetcher)]
    pub(super) fn is_fetcher(env: &JsValue, name: &str) -> bool;

    /// 122 random bits as a text.
    #[wasm_bindgen(js_name = randomText)]
    pub(super) fn random_text() -> String;

    /// Sends a request on; resolves to null where it took too long.
    #[wasm_bindgen(catch)]
    pub(super) fn forward(
        fetcher: &JsValue,
        request: &Request,
        url: &str,
        edits: &str,
        personal: bool,
        milliseconds: f64,
    ) -> Result<Promise, JsValue>;

    /// Changes a response's headers.
    #[wasm_bindgen(catch)]
    pub(super) fn amend(response: &Response, edits: &str) -> Result<Response, JsValue>;

    /// Makes a response.
    #[wasm_bindgen(catch)]
    pub(super) fn reply(status: u16, edits: &str, body: Option<String>) -> Result<Response, JsValue>;
}

/// Writes header changes as `glue.js` reads them. A value that holds a line feed, which no decision of
/// ours produces, is left out rather than let it become another header.
pub(super) fn write_edits(edits: &HeaderEdits<'_>) -> String {
    let mut text = String::with_capacity(1024);
    let mut line = |mark: char, name: &str, value: Option<&str>| {
        if name.contains('\n') || value.is_some_and(|value| value.contains('\n')) {
            return;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push(mark);
        text.push_str(name);
        if let Some(value) = value {
            text.push('\n');
            text.push_str(value);
        }
    };
    for name in &edits.remove {
        line('-', name, None);
    }
    for (name, value) in &edits.set {
        line('=', name, Some(value));
    }
    for (name, value) in &edits.append {
        line('+', name, Some(value));
    }
    text
}
