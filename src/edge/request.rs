//! A request, from the platform's call to its response, and a tick of the cron trigger.

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
    bodies::Incoming,
    calls::Call,
    gate::{Gate, gate},
    pending::{self, Answer, Waiter},
    platform::Platform,
    response::{self, refuse},
    sys,
};
use crate::{
    config::Config, context, event::RequestMeta, gateway, maintenance, origin::Origin, problem::Fault,
    time::Timestamp,
};

/// What is kept of a request while it is answered.
pub(super) struct RequestState {
    pub(super) gate: Rc<Gate>,
    pub(super) waiter: Waiter,
    pub(super) request: Request,
    pub(super) env: Env,
    pub(super) event: Context,
    /// Its body, as far as that was read.
    pub(super) incoming: Rc<Incoming>,
    /// What the client gets, if it is not a response of Vestibule's own.
    pub(super) response: RefCell<Option<Response>>,
    /// The body of that, once it was read.
    pub(super) collected: RefCell<Option<Uint8Array>>,
    /// The bytes that came with the last reply of an object.
    pub(super) attached: RefCell<Option<JsValue>>,
    /// What objects are to do after the answer.
    pub(super) later: RefCell<Vec<Call>>,
}

/// Answers a request.
pub(super) fn fetch(request: Request, env: Env, event: Context) -> Answer {
    let account = String::from_utf8(sys::describe_request(&request)).unwrap_or_default();
    let gate = gate(&env);
    let request_id = gate.ids.next();
    if gate.config.is_none() {
        return refuse(&gate, Fault::Misconfigured, &request_id, &account).map(JsValue::from);
    }
    let is_large = account.len() > LARGE;
    let state = RequestState::new(gate, request, env, event);
    let (waiter, signal) = (state.waiter.clone(), is_large.then(|| state.request.signal()));
    let answer = pending::begin(&waiter, run(state, request_id, account))?;
    if let Some(signal) = signal.filter(|_| !answer.is_instance_of::<Response>()) {
        // It is freed when it was called, or with the signal.
        let forget = Closure::once_into_js(move || pending::forget(&waiter));
        signal.add_event_listener_with_callback("abort", forget.unchecked_ref())?;
    }
    Ok(answer)
}

/// Does what is due at a tick, which was due at this time in milliseconds since 1970.
pub(super) fn scheduled(due: f64, env: Env, event: Context) -> Answer {
    let gate = gate(&env);
    let request_id = gate.ids.next();
    if gate.config.is_none() {
        refuse(&gate, Fault::Misconfigured, &request_id, "POST")?;
        return Ok(JsValue::UNDEFINED);
    }
    // Nothing of it is sent anywhere.
    let state = RequestState::new(gate, Request::new_with_str("https://vestibule.invalid/")?, env, event);
    let waiter = state.waiter.clone();
    pending::begin(&waiter, tick(state, request_id, seconds(due)))
}

async fn run(state: RequestState, request_id: String, account: String) -> Answer {
    let RequestState { gate, waiter, .. } = &state;
    let (Some(config), Some(request)) = (&gate.config, context::Request::read(&account)) else {
        return refuse(gate, Fault::Internal, &request_id, &account).map(JsValue::from);
    };
    let platform = Platform::new(&state, config, (request.scheme, request.authority));
    let meta = meta(config, waiter, &request_id);
    let (answer, event) = gateway::handle(config, &platform, &request, meta).await;
    state.call_later();
    response::finish(&state, answer, &event, &account).map(JsValue::from)
}

async fn tick(state: RequestState, request_id: String, due: Timestamp) -> Answer {
    let RequestState { gate, waiter, .. } = &state;
    let Some(config) = &gate.config else { return Ok(JsValue::UNDEFINED) };
    let public = config.return_path.public.first();
    let origin = (public.map_or("", Origin::scheme), public.map_or("", Origin::authority));
    let platform = Platform::new(&state, config, origin);
    let lines = maintenance::run(config, &platform, due, meta(config, waiter, &request_id)).await;
    state.call_later();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        sys::log(line);
    }
    Ok(JsValue::UNDEFINED)
}

fn meta<'a>(config: &Config, waiter: &Waiter, request_id: &'a str) -> RequestMeta<'a> {
    let now = config.fixed_now.unwrap_or_else(|| seconds(waiter.began()));
    RequestMeta { now, milliseconds: milliseconds(waiter.began()), request_id }
}

impl RequestState {
    fn new(gate: Rc<Gate>, request: Request, env: Env, event: Context) -> Self {
        let waiter = Waiter::new();
        let incoming = Incoming::new(&gate.bodies, waiter.id());
        Self {
            gate,
            waiter,
            request,
            env,
            event,
            incoming,
            response: RefCell::default(),
            collected: RefCell::default(),
            attached: RefCell::default(),
            later: RefCell::default(),
        }
    }

    /// Has objects do what is to be done after the answer. Nobody waits for it, but the event goes on until it is done.
    fn call_later(&self) {
        for call in self.later.take() {
            let env = self.env.clone();
            let done = pending::spawn(|waiter| async move {
                if let Err(error) = call.within(&waiter, &env, LATER_TIMEOUT).await {
                    later_failed(call.binding, &sys::message(&error));
                }
                Ok(JsValue::UNDEFINED)
            });
            let _ = self.event.wait_until(&done);
        }
    }
}

/// Logs that something that was to be done after an answer was not.
fn later_failed(binding: &str, message: &str) {
    let count = LOST.with(|lost| {
        lost.set(lost.get().saturating_add(1));
        lost.get()
    });
    let line = serde_json::json!({ "event": "later_failed", "binding": binding, "count": count, "message": message });
    web_sys::console::error_1(&JsValue::from_str(&line.to_string()));
}

thread_local! {
    /// How often this isolate has failed to do something after an answer.
    static LOST: Cell<u32> = const { Cell::new(0) };
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
pub(super) fn milliseconds(span: f64) -> u64 {
    span as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and now is far from either end"
)]
pub(super) fn seconds(milliseconds: f64) -> Timestamp {
    Timestamp((milliseconds / 1_000.0).floor() as i64)
}

/// Bytes of headers that are not kept, for clients that go away, until the deadline has passed.
const LARGE: usize = 8_192;

/// How long something may take that nobody waits for.
const LATER_TIMEOUT: Duration = Duration::from_secs(10);
