//! Webhooks: has the provider sent this, and which event is it?
//!
//! [`Verifier::verify`] judges a request by the raw bytes of its body, in this order:
//!
//! 1. the signature's header, and what else the provider signs, is there and has the provider's form;
//! 2. where a timestamp is signed, it is not older than the tolerance when the body has arrived, and was not further in the
//!    future when the head did, the ends included ([`Arrival`]);
//! 3. one of the first [`MOST_SIGNATURES`] signatures fits one of the secrets: the whole tag, compared in
//!    constant time. What follows the first sixteen is not looked at.
//!
//! The [`Delivery`] then says which event it is:
//!
//! 4. its id is read only from signed bytes, and is none where the provider signs none;
//! 5. its type too; where the provider only writes it into a header, it is marked [`EventType::Unsigned`], and upstream
//!    gets it under a name that says so;
//! 6. either is 1–255 visible ASCII characters, or it is none, so that it can be a header's value or a key.
//!
//! What a provider signs, and who says so, stands in the file of its scheme.

pub mod hmac;

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

use crate::{context::Headers, encoding, time::Timestamp};
use signature::{Event, Keys, Sha1Mac, Sha256Mac, Window};

pub use signature::MOST_SIGNATURES;

/// How far from now a timestamp may be where nothing else is configured.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// What of a request is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The headers, as they came.
    pub headers: &'a Headers<'a>,
    /// The body, as it came.
    pub body: &'a [u8],
    /// The URL that the provider was told: the canonical public origin, the canonical path, the query.
    pub url: &'a str,
}

/// When a request arrived. The sender decides how far its head and its end are apart.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When the headers were there.
    pub head: Timestamp,
    /// When the body was complete.
    pub body: Timestamp,
}

/// Whose rules a signature follows.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// Standard Webhooks, and Svix, whose headers have other names.
    Standard,
    /// Stripe.
    Stripe,
    /// GitHub.
    Github,
    /// Shopify.
    Shopify,
    /// Slack.
    Slack,
    /// Paddle.
    Paddle,
    /// Lemon Squeezy.
    LemonSqueezy,
    /// Twilio.
    Twilio,
    /// Square.
    Square,
    /// HMAC-SHA256, as the configuration describes it.
    Hmac(hmac::Policy),
}

/// A scheme with the secrets that may have signed: several while one takes another's place.
#[derive(Clone, Debug)]
pub struct Verifier {
    adapter: Adapter,
    tolerance: Duration,
}

/// What a provider has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The provider's id of the event, the same on each attempt. Only ever from signed bytes.
    pub event_id: Option<String>,
    /// What has happened, in the provider's words.
    pub event_type: Option<EventType>,
    /// SHA-256 of the body, in hex.
    pub payload_hash: String,
    /// What tells this content from other content where no event id does: the payload's hash, or, where
    /// other requests can be made that the same signature fits (Twilio, Square), the hash of what it signs.
    pub content_hash: String,
}

/// What upstream is told of an event that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The name of the webhook.
    pub provider: String,
    /// What it is told apart by, and upstream can fold attempts by: its id, or its content's hash.
    pub key: String,
    /// The provider's id of it, where one was signed.
    pub event_id: Option<String>,
    /// What has happened, signed or not.
    pub event_type: Option<String>,
    /// The body's SHA-256 in hex.
    pub payload_hash: String,
    /// The deduplication key that version 0.1 used, if it was another one.
    pub earlier_key: Option<String>,
}

/// What has happened, in the provider's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventType {
    /// From signed bytes.
    Signed(String),
    /// From a header that anyone could have changed who has seen one delivery.
    Unsigned(String),
}

/// Why a request is not taken for the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSignature {
    /// A header that the scheme needs is absent or empty.
    MissingHeader,
    /// No signature, or no timestamp, in the provider's form.
    Malformed,
    /// Signed longer ago than is tolerated.
    TooOld,
    /// Signed further in the future than is tolerated.
    FromTheFuture,
    /// Not signed with any of the secrets, or not over this.
    Mismatch,
}

/// Why a secret cannot be one; which it is, counted from one. Says nothing of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is none at all.
    None,
    /// Nothing between two commas.
    Empty(usize),
    /// Standard Webhooks: neither `whsec_` nor `whpk_` with base64 of a key.
    NotBase64(usize),
    /// Standard Webhooks: `whsk_`, with which the provider alone signs.
    PrivateKey(usize),
    /// Standard Webhooks: `whpk_` with something that is no Ed25519 public key.
    PublicKey(usize),
}

impl Scheme {
    /// Those that need no description.
    pub const PLAIN: &[Self] = &[
        Self::Standard,
        Self::Stripe,
        Self::Github,
        Self::Shopify,
        Self::Slack,
        Self::Paddle,
        Self::LemonSqueezy,
        Self::Twilio,
        Self::Square,
    ];

    /// Names the scheme as configuration does.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Stripe => "stripe",
            Self::Github => "github",
            Self::Shopify => "shopify",
            Self::Slack => "slack",
            Self::Paddle => "paddle",
            Self::LemonSqueezy => "lemonsqueezy",
            Self::Twilio => "twilio",
            Self::Square => "square",
            Self::Hmac(_) => "hmac",
        }
    }

    /// Tells whether a timestamp is signed; where none is, a tolerance has no meaning.
    #[must_use]
    pub fn signs_timestamp(&self) -> bool {
        match self {
            Self::Standard | Self::Stripe | Self::Slack | Self::Paddle => true,
            Self::Github | Self::Shopify | Self::LemonSqueezy | Self::Twilio | Self::Square => false,
            Self::Hmac(policy) => policy.signs_timestamp(),
        }
    }

    /// Finds a scheme by its name; `hmac` is none that needs no description.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::PLAIN.iter().find(|scheme| scheme.name() == name).cloned()
    }

    /// Tells whether an event's type is told at all; of one that tells none, no type can be asked for.
    #[must_use]
    pub fn tells_event_type(&self) -> bool {
        match self {
            Self::Twilio => false,
            Self::Hmac(policy) => policy.signs_event_type(),
            _ => true,
        }
    }

    /// Tells whether it is signed, where it is told.
    #[must_use]
    pub fn signs_event_type(&self) -> bool {
        self.tells_event_type() && !matches!(self, Self::Github | Self::Shopify)
    }

    /// Tells whether the provider sends the same bytes under several types, and does not sign the type.
    #[must_use]
    pub fn repeats_bytes(&self) -> bool {
        matches!(self, Self::Shopify)
    }

    /// Tells whether events have a signed id; where they have none, only their content can be told apart.
    #[must_use]
    pub fn signs_event_id(&self) -> bool {
        match self {
            Self::Standard | Self::Stripe | Self::Slack | Self::Paddle | Self::Square => true,
            Self::Github | Self::Shopify | Self::LemonSqueezy | Self::Twilio => false,
            Self::Hmac(policy) => policy.signs_event_id(),
        }
    }
}

impl Verifier {
    /// Prepares a scheme's secrets, each as the provider shows it.
    ///
    /// # Errors
    /// [`KeyError`] of the first that cannot be one.
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

    /// Checks what can be checked before the body is read: whether the signature headers are there, have the right form
    /// and a current time.
    ///
    /// # Errors
    /// [`InvalidSignature`], but for [`InvalidSignature::Mismatch`].
    pub fn glance(&self, headers: &Headers<'_>, now: Timestamp) -> Result<(), InvalidSignature> {
        // With an empty body, only a header can be malformed.
        match self.verify(Signed { headers, body: b"", url: "" }, Arrival::at_once(now)) {
            Ok(_) | Err(InvalidSignature::Mismatch) => Ok(()),
            Err(invalid) => Err(invalid),
        }
    }

    /// Judges a request.
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
        Ok(Delivery { event_id: event.id, event_type: event.kind, payload_hash, content_hash })
    }
}

impl Arrival {
    /// Describes a request that arrived whole.
    #[must_use]
    pub fn at_once(now: Timestamp) -> Self {
        Self { head: now, body: now }
    }
}

impl Received {
    /// Returns the headers for upstream. A type that is not signed gets a name that says so.
    #[must_use]
    pub fn marks(&self, signs_type: bool) -> Vec<(&'static str, String)> {
        let event_type = if signs_type { "x-webhook-event-type" } else { "x-webhook-unsigned-event-type" };
        let said = [
            ("x-webhook-provider", Some(&self.provider)),
            ("x-webhook-event-id", self.event_id.as_ref()),
            (event_type, self.event_type.as_ref()),
            ("x-webhook-payload-hash", Some(&self.payload_hash)),
            ("idempotency-key", Some(&self.key)),
        ];
        said.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))).collect()
    }
}

impl EventType {
    /// The words themselves, signed or not.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Signed(words) | Self::Unsigned(words) => words,
        }
    }
}

impl InvalidSignature {
    /// Names the reason, for the log.
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
                write!(f, "secret {at}: expected whsec_<base64> or whpk_<base64> as the provider shows it")
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

/// A scheme beside keys of its kind.
#[derive(Clone, Debug)]
enum Adapter {
    Standard(standard::Keys),
    Sha256(Verify, Keys<Sha256Mac>),
    Twilio(Keys<Sha1Mac>),
    Hmac(hmac::Policy, Keys<Sha256Mac>),
}

type Verify = fn(&Keys<Sha256Mac>, &Signed<'_>, Window) -> Result<Event, InvalidSignature>;

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;

    pub(super) const NOW: i64 = 1_700_000_000;
    pub(super) const URL: &str = "https://app.example/hooks/in?a=1";

    /// Judges a request to [`URL`] at [`NOW`].
    pub(super) fn judge(
        scheme: Scheme,
        secrets: &[&str],
        fields: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Delivery, InvalidSignature> {
        let verifier = Verifier::new(scheme, secrets, TOLERANCE).expect("a verifier");
        let headers: Headers<'_> = fields.iter().copied().collect();
        let request = Signed { headers: &headers, body: body.as_ref(), url: URL };
        verifier.verify(request, Arrival::at_once(Timestamp(NOW)))
    }

    pub(super) fn base64(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    /// Every scheme.
    fn all() -> Vec<Scheme> {
        let settings = hmac::Settings {
            header: "x-signature",
            signed: "{id}.{timestamp}.{body}",
            timestamp_header: Some("x-timestamp"),
            id_header: Some("x-id"),
            ..hmac::Settings::default()
        };
        let described = Scheme::Hmac(hmac::Policy::new(&settings).expect("a policy"));
        Scheme::PLAIN.iter().cloned().chain([described]).collect()
    }

    #[test]
    fn secrets_that_are_none() {
        let none: [&str; 0] = [];
        for scheme in all() {
            let name = scheme.name();
            let new = |secrets: &[&str]| Verifier::new(scheme.clone(), secrets, Duration::ZERO).map(|_| ());
            assert_eq!(new(&none), Err(KeyError::None), "{name}");
            assert_eq!(new(&[""]), Err(KeyError::Empty(1)), "{name}");
            assert_eq!(new(&["c2VjcmV0", ""]), Err(KeyError::Empty(2)), "{name}");
            assert_eq!(new(&["c2VjcmV0", "c2VjcmV1"]), Ok(()), "{name}");
        }
    }

    /// A header that cannot be a signature is refused before the body is read.
    #[test]
    fn what_is_refused_before_the_body_is_read() {
        let (hex, base64, short) = ("00".repeat(32), base64(&[0; 32]), base64(&[0; 20]));
        let long = hex.repeat(2);
        let now = NOW.to_string();
        let ids = [("webhook-id", "msg_1"), ("webhook-timestamp", &*now)];
        let slack = [("x-slack-request-timestamp", &*now)];
        let own = [("x-timestamp", &*now), ("x-id", "e-1")];
        for (scheme, header, more, good, bad) in [
            ("standard", "webhook-signature", &ids[..], format!("v1,{base64}"), format!("v1,{short}")),
            ("stripe", "stripe-signature", &[], format!("t={now},v1={hex}"), format!("t={now},v1={long}")),
            ("github", "x-hub-signature-256", &[], format!("sha256={hex}"), hex.clone()),
            ("shopify", "x-shopify-hmac-sha256", &[], base64.clone(), hex.clone()),
            ("slack", "x-slack-signature", &slack, format!("v0={hex}"), format!("v0={}", &hex[..62])),
            ("paddle", "paddle-signature", &[], format!("ts={now};h1={hex}"), format!("ts={now};h1=x")),
            ("lemonsqueezy", "x-signature", &[], hex.clone(), base64.clone()),
            ("twilio", "x-twilio-signature", &[], short.clone(), base64.clone()),
            ("square", "x-square-hmacsha256-signature", &[], base64.clone(), short.clone()),
            ("hmac", "x-signature", &own, hex.clone(), long.clone()),
        ] {
            let scheme = all().into_iter().find(|known| known.name() == scheme).expect(scheme);
            let name = scheme.name();
            let verifier = Verifier::new(scheme, &["c2VjcmV0"], TOLERANCE).expect("a verifier");
            let glance = |value: &str| {
                let fields = more.iter().copied().chain([(header, value)]);
                verifier.glance(&fields.collect(), Timestamp(NOW))
            };
            assert_eq!(glance(&good), Ok(()), "{name}");
            assert_eq!(glance(""), Err(InvalidSignature::MissingHeader), "{name}");
            for value in [&*bad, "hello", "v1=", "sha256=", "=", ",,,"] {
                assert_eq!(glance(value), Err(InvalidSignature::Malformed), "{name}: {value}");
            }
        }
    }

    #[test]
    fn shows_no_secret() {
        for scheme in all() {
            let verifier = Verifier::new(scheme, &["c2VjcmV0"], Duration::ZERO).expect("a verifier");
            let shown = format!("{verifier:?}");
            assert!(!shown.contains("c2VjcmV0") && !shown.contains("115, 101"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn judging_is_total(
            value in ".*",
            pairs in "(ts?=[0-9]{0,20}[,;])?(v1|h1|v0|sha256)[=,][0-9a-f]{0,70}",
            body in any::<Vec<u8>>(),
            url in "(https?://)?.*",
            now in any::<i64>(),
        ) {
            for scheme in all() {
                let verifier = Verifier::new(scheme, &["c2VjcmV0"], Duration::MAX).expect("a verifier");
                for value in [&value, &pairs] {
                    let headers: Headers = NAMES.iter().map(|name| (*name, value.as_str())).collect();
                    let request = Signed { headers: &headers, body: &body, url: &url };
                    prop_assert!(verifier.verify(request, Arrival::at_once(Timestamp(now))).is_err());
                }
            }
        }
    }

    const NAMES: &[&str] = &[
        "content-type",
        "paddle-signature",
        "stripe-signature",
        "svix-id",
        "svix-signature",
        "svix-timestamp",
        "x-hub-signature-256",
        "x-id",
        "x-shopify-hmac-sha256",
        "x-signature",
        "x-slack-request-timestamp",
        "x-slack-signature",
        "x-square-hmacsha256-signature",
        "x-timestamp",
        "x-twilio-signature",
    ];
}
