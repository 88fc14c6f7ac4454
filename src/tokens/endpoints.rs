//! `/.well-known/agent-operations` and its `openapi.json`: the operations that agents may call. Public. A request with
//! a token gets only the operations that this token may use.

use crate::{http::reply::Reply, identity::call, tokens::catalogue::Document};

type Call<'a> = call::Call<'a>;

/// Whom a catalogue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody.
    Everybody,
    /// The bearer of one token.
    TokenHolder,
}

pub(crate) fn answer(call: Call<'_>, document: &Document, audience: Audience) -> Reply {
    let caching = match audience {
        Audience::Everybody => "public, max-age=300",
        Audience::TokenHolder => "private, no-cache",
    };
    let headers = vec![("cache-control", caching.to_owned()), ("etag", document.etag.clone())];
    let tags = call.request.headers.value("if-none-match").unwrap_or_default();
    // RFC 9110 §13.1.2: `If-None-Match` is a list of weak or strong tags. The comparison is weak.
    let is_unchanged = tags
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == document.etag);
    if is_unchanged {
        return Reply { status: 304, headers, body: None };
    }
    let mut reply = Reply { status: 200, headers, body: Some(document.text.clone()) };
    reply.headers.push(("content-type", "application/json".to_owned()));
    reply
}
