//! Flushes the counts of the isolate, after the response. [`Counts`] says when.

use std::time::Duration;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use worker::Env;

use super::{
    calls::{Call, ObjectReply},
    pending::{self, Waiter},
    request::{RequestState, log_failed_call, milliseconds, seconds},
    sys,
};
use crate::{
    base::{encoding, time::Timestamp},
    config::Config,
    http::problem::Fault,
    metrics::{
        Metrics,
        counts::{Batch, Counts, Next},
        object::{Command, NAME, Reply},
        tail::Watch,
    },
    platform::store::{Object, encode},
};

/// Starts a run of flushes, unless one goes on or nothing is to be flushed.
pub(super) fn start(state: &RequestState, config: &Config) {
    if !config.metrics.has_store {
        return;
    }
    let counts = state.isolate.memory.of::<Counts>();
    let new_id = || encoding::hex(&sys::random::<16>());
    if !counts.begin_run(milliseconds(state.waiter.now()), new_id) {
        return;
    }
    let (env, fixed_now) = (state.env.clone(), config.site.fixed_now);
    let ended = pending::spawn(|waiter| async move {
        loop {
            let now = waiter.now();
            match counts.next(milliseconds(now), fixed_now.unwrap_or(seconds(now))) {
                Next::Wait(time) => {
                    let never = Promise::new(&mut |_, _| {});
                    waiter.wait(never.into(), waiter.deadline(time)).await;
                }
                Next::Send(batch) => {
                    let number = batch.number;
                    match send(&waiter, &env, batch, fixed_now).await {
                        Ok(watch) => counts.confirmed(number, watch),
                        Err(error) => log_failed_call(Metrics::CLASS.binding, &sys::message(&error)),
                    }
                }
                Next::End => return Ok(JsValue::UNDEFINED),
            }
        }
    });
    let _ = state.event.wait_until(&ended);
}

async fn send(
    waiter: &Waiter,
    env: &Env,
    batch: Batch,
    fixed_now: Option<Timestamp>,
) -> Result<Watch, JsValue> {
    let failed = || JsValue::from(js_sys::Error::new(Fault::StoreUnavailable.code()));
    let command = encode(&Command::Take(batch)).map_err(|_| failed())?;
    let call = Call { binding: Metrics::CLASS.binding, name: NAME.to_owned(), command, now: fixed_now };
    let reply = call.run(waiter, env, TIMEOUT).await?;
    match ObjectReply::from_js(&reply).ok_or_else(failed)?.parse() {
        Ok(Reply::Taken(watch)) => Ok(watch),
        _ => Err(failed()),
    }
}

/// Timeout of a flush.
const TIMEOUT: Duration = Duration::from_secs(5);
