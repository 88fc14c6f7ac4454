//! Reads bodies whole, up to a limit, or passes them on as streams.
//!
//! Chunks stay in JavaScript's memory, which is given back. WebAssembly's memory is never given back. Memory for each
//! chunk of a request's body is reserved before the chunk is kept (`body_budget`). A body that is evicted loses its
//! chunks at once.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use js_sys::{IteratorNext, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{FormData, Headers, ReadableStream, ReadableStreamDefaultReader, Response, ResponseInit};

use super::{
    chunks::Chunks,
    pending::{self, Deadline, WaitOutcome, Waiter},
    request::RequestState,
    response::is_null_body_status,
    sys,
};
use crate::{
    base::encoding,
    http::{problem::Fault, streaming::is_stream},
    platform::{
        body_budget::{BodyBudget, Reservation, Reserved},
        effects::{BodyError, Buffered, BufferedResponse},
    },
};

/// The body of a request, as far as it has been read.
pub(super) struct IncomingBody {
    id: u32,
    /// The reserved memory. It is released when the request ends.
    memory: Reservation,
    chunks: RefCell<Chunks>,
    is_evicted: Cell<bool>,
    whole: RefCell<Option<Uint8Array>>,
}

thread_local! {
    /// The bodies that are being read.
    static READING: RefCell<Vec<Weak<IncomingBody>>> = const { RefCell::new(Vec::new()) };
}

impl IncomingBody {
    pub(super) fn new(budget: &Rc<BodyBudget>, id: u32) -> Rc<Self> {
        Rc::new(Self {
            id,
            memory: Reservation::new(budget, id),
            chunks: RefCell::default(),
            is_evicted: Cell::default(),
            whole: RefCell::default(),
        })
    }

    /// Returns the body if it has been read.
    pub(super) fn bytes(&self) -> Option<Uint8Array> {
        self.whole.borrow().clone()
    }

    /// Reserves memory for this many bytes. Returns whether there was enough.
    fn reserve(&self, bytes: u32, now: f64) -> bool {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut is_swept = false;
        loop {
            match self.memory.grow(bytes, now) {
                Reserved::Granted => return true,
                Reserved::Evict(other) => evict(other),
                Reserved::Exhausted if is_swept => return false,
                Reserved::Exhausted => {
                    // Abandoned requests may still hold memory.
                    pending::drop_abandoned();
                    is_swept = true;
                }
            }
        }
    }
}

/// Drops the chunks of another request's body.
fn evict(id: u32) {
    READING.with(|reading| {
        reading.borrow_mut().retain(|body| body.strong_count() > 0);
        for body in reading.borrow().iter().filter_map(Weak::upgrade).filter(|body| body.id == id) {
            body.is_evicted.set(true);
            body.chunks.take();
        }
    });
}

/// Reads the body of a request. The body is read once and kept for later calls.
pub(super) async fn read(
    state: &RequestState,
    limit: usize,
    deadline: Deadline,
) -> Result<Uint8Array, BodyError> {
    let RequestState { request_body, request, .. } = state;
    if let Some(whole) = request_body.bytes() {
        return if length(&whole) > limit { Err(BodyError::TooLarge) } else { Ok(whole) };
    }
    if content_length(&request.headers()) > limit {
        return Err(BodyError::TooLarge);
    }
    READING.with_borrow_mut(|reading| {
        reading.retain(|other| other.strong_count() > 0);
        reading.push(Rc::downgrade(request_body));
    });
    let read = read_chunks(state, limit, deadline).await;
    READING.with_borrow_mut(|reading| reading.retain(|other| !other.ptr_eq(&Rc::downgrade(request_body))));
    let chunks = request_body.chunks.take();
    read?;
    if request_body.is_evicted.get() {
        return Err(BodyError::Overloaded);
    }
    request_body.memory.complete();
    let whole = chunks.join();
    *request_body.whole.borrow_mut() = Some(whole.clone());
    Ok(whole)
}

async fn read_chunks(state: &RequestState, limit: usize, deadline: Deadline) -> Result<(), BodyError> {
    let RequestState { request_body, request, waiter, .. } = state;
    let Some(reader) = reader(request.body()) else { return Ok(()) };
    let mut total = 0_usize;
    while let Some(chunk) = next_chunk(&reader, waiter, deadline).await? {
        total = total.saturating_add(length(&chunk));
        let error = if total > limit {
            BodyError::TooLarge
        } else if request_body.reserve(chunk.byte_length(), waiter.now()) {
            request_body.chunks.borrow_mut().push(chunk);
            continue;
        } else {
            BodyError::Overloaded
        };
        waiter.wait(reader.cancel().into(), deadline).await;
        return Err(error);
    }
    Ok(())
}

/// Why a stream could not be read to its end.
pub(super) enum StreamError {
    TooLong,
    Interrupted,
    TimedOut,
}

impl From<StreamError> for BodyError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TooLong => Self::TooLarge,
            StreamError::Interrupted | StreamError::TimedOut => Self::BrokenOff,
        }
    }
}

/// Reads a stream up to a limit, in bytes.
pub(super) async fn read_stream(
    waiter: &Waiter,
    stream: Option<ReadableStream>,
    limit: usize,
    deadline: Deadline,
) -> Result<Uint8Array, StreamError> {
    let mut chunks = Chunks::default();
    let mut total = 0_usize;
    let Some(reader) = reader(stream) else { return Ok(chunks.join()) };
    let error = loop {
        match next_chunk(&reader, waiter, deadline).await {
            Ok(None) => return Ok(chunks.join()),
            Ok(Some(chunk)) => {
                total = total.saturating_add(length(&chunk));
                if total > limit {
                    break StreamError::TooLong;
                }
                chunks.push(chunk);
            }
            Err(error) => break error,
        }
    };
    // The cancellation is not awaited, because another branch of the stream may continue.
    drop(reader.cancel());
    Err(error)
}

fn reader(stream: Option<ReadableStream>) -> Option<ReadableStreamDefaultReader> {
    Some(stream?.get_reader().unchecked_into())
}

async fn next_chunk(
    reader: &ReadableStreamDefaultReader,
    waiter: &Waiter,
    deadline: Deadline,
) -> Result<Option<Uint8Array>, StreamError> {
    let read: IteratorNext = match waiter.wait(reader.read().into(), deadline).await {
        WaitOutcome::Fulfilled(read) => read.unchecked_into(),
        WaitOutcome::Rejected(_) => return Err(StreamError::Interrupted),
        WaitOutcome::TimedOut => return Err(StreamError::TimedOut),
    };
    Ok(if read.done() { None } else { Some(read.value().unchecked_into()) })
}

pub(super) fn length(bytes: &Uint8Array) -> usize {
    usize::try_from(bytes.byte_length()).unwrap_or(usize::MAX)
}

fn content_length(headers: &Headers) -> usize {
    let value = headers.get("content-length").ok().flatten();
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Returns the SHA-256 of a body, in hex.
pub(super) async fn sha256(
    waiter: &Waiter,
    bytes: &Uint8Array,
    deadline: Deadline,
) -> Result<String, BodyError> {
    let subtle = sys::CRYPTO.with(web_sys::Crypto::subtle);
    let hash = subtle.digest_with_str_and_buffer_source("SHA-256", bytes).map(JsValue::from);
    let hash = waiter.value(hash, deadline).await.map_err(|_| BodyError::BrokenOff)?;
    Ok(encoding::hex(&Uint8Array::new(&hash).to_vec()))
}

/// Returns a text field of a form or of a JSON object.
pub(super) async fn field(
    waiter: &Waiter,
    bytes: &Uint8Array,
    content_type: &str,
    name: &str,
    deadline: Deadline,
) -> Option<String> {
    let init = ResponseInit::new();
    init.set_headers(&sys::object_with("content-type", &JsValue::from_str(content_type)));
    let body = Response::new_with_opt_buffer_source_and_init(Some(bytes), &init).ok()?;
    if is_json(content_type) {
        let object = waiter.value(body.json().map(JsValue::from), deadline).await.ok()?;
        return sys::property(&object, name).ok()?.as_string();
    }
    let form: FormData =
        waiter.value(body.form_data().map(JsValue::from), deadline).await.ok()?.unchecked_into();
    form.get(name).as_string()
}

/// Returns whether a content type is JSON: `application/json`, or `application/…+json` (RFC 6839 §3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split([';', ',', ' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// Buffers the body of upstream's response. A streaming type, a WebSocket, and a body that is too long or too slow stay
/// a stream.
pub(super) async fn buffer_response(
    state: &RequestState,
    limit: usize,
    deadline: Deadline,
) -> Result<BufferedResponse, Fault> {
    let waiter = &state.waiter;
    let response = state.response.borrow().clone().ok_or(Fault::Internal)?;
    let headers = response.headers();
    let content_type = headers.get("content-type").ok().flatten().unwrap_or_default();
    let is_socket = sys::property(&response, "webSocket").is_ok_and(|socket| socket.is_object());
    if is_stream(&content_type) || is_socket || content_length(&headers) > limit {
        return Ok(BufferedResponse::Stream);
    }
    // The platform keeps the chunks that one branch has read for the other branch.
    let branches = response.body().map(|body| body.tee());
    let branch = |at| branches.as_ref().map(|all| all.get(at).unchecked_into::<ReadableStream>());
    let read = read_stream(waiter, branch(0), limit, deadline.sooner_by(1_000.0)).await;
    let (body, buffered) = match read {
        Ok(whole) => {
            if let Some(rest) = branch(1) {
                waiter.wait(rest.cancel().into(), deadline).await;
            }
            let body =
                if is_null_body_status(response.status()) { JsValue::NULL } else { whole.clone().into() };
            let count = length(&whole);
            *state.response_body.borrow_mut() = Some(whole);
            (body, BufferedResponse::Whole(Buffered { length: count }))
        }
        Err(StreamError::TooLong | StreamError::TimedOut) => (branch(1).into(), BufferedResponse::Stream),
        Err(StreamError::Interrupted) => return Err(Fault::UpstreamFailed),
    };
    let init: &ResponseInit = response.unchecked_ref();
    let rebuilt = Response::new_with_opt_buffer_source_and_init(body.dyn_ref(), init);
    *state.response.borrow_mut() = Some(rebuilt.map_err(|_| Fault::UpstreamFailed)?);
    Ok(buffered)
}
