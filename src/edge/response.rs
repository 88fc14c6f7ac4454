//! Responses, and headers as the core has them.

use memchr::memchr2;
use wasm_bindgen::JsValue;
use web_sys::Response;

use super::{gate::Gate, request::RequestState, sys};
use crate::{
    context::Request,
    effects::{Answer, HeaderEdits, Reply, UpstreamResponse},
    event::Event,
    problem::{DEFAULT_BASE, Fault},
    refusal::page::{self, View},
    response::{self, ProblemContext},
};

/// Makes the response that was decided, and logs it.
pub(super) fn finish(
    state: &RequestState,
    answer: Answer<()>,
    event: &Event<'_>,
    account: &str,
) -> Result<Response, JsValue> {
    let upstream = match answer {
        Answer::Own(reply) => return own(&reply, event),
        Answer::Relayed((), edits) => state.response.take().and_then(|response| relayed(response, &edits)),
    };
    match upstream {
        Some(response) => {
            log(event);
            Ok(response)
        }
        // A status that the platform will not let anyone construct: better none than unedited.
        None => refuse(&state.gate, Fault::UpstreamFailed, event.request_id, account),
    }
}

/// Upstream's response, with edited headers where any change. Body and WebSocket go along untouched.
fn relayed(response: Response, edits: &HeaderEdits<'_>) -> Option<Response> {
    let edits = edits_of(edits);
    if edits.is_empty() { Some(response) } else { sys::copy_response(&response, &edits).ok() }
}

fn own(reply: &Reply, event: &Event<'_>) -> Result<Response, JsValue> {
    log(event);
    let mut edits = String::with_capacity(512);
    for (name, value) in &reply.headers {
        push_edit(&mut edits, '+', name, Some(value));
    }
    sys::respond(reply.status, &edits, reply.body.as_deref())
}

fn log(event: &Event<'_>) {
    if let Some(line) = event.line().filter(|line| !line.is_empty()) {
        sys::log(&line);
    }
}

/// Refuses a request that did not reach the core, or did not return from it.
pub(super) fn refuse(
    gate: &Gate,
    fault: Fault,
    request_id: &str,
    account: &str,
) -> Result<Response, JsValue> {
    let mut event = Event::new(request_id, account.split('\n').next().unwrap_or_default());
    let config = gate.config.as_ref();
    let base = config.map_or(DEFAULT_BASE, |config| &config.problem_base);
    let mut reply = response::failed(fault, ProblemContext { request_id, base, login_url: None });
    let home = config.map(|config| config.return_path.home.as_str());
    if let Some(request) = Request::read(account) {
        let mistakes = gate.mistakes.as_str();
        let view = View { request: &request, home, login_url: None, is_approval: false, mistakes };
        page::show(&mut reply, &fault.problem(request_id), view);
        response::dress(&mut reply, &request, Vec::new());
    } else {
        reply.headers.push(("cache-control", "no-store".to_owned()));
    }
    (event.decision, event.status) = (fault.code(), reply.status);
    own(&reply, &event)
}

/// Reads upstream's response, which took so many milliseconds.
///
/// # Errors
/// [`Fault::UpstreamFailed`]: it has a status that HTTP does not have (RFC 9110 §15).
pub(super) fn inbound(response: &Response, elapsed_ms: u64) -> Result<UpstreamResponse<()>, Fault> {
    let mut fields =
        String::from_utf8(sys::describe_response(response)).map_err(|_| Fault::UpstreamFailed)?;
    let line = fields.find('\n').unwrap_or(fields.len());
    let status = fields.get(..line).and_then(|status| status.parse().ok());
    let status = status.filter(|status| (100..600).contains(status)).ok_or(Fault::UpstreamFailed)?;
    fields.drain(..fields.len().min(line.saturating_add(1)));
    Ok(UpstreamResponse { status, elapsed_ms, fields, response: () })
}

/// Writes edits as `headers.js` applies them.
pub(super) fn edits_of(edits: &HeaderEdits<'_>) -> String {
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

/// Writes an edit. A value that holds a separator, which no decision of ours produces, is left out: it must not become
/// another header.
pub(super) fn push_edit(text: &mut String, mark: char, name: &str, value: Option<&str>) {
    let is_split = |part: &str| memchr2(b'\n', b'\0', part.as_bytes()).is_some();
    if is_split(name) || value.is_some_and(is_split) {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push(mark);
    text.push_str(name);
    if let Some(value) = value {
        text.push('\n');
        text.push_str(value);
    }
}

/// Tells whether a response with this status has no body (WHATWG Fetch, null body status).
pub(super) fn is_bodiless(status: u16) -> bool {
    matches!(status, 101 | 103 | 204 | 205 | 304)
}
