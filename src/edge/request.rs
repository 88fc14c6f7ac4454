//! Handles a request, from the platform's call to its response, and a scheduled event of a Cron Trigger.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Request, Response};
use worker::{Env, worker_sys::Context};

use super::{
    bodies::IncomingBody,
    calls::Call,
    effects::{EdgeEffects, send_post},
    feed::{self, OpenFeed},
    flush,
    isolate::{Isolate, isolate},
    pending::{self, JsResult, Waiter},
    response::{self, fault_response},
    streams, sys,
};
use crate::{
    base::time::Timestamp,
    config::Config,
    gateway::{self, maintenance},
    http::{origin::Origin, problem::Fault, request},
    platform::{
        effects::{ClientPlace, DeferredPost},
        event::RequestMeta,
    },
};

/// The state of a request while it is handled.
pub(super) struct RequestState {
    pub(super) isolate: Rc<Isolate>,
    pub(super) waiter: Waiter,
    pub(super) request: Request,
    pub(super) env: Env,
    pub(super) event: Context,
    /// The request's body, as far as it has been read.
    pub(super) request_body: Rc<IncomingBody>,
    /// The response for the client, unless it is a response of the gateway's own.
    pub(super) response: RefCell<Option<Response>>,
    /// The body of that response, once it is buffered.
    pub(super) response_body: RefCell<Option<Uint8Array>>,
    /// The calls of objects to make after the response.
    pub(super) deferred_calls: RefCell<Vec<Call>>,
    /// The requests to external services to send after the response.
    pub(super) deferred_posts: RefCell<Vec<DeferredPost>>,
}

/// Handles a request.
pub(super) fn fetch(request: Request, env: Env, event: Context) -> JsResult {
    let serialized = String::from_utf8(sys::describe_request(&request)).unwrap_or_default();
    let isolate = isolate(&env);
    let request_id = isolate.ids.next();
    if isolate.config.is_none() {
        return fault_response(&isolate, Fault::Misconfigured, &request_id, &serialized).map(JsValue::from);
    }
    let is_large = serialized.len() > LARGE_HEAD;
    let state = RequestState::new(isolate, request, env, event);
    let (waiter, signal) = (state.waiter.clone(), is_large.then(|| state.request.signal()));
    let answer = pending::begin(&waiter, run(state, request_id, serialized))?;
    if let Some(signal) = signal.filter(|_| !answer.is_instance_of::<Response>()) {
        // The closure is freed after its call, or with the signal.
        let abandon = Closure::once_into_js(move || pending::abandon(&waiter));
        signal.add_event_listener_with_callback("abort", abandon.unchecked_ref())?;
    }
    Ok(answer)
}

/// Handles a scheduled event. `scheduled_time` is in milliseconds since 1970.
pub(super) fn scheduled(scheduled_time: f64, env: Env, event: Context) -> JsResult {
    let isolate = isolate(&env);
    let request_id = isolate.ids.next();
    if isolate.config.is_none() {
        fault_response(&isolate, Fault::Misconfigured, &request_id, "POST")?;
        return Ok(JsValue::UNDEFINED);
    }
    // This placeholder request is never sent.
    let state = RequestState::new(isolate, Request::new_with_str("https://vestibule.invalid/")?, env, event);
    let waiter = state.waiter.clone();
    pending::begin(&waiter, run_scheduled(state, request_id, seconds(scheduled_time)))
}

async fn run(state: RequestState, request_id: String, serialized: String) -> JsResult {
    let RequestState { isolate, waiter, .. } = &state;
    let (Some(config), Some(request)) = (&isolate.config, request::Request::read(&serialized)) else {
        return fault_response(isolate, Fault::Internal, &request_id, &serialized).map(JsValue::from);
    };
    let effects = EdgeEffects::new(&state, config, (request.scheme, request.authority));
    let meta = meta(config, waiter, &request_id);
    let (answer, event) = gateway::handle(config, &effects, &request, meta).await;
    state.start_deferred_calls();
    flush::start(&state, config);
    let watched = streams::relay(&state, &answer);
    let feed = feed::open(&answer)?;
    let body = feed.as_ref().map(OpenFeed::body);
    let response = response::finish(&state, answer, body, &event, &serialized).map(JsValue::from);
    drop((event, effects));
    if let Some(feed) = feed {
        feed.start(state, request_id, serialized);
        return response;
    }
    if let Some(watched) = watched {
        watched.start(state, request_id, serialized);
    }
    response
}

async fn run_scheduled(state: RequestState, request_id: String, scheduled_time: Timestamp) -> JsResult {
    let RequestState { isolate, waiter, .. } = &state;
    let Some(config) = &isolate.config else { return Ok(JsValue::UNDEFINED) };
    let public = config.site.return_path.public.first();
    let origin = (public.map_or("", Origin::scheme), public.map_or("", Origin::authority));
    let effects = EdgeEffects::new(&state, config, origin);
    let lines = maintenance::run(config, &effects, scheduled_time, meta(config, waiter, &request_id)).await;
    state.start_deferred_calls();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        sys::log(line);
    }
    Ok(JsValue::UNDEFINED)
}

pub(super) fn meta<'a>(config: &Config, waiter: &Waiter, request_id: &'a str) -> RequestMeta<'a> {
    let now = config.site.fixed_now.unwrap_or_else(|| seconds(waiter.started_at()));
    RequestMeta { now, milliseconds: milliseconds(waiter.started_at()), request_id }
}

impl RequestState {
    fn new(isolate: Rc<Isolate>, request: Request, env: Env, event: Context) -> Self {
        let waiter = Waiter::new();
        let request_body = IncomingBody::new(&isolate.bodies, waiter.id());
        Self {
            isolate,
            waiter,
            request,
            env,
            event,
            request_body,
            response: RefCell::default(),
            response_body: RefCell::default(),
            deferred_calls: RefCell::default(),
            deferred_posts: RefCell::default(),
        }
    }

    /// Starts the deferred calls of objects and of external services. They are not awaited, but the event stays alive
    /// until they end.
    fn start_deferred_calls(&self) {
        for call in self.deferred_calls.take() {
            let env = self.env.clone();
            let call_ended = pending::spawn(|waiter| async move {
                if let Err(error) = call.run(&waiter, &env, DEFERRED_CALL_TIMEOUT).await {
                    log_failed_call(call.binding, &sys::message(&error));
                }
                Ok(JsValue::UNDEFINED)
            });
            let _ = self.event.wait_until(&call_ended);
        }
        for post in self.deferred_posts.take() {
            let env = self.env.clone();
            let post_ended = pending::spawn(|waiter| async move {
                send_post(&waiter, &env, &post).await;
                Ok(JsValue::UNDEFINED)
            });
            let _ = self.event.wait_until(&post_ended);
        }
    }
}

/// Logs that a deferred call failed.
pub(super) fn log_failed_call(binding: &str, message: &str) {
    let count = FAILED_CALLS.with(|count| {
        count.set(count.get().saturating_add(1));
        count.get()
    });
    let line = serde_json::json!({ "event": "later_failed", "binding": binding, "count": count, "message": message });
    web_sys::console::error_1(&JsValue::from_str(&line.to_string()));
}

thread_local! {
    /// Number of deferred calls that have failed in this isolate.
    static FAILED_CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Returns the approximate place of a request's client. Only the platform sets `cf`. A client could send the header
/// `CF-IPCountry` where the platform does not set it.
pub(super) fn client_place(request: &Request) -> ClientPlace {
    let Ok(cf) = sys::property(request, "cf") else { return ClientPlace::default() };
    let text = |name| sys::property(&cf, name).ok().and_then(|value| value.as_string());
    ClientPlace { city: text("city"), country: text("country") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
pub(super) fn milliseconds(span: f64) -> u64 {
    span as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and the current time is far from the limits"
)]
pub(super) fn seconds(milliseconds: f64) -> Timestamp {
    Timestamp((milliseconds / 1_000.0).floor() as i64)
}

/// A request with a longer head, in bytes, is dropped as soon as its client disconnects. Other requests are kept until
/// their deadline has passed.
const LARGE_HEAD: usize = 8_192;

/// Timeout of a deferred call.
const DEFERRED_CALL_TIMEOUT: Duration = Duration::from_secs(10);
