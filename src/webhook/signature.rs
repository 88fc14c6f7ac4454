//! What the schemes have in common: keyed MACs, timestamps, lists in a header, events in a body.
//!
//! However many signatures a request offers, each secret is run over the body once, and at most
//! [`MOST_SIGNATURES`] tags are compared with what comes out.

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;

use super::{Arrival, EventType, InvalidSignature, KeyError, Signed};
use crate::{
    encoding,
    time::{self, Timestamp},
};

/// Signatures of one request that are looked at. Providers send one for each secret in use: two or three.
pub const MOST_SIGNATURES: usize = 16;

pub(super) type Sha256Mac = Hmac<Sha256>;
pub(super) type Sha1Mac = Hmac<Sha1>;

/// Secrets as MACs already keyed: their inner and outer state are computed once.
#[derive(Clone)]
pub(super) struct Keys<M>(Vec<M>);

/// How a tag is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Hex, in either case.
    #[default]
    Hex,
    /// Standard base64 with its padding.
    Base64,
}

/// What a scheme has found out of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) kind: Option<EventType>,
    pub(super) content_hash: Option<String>,
}

/// The span of time in which a signature must have been made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) arrival: Arrival,
    pub(super) tolerance: Duration,
}

impl<M: Mac + KeyInit + Clone> Keys<M> {
    /// Keys a MAC with each secret's own text.
    pub(super) fn new(secrets: &[impl AsRef<str>]) -> Result<Self, KeyError> {
        let bytes = secrets.iter().map(|secret| secret.as_ref().as_bytes());
        Self::from_bytes(bytes.enumerate().map(|(at, bytes)| (at.saturating_add(1), bytes)))
            .and_then(|keys| if keys.0.is_empty() { Err(KeyError::None) } else { Ok(keys) })
    }

    /// As [`Keys::new`], of bytes beside the number of the secret that they are from; of none, too.
    pub(super) fn from_bytes<B: AsRef<[u8]>>(
        secrets: impl Iterator<Item = (usize, B)>,
    ) -> Result<Self, KeyError> {
        let key = |(at, bytes): (usize, B)| {
            // Anyone could sign with nothing.
            let bytes = Some(bytes.as_ref()).filter(|bytes| !bytes.is_empty());
            bytes.and_then(|bytes| M::new_from_slice(bytes).ok()).ok_or(KeyError::Empty(at))
        };
        secrets.map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Checks that a key and one of the offered tags fit what was signed, given in parts.
    pub(super) fn verify<'t>(
        &self,
        signed: &[&[u8]],
        encoding: Encoding,
        offered: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), InvalidSignature> {
        let tags = Self::tags(encoding, offered)?;
        let fits = |key: &M| {
            let mut mac = key.clone();
            for part in signed {
                mac.update(part);
            }
            tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok())
        };
        if self.0.iter().any(fits) { Ok(()) } else { Err(InvalidSignature::Mismatch) }
    }
}

impl<M: Mac> Keys<M> {
    /// Reads the tags that are offered: those that have the MAC's length, of the first [`MOST_SIGNATURES`].
    pub(super) fn tags<'t>(
        encoding: Encoding,
        offered: impl IntoIterator<Item = &'t str>,
    ) -> Result<Vec<Vec<u8>>, InvalidSignature> {
        let tags = offered.into_iter().take(MOST_SIGNATURES).filter_map(|text| encoding.decode(text));
        let tags: Vec<Vec<u8>> = tags.filter(|tag| tag.len() == M::output_size()).collect();
        if tags.is_empty() { Err(InvalidSignature::Malformed) } else { Ok(tags) }
    }
}

impl<M> fmt::Debug for Keys<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Encoding {
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => encoding::from_hex(text),
            Self::Base64 => encoding::from_base64(text),
        }
    }
}

impl Window {
    /// Admits what was signed within the tolerance of each moment of the arrival, the ends included.
    ///
    /// The sender decides how long its body takes, so an old signature is compared with the body's end, and one from the
    /// future with the head.
    pub(super) fn admit(self, at: Timestamp) -> Result<(), InvalidSignature> {
        let tolerance = time::whole_seconds(self.tolerance);
        if self.arrival.body.seconds_since(at) > tolerance {
            return Err(InvalidSignature::TooOld);
        }
        if at.seconds_since(self.arrival.head) > tolerance {
            return Err(InvalidSignature::FromTheFuture);
        }
        Ok(())
    }

    /// Checks whether a time lies within the tolerance of some moment of the arrival.
    pub(super) fn touches(self, at: Timestamp) -> bool {
        let tolerance = time::whole_seconds(self.tolerance);
        self.arrival.head.seconds_since(at) <= tolerance && at.seconds_since(self.arrival.body) <= tolerance
    }
}

impl Event {
    /// Reads id and type where these JSON pointers find them in a signed body.
    pub(super) fn in_body(body: &[u8], id: Option<&str>, kinds: &[&str]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let find = |pointer: &str| json.pointer(pointer).and_then(word_of);
        let kind = kinds.iter().find_map(|pointer| find(pointer)).map(EventType::Signed);
        Self { id: id.and_then(find), kind, content_hash: None }
    }

    /// Takes the type from a header that is not signed.
    pub(super) fn unsigned(request: &Signed<'_>, header: &str) -> Self {
        let kind = request.headers.value(header).and_then(word).map(EventType::Unsigned);
        Self { kind, ..Self::default() }
    }
}

/// What a list in a header looks like that holds a timestamp and signatures over it and the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamped {
    pub(super) header: &'static str,
    pub(super) separator: char,
    /// How its one timestamp begins.
    pub(super) timestamp: &'static str,
    /// How its signatures begin, in hex.
    pub(super) signature: &'static str,
    /// What stands between timestamp and body where they are signed.
    pub(super) between: &'static [u8],
}

impl Stamped {
    /// Checks such a header.
    pub(super) fn verify(
        self,
        keys: &Keys<Sha256Mac>,
        request: &Signed<'_>,
        window: Window,
    ) -> Result<(), InvalidSignature> {
        let list = header(request, self.header)?;
        let timestamp = only(elements(list, self.separator, self.timestamp))?;
        window.admit(seconds(timestamp)?)?;
        let signed = [timestamp.as_bytes(), self.between, request.body];
        keys.verify(&signed, Encoding::Hex, elements(list, self.separator, self.signature))
    }
}

/// Finds a header that must be there and say something.
pub(super) fn header<'a>(request: &Signed<'a>, name: &str) -> Result<&'a str, InvalidSignature> {
    let value = request.headers.value(name).unwrap_or_default();
    if value.is_empty() { Err(InvalidSignature::MissingHeader) } else { Ok(value) }
}

/// Reads whole seconds since the epoch: digits and nothing else.
pub(super) fn seconds(text: &str) -> Result<Timestamp, InvalidSignature> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map(Timestamp).ok_or(InvalidSignature::Malformed)
}

/// Iterates over the elements of a list that begin with a prefix, without it.
pub(super) fn elements<'a>(
    list: &'a str,
    separator: char,
    prefix: &str,
) -> impl Iterator<Item = &'a str> + Clone {
    list.split(separator).filter_map(move |element| element.trim_matches(' ').strip_prefix(prefix))
}

/// Finds the element of which there must be exactly one: with two, it would be open which was signed.
pub(super) fn only<'a>(mut elements: impl Iterator<Item = &'a str>) -> Result<&'a str, InvalidSignature> {
    let first = elements.next().ok_or(InvalidSignature::Malformed)?;
    if elements.next().is_some() { Err(InvalidSignature::Malformed) } else { Ok(first) }
}

/// Takes a text that can be a header's value and a key.
pub(super) fn word(text: &str) -> Option<String> {
    let fits = (1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => word(text),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

const LONGEST_WORD: usize = 255;

/// Signs as a provider would.
#[cfg(test)]
pub(super) fn sign(secret: &str, signed: &[u8]) -> Vec<u8> {
    let mac = Sha256Mac::new_from_slice(secret.as_bytes()).expect("any length");
    mac.chain_update(signed).finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        for (at, tolerance, want) in [
            (1_000, 0, Ok(())),
            (700, 300, Ok(())),
            (699, 300, Err(InvalidSignature::TooOld)),
            (1_300, 300, Ok(())),
            (1_301, 300, Err(InvalidSignature::FromTheFuture)),
            (i64::MAX, 300, Err(InvalidSignature::FromTheFuture)),
            (i64::MIN, 300, Err(InvalidSignature::TooOld)),
        ] {
            let arrival = Arrival::at_once(Timestamp(1_000));
            let window = Window { arrival, tolerance: Duration::from_secs(tolerance) };
            assert_eq!(window.admit(Timestamp(at)), want, "{at}");
            assert_eq!(window.touches(Timestamp(at)), want.is_ok(), "{at}");
        }
    }

    #[test]
    fn a_slow_body_widens_no_window() {
        for (at, want, touches) in [
            (639, Err(InvalidSignature::TooOld), false),
            (640, Err(InvalidSignature::TooOld), true),
            (699, Err(InvalidSignature::TooOld), true),
            (700, Ok(()), true),
            (1_240, Ok(()), true),
            (1_241, Err(InvalidSignature::FromTheFuture), true),
            (1_300, Err(InvalidSignature::FromTheFuture), true),
            (1_301, Err(InvalidSignature::FromTheFuture), false),
        ] {
            let arrival = Arrival { head: Timestamp(940), body: Timestamp(1_000) };
            let window = Window { arrival, tolerance: Duration::from_mins(5) };
            assert_eq!(window.admit(Timestamp(at)), want, "{at}");
            assert_eq!(window.touches(Timestamp(at)), touches, "{at}");
        }
    }

    #[test]
    fn whole_seconds() {
        for (text, want) in [
            ("1700000000", Some(1_700_000_000)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            (" 1", None),
            ("1e9", None),
            ("１", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text).ok(), want.map(Timestamp), "{text:?}");
        }
    }

    #[test]
    fn words() {
        let long = "x".repeat(256);
        for (json, want) in [
            (r#"{"id":"evt_1"}"#, Some("evt_1")),
            (r#"{"id":17}"#, Some("17")),
            (r#"{"id":-17}"#, Some("-17")),
            (r#"{"id":1.5}"#, None),
            (r#"{"id":""}"#, None),
            (r#"{"id":"a b"}"#, None),
            (r#"{"id":"a\nb"}"#, None),
            (r#"{"id":"é"}"#, None),
            (r#"{"id":{"id":"x"}}"#, None),
            (r#"{"id":"x"} trailing"#, None),
            (&format!(r#"{{"id":"{long}"}}"#), None),
            (&"[".repeat(100_000), None),
            ("", None),
        ] {
            assert_eq!(Event::in_body(json.as_bytes(), Some("/id"), &[]).id.as_deref(), want);
        }
        assert_eq!(Event::in_body(b"\xff{}", Some("/id"), &["/type"]), Event::default());
    }

    #[test]
    fn work_is_bounded() {
        let keys = Keys::<Sha256Mac>::new(&["one", "two"]).expect("keys");
        let good = encoding::hex(&sign("two", b"body"));
        let bad = "00".repeat(32);
        let judge = |before: usize, after: usize| {
            let offered = std::iter::repeat_n(bad.as_str(), before).chain([good.as_str()]);
            let offered = offered.chain(std::iter::repeat_n(bad.as_str(), after));
            keys.verify(&[b"bo", b"", b"dy"], Encoding::Hex, offered)
        };
        assert_eq!(judge(0, 0), Ok(()));
        assert_eq!(judge(15, 1_000), Ok(()));
        assert_eq!(judge(16, 0), Err(InvalidSignature::Mismatch));
    }

    #[test]
    fn whole_tags_only() {
        let keys = Keys::<Sha256Mac>::new(&["one"]).expect("keys");
        let good = encoding::hex(&sign("one", b"body"));
        let judge = |tag: &str| keys.verify(&[b"body"], Encoding::Hex, [tag]);
        assert_eq!(judge(&good.to_uppercase()), Ok(()));
        assert_eq!(judge(&good[..62]), Err(InvalidSignature::Malformed));
        assert_eq!(judge(&format!("{good}00")), Err(InvalidSignature::Malformed));
        assert_eq!(judge(""), Err(InvalidSignature::Malformed));
        assert_eq!(judge(&good[..63]), Err(InvalidSignature::Malformed));
        assert_eq!(judge(&"00".repeat(32)), Err(InvalidSignature::Mismatch));
        assert_eq!(judge("potato"), Err(InvalidSignature::Malformed));
    }
}
