//! Responses, and headers in the core's format.

use memchr::memchr2;
use wasm_bindgen::JsValue;
use web_sys::Response;

use super::{isolate::Isolate, request::RequestState, sys};
use crate::{
    http::{
        problem::{DEFAULT_BASE, Fault},
        reply::{Answer, HeaderEdits, Reply},
        request::{HeaderLines, Request},
    },
    platform::{effects::UpstreamResponse, event::Event},
    responses::{
        refusal::page::{self, View},
        response::{self, ProblemContext},
    },
};

/// Builds the response that the core decided on, and logs the request.
pub(super) fn finish(
    state: &RequestState,
    answer: Answer<()>,
    event: &Event<'_>,
    serialized: &str,
) -> Result<Response, JsValue> {
    let upstream = match answer {
        Answer::Own(reply) => return own_response(&reply, event),
        Answer::Relayed((), edits) => {
            state.response.take().and_then(|response| relayed_response(response, &edits))
        }
    };
    match upstream {
        Some(response) => {
            log(event);
            Ok(response)
        }
        // The platform cannot construct a response with this status. Send a fault: unedited headers must not be sent.
        None => fault_response(&state.isolate, Fault::UpstreamFailed, event.request_id, serialized),
    }
}

/// Returns upstream's response. If there are edits, its headers are replaced. Body and WebSocket stay the same.
fn relayed_response(response: Response, edits: &HeaderEdits<'_>) -> Option<Response> {
    let edits = serialize_edits(edits);
    if edits.is_empty() { Some(response) } else { sys::copy_response(&response, &edits).ok() }
}

fn own_response(reply: &Reply, event: &Event<'_>) -> Result<Response, JsValue> {
    log(event);
    let mut edits = String::with_capacity(512);
    for (name, value) in &reply.headers {
        // A response with a text as its body already has a `Content-Type`.
        let operation = if name.eq_ignore_ascii_case("content-type") { '=' } else { '+' };
        push_edit(&mut edits, operation, name, Some(value));
    }
    sys::respond(reply.status, &edits, reply.body.as_deref())
}

fn log(event: &Event<'_>) {
    if let Some(line) = event.line().filter(|line| !line.is_empty()) {
        sys::log(&line);
    }
}

/// Responds with a fault to a request that did not reach the core, or whose handling failed.
pub(super) fn fault_response(
    isolate: &Isolate,
    fault: Fault,
    request_id: &str,
    serialized: &str,
) -> Result<Response, JsValue> {
    let mut event = Event::new(request_id, serialized.split('\n').next().unwrap_or_default());
    let config = isolate.config.as_ref();
    let base = config.map_or(DEFAULT_BASE, |config| &config.site.problem_base);
    let mut reply = response::failed(fault, ProblemContext { request_id, base, login_url: None });
    let home = config.map(|config| config.site.return_path.home.as_str());
    if let Some(request) = Request::read(serialized) {
        let mistakes = isolate.config_errors.as_str();
        let view = View { request: &request, home, login_url: None, is_approval: false, mistakes };
        page::show(&mut reply, &fault.problem(request_id), view);
        response::finalize(&mut reply, &request, Vec::new());
    } else {
        reply.headers.push(("cache-control", "no-store".to_owned()));
    }
    (event.decision, event.status) = (fault.code(), reply.status);
    own_response(&reply, &event)
}

/// Reads upstream's response, which arrived after this many milliseconds.
///
/// # Errors
/// [`Fault::UpstreamFailed`]: the status is not an HTTP status (RFC 9110 §15).
pub(super) fn read_response(response: &Response, elapsed_ms: u64) -> Result<UpstreamResponse<()>, Fault> {
    let mut fields =
        String::from_utf8(sys::describe_response(response)).map_err(|_| Fault::UpstreamFailed)?;
    let line = fields.find('\n').unwrap_or(fields.len());
    let status = fields.get(..line).and_then(|status| status.parse().ok());
    let status = status.filter(|status| (100..600).contains(status)).ok_or(Fault::UpstreamFailed)?;
    fields.drain(..fields.len().min(line.saturating_add(1)));
    Ok(UpstreamResponse { status, elapsed_ms, header_lines: HeaderLines(fields), response: () })
}

/// Serializes edits in the format of `headers.js`.
pub(super) fn serialize_edits(edits: &HeaderEdits<'_>) -> String {
    if edits.is_empty() {
        return String::new();
    }
    let mut text = String::with_capacity(2_048);
    for name in &edits.remove {
        push_edit(&mut text, '-', name, None);
    }
    for (name, value) in &edits.set {
        push_edit(&mut text, '=', name, Some(value));
    }
    for (name, value) in &edits.append {
        push_edit(&mut text, '+', name, Some(value));
    }
    text
}

/// Appends an edit. Leaves it out if its name or value contains a separator, so that it cannot become another header.
/// No decision of the gateway produces such an edit.
pub(super) fn push_edit(text: &mut String, operation: char, name: &str, value: Option<&str>) {
    let is_split = |part: &str| memchr2(b'\n', b'\0', part.as_bytes()).is_some();
    if is_split(name) || value.is_some_and(is_split) {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push(operation);
    text.push_str(name);
    if let Some(value) = value {
        text.push('\n');
        text.push_str(value);
    }
}

/// Returns whether a response with this status has no body (WHATWG Fetch, null body status).
pub(super) fn is_null_body_status(status: u16) -> bool {
    matches!(status, 101 | 103 | 204 | 205 | 304)
}
