//! Canonical paths: the one form of a request's path on which the gateway decides *and* which it forwards.
//!
//! In the canonical form of a path (RFC 3986 §6.2.2), escaped unreserved characters are decoded and other escapes are
//! in upper case, as Cloudflare's own URL normalisation and most servers do it. Runs of slashes are kept: some servers
//! read them as one slash, others as many, so both readings are matched against the rules. The gateway rejects the
//! following, because servers read them differently:
//!
//! - an escaped `/` or an escaped escape (`%25` before two hex digits), unless the rule accepts them
//!   (`encoded_slashes`). Then they stay as received, and each way to decode them is matched against the rules. Such a
//!   path has at most [`LONGEST_ENCODED`] bytes;
//! - an escaped `\`, an escaped control character, a lone `%`;
//! - an overlong encoding of an ASCII character (`%C0%AE`): it is not UTF-8 (RFC 3629 §3), but some decoders read it as
//!   that character;
//! - a `.` or `..` segment, with or without `;parameters` (the runtime has already resolved those that it recognises),
//!   a raw `\` or control character.

mod case;

use std::{borrow::Cow, fmt::Write as _};

pub use case::fold_case;

use crate::http::problem::Rejection;

/// A canonical path, with only one meaning. It starts with `/` and has no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    has_ambiguous_escapes: bool,
}

impl<'a> CanonicalPath<'a> {
    /// Parses a path as the runtime gives it. Rejects encoded slashes and escaped escapes.
    ///
    /// # Errors
    /// [`Rejection::AmbiguousPath`].
    pub fn parse(raw: &'a str) -> Result<Self, Rejection> {
        Self::parse_with_ambiguous_escapes(raw).and_then(|path| {
            if path.has_ambiguous_escapes { Err(Rejection::AmbiguousPath) } else { Ok(path) }
        })
    }

    /// Parses a path that may have [ambiguous escapes](Self::has_ambiguous_escapes). The rule decides whether they are
    /// allowed: see [`Table::match_request`](crate::routing::rule::Table::match_request).
    ///
    /// # Errors
    /// [`Rejection::AmbiguousPath`].
    pub fn parse_with_ambiguous_escapes(raw: &'a str) -> Result<Self, Rejection> {
        let path = if raw.contains(NEEDS_REWRITE) || !raw.is_ascii() {
            rewrite(raw.as_bytes()).ok_or(Rejection::AmbiguousPath)?
        } else {
            Self { text: Cow::Borrowed(raw), has_ambiguous_escapes: false }
        };
        let is_canonical = path.text.starts_with('/')
            && !path.text.contains(' ')
            && has_one_meaning(&path.text)
            && (!path.has_ambiguous_escapes
                || path.text.len() <= LONGEST_ENCODED && path.has_few_decodings());
        if is_canonical { Ok(path) } else { Err(Rejection::AmbiguousPath) }
    }

    /// Checks that nothing is left to decode after [`MAX_DECODINGS`], and that each decoded form has one meaning.
    fn has_few_decodings(&self) -> bool {
        let mut decodings = self.decodings().skip(1);
        decodings.by_ref().take(MAX_DECODINGS).all(|text| has_one_meaning(&text))
            && decodings.next().is_none()
    }

    /// Checks whether the path has escapes that servers decode differently: a slash (`%2F`) or an escape (`%252F`).
    #[must_use]
    pub fn has_ambiguous_escapes(&self) -> bool {
        self.has_ambiguous_escapes
    }

    /// Returns the path itself and, if it has ambiguous escapes, the result of each further decoding of the whole path,
    /// until nothing is left to decode.
    pub fn decodings(&self) -> impl Iterator<Item = Cow<'_, str>> {
        std::iter::successors(Some(Cow::Borrowed(&*self.text)), |text| {
            let decode = || percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            self.has_ambiguous_escapes.then(decode).filter(|decoded| decoded != text).map(Cow::Owned)
        })
    }

    /// Returns the path with each run of slashes merged into one.
    #[must_use]
    pub fn merged(&self) -> Cow<'_, str> {
        if !self.text.contains("//") {
            return Cow::Borrowed(&self.text);
        }
        let mut merged = String::with_capacity(self.text.len());
        for character in self.text.chars() {
            if character != '/' || !merged.ends_with('/') {
                merged.push(character);
            }
        }
        Cow::Owned(merged)
    }

    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Escapes the characters that the WHATWG URL Standard escapes in a query, so that the query in the assertion is the
/// one that is sent. Nothing else is changed.
#[must_use]
pub fn settle_query(query: &str) -> Cow<'_, str> {
    let is_kept = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'#');
    if query.bytes().all(is_kept) {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len().saturating_mul(2));
    for byte in query.bytes() {
        if is_kept(byte) {
            out.push(char::from(byte));
        } else {
            push_escape(&mut out, byte);
        }
    }
    Cow::Owned(out)
}

/// Returns the laxest reading of a segment or a path. Escapes are decoded. `?` or `#` and everything after it are cut
/// off. Case is folded. In each segment, `;` and everything after it, and trailing dots and spaces are cut off. Runs of
/// slashes are merged.
#[must_use]
pub fn fold(text: &str) -> String {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    let lower = fold_case(String::from_utf8_lossy(&decoded).into_owned());
    let lower = lower.split(['?', '#']).next().unwrap_or_default();
    let mut reading = String::with_capacity(lower.len());
    for (index, segment) in lower.split('/').enumerate() {
        let segment = segment.split(';').next().unwrap_or_default().trim_end_matches(['.', ' ']);
        // Merge runs of slashes, also if there were parameters between them.
        if index > 0 && !reading.ends_with('/') {
            reading.push('/');
        }
        reading.push_str(segment);
    }
    reading
}

/// Checks that no segment is a dot segment, and that no server ends or splits the path at another character.
fn has_one_meaning(path: &str) -> bool {
    !path.bytes().any(|byte| byte.is_ascii_control() || byte == b'\\')
        && !path.split('/').any(is_dot_segment)
        && !path.split('%').skip(1).zip(path.split('%').skip(2)).any(|(lead, next)| is_overlong(lead, next))
}

/// Checks whether two consecutive escapes begin an overlong encoding of an ASCII character, which is not valid UTF-8.
/// `lead` and `next` are the texts that follow each `%`, up to the next `%`.
fn is_overlong(lead: &str, next: &str) -> bool {
    let Some(second) = next.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
        return false;
    };
    match lead.to_ascii_uppercase().as_str() {
        "C0" | "C1" => (0x80..=0xBF).contains(&second),
        "E0" => (0x80..=0x9F).contains(&second),
        "F0" => (0x80..=0x8F).contains(&second),
        _ => false,
    }
}

/// Returns a path without the endings that make no difference for static assets: `/index.html`, `/index`, `.html`, `/`.
#[must_use]
pub fn page(path: &str) -> &str {
    let mut rest = path;
    while let Some(shorter) =
        ["/index.html", "/index", ".html", "/"].iter().find_map(|end| rest.strip_suffix(end))
    {
        rest = shorter;
    }
    rest
}

/// Checks whether a segment is `.` or `..` for a server that cuts off its parameters first.
fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.split(';').next(), Some("." | ".."))
}

fn rewrite(raw: &[u8]) -> Option<CanonicalPath<'static>> {
    let mut out = String::with_capacity(raw.len());
    let mut has_ambiguous_escapes = false;
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'\\' => return None,
            b'%' => {
                let (&high, tail) = rest.split_first()?;
                let (&low, tail) = tail.split_first()?;
                let decoded = hex_value(high)?.checked_mul(16)?.checked_add(hex_value(low)?)?;
                rest = tail;
                if decoded == b'/' {
                    has_ambiguous_escapes = true;
                    // Kept as received.
                    out.extend(['%', char::from(high), char::from(low)]);
                } else {
                    push_decoded(&mut out, decoded)?;
                }
            }
            0x80.. | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'}' => push_escape(&mut out, byte),
            _ => out.push(char::from(byte)),
        }
    }
    has_ambiguous_escapes |= has_escaped_escape(out.as_bytes());
    Some(CanonicalPath { text: Cow::Owned(out), has_ambiguous_escapes })
}

/// Appends an escaped byte in its canonical form. Returns `None` for `\` and control characters.
fn push_decoded(out: &mut String, decoded: u8) -> Option<()> {
    match decoded {
        b'\\' | 0..=0x1F | 0x7F => return None,
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

/// Checks for `%25` before two hex digits, which a second decoding would change.
fn has_escaped_escape(path: &[u8]) -> bool {
    path.windows(5).any(|window| match window {
        [b'%', b'2', b'5', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    })
}

/// Characters that require a rewrite: `%`, `\`, and those that the WHATWG URL Standard escapes in a path.
const NEEDS_REWRITE: [char; 9] = ['%', '\\', '"', '<', '>', '^', '`', '{', '}'];

/// The maximum number of decodings until nothing is left to decode: `%25252F` becomes a slash the third time.
const MAX_DECODINGS: usize = 3;

/// The maximum length in bytes of a path with encoded slashes, which the gateway reads in many ways. File systems have
/// the same limit.
pub const LONGEST_ENCODED: usize = 4_096;

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
