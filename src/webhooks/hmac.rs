//! HMAC-SHA256 webhooks of any provider, in the format that the configuration describes.
//!
//! 1. `header` is a comma-separated list. Its elements that begin with `prefix` are signatures, encoded as
//!    `encoding` says. A header that contains only one signature is such a list, too.
//! 2. `signed` is a template of the signed text. It contains `{body}`, and `{timestamp}` and `{id}` if the
//!    provider signs them; each is inserted as it was sent. All other text is literal.
//! 3. The timestamp is the value of `timestamp_header`, or the only element of `header` that begins with
//!    `timestamp_prefix`: seconds, milliseconds (from 12 digits on) or RFC 3339 in UTC.
//! 4. The event id is the value of `id_header`, or the value at the JSON pointer `event_id` in the body. The
//!    event type is the value at the JSON pointer `event_type`.
//!
//! A header that is not part of `signed` proves nothing, so naming one is a configuration error. Separate the parts
//! of `signed` with text that the part before cannot contain. Otherwise a signature matches more than one request.

use std::fmt;

use super::{
    InvalidSignature, Signed,
    signature::{
        self, EventInfo, Keys, Sha256Mac, Window, elements, exactly_one, identifier, required_header,
    },
};
use crate::base::time::{self, Timestamp};

pub use super::signature::Encoding;

/// The settings of the configuration, unparsed.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the module documentation describes each field")]
pub struct Settings<'a> {
    pub header: &'a str,
    pub prefix: &'a str,
    pub encoding: Encoding,
    pub signed: &'a str,
    pub timestamp_header: Option<&'a str>,
    pub timestamp_prefix: Option<&'a str>,
    pub id_header: Option<&'a str>,
    pub event_id: Option<&'a str>,
    pub event_type: Option<&'a str>,
}

/// A parsed description of a provider's format.
#[derive(Clone, Debug)]
pub struct Policy {
    header: String,
    prefix: String,
    encoding: Encoding,
    signed: Vec<Part>,
    timestamp: Option<TimestampSource>,
    id_header: Option<String>,
    event_id: Option<String>,
    event_type: Option<String>,
}

/// An invalid field of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The field's name.
    pub member: &'static str,
    /// What the field must contain.
    pub message: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Body,
    Timestamp,
    Id,
}

#[derive(Clone, Debug)]
enum TimestampSource {
    Header(String),
    Element(String),
}

impl Policy {
    /// Parses the settings.
    ///
    /// # Errors
    /// All [`PolicyError`]s, not only the first.
    pub fn new(settings: &Settings<'_>) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut require = |holds: bool, member, message| {
            if !holds {
                errors.push(PolicyError { member, message });
            }
        };
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_token);
        let is_optional_name = |name: Option<&str>| name.is_none_or(is_name);
        require(is_name(settings.header), "header", "expected a header name");
        require(is_optional_name(settings.timestamp_header), "timestamp_header", "expected a header name");
        require(is_optional_name(settings.id_header), "id_header", "expected a header name");
        let signed = parse_template(settings.signed);
        require(signed.is_some(), "signed", "expected only {body}, {timestamp} and {id} in braces");
        if let Some(signed) = &signed {
            let has = |part: &Part| signed.contains(part);
            require(has(&Part::Body), "signed", "must contain {body}");
            let source = settings.timestamp_header.or(settings.timestamp_prefix);
            if has(&Part::Timestamp) {
                require(
                    source.is_some(),
                    "timestamp_header",
                    "required with {timestamp} in signed (or timestamp_prefix)",
                );
            } else {
                require(
                    source.is_none(),
                    "signed",
                    "must contain {timestamp}: an unsigned timestamp proves nothing",
                );
            }
            if has(&Part::Id) {
                require(settings.id_header.is_some(), "id_header", "required with {id} in signed");
            } else {
                require(
                    settings.id_header.is_none(),
                    "signed",
                    "must contain {id}: an unsigned id proves nothing",
                );
            }
        }
        let both = settings.timestamp_header.is_some() && settings.timestamp_prefix.is_some();
        require(!both, "timestamp_prefix", "not allowed with timestamp_header");
        require(
            settings.timestamp_prefix != Some(""),
            "timestamp_prefix",
            "expected the text before the timestamp, found an empty string",
        );
        let both = settings.id_header.is_some() && settings.event_id.is_some();
        require(!both, "event_id", "not allowed with id_header");
        for (member, pointer) in [("event_id", settings.event_id), ("event_type", settings.event_type)] {
            let is_pointer = pointer.is_none_or(|pointer| pointer.starts_with('/'));
            require(is_pointer, member, "expected a JSON pointer, such as /data/id");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let timestamp =
            settings.timestamp_header.map(|name| TimestampSource::Header(name.to_ascii_lowercase()));
        let element = settings.timestamp_prefix.map(|prefix| TimestampSource::Element(prefix.to_owned()));
        Ok(Self {
            header: settings.header.to_ascii_lowercase(),
            prefix: settings.prefix.to_owned(),
            encoding: settings.encoding,
            signed: signed.unwrap_or_default(),
            timestamp: timestamp.or(element),
            id_header: settings.id_header.map(str::to_ascii_lowercase),
            event_id: settings.event_id.map(str::to_owned),
            event_type: settings.event_type.map(str::to_owned),
        })
    }

    pub(super) fn signs_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    pub(super) fn signs_event_type(&self) -> bool {
        self.event_type.is_some()
    }

    pub(super) fn signs_event_id(&self) -> bool {
        self.id_header.is_some() || self.event_id.is_some()
    }
}

pub(super) fn verify(
    policy: &Policy,
    keys: &Keys<Sha256Mac>,
    request: &Signed<'_>,
    window: Window,
) -> Result<EventInfo, InvalidSignature> {
    let list = required_header(request, &policy.header)?;
    let timestamp = policy.timestamp.as_ref().map(|source| match source {
        TimestampSource::Header(name) => required_header(request, name),
        TimestampSource::Element(prefix) => exactly_one(elements(list, ',', prefix)),
    });
    let timestamp = timestamp.transpose()?;
    if let Some(timestamp) = timestamp {
        window.check(parse_time(timestamp)?)?;
    }
    let id = policy.id_header.as_ref().map(|name| required_header(request, name)).transpose()?;
    let signed = policy.signed.iter().map(|part| match part {
        Part::Text(text) => text.as_bytes(),
        Part::Body => request.body,
        Part::Timestamp => timestamp.unwrap_or_default().as_bytes(),
        Part::Id => id.unwrap_or_default().as_bytes(),
    });
    let signed: Vec<&[u8]> = signed.collect();
    keys.verify(&signed, policy.encoding, elements(list, ',', &policy.prefix))?;
    let kinds = policy.event_type.as_deref();
    let event = EventInfo::from_body(request.body, policy.event_id.as_deref(), kinds.as_slice());
    Ok(EventInfo { id: id.and_then(identifier).or(event.id), ..event })
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.message)
    }
}

fn parse_template(mut template: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    while !template.is_empty() {
        let (text, rest) = template.split_at(template.find(['{', '}']).unwrap_or(template.len()));
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        template = rest;
        for (name, part) in [("{body}", Part::Body), ("{timestamp}", Part::Timestamp), ("{id}", Part::Id)] {
            if let Some(after) = rest.strip_prefix(name) {
                parts.push(part);
                template = after;
            }
        }
        if template.len() == rest.len() && !rest.is_empty() {
            return None;
        }
    }
    Some(parts)
}

fn parse_time(text: &str) -> Result<Timestamp, InvalidSignature> {
    if let Ok(Timestamp(count)) = signature::parse_seconds(text) {
        return Ok(Timestamp(if text.len() < 12 { count } else { count.div_euclid(1_000) }));
    }
    let time = humantime::parse_rfc3339(text).ok();
    let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map(|since| Timestamp(time::whole_seconds(since))).ok_or(InvalidSignature::Malformed)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
