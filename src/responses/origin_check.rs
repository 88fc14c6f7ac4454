//! In development, detects a response in which the application's own origin check rejects a form.
//!
//! Frameworks compare `Origin` with `Host`. Behind a proxy, `Host` is the framework's internal name and not the public
//! one, so the framework rejects the first form of a page as a CSRF attack. The log line of such a request has a `hint`
//! that names the framework's setting.

use std::time::Duration;

use crate::{
    base::outline::outlined,
    http::request::Request,
    platform::effects::{BufferedResponse, Effects, UpstreamResponse},
};

/// Returns the setting to change, if upstream's response comes from an origin check.
pub async fn hint<E: Effects>(
    effects: &E,
    request: &Request<'_>,
    response: &UpstreamResponse<E::Response>,
) -> Option<&'static str> {
    if !is_suspect(request, response.status) {
        return None;
    }
    outlined(find_hint(effects)).await
}

async fn find_hint<E: Effects>(effects: &E) -> Option<&'static str> {
    // Only a complete body is read. A body that is too long or too slow is streamed on unread.
    let Ok(BufferedResponse::Whole(buffered)) = effects.buffer_response(LONGEST, WAIT).await else {
        return None;
    };
    let body = effects.buffered_body(buffered).await.ok()?;
    hint_in(&String::from_utf8_lossy(&body))
}

/// Checks whether upstream may have rejected a form that a page of this origin sent.
fn is_suspect(request: &Request<'_>, status: u16) -> bool {
    let own_origin = format!("{}://{}", request.scheme, request.authority);
    request.method == "POST"
        && matches!(status, 400 | 403 | 422 | 500)
        && request.headers.value("origin") == Some(own_origin.as_str())
}

/// Finds the hint for a response body.
fn hint_in(body: &str) -> Option<&'static str> {
    CHECKS.iter().find(|(message, _)| body.contains(message)).map(|(_, hint)| *hint)
}

/// Messages of frameworks' origin checks, each with a hint that names the setting to change.
const CHECKS: &[(&str, &str)] = &[
    (
        "Cross-site POST form submissions are forbidden",
        "upstream's origin check rejected this form: set ORIGIN of SvelteKit's adapter-node, or security.allowedDomains of Astro (docs/upstream.md, Origin checks)",
    ),
    (
        "header does not match `origin` header",
        "upstream's origin check rejected this form: set allowedActionOrigins of React Router, or serverActions.allowedOrigins of Next.js (docs/upstream.md, Origin checks)",
    ),
    (
        "Invalid Server Actions request",
        "upstream's origin check rejected this form: set serverActions.allowedOrigins of Next.js (docs/upstream.md, Origin checks)",
    ),
    (
        "Origin checking failed",
        "upstream's origin check rejected this form: set USE_X_FORWARDED_HOST and SECURE_PROXY_SSL_HEADER of Django (docs/upstream.md, Origin checks)",
    ),
    (
        "CSRF verification failed",
        "upstream's origin check rejected this form: set USE_X_FORWARDED_HOST and SECURE_PROXY_SSL_HEADER of Django (docs/upstream.md, Origin checks)",
    ),
    (
        "InvalidAuthenticityToken",
        "upstream's origin check rejected this form: set config.hosts and the forwarded host of Rails (docs/upstream.md, Origin checks)",
    ),
    (
        "Invalid origin",
        "upstream's origin check rejected this form: allow the public origin there (docs/upstream.md, Origin checks)",
    ),
];

/// The maximum size of a response body that is read, in bytes.
const LONGEST: usize = 262_144;

/// The maximum time to read the body.
const WAIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_only_rejected_forms_of_this_origin() {
        for (method, origin, status, want) in [
            ("POST", "https://app.example", 403, true),
            ("POST", "https://app.example", 400, true),
            ("POST", "https://app.example", 200, false),
            ("POST", "https://app.example", 404, false),
            ("POST", "https://other.example", 403, false),
            ("POST", "null", 403, false),
            ("GET", "https://app.example", 403, false),
        ] {
            let serialized = format!("{method}\nhttps://app.example/x\norigin\n{origin}");
            let request = Request::read(&serialized).expect("a request");
            assert_eq!(is_suspect(&request, status), want, "{method} {origin} {status}");
        }
    }

    #[test]
    fn recognises_messages_of_frameworks() {
        for (body, want) in [
            ("Cross-site POST form submissions are forbidden", Some("SvelteKit")),
            ("<h1>Forbidden</h1> Origin checking failed - https://a does not match", Some("Django")),
            ("no stock left", None),
            ("", None),
        ] {
            let found = hint_in(body);
            assert_eq!(found.is_some(), want.is_some(), "{body}");
            assert!(want.is_none_or(|name| found.is_some_and(|hint| hint.contains(name))), "{body}");
        }
    }
}
