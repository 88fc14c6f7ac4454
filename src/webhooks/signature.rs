//! Code that the schemes share: keyed MACs, timestamps, lists in a header, event ids and types in a body.
//!
//! Each secret is run over the body once, however many signatures a request has. At most
//! [`MOST_SIGNATURES`] tags are compared with the result.

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;

use super::{Arrival, EventType, InvalidSignature, KeyError, Signed};
use crate::base::{
    encoding,
    time::{self, Timestamp},
};

/// Maximum number of signatures that are checked per request. Providers send one per secret in use: two or three.
pub const MOST_SIGNATURES: usize = 16;

pub(super) type Sha256Mac = Hmac<Sha256>;
pub(super) type Sha1Mac = Hmac<Sha1>;

/// Secrets as keyed MACs. The inner and outer state of each is computed only once.
#[derive(Clone)]
pub(super) struct Keys<M>(Vec<M>);

/// The encoding of a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Hex, in upper or lower case.
    #[default]
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// The data of an event that a scheme has read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventInfo {
    pub(super) id: Option<String>,
    pub(super) event_type: Option<EventType>,
    pub(super) content_hash: Option<String>,
}

/// The period in which a signature must have been made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) arrival: Arrival,
    pub(super) tolerance: Duration,
}

impl<M: Mac + KeyInit + Clone> Keys<M> {
    /// Creates a keyed MAC from the text of each secret. At least one secret is required.
    pub(super) fn new(secrets: &[impl AsRef<str>]) -> Result<Self, KeyError> {
        let bytes = secrets.iter().map(|secret| secret.as_ref().as_bytes());
        Self::from_bytes(bytes.enumerate().map(|(at, bytes)| (at.saturating_add(1), bytes)))
            .and_then(|keys| if keys.0.is_empty() { Err(KeyError::None) } else { Ok(keys) })
    }

    /// Creates a keyed MAC from the bytes of each secret, given with its position. The list may be empty.
    pub(super) fn from_bytes<B: AsRef<[u8]>>(
        secrets: impl Iterator<Item = (usize, B)>,
    ) -> Result<Self, KeyError> {
        let key = |(at, bytes): (usize, B)| {
            // Anyone could sign with an empty secret.
            let bytes = Some(bytes.as_ref()).filter(|bytes| !bytes.is_empty());
            bytes.and_then(|bytes| M::new_from_slice(bytes).ok()).ok_or(KeyError::Empty(at))
        };
        secrets.map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Checks that a signature matches the signed bytes under one of the keys. The signed bytes are given in parts.
    pub(super) fn verify<'t>(
        &self,
        signed: &[&[u8]],
        encoding: Encoding,
        signatures: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), InvalidSignature> {
        let tags = Self::decode_tags(encoding, signatures)?;
        let matches = |key: &M| {
            let mut mac = key.clone();
            for part in signed {
                mac.update(part);
            }
            tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok())
        };
        if self.0.iter().any(matches) { Ok(()) } else { Err(InvalidSignature::Mismatch) }
    }
}

impl<M: Mac> Keys<M> {
    /// Decodes the first [`MOST_SIGNATURES`] signatures, and keeps those of the MAC's length. Rejects if none is left.
    pub(super) fn decode_tags<'t>(
        encoding: Encoding,
        signatures: impl IntoIterator<Item = &'t str>,
    ) -> Result<Vec<Vec<u8>>, InvalidSignature> {
        let tags = signatures.into_iter().take(MOST_SIGNATURES).filter_map(|text| encoding.decode(text));
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
    /// Checks that a timestamp is within the tolerance of both arrival times, inclusive.
    ///
    /// The sender controls how long its body takes. So an old timestamp is compared with the end of the body, and
    /// a future timestamp with the arrival of the head.
    pub(super) fn check(self, at: Timestamp) -> Result<(), InvalidSignature> {
        let tolerance = time::whole_seconds(self.tolerance);
        if self.arrival.body.seconds_since(at) > tolerance {
            return Err(InvalidSignature::TooOld);
        }
        if at.seconds_since(self.arrival.head) > tolerance {
            return Err(InvalidSignature::FromTheFuture);
        }
        Ok(())
    }

    /// Returns whether a timestamp is within the tolerance of any moment between the two arrival times.
    pub(super) fn overlaps(self, at: Timestamp) -> bool {
        let tolerance = time::whole_seconds(self.tolerance);
        self.arrival.head.seconds_since(at) <= tolerance && at.seconds_since(self.arrival.body) <= tolerance
    }
}

impl EventInfo {
    /// Reads the id and the type at these JSON pointers of a signed body. The first type that is found counts.
    pub(super) fn from_body(body: &[u8], id: Option<&str>, types: &[&str]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let find = |pointer: &str| json.pointer(pointer).and_then(json_identifier);
        let event_type = types.iter().find_map(|pointer| find(pointer)).map(EventType::Signed);
        Self { id: id.and_then(find), event_type, content_hash: None }
    }

    /// Reads the type from a header that is not signed.
    pub(super) fn from_unsigned_header(request: &Signed<'_>, header: &str) -> Self {
        let event_type = request.headers.value(header).and_then(identifier).map(EventType::Unsigned);
        Self { event_type, ..Self::default() }
    }
}

/// The format of a header that lists a timestamp and signatures. The signatures cover the timestamp and the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimestampedHeader {
    pub(super) header: &'static str,
    pub(super) separator: char,
    /// Prefix of the only timestamp.
    pub(super) timestamp_prefix: &'static str,
    /// Prefix of each signature. Signatures are in hex.
    pub(super) signature_prefix: &'static str,
    /// The bytes between the timestamp and the body in the signed text.
    pub(super) joiner: &'static [u8],
}

impl TimestampedHeader {
    /// Checks the timestamp and the signatures of this header.
    pub(super) fn verify(
        self,
        keys: &Keys<Sha256Mac>,
        request: &Signed<'_>,
        window: Window,
    ) -> Result<(), InvalidSignature> {
        let list = required_header(request, self.header)?;
        let timestamp = exactly_one(elements(list, self.separator, self.timestamp_prefix))?;
        window.check(parse_seconds(timestamp)?)?;
        let signed = [timestamp.as_bytes(), self.joiner, request.body];
        keys.verify(&signed, Encoding::Hex, elements(list, self.separator, self.signature_prefix))
    }
}

/// Returns the value of a header that must be present and not empty.
pub(super) fn required_header<'a>(request: &Signed<'a>, name: &str) -> Result<&'a str, InvalidSignature> {
    let value = request.headers.value(name).unwrap_or_default();
    if value.is_empty() { Err(InvalidSignature::MissingHeader) } else { Ok(value) }
}

/// Parses whole seconds since the Unix epoch. Only digits are allowed.
pub(super) fn parse_seconds(text: &str) -> Result<Timestamp, InvalidSignature> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map(Timestamp).ok_or(InvalidSignature::Malformed)
}

/// Iterates over the elements of a list that have a prefix, and removes the prefix.
pub(super) fn elements<'a>(
    list: &'a str,
    separator: char,
    prefix: &str,
) -> impl Iterator<Item = &'a str> + Clone {
    list.split(separator).filter_map(move |element| element.trim_matches(' ').strip_prefix(prefix))
}

/// Returns the only element. Rejects a second one, because it is not clear which of them is signed.
pub(super) fn exactly_one<'a>(
    mut elements: impl Iterator<Item = &'a str>,
) -> Result<&'a str, InvalidSignature> {
    let first = elements.next().ok_or(InvalidSignature::Malformed)?;
    if elements.next().is_some() { Err(InvalidSignature::Malformed) } else { Ok(first) }
}

/// Returns the text if it has 1–255 visible ASCII characters. Such a text is safe as a header value and as a key.
pub(super) fn identifier(text: &str) -> Option<String> {
    let fits =
        (1..=MAX_IDENTIFIER_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

fn json_identifier(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => identifier(text),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

const MAX_IDENTIFIER_BYTES: usize = 255;

/// Signs as a provider does.
#[cfg(test)]
pub(super) fn sign(secret: &str, signed: &[u8]) -> Vec<u8> {
    let mac = Sha256Mac::new_from_slice(secret.as_bytes()).expect("any length");
    mac.chain_update(signed).finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
