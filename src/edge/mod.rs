//! The platform: what comes in from workerd and what goes out to it. Nothing is decided here.

mod glue;
mod request_id;
mod upstream;

use std::{cell::OnceCell, rc::Rc};

use worker::{
    Context, Env, console_error, console_log, event,
    js_sys::Date,
    wasm_bindgen::JsValue,
    worker_sys::web_sys::{Request, Response},
};

use self::upstream::Platform;
use crate::{
    config::{Bindings, Config, read_variables},
    context,
    effects::{Answer, HeaderEdits, Reply},
    event::{Event, Moment},
    gateway,
    problem::Fault,
    response,
    time::Timestamp,
};

thread_local! {
    /// The configuration, once per isolate; `None` where it is not valid.
    static CONFIG: OnceCell<Option<Rc<Config>>> = const { OnceCell::new() };
}

/// Answers a request.
///
/// # Errors
/// None but those of the platform itself, when it refuses to make a response at all.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    let began = Date::now();
    let request_id = request_id::next();
    let env: JsValue = env.into();
    let Some(config) = config(&env) else { return unable(Fault::Misconfigured, &request, &request_id) };
    let account = glue::describe(&request);
    let Some(read) = context::Request::read(&account) else {
        return unable(Fault::Internal, &request, &request_id);
    };
    let now = config.fixed_now.unwrap_or_else(|| seconds(began));
    let platform = Platform::new(&request, &env, &config, (read.scheme, read.authority), began);
    let moment = Moment { now, request_id: &request_id };
    let (answer, event) = gateway::handle(&config, &platform, &read, moment).await;
    console_log!("{}", event.to_json());
    match answer {
        Answer::Relayed(response, edits) if edits.is_empty() => Ok(response),
        Answer::Relayed(response, edits) => {
            let amended = glue::amend(&response, &glue::write_edits(&edits));
            // A status that the platform will not let anyone construct: better none than unamended.
            amended.or_else(|_| unable(Fault::UpstreamFailed, &request, &request_id))
        }
        Answer::Own(reply) => own(reply),
    }
}

/// Reads the configuration, on the isolate's first request. Its mistakes go to the log alone.
fn config(env: &JsValue) -> Option<Rc<Config>> {
    CONFIG.with(|config| config.get_or_init(|| parse(env).map(Rc::new)).clone())
}

fn parse(env: &JsValue) -> Option<Config> {
    let bindings =
        Bindings { upstream: glue::is_fetcher(env, "UPSTREAM"), assets: glue::is_fetcher(env, "ASSETS") };
    let Ok(variables) = read_variables(&glue::variables(env)) else {
        console_error!("misconfigured: the variables are not JSON");
        return None;
    };
    match Config::parse(&variables, bindings) {
        Ok(config) => Some(config),
        Err(mistakes) => {
            for mistake in mistakes {
                console_error!("misconfigured: {mistake}");
            }
            None
        }
    }
}

/// Answers and logs a request that the gateway never saw, or whose answer the platform would not take.
fn unable(fault: Fault, request: &Request, request_id: &str) -> worker::Result<Response> {
    let mut reply = response::failed(fault, request_id);
    let mut event = Event::new(request_id, &request.method());
    (event.decision, event.status) = (fault.code(), reply.status);
    console_log!("{}", event.to_json());
    reply.headers.push(("cache-control", "no-store".to_owned()));
    own(reply)
}

fn own(reply: Reply) -> worker::Result<Response> {
    let edits = HeaderEdits { append: reply.headers, ..HeaderEdits::default() };
    glue::reply(reply.status, &glue::write_edits(&edits), reply.body).map_err(worker::Error::from)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and now is far from either end"
)]
fn seconds(milliseconds: f64) -> Timestamp {
    Timestamp((milliseconds / 1_000.0).floor() as i64)
}
