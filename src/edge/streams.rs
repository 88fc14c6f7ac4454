//! Watches open streams: runs the timer of their checks, and ends those whose client may no longer use them.
//!
//! The checks are a future of their own, beside the request that opened the stream. If it stops for any reason, the
//! relay ends the stream.

use std::time::Duration;

use wasm_bindgen::JsValue;

use super::{
    effects::EdgeEffects,
    pending::{self, JsResult, WaitOutcome},
    request::{RequestState, meta, milliseconds},
    sys::{self, Relay},
};
use crate::{
    gateway::stream_check::Watch,
    http::{
        reply::{Answer, OpenStream},
        request::Request,
    },
    platform::effects::DryRuns,
};

/// A stream that is relayed, and will be watched.
pub(super) struct Watched {
    relay: Relay,
    stream: OpenStream,
}

/// Starts to relay the response that is to be watched, if there is one. If that fails, there is no response.
pub(super) fn relay(state: &RequestState, answer: &Answer<()>) -> Option<Watched> {
    let Answer::Watched((), _, stream) = answer else { return None };
    let upstream = state.response.take()?;
    match sys::relay(&upstream) {
        Ok(Some(relay)) => {
            *state.response.borrow_mut() = Some(relay.response());
            Some(Watched { relay, stream: stream.clone() })
        }
        // There is nothing to watch, for example in a response to HEAD.
        Ok(None) => {
            *state.response.borrow_mut() = Some(upstream);
            None
        }
        Err(_) => None,
    }
}

impl Watched {
    /// Watches the stream until it is closed. Its request was `serialized`.
    pub(super) fn start(self, state: RequestState, request_id: String, serialized: String) {
        let Self { relay, stream } = self;
        let handle = relay.clone();
        let checks = pending::spawn(move |waiter| {
            watch(RequestState { waiter, ..state }, request_id, serialized, relay, Watch::new(stream))
        });
        handle.end_with(&checks);
    }
}

async fn watch(
    state: RequestState,
    request_id: String,
    serialized: String,
    relay: Relay,
    mut watch: Watch,
) -> JsResult {
    let RequestState { isolate, waiter, .. } = &state;
    let (Some(config), Some(request)) = (&isolate.config, Request::read(&serialized)) else {
        return Err(js_sys::Error::new("an open stream has no request").into());
    };
    let meta = meta(config, waiter, &request_id);
    loop {
        let mut left = watch.wait();
        while !left.is_zero() {
            let tick = left.min(TICK);
            let WaitOutcome::TimedOut = waiter.wait(relay.when_closed(), waiter.deadline(tick)).await else {
                return Ok(JsValue::UNDEFINED);
            };
            left = left.saturating_sub(tick);
        }
        if relay.is_ended() {
            continue;
        }
        let effects = EdgeEffects::new(&state, config, (request.scheme, request.authority)).dry_run();
        let Some(end) = watch.check(config, &effects, &request, meta).await else { continue };
        if relay.end(end.code, end.reason) {
            let open_ms = milliseconds(waiter.now() - waiter.started_at());
            sys::log(&end.line(config, &request, &request_id, open_ms));
        }
    }
}

/// Maximum time of one wait. A future whose request is lost is dropped soon after its wait, and a relay counts anew
/// what waits for slow readers (`streams.js`).
const TICK: Duration = Duration::from_secs(30);
