//! The edge: implements the traits of [`crate::platform`] on Cloudflare's runtime, through the `worker` crate. Nothing
//! is decided here.
//!
//! | module | purpose |
//! |---|---|
//! | `entry.js` | the Worker's entry point: startup, recovery after a trap, handlers and classes |
//! | `headers.js`, [`headers`] | headers as one serialized string in each direction |
//! | [`pending`] | runs the future of each request |
//! | [`hooks`] | hooks in JavaScript |
//! | [`isolate`], [`request_id`] | the state of an isolate: configuration, memory; request ids |
//! | [`request`] | a request, from the platform's call to its response; a scheduled event of a Cron Trigger |
//! | [`effects`] | the core's `Effects` |
//! | [`bodies`], [`chunks`], [`upstream`], [`sealing`], [`kv`], [`calls`] | used by [`request`] and [`effects`]: bodies and their chunks, requests to upstream, AES-GCM, KV, calls of objects |
//! | [`response`] | responses: the core's, and what it needs of upstream's |
//! | [`streams`], `streams.js` | watches open streams; relays them, so that they can be ended |
//! | [`feed`] | sends the events of a stream of the gateway's own |
//! | [`objects`], [`storage`], [`deliveries`] | Durable Objects: classes, their database, the inbox's deliveries |
//! | [`flush`], [`analytics`] | flushes the counts of the isolate, after the response; data points |
//! | [`sys`] | JavaScript APIs that the crates lack |
//!
//! An ordinary request costs one call into WebAssembly, or two if it is forwarded. Its headers cross as one
//! serialized string in each direction. The edge does not use the futures of `js_sys`: see [`pending`].

mod analytics;
mod bodies;
mod calls;
mod chunks;
mod deliveries;
mod effects;
mod feed;
mod flush;
mod headers;
mod hooks;
mod isolate;
mod kv;
pub mod objects;
pub mod pending;
mod request;
mod request_id;
mod response;
mod sealing;
mod storage;
mod streams;
mod sys;
mod upstream;

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    worker_sys::{Context, ScheduledEvent},
};

pub use self::isolate::install;
use self::pending::JsResult;

/// Handles a request. Returns a response, or a promise of a response.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: Env, context: Context) -> JsResult {
    request::fetch(request, env, context)
}

/// Handles a scheduled event of a Cron Trigger.
#[wasm_bindgen]
pub fn scheduled(event: &ScheduledEvent, env: Env, context: Context) -> JsResult {
    request::scheduled(event.scheduled_time()?, env, context)
}

/// Responds to a request whose handling failed with an error.
#[wasm_bindgen]
pub fn internal_error(request: &web_sys::Request, env: &Env) -> JsResult {
    let isolate = isolate::isolate(env);
    let serialized = String::from_utf8(sys::describe_request(request)).unwrap_or_default();
    response::fault_response(
        &isolate,
        crate::http::problem::Fault::Internal,
        &isolate.ids.next(),
        &serialized,
    )
    .map(JsValue::from)
}
