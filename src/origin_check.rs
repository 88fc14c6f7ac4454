//! In development, recognises an answer by which an application's own origin check refuses a form.
//!
//! Frameworks compare `Origin` with `Host`. Behind a proxy, `Host` is their own name and not the public one, so they
//! refuse the first form of a page as a CSRF attack. The log line of such a request has a `hint` that names the
//! framework's setting.

use std::time::Duration;

use crate::{
    context::Request,
    effects::{BufferedResponse, Effects, UpstreamResponse},
    outline::outlined,
};

/// Reads an answer of upstream's that may be an origin check's and says what to do.
pub async fn hint<E: Effects>(
    effects: &E,
    request: &Request<'_>,
    inbound: &UpstreamResponse<E::Response>,
) -> Option<&'static str> {
    if !is_suspect(request, inbound.status) {
        return None;
    }
    outlined(read(effects)).await
}

async fn read<E: Effects>(effects: &E) -> Option<&'static str> {
    // It is read whole or not at all: a stream goes on as it comes.
    let Ok(BufferedResponse::Whole(_)) = effects.buffer_response(LONGEST, WAIT).await else { return None };
    let body = effects.buffered_body().await.ok()?;
    named_in(&String::from_utf8_lossy(&body))
}

/// Tells whether upstream refused a form that a page of this origin sent.
fn is_suspect(request: &Request<'_>, status: u16) -> bool {
    let own = format!("{}://{}", request.scheme, request.authority);
    request.method == "POST"
        && matches!(status, 400 | 403 | 422 | 500)
        && request.headers.value("origin") == Some(own.as_str())
}

/// Finds the hint for a refusal with such a message.
fn named_in(body: &str) -> Option<&'static str> {
    CHECKS.iter().find(|(words, _)| body.contains(words)).map(|(_, hint)| *hint)
}

/// Messages of frameworks' origin checks, and the setting that each needs.
const CHECKS: &[(&str, &str)] = &[
    (
        "Cross-site POST form submissions are forbidden",
        "upstream's origin check: set ORIGIN of SvelteKit's adapter-node, or security.allowedDomains of Astro (docs/upstream.md, Origin checks)",
    ),
    (
        "header does not match `origin` header",
        "upstream's origin check: set allowedActionOrigins of React Router, or serverActions.allowedOrigins of Next.js (docs/upstream.md, Origin checks)",
    ),
    (
        "Invalid Server Actions request",
        "upstream's origin check: set serverActions.allowedOrigins of Next.js (docs/upstream.md, Origin checks)",
    ),
    (
        "Origin checking failed",
        "upstream's origin check: set USE_X_FORWARDED_HOST and SECURE_PROXY_SSL_HEADER of Django (docs/upstream.md, Origin checks)",
    ),
    (
        "CSRF verification failed",
        "upstream's origin check: set USE_X_FORWARDED_HOST and SECURE_PROXY_SSL_HEADER of Django (docs/upstream.md, Origin checks)",
    ),
    (
        "InvalidAuthenticityToken",
        "upstream's origin check: set config.hosts and the forwarded host of Rails (docs/upstream.md, Origin checks)",
    ),
    (
        "Invalid origin",
        "upstream's origin check: allow the public origin there (docs/upstream.md, Origin checks)",
    ),
];

/// Bytes of the longest answer that is read.
const LONGEST: usize = 262_144;

/// How long its body may take.
const WAIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_own_forms_only() {
        for (method, origin, status, want) in [
            ("POST", "https://app.example", 403, true),
            ("POST", "https://app.example", 400, true),
            ("POST", "https://app.example", 200, false),
            ("POST", "https://app.example", 404, false),
            ("POST", "https://other.example", 403, false),
            ("POST", "null", 403, false),
            ("GET", "https://app.example", 403, false),
        ] {
            let account = format!("{method}\nhttps://app.example/x\norigin\n{origin}");
            let request = Request::read(&account).expect("a request");
            assert_eq!(is_suspect(&request, status), want, "{method} {origin} {status}");
        }
    }

    #[test]
    fn frameworks_are_recognised() {
        for (body, want) in [
            ("Cross-site POST form submissions are forbidden", Some("SvelteKit")),
            ("<h1>Forbidden</h1> Origin checking failed - https://a does not match", Some("Django")),
            ("no stock left", None),
            ("", None),
        ] {
            let found = named_in(body);
            assert_eq!(found.is_some(), want.is_some(), "{body}");
            assert!(want.is_none_or(|name| found.is_some_and(|hint| hint.contains(name))), "{body}");
        }
    }
}
