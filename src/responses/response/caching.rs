//! Restricts which caches may store a response of upstream's (RFC 9111, RFC 9213).
//!
//! | upstream's response | changed headers |
//! |---|---|
//! | sets no cookie, and is for everybody | none |
//! | sets no cookie, is under a guarded rule or for a principal whom upstream knows, and shared caches may store it | `private`, and the rest of its `Cache-Control` |
//! | sets a cookie of the application's, or is a 304 that sets any cookie | `private`, and the rest of its `Cache-Control` |
//! | sets the session cookie, and is not a 304 | `private, no-store` |
//!
//! Without `Cache-Control`, shared caches may store a response with `Expires` or `Last-Modified` (RFC 9111 §4.2.1,
//! §4.2.2).
//!
//! With `private`, the gateway removes `public` and `s-maxage`, and headers with other instructions for shared caches.
//! A 304 updates the response that the browser has stored (RFC 9111 §4.3.4): `no-store` on a 304 would discard it.

use std::borrow::Cow;

use crate::http::{reply::HeaderEdits, request::Headers};

/// The reason to restrict the caching of a response, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Restriction {
    /// No reason.
    None,
    /// The rule requires a principal, or upstream knows the principal from the identity headers.
    Personal,
    /// The response sets cookies of the application.
    ApplicationCookie,
    /// The response sets the session cookie.
    SessionCookie,
}

/// Adds the header changes that restrict the caching of a response.
pub(super) fn restrict(
    edits: &mut HeaderEdits<'static>,
    upstream: &Headers<'_>,
    status: u16,
    restriction: Restriction,
) {
    let value = upstream.value("cache-control").unwrap_or_default();
    let forbids_storing = restriction == Restriction::SessionCookie && status != 304;
    let changed = match restriction {
        Restriction::None => return,
        Restriction::Personal => {
            let is_dated = upstream.iter().any(|(name, _)| matches!(name, "expires" | "last-modified"));
            allows_shared_caches(value, is_dated).then(|| made_private(value).into())
        }
        _ if forbids_storing => Some(Cow::Borrowed(super::PRIVATE)),
        Restriction::ApplicationCookie | Restriction::SessionCookie => Some(made_private(value).into()),
    };
    edits.set.extend(changed.map(|value| ("cache-control", value)));
    let is_removed = |name: &str| SHARED.contains(&name) || (forbids_storing && DATED.contains(&name));
    let removed = upstream.iter().map(|(name, _)| name).filter(|name| is_removed(name));
    edits.remove.extend(removed.map(|name| Cow::Owned(name.to_owned())));
}

/// Checks whether a `Cache-Control` value allows a shared cache to store the response. `is_dated`: the response has a
/// date from which a cache may derive a lifetime.
fn allows_shared_caches(value: &str, is_dated: bool) -> bool {
    let has = |wanted: &[&str]| directives(value).any(|directive| is_any(name_of(directive), wanted));
    let is = |wanted: &[&str]| directives(value).any(|directive| is_any(directive, wanted));
    has(&["public", "s-maxage"])
        || (!is(&["private"]) && (has(&["max-age"]) || (is_dated && !is(&["no-store", "no-cache"]))))
}

fn is_any(name: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted))
}

/// Rewrites a `Cache-Control` value so that only the browser may store the response.
fn made_private(value: &str) -> String {
    let mut private = String::with_capacity(value.len().saturating_add(16));
    private.push_str("private");
    for directive in directives(value) {
        let name = name_of(directive);
        if !name.is_empty() && !is_any(name, &["private", "public", "s-maxage"]) {
            private.push_str(", ");
            private.push_str(directive);
        }
    }
    private
}

fn name_of(directive: &str) -> &str {
    directive.split('=').next().unwrap_or_default().trim()
}

/// Splits a header value at commas outside of quotes; at all commas if the quotes can be read in two ways.
fn directives(value: &str) -> impl Iterator<Item = &str> {
    let quotes = value.bytes().filter(|byte| *byte == b'"').count();
    let is_clear = quotes % 2 == 0 && !value.contains('\\');
    let mut is_quoted = false;
    value
        .split(move |character: char| {
            is_quoted ^= character == '"';
            character == ',' && !(is_quoted && is_clear)
        })
        .map(str::trim)
}

/// Headers that override `Cache-Control` in shared caches (RFC 9213).
const SHARED: &[&str] = &["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];

/// Older headers that control how long a response may be stored.
const DATED: &[&str] = &["expires", "pragma"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_directives_for_the_browser() {
        for (value, want) in [
            ("", "private"),
            ("public", "private"),
            ("public, max-age=600", "private, max-age=600"),
            ("max-age=600, s-maxage=60, must-revalidate", "private, max-age=600, must-revalidate"),
            ("Public,S-MaxAge=\"60\" ,immutable", "private, immutable"),
            ("no-store", "private, no-store"),
            ("private=\"x-a, public\", max-age=1", "private, max-age=1"),
            ("no-cache=\"set-cookie, x\", public", "private, no-cache=\"set-cookie, x\""),
            (", ,", "private"),
        ] {
            assert_eq!(made_private(value), want, "{value}");
        }
    }

    #[test]
    fn makes_personal_responses_private() {
        for (value, want) in [
            ("public, max-age=0, must-revalidate", Some("private, max-age=0, must-revalidate")),
            ("PUBLIC", Some("private")),
            ("max-age=60", Some("private, max-age=60")),
            ("s-maxage=60, max-age=5", Some("private, max-age=5")),
            ("public, private", Some("private")),
            ("public, no-store", Some("private, no-store")),
            ("private=\"set-cookie\", max-age=5", Some("private, max-age=5")),
            ("Public , immutable,max-age = 9", Some("private, immutable, max-age = 9")),
            // Quotes that are not closed, or that may be escaped.
            ("x=\"a, public, max-age=600", Some("private, x=\"a, max-age=600")),
            ("x=\"\\\", public, y=\"", Some("private, x=\"\\\", y=\"")),
            ("private, max-age=60", None),
            ("no-store", None),
            ("no-cache", None),
            ("", None),
        ] {
            assert_eq!(personal(&[("cache-control", value)]).as_deref(), want, "{value}");
        }
    }

    fn personal(upstream: &[(&str, &str)]) -> Option<String> {
        let upstream: Headers<'_> = upstream.iter().copied().collect();
        let mut edits = HeaderEdits::default();
        restrict(&mut edits, &upstream, 200, Restriction::Personal);
        edits.set.first().map(|(_, value)| value.to_string())
    }

    #[test]
    fn makes_dated_personal_responses_private() {
        let expires = ("expires", "Thu, 01 Jan 2099 00:00:00 GMT");
        let modified = ("last-modified", "Thu, 01 Jan 2009 00:00:00 GMT");
        for date in [expires, modified] {
            for (value, want) in [
                (None, Some("private")),
                (Some("must-revalidate"), Some("private, must-revalidate")),
                (Some("private=\"x\""), Some("private")),
                (Some("private"), None),
                (Some("no-store"), None),
                (Some("No-Cache"), None),
                (Some("no-cache=\"set-cookie\""), Some("private, no-cache=\"set-cookie\"")),
            ] {
                let headers: Vec<_> =
                    value.map(|value| ("cache-control", value)).into_iter().chain([date]).collect();
                assert_eq!(personal(&headers).as_deref(), want, "{headers:?}");
            }
        }
    }

    #[test]
    fn restricts_by_cookie_and_status() {
        let upstream: Headers<'_> = [
            ("cache-control", "public, max-age=600"),
            ("cdn-cache-control", "max-age=600"),
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("etag", "\"1\""),
        ]
        .into_iter()
        .collect();
        for (restriction, status, value, removed) in [
            (Restriction::None, 200, None, &[][..]),
            (Restriction::None, 304, None, &[]),
            (Restriction::Personal, 200, Some("private, max-age=600"), &["cdn-cache-control"]),
            (Restriction::ApplicationCookie, 200, Some("private, max-age=600"), &["cdn-cache-control"]),
            (Restriction::ApplicationCookie, 304, Some("private, max-age=600"), &["cdn-cache-control"]),
            (Restriction::SessionCookie, 200, Some("private, no-store"), &["cdn-cache-control", "expires"]),
            (Restriction::SessionCookie, 304, Some("private, max-age=600"), &["cdn-cache-control"]),
        ] {
            let mut edits = HeaderEdits::default();
            restrict(&mut edits, &upstream, status, restriction);
            let set: Vec<&str> = edits.set.iter().map(|(_, value)| value.as_ref()).collect();
            assert_eq!(set, value.into_iter().collect::<Vec<_>>(), "{restriction:?} {status}");
            assert_eq!(edits.remove, removed, "{restriction:?} {status}");
        }
    }
}
