//! Builds the responses that the core decided on, and reads those of upstream.

use wasm_bindgen::JsValue;
use web_sys::Response;

use super::{
    headers::{HeaderEdit, push_edit, serialize_edits},
    isolate::Isolate,
    request::RequestState,
    sys,
};
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

/// Builds the response that the core decided on, and logs the request. `body` is the body of a feed.
pub(super) fn finish(
    state: &RequestState,
    answer: Answer<()>,
    body: Option<JsValue>,
    event: &Event<'_>,
    serialized: &str,
) -> Result<Response, JsValue> {
    let upstream = match answer {
        Answer::Own(reply) => return own_response(&reply, event),
        Answer::Feed(reply, _) => {
            log(event);
            return sys::respond_with(reply.status, &own_headers(&reply), &body.unwrap_or_default());
        }
        // A watched stream is relayed by now.
        Answer::Relayed((), edits) | Answer::Watched((), edits, _) => {
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
    sys::respond(reply.status, &own_headers(reply), reply.body.as_deref())
}

fn own_headers(reply: &Reply) -> String {
    let mut edits = String::with_capacity(512);
    for (name, value) in &reply.headers {
        // A response with a text as its body already has a `Content-Type`.
        let is_content_type = name.eq_ignore_ascii_case("content-type");
        let edit =
            if is_content_type { HeaderEdit::Set(name, value) } else { HeaderEdit::Append(name, value) };
        push_edit(&mut edits, edit);
    }
    edits
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

/// Returns whether a response with this status has no body (WHATWG Fetch, null body status).
pub(super) fn is_null_body_status(status: u16) -> bool {
    matches!(status, 101 | 103 | 204 | 205 | 304)
}
