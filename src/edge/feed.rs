//! Sends the events of the live tail while it is open: asks the object once a second, and checks the client again.

use std::time::Duration;

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;

use super::{
    effects::EdgeEffects,
    pending::{self, WaitOutcome, Waiter},
    request::{RequestState, meta, milliseconds},
    sys::{self, ByteWriter, IdentityTransformStream},
};
use crate::{
    gateway::stream_check::{StreamEnd, Watch},
    http::{
        problem::Fault,
        reply::{Answer, OpenStream},
        request::Request,
    },
    metrics::{
        Metrics,
        object::{NAME, Reply},
        tail::Feed,
    },
    platform::effects::{DryRuns, ObjectCalls},
};

/// A feed whose response is not sent yet.
pub(super) struct OpenFeed {
    body: JsValue,
    writer: ByteWriter,
    stream: OpenStream,
}

/// Opens the stream of an answer, if it is a feed.
pub(super) fn open(answer: &Answer<()>) -> Result<Option<OpenFeed>, JsValue> {
    let Answer::Feed(_, stream) = answer else { return Ok(None) };
    let pipe = IdentityTransformStream::new()?;
    let writer = pipe.writable().get_writer()?;
    Ok(Some(OpenFeed { body: pipe.readable(), writer, stream: stream.clone() }))
}

impl OpenFeed {
    /// Returns the body of the response.
    pub(super) fn body(&self) -> JsValue {
        self.body.clone()
    }

    /// Sends events until the client goes away, may no longer read them, or [`MAX_OPEN`] has passed.
    pub(super) fn start(self, state: RequestState, request_id: String, serialized: String) {
        let Self { writer, stream, .. } = self;
        // It is not awaited. The platform ends it together with the response.
        let _ = pending::spawn(|waiter| async move {
            let closed = writer.closed();
            let state = RequestState { waiter: waiter.clone(), ..state };
            let ended = run(&state, &request_id, &serialized, &writer, &closed, Watch::new(stream)).await;
            // The client has left, or the stream is closed now. Neither is an error.
            let _ = writer.close();
            ended.map(|()| JsValue::UNDEFINED).or(Ok(JsValue::UNDEFINED))
        });
    }
}

async fn run(
    state: &RequestState,
    request_id: &str,
    serialized: &str,
    writer: &ByteWriter,
    closed: &JsValue,
    mut watch: Watch,
) -> Result<(), JsValue> {
    let RequestState { isolate, waiter, .. } = state;
    let (Some(config), Some(request)) = (&isolate.config, Request::read(serialized)) else {
        return Err(failed(Fault::Internal));
    };
    let Ok(mut feed) = Feed::of(&request) else { return Err(failed(Fault::Internal)) };
    let meta = meta(config, waiter, request_id);
    let effects = EdgeEffects::new(state, config, (request.scheme, request.authority));
    // A comment, so that the client gets the head at once.
    send(waiter, writer, ": open\n\n").await?;
    let (mut checked_at, mut end) = (waiter.now(), None::<StreamEnd>);
    while waiter.now() - waiter.started_at() < MAX_OPEN_MS {
        if waiter.now() - checked_at >= watch.wait().as_secs_f64() * 1_000.0 {
            checked_at = waiter.now();
            end = watch.check(config, &effects.dry_run(), &request, meta).await;
        }
        if let Some(end) = end {
            let open_ms = milliseconds(waiter.now() - waiter.started_at());
            sys::log(&end.line(config, &request, request_id, open_ms));
            return Ok(());
        }
        let command = feed.command(request_id);
        // After a failure, the next second asks again.
        if let Ok(Reply::Lines(new)) = effects.call_object::<Metrics>(NAME, &command).await {
            let events = feed.events(new);
            if !events.is_empty() {
                send(waiter, writer, &events).await?;
            }
        }
        let WaitOutcome::TimedOut = waiter.wait(closed.clone(), waiter.deadline(PAUSE)).await else {
            return Ok(());
        };
    }
    Ok(())
}

/// Writes events. Fails if the client is gone, or does not take them in time.
async fn send(waiter: &Waiter, writer: &ByteWriter, events: &str) -> Result<(), JsValue> {
    let written = writer.write(&Uint8Array::from(events.as_bytes()));
    waiter.value(written, waiter.deadline(SLOW_CLIENT)).await.map(drop)
}

fn failed(fault: Fault) -> JsValue {
    js_sys::Error::new(fault.code()).into()
}

/// Time after which a feed ends. The client opens another one, with the id of the last event.
const MAX_OPEN_MS: f64 = 600_000.0;

/// Time between two questions to the object.
const PAUSE: Duration = Duration::from_secs(1);

/// Time within which a client must take events.
const SLOW_CLIENT: Duration = Duration::from_secs(30);
