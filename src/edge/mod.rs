//! The platform: the same traits as in the tests, over the `worker` crate. Nothing is decided here.
//!
//! | module | is for |
//! |---|---|
//! | `entry.js` | the Worker's entry: start, recovery after a trap, handlers and classes |
//! | `headers.js` | headers as one text each way |
//! | [`pending`] | the executor |
//! | [`gate`] | what an isolate keeps: configuration, memory, ids |
//! | [`request`] | a request from the platform's call to its response; a tick of the cron trigger |
//! | [`platform`] | the core's `Effects` |
//! | [`bodies`], [`chunks`], [`upstream`], [`sealing`], [`kv`], [`calls`] | what those take: bodies, fetches, AES-GCM, KV, calls of objects |
//! | [`response`] | responses and headers as the core has them |
//! | [`objects`], [`storage`], [`deliveries`] | Durable Objects: classes, their database, the inbox's deliveries |
//! | [`sys`] | what JavaScript has and the crates lack |
//!
//! An ordinary request costs one call into WebAssembly, or two if it is forwarded. Its headers cross as one text each way,
//! and nothing of it goes through the futures of `js_sys`.

mod bodies;
mod calls;
mod chunks;
mod deliveries;
mod gate;
mod kv;
pub mod objects;
pub mod pending;
mod platform;
mod request;
mod request_id;
mod response;
mod sealing;
mod storage;
mod sys;
mod upstream;

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    worker_sys::{Context, ScheduledEvent},
};

pub use self::gate::install;
use self::pending::Answer;

/// Answers a request: with a response, or a promise of it.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: Env, context: Context) -> Answer {
    request::fetch(request, env, context)
}

/// Does what is due at a tick of the cron trigger.
#[wasm_bindgen]
pub fn scheduled(event: &ScheduledEvent, env: Env, context: Context) -> Answer {
    request::scheduled(event.scheduled_time()?, env, context)
}

/// Answers a request that something broke over.
#[wasm_bindgen]
pub fn unable(request: &web_sys::Request, env: &Env) -> Answer {
    let gate = gate::gate(env);
    let account = String::from_utf8(sys::describe_request(request)).unwrap_or_default();
    response::refuse(&gate, crate::problem::Fault::Internal, &gate.ids.next(), &account).map(JsValue::from)
}
