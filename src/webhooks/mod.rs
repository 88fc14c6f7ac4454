//! Webhooks: verifies that the provider sent a request, and identifies its event.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the verifier: is the signature valid, and which event is it? |
//! | `scheme.rs` | the schemes, and what each of them signs. To add one: a variant there, a file here, an arm in `Verifier::new` |
//! | `signature.rs` | what the schemes share |
//! | `github.rs`, `lemonsqueezy.rs`, `paddle.rs`, `shopify.rs`, `slack.rs`, `square.rs`, `stripe.rs`, `twilio.rs` | a scheme each |
//! | `standard.rs` | Standard Webhooks and Svix |
//! | `hmac.rs` | a scheme that the configuration describes |
//! | `event_claim.rs` | the claim of an event: verifies it, then runs it once |
//! | `inbox.rs`, `inbox/queue.rs` | the `Inbox` objects; which events they deliver next |
//! | `delivery.rs` | the request that delivers an event to upstream |
//! | `endpoints.rs` | `/api/webhooks` |
//! | `settings.rs` | the settings (`WEBHOOKS`) |
//! | `inbox/tests.rs` | tests of the inbox |
//!
//! [`Verifier::verify`] checks a request against the raw bytes of its body, in this order:
//!
//! 1. The signature header, and every other header that the provider signs, is present and has the provider's format.
//! 2. If the provider signs a timestamp, it is within the tolerance, inclusive: not too old when the body is complete,
//!    and not too far in the future when the head arrives ([`Arrival`]).
//! 3. One of the first [`MOST_SIGNATURES`] signatures matches one of the secrets. The whole tag is compared, in
//!    constant time. Signatures after the first sixteen (for Ed25519: after the first four) are ignored.
//!
//! The [`Delivery`] identifies the event:
//!
//! 4. The event id is read only from signed bytes. It is missing if the provider does not sign it.
//! 5. The event type is read from signed bytes, too. If the provider sends it only in an unsigned header, it is marked
//!    [`EventType::Unsigned`], and upstream gets it in a header whose name says so.
//! 6. The id and the type have 1–255 visible ASCII characters, or are missing. Both are safe as header values
//!    and keys.
//!
//! The file of each scheme lists what the provider signs, and links to the provider's documentation.

pub mod delivery;
pub mod endpoints;
pub mod event_claim;
pub mod inbox;

pub mod hmac;
mod scheme;
pub mod settings;

mod github;
mod lemonsqueezy;
mod paddle;
mod shopify;
mod signature;
mod slack;
mod square;
mod standard;
mod stripe;
mod twilio;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    http::request::Headers,
};
use signature::{EventInfo, Keys, Sha1Mac, Sha256Mac, Window};

pub use scheme::Scheme;
pub use signature::MOST_SIGNATURES;

/// Default tolerance: how far a timestamp may be from the current time.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// The parts of a request that a signature can cover.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The headers, unchanged.
    pub headers: &'a Headers<'a>,
    /// The body, unchanged.
    pub body: &'a [u8],
    /// The URL as registered with the provider: the canonical public origin, the canonical path and the query.
    pub url: &'a str,
}

/// The arrival times of a request. The sender controls how far apart they are.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When the headers arrived.
    pub head: Timestamp,
    /// When the body was complete.
    pub body: Timestamp,
}

/// A scheme with its secrets. There are several secrets while one is being rotated.
#[derive(Clone, Debug)]
pub struct Verifier {
    adapter: Adapter,
    tolerance: Duration,
}

/// A verified request of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The provider's event id, the same on each attempt. Read only from signed bytes.
    pub event_id: Option<String>,
    /// The event type, as the provider names it.
    pub event_type: Option<EventType>,
    /// SHA-256 of the body, in hex.
    pub payload_hash: String,
    /// Deduplication key for events without an id: the payload hash. For Twilio and Square, where one signature
    /// matches more than one request, it is the hash of the signed bytes.
    pub content_hash: String,
}

/// A verified event, as sent to upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The webhook's name.
    pub provider: String,
    /// Deduplication key, for the gateway and for upstream: the event id or the content hash.
    pub key: String,
    /// The provider's event id, if it is signed.
    pub event_id: Option<String>,
    /// The event type, signed or not.
    pub event_type: Option<String>,
    /// SHA-256 of the body, in hex.
    pub payload_hash: String,
    /// The deduplication key that version 0.1 used, if it was different.
    pub earlier_key: Option<String>,
}

/// The event type, as the provider names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Read from signed bytes.
    Signed(String),
    /// Read from an unsigned header. Anyone who has seen one delivery can change it.
    Unsigned(String),
}

/// Why a request's signature is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSignature {
    /// A header that the scheme requires is missing or empty.
    MissingHeader,
    /// A signature, a timestamp, an id or a body does not have a format that the scheme accepts.
    Malformed,
    /// The timestamp is older than the tolerance allows.
    TooOld,
    /// The timestamp is further in the future than the tolerance allows.
    FromTheFuture,
    /// No secret matches a signature over this request.
    Mismatch,
}

/// Why a secret is invalid, with its position, counted from 1. Never contains text of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No secret is configured.
    None,
    /// The secret is empty, as between two commas.
    Empty(usize),
    /// Standard Webhooks: the secret, after an optional `whsec_` or `whpk_`, is not base64.
    NotBase64(usize),
    /// Standard Webhooks: the secret is a private key (`whsk_`). Only the provider may have it.
    PrivateKey(usize),
    /// Standard Webhooks: the value after `whpk_` is not a valid Ed25519 public key.
    PublicKey(usize),
}

impl Verifier {
    /// Creates a verifier. Each secret has the form in which the provider shows it.
    ///
    /// # Errors
    /// [`KeyError`] for the first invalid secret.
    pub fn new(scheme: Scheme, secrets: &[impl AsRef<str>], tolerance: Duration) -> Result<Self, KeyError> {
        let adapter = match scheme {
            Scheme::Standard => Adapter::Standard(standard::Keys::new(secrets)?),
            Scheme::Stripe => Adapter::Sha256(stripe::verify, Keys::new(secrets)?),
            Scheme::Github => Adapter::Sha256(github::verify, Keys::new(secrets)?),
            Scheme::Shopify => Adapter::Sha256(shopify::verify, Keys::new(secrets)?),
            Scheme::Slack => Adapter::Sha256(slack::verify, Keys::new(secrets)?),
            Scheme::Paddle => Adapter::Sha256(paddle::verify, Keys::new(secrets)?),
            Scheme::LemonSqueezy => Adapter::Sha256(lemonsqueezy::verify, Keys::new(secrets)?),
            Scheme::Twilio => Adapter::Twilio(Keys::new(secrets)?),
            Scheme::Square => Adapter::Sha256(square::verify, Keys::new(secrets)?),
            Scheme::Hmac(policy) => Adapter::Hmac(policy, Keys::new(secrets)?),
        };
        Ok(Self { adapter, tolerance })
    }

    /// Checks the signature headers before the body is read: they are present, have the right format and a current
    /// timestamp.
    ///
    /// # Errors
    /// [`InvalidSignature`], except [`InvalidSignature::Mismatch`].
    pub fn glance(&self, headers: &Headers<'_>, now: Timestamp) -> Result<(), InvalidSignature> {
        // The body is empty, so `Malformed` can only mean a header.
        match self.verify(Signed { headers, body: b"", url: "" }, Arrival::at_once(now)) {
            Ok(_) | Err(InvalidSignature::Mismatch) => Ok(()),
            Err(invalid) => Err(invalid),
        }
    }

    /// Verifies the signature of a request, and reads its event.
    ///
    /// # Errors
    /// [`InvalidSignature`].
    pub fn verify(&self, request: Signed<'_>, arrival: Arrival) -> Result<Delivery, InvalidSignature> {
        let window = Window { arrival, tolerance: self.tolerance };
        let event = match &self.adapter {
            Adapter::Standard(keys) => standard::verify(keys, &request, window),
            Adapter::Sha256(verify, keys) => verify(keys, &request, window),
            Adapter::Twilio(keys) => twilio::verify(keys, &request),
            Adapter::Hmac(policy, keys) => hmac::verify(policy, keys, &request, window),
        }?;
        let payload_hash = encoding::hex(&Sha256::digest(request.body));
        let content_hash = event.content_hash.unwrap_or_else(|| payload_hash.clone());
        Ok(Delivery { event_id: event.id, event_type: event.event_type, payload_hash, content_hash })
    }
}

impl Arrival {
    /// Returns the arrival of a request whose body arrives together with its head.
    #[must_use]
    pub fn at_once(now: Timestamp) -> Self {
        Self { head: now, body: now }
    }
}

impl Received {
    /// Returns the headers for upstream. An unsigned type gets a header whose name says so.
    #[must_use]
    pub fn upstream_headers(&self, signs_type: bool) -> Vec<(&'static str, String)> {
        let event_type = if signs_type { "x-webhook-event-type" } else { "x-webhook-unsigned-event-type" };
        let headers = [
            ("x-webhook-provider", Some(&self.provider)),
            ("x-webhook-event-id", self.event_id.as_ref()),
            (event_type, self.event_type.as_ref()),
            ("x-webhook-payload-hash", Some(&self.payload_hash)),
            ("idempotency-key", Some(&self.key)),
        ];
        headers.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))).collect()
    }
}

impl EventType {
    /// Returns the type's text, signed or not.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Signed(text) | Self::Unsigned(text) => text,
        }
    }
}

impl InvalidSignature {
    /// Returns the code of the reason, for the response and the log.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::Malformed => "malformed",
            Self::TooOld => "too_old",
            Self::FromTheFuture => "from_the_future",
            Self::Mismatch => "mismatch",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("expected the provider's signing secret, found nothing"),
            Self::Empty(at) => {
                write!(f, "secret {at}: expected the provider's signing secret, found nothing")
            }
            Self::NotBase64(at) => {
                write!(f, "secret {at}: expected whsec_<base64> or whpk_<base64>, as the provider shows it")
            }
            Self::PrivateKey(at) => {
                write!(f, "secret {at}: expected the public key (whpk_…), found the private one (whsk_…)")
            }
            Self::PublicKey(at) => {
                write!(f, "secret {at}: expected an Ed25519 public key of 32 bytes after whpk_")
            }
        }
    }
}

type Verify = fn(&Keys<Sha256Mac>, &Signed<'_>, Window) -> Result<EventInfo, InvalidSignature>;

/// A scheme with its parsed keys.
#[derive(Clone, Debug)]
enum Adapter {
    Standard(standard::Keys),
    Sha256(Verify, Keys<Sha256Mac>),
    Twilio(Keys<Sha1Mac>),
    Hmac(hmac::Policy, Keys<Sha256Mac>),
}

#[cfg(test)]
mod tests;
