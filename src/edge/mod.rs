//! The platform: what comes in from workerd and what goes out to it. Nothing is decided here.
//!
//! `worker.js` holds everything that is JavaScript's: requests, responses, bindings, timers. It calls the
//! functions below with text and gets [`wire`] texts back, and nothing in WebAssembly ever holds an
//! object of JavaScript's: a crossing costs more than most decisions do, and a text is one crossing.

mod platform;
mod request_id;
pub mod storage;
mod visit;
mod wire;

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};

use wasm_bindgen::prelude::wasm_bindgen;

use self::{request_id::RequestIds, visit::Visits};
use crate::{
    body_budget::Reserved,
    config::{Bindings, Config, read_variables},
    context::{Headers, Request},
    effects::Answer,
    event::Event,
    forward, inbox,
    policy::{Hooks, NoHooks},
    problem::{DEFAULT_BASE, Fault},
    refusal::page::{self, View},
    response::{self, ProblemContext},
};

/// What one isolate keeps between requests.
struct Gate {
    /// `None` where the configuration is not valid.
    config: Option<Rc<Config>>,
    /// Its mistakes, one a line, if a visitor may read them: only in development.
    mistakes: String,
    ids: RequestIds,
    visits: Visits,
}

thread_local! {
    static HOOKS: Cell<&'static dyn Hooks> = const { Cell::new(&NoHooks) };
    static GATE: OnceCell<Gate> = const { OnceCell::new() };
}

/// Has a Worker's own code decide too, from the first request on. For whoever builds their own on this crate: call it
/// in a function that is `#[wasm_bindgen(start)]`.
pub fn install(hooks: impl Hooks + 'static) {
    HOOKS.with(|known| known.set(Box::leak(Box::new(hooks))));
}

/// Gives what the Worker's own code decides by.
fn hooks() -> &'static dyn Hooks {
    HOOKS.with(Cell::get)
}

/// Reads the configuration, before the first request: every variable and secret as JSON, the names of the
/// bindings, one a line, and a text of 122 random bits. Answers the mistakes, or else the complaints, one a line.
#[wasm_bindgen]
#[must_use]
pub fn configure(variables: &str, bindings: &str, seed: String) -> String {
    let mut development = false;
    let parsed = read_variables(variables)
        .map_err(|_| vec!["the variables are not JSON".to_owned()])
        .and_then(|variables| {
            development = variables.get("ENVIRONMENT").is_some_and(|value| value == "development");
            Config::parse(&variables, &Bindings::named(bindings.lines()))
                .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
        });
    let (config, mistakes) = match parsed {
        Ok(config) => {
            let complaints = config.complaints.iter().map(ToString::to_string).collect();
            (Some(Rc::new(config)), complaints)
        }
        Err(mistakes) => (None, mistakes),
    };
    let mistakes = mistakes.join("\n");
    let shown = if development { mistakes.clone() } else { String::new() };
    let gate = Gate { config, mistakes: shown, ids: RequestIds::new(seed), visits: Visits::default() };
    GATE.with(|known| known.set(gate).ok());
    mistakes
}

/// Takes a request up: `account` as [`crate::context::Request::read`] has it, in UTF-8; `now` in milliseconds since
/// 1970. Answers a [`wire`] text.
#[wasm_bindgen]
#[must_use]
pub fn begin(account: Vec<u8>, now: f64) -> String {
    GATE.with(|gate| match gate.get() {
        Some(Gate { config: Some(config), ids, visits, .. }) => {
            visits.begin(config, ids.next(), account, now)
        }
        Some(gate) => refuse(Fault::Misconfigured, &gate.ids.next(), &String::from_utf8_lossy(&account)),
        None => refuse(Fault::Internal, "", &String::from_utf8_lossy(&account)),
    })
}

/// Takes a tick of the cron trigger up: when it was due, and now, in milliseconds since 1970. Answers a [`wire`] text.
#[wasm_bindgen]
#[must_use]
pub fn tick(due: f64, now: f64) -> String {
    GATE.with(|gate| match gate.get() {
        Some(Gate { config: Some(config), ids, visits, .. }) => visits.tick(config, ids.next(), due, now),
        _ => refuse(Fault::Misconfigured, "", "POST"),
    })
}

/// Goes on with a visit that waited, told what came of what it waited for. Answers a [`wire`] text.
#[wasm_bindgen]
#[must_use]
pub fn resume(visit: u32, told: Vec<u8>, now: f64) -> String {
    let next = GATE.with(|gate| gate.get().and_then(|gate| gate.visits.resume(visit, told, now)));
    next.unwrap_or_else(|| refuse(Fault::Internal, "", ""))
}

/// Prepares the delivery of an event that an inbox gave, `now` in milliseconds since 1970. Answers a [`wire`] text,
/// or nothing where it cannot be delivered now.
#[wasm_bindgen]
#[must_use]
pub fn delivery(event: &str, now: f64) -> String {
    let Ok(inbox::Reply::Event(event)) = serde_json::from_str(event) else { return String::new() };
    GATE.with(|gate| {
        let config = gate.get()?.config.as_ref()?;
        let outbound = forward::delivery(config, &event, visit::seconds(now))?;
        let public = config.return_path.public.first()?.as_str();
        let (via, base) = platform::way(&config.upstream, outbound.personal);
        let way = (base.unwrap_or(public), outbound.target);
        let fields = Headers::read(&event.fields);
        Some(wire::delivery(outbound.timeout.as_millis(), &via, way, &fields, &outbound.edits))
    })
    .unwrap_or_default()
}

/// Asks for memory for a chunk of a request's body. Returns 0 if it may be kept, -1 if it may not, or else the number
/// of the request whose chunks must be dropped before the caller asks again.
#[wasm_bindgen]
#[must_use]
pub fn reserve(visit: u32, bytes: u32, now: f64) -> f64 {
    match GATE.with(|gate| gate.get().map(|gate| gate.visits.reserve(visit, bytes, now))) {
        Some(Reserved::Granted) => 0.0,
        Some(Reserved::Evict(other)) => f64::from(other),
        Some(Reserved::Exhausted) | None => -1.0,
    }
}

/// Gives a visit up whose client went away.
#[wasm_bindgen]
pub fn forget(visit: u32) {
    GATE.with(|gate| gate.get().map(|gate| gate.visits.forget(visit)));
}

/// Answers a request whose answer the platform would not take (`request_id` is the one it has), or that
/// something broke over (`request_id` is empty); `account` as of [`begin`].
#[wasm_bindgen]
#[must_use]
pub fn unable(request_id: &str, account: &str) -> String {
    if !request_id.is_empty() {
        return refuse(Fault::UpstreamFailed, request_id, account);
    }
    let id = GATE.with(|gate| gate.get().map(|gate| gate.ids.next()));
    refuse(Fault::Internal, &id.unwrap_or_default(), account)
}

/// Refuses a request that did not reach the core, or did not return from it.
fn refuse(fault: Fault, request_id: &str, account: &str) -> String {
    let mut event = Event::new(request_id, account.split('\n').next().unwrap_or_default());
    let reply = GATE.with(|gate| {
        let (config, mistakes) =
            gate.get().map(|gate| (gate.config.as_deref(), gate.mistakes.as_str())).unwrap_or_default();
        let base = config.map_or(DEFAULT_BASE, |config| &config.problem_base);
        let mut reply = response::failed(fault, ProblemContext { request_id, base, login_url: None });
        let home = config.map(|config| config.return_path.home.as_str());
        if let Some(request) = Request::read(account) {
            let view = View { request: &request, home, login_url: None, is_approval: false, mistakes };
            page::show(&mut reply, &fault.problem(request_id), view);
            response::dress(&mut reply, &request, Vec::new());
        } else {
            reply.headers.push(("cache-control", "no-store".to_owned()));
        }
        reply
    });
    (event.decision, event.status) = (fault.code(), reply.status);
    wire::answer(&Answer::Own(reply), &event)
}
