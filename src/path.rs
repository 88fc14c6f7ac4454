//! Which path a request is for: one canonical form, which decides *and* is forwarded.
//!
//! The canonical form of a path (RFC 3986 §6.2.2) has its escaped unreserved characters decoded, its
//! other escapes in upper case and its runs of slashes merged, as Cloudflare's own URL normalisation
//! and most servers do. Refused, because servers read them differently:
//!
//! - an escaped `/` or `\`, an escaped control character, a lone `%`;
//! - an escaped escape (`%25` before two hex digits);
//! - a `.` or `..` segment (the runtime has resolved those it could see), a raw `\` or control character.

use std::{borrow::Cow, fmt::Write as _};

use crate::problem::Rejection;

/// A path that means one thing. Starts with `/`, has no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// Judges a path as the runtime gives it.
    ///
    /// # Errors
    /// [`Rejection::AmbiguousPath`].
    pub fn judge(raw: &'a str) -> Result<Self, Rejection> {
        let path = if raw.contains(['%', '\\']) || raw.contains("//") || !raw.is_ascii() {
            Cow::Owned(rewrite(raw.as_bytes()).ok_or(Rejection::AmbiguousPath)?)
        } else {
            Cow::Borrowed(raw)
        };
        let plain = path.starts_with('/')
            && !path.bytes().any(|b| b.is_ascii_control() || b == b' ')
            && !path.split('/').any(|segment| segment == "." || segment == "..");
        if plain { Ok(Self(path)) } else { Err(Rejection::AmbiguousPath) }
    }

    /// Gives the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn rewrite(raw: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'\\' => return None,
            b'/' if out.ends_with('/') => {}
            b'%' => {
                let (&high, tail) = rest.split_first()?;
                let (&low, tail) = tail.split_first()?;
                let decoded = hex_value(high)?.checked_mul(16)?.checked_add(hex_value(low)?)?;
                rest = tail;
                push_decoded(&mut out, decoded)?;
            }
            0x80.. => push_escape(&mut out, byte),
            _ => out.push(char::from(byte)),
        }
    }
    (!has_escaped_escape(out.as_bytes())).then_some(out)
}

/// Writes one escaped byte in its canonical form.
fn push_decoded(out: &mut String, decoded: u8) -> Option<()> {
    match decoded {
        b'/' | b'\\' | 0..=0x1F | 0x7F => return None,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out.push(char::from(decoded));
        }
        _ => push_escape(out, decoded),
    }
    Some(())
}

fn push_escape(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

/// Finds `%25` before two hex digits, which a second decoding would turn into something else.
fn has_escaped_escape(path: &[u8]) -> bool {
    path.windows(5).any(|window| match window {
        [b'%', b'2', b'5', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    })
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn judged() {
        for (raw, want) in [
            ("/", Some("/")),
            ("/a/b/", Some("/a/b/")),
            ("/a.b/..c/d..", Some("/a.b/..c/d..")),
            ("/%61dmin", Some("/admin")),
            ("/%7Euser/%2d", Some("/~user/-")),
            ("/caf%c3%a9", Some("/caf%C3%A9")),
            ("/a%20b%23c%3F", Some("/a%20b%23c%3F")),
            ("/100%25", Some("/100%25")),
            ("/50%25off", Some("/50%25off")),
            ("//admin", Some("/admin")),
            ("/a///b//", Some("/a/b/")),
            ("/https://x", Some("/https:/x")),
            ("/a;b=1,c@d:e!$&'()*+=", Some("/a;b=1,c@d:e!$&'()*+=")),
            ("/a%2fb", None),
            ("/a%2Fb", None),
            ("/a%5cb", None),
            ("/a\\b", None),
            ("/a%00", None),
            ("/a%0d%0a", None),
            ("/a%7f", None),
            ("/%252e%252e/admin", None),
            ("/%25%32%65", None),
            ("/é", Some("/%C3%A9")),
            ("/%2e%2e/admin", None),
            ("/a/%2e", None),
            ("/a/../b", None),
            ("/./a", None),
            ("/a%", None),
            ("/a%2", None),
            ("/a%zz", None),
            ("/a b", None),
            ("/a\tb", None),
            ("", None),
            ("a", None),
            ("*", None),
        ] {
            let judged = CanonicalPath::judge(raw);
            assert_eq!(judged.as_ref().ok().map(CanonicalPath::as_str), want, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_its_own_canonical_form(raw in "/[a-zA-Z0-9%./~_-]{0,40}") {
            if let Ok(once) = CanonicalPath::judge(&raw) {
                let once = once.as_str().to_owned();
                let again = CanonicalPath::judge(&once);
                prop_assert_eq!(again.as_ref().map(CanonicalPath::as_str), Ok(once.as_str()));
            }
        }

        #[test]
        fn judging_is_total(raw in any::<String>()) {
            let _ = CanonicalPath::judge(&raw);
        }
    }
}
