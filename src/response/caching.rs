//! Who may keep an answer of upstream's (RFC 9111, RFC 9213).
//!
//! | upstream's answer | leaves with |
//! |---|---|
//! | sets no cookie | its own headers |
//! | sets a cookie of the application's, or is a 304 | `private`, and the rest of its `Cache-Control` |
//! | sets the session cookie, and is no 304 | `private, no-store` |
//!
//! `public` and `s-maxage` are dropped with `private`, and so are the headers by which shared caches are told otherwise.
//! A 304 updates what the browser has stored (RFC 9111 §4.3.4): `no-store` on it would throw that away.

use std::borrow::Cow;

use crate::{context::Headers, effects::HeaderEdits};

/// Which cookies an answer sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetsCookie {
    /// None.
    No,
    /// Cookies of the application's own.
    Application,
    /// The session cookie.
    Session,
}

/// Restricts who may keep an answer that sets a cookie.
pub(super) fn restrict(
    edits: &mut HeaderEdits<'static>,
    upstream: &Headers<'_>,
    status: u16,
    sets: SetsCookie,
) {
    if sets == SetsCookie::No {
        return;
    }
    let is_kept_nowhere = sets == SetsCookie::Session && status != 304;
    let value = if is_kept_nowhere {
        Cow::Borrowed(super::PRIVATE)
    } else {
        Cow::Owned(made_private(upstream.value("cache-control").unwrap_or_default()))
    };
    edits.set.push(("cache-control", value));
    let is_removed = |name: &str| SHARED.contains(&name) || (is_kept_nowhere && DATED.contains(&name));
    let removed = upstream.iter().map(|(name, _)| name).filter(|name| is_removed(name));
    edits.remove.extend(removed.map(|name| Cow::Owned(name.to_owned())));
}

/// Rewrites a `Cache-Control` so that only the browser may keep the answer.
fn made_private(value: &str) -> String {
    let mut private = "private".to_owned();
    for directive in directives(value) {
        let name = directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !name.is_empty() && !matches!(name.as_str(), "private" | "public" | "s-maxage") {
            private.push_str(", ");
            private.push_str(directive);
        }
    }
    private
}

/// Splits a header value at the commas that stand outside of quotes.
fn directives(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value
        .split(move |character: char| {
            is_quoted ^= character == '"';
            character == ',' && !is_quoted
        })
        .map(str::trim)
}

/// Headers that speak to shared caches louder than `Cache-Control` does (RFC 9213).
const SHARED: &[&str] = &["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];

/// Older headers that say how long an answer may be kept.
const DATED: &[&str] = &["expires", "pragma"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_the_browser_may_do() {
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
    fn by_cookie_and_status() {
        let upstream: Headers<'_> = [
            ("cache-control", "public, max-age=600"),
            ("cdn-cache-control", "max-age=600"),
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("etag", "\"1\""),
        ]
        .into_iter()
        .collect();
        for (sets, status, value, removed) in [
            (SetsCookie::No, 200, None, &[][..]),
            (SetsCookie::No, 304, None, &[]),
            (SetsCookie::Application, 200, Some("private, max-age=600"), &["cdn-cache-control"]),
            (SetsCookie::Application, 304, Some("private, max-age=600"), &["cdn-cache-control"]),
            (SetsCookie::Session, 200, Some("private, no-store"), &["cdn-cache-control", "expires"]),
            (SetsCookie::Session, 304, Some("private, max-age=600"), &["cdn-cache-control"]),
        ] {
            let mut edits = HeaderEdits::default();
            restrict(&mut edits, &upstream, status, sets);
            let set: Vec<&str> = edits.set.iter().map(|(_, value)| value.as_ref()).collect();
            assert_eq!(set, value.into_iter().collect::<Vec<_>>(), "{sets:?} {status}");
            assert_eq!(edits.remove, removed, "{sets:?} {status}");
        }
    }
}
