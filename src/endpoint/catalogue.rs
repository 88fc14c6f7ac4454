//! `/.well-known/agent-operations`: what agents may call, for whoever asks.

use super::Call;
use crate::{catalogue::Document, effects::Reply};

pub(super) fn answer(call: Call<'_>, document: &Document) -> Reply {
    let headers = vec![("cache-control", "public, max-age=300".to_owned()), ("etag", document.etag.clone())];
    let known = call.request.headers.value("if-none-match").unwrap_or_default();
    // RFC 9110 §13.1.2: a list, each weak or strong; for GET they are compared weakly.
    let is_known = known
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == document.etag);
    if is_known {
        return Reply { status: 304, headers, body: None };
    }
    let mut reply = Reply { status: 200, headers, body: Some(document.text.clone()) };
    reply.headers.push(("content-type", "application/json".to_owned()));
    reply
}
